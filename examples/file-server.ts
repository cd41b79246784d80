// A file server past the page cache: "GET /name" is answered with the file's length and its bytes. The disk writes them into aligned
// memory with direct I/O, and the network sends them from there: JavaScript copies nothing.

import { basename, join } from 'node:path'
import { allocAligned, ConfigBuilder, type ConnCtx, openDirectIoFile, ParseResult, RinglineBuilder } from 'ringline'

const PIECE_BYTES = 256 * 1024
const root = process.argv[2] ?? '.'

/** Sends a file in pieces: while one is being sent, the next is read. */
async function sendFile(conn: ConnCtx, name: string): Promise<void> {
  await using file = await openDirectIoFile(join(root, basename(name)), { readOnly: true })
  await conn.send(`OK ${file.sizeAtOpen}\r\n`)
  const buffers = [allocAligned(PIECE_BYTES), allocAligned(PIECE_BYTES)]
  const sizeAtOpen = file.sizeAtOpen
  for (let offset = 0, turn = 0; offset < sizeAtOpen; offset += PIECE_BYTES, turn ^= 1) {
    const buffer = buffers[turn]!
    await buffer.released
    const length = Math.min(await file.read(offset, buffer), sizeAtOpen - offset)
    if (length <= 0) throw new Error(`${name} has become shorter`)
    await conn.sendGuard(buffer.subarray(0, length))
  }
}

class FileServer {
  static createForWorker(): FileServer {
    return new FileServer()
  }

  async onAccept(conn: ConnCtx): Promise<void> {
    let name = ''
    const readRequest = (data: Buffer): number => {
      const end = data.indexOf('\r\n')
      if (end < 0) return ParseResult.NeedMore
      name = data.toString('utf8', 'GET /'.length, end)
      return ParseResult.Consumed(end + 2)
    }
    while (await conn.withData(readRequest)) {
      try {
        await sendFile(conn, name)
      } catch (error) {
        if ((error as { syscall?: string }).syscall !== 'open') throw error
        await conn.send(`ERROR ${(error as { code: string }).code}\r\n`)
      }
    }
  }
}

const port = Number(process.argv[3] ?? 7880)
const config = new ConfigBuilder().directIo({ maxFiles: 64 }).build()
const server = await new RinglineBuilder(config).bind({ address: '127.0.0.1', port }).launch(FileServer)
console.log(`listening on ${server.boundAddr.address}:${server.boundAddr.port}`)
process.once('SIGINT', () => void server.shutdown())
