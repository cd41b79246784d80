// An echo server on the oldest supported kernel under a short load of which every byte is verified. That kernel consumes no buffer
// incrementally and closes fixed files late, so this is the way of a copy into slabs and of plain descriptors.

import { createHash } from 'node:crypto'
import { release } from 'node:os'
import test from 'ava'
import { type ConnCtx, connect } from 'ringline'
import { dial, readBytes, serve, testConfig } from '../serving.js'

const CONNECTIONS = 16
const SIZES = [1, 64, 4096, 16_384, 65_537, 300_000]

/** Bytes that belong to one message alone. */
function message(connection: number, round: number, length: number): Buffer {
  const seed = createHash('sha256').update(`${connection} ${round}`).digest()
  return Buffer.alloc(length, seed)
}

test('the kernel is the oldest that is supported', (t) => {
  t.regex(release(), /^6\.1\./)
})

test.serial('every byte of 16 connections comes back to clients of node:net', async (t) => {
  const server = await serve(t, { onData: (conn, chunk) => void conn.sendNowait(chunk) }, testConfig().workers(2))
  const exchange = async (connection: number): Promise<number> => {
    const socket = await dial(t, server)
    let bytes = 0
    for (const [round, length] of SIZES.entries()) {
      const sent = message(connection, round, length)
      socket.write(sent)
      const received = await readBytes(socket, length)
      if (!received.equals(sent)) t.fail(`connection ${connection}: ${length} bytes came back changed`)
      bytes += received.length
    }
    return bytes
  }
  const bytes = await Promise.all(Array.from({ length: CONNECTIONS }, (_, connection) => exchange(connection)))
  const each = SIZES.reduce((sum, length) => sum + length)
  t.deepEqual(bytes, Array(CONNECTIONS).fill(each))
})

test.serial('every byte of 16 connections comes back to clients of its own, which keep their chunks', async (t) => {
  const server = await serve(t, {
    async onAccept(conn) {
      for await (const chunk of conn) await conn.send(chunk)
    },
  })
  const { address, port } = server.boundAddr
  const exchange = async (connection: number): Promise<boolean> => {
    const conn: ConnCtx = await connect(`${address}:${port}`)
    const sent = message(connection, 0, 200_000)
    const kept: Buffer[] = []
    const sending = conn.send(sent).then(() => conn.shutdownWrite())
    for await (const chunk of conn) kept.push(chunk)
    await sending
    // Nothing was copied out of the chunks until now: none may have changed since it came.
    return Buffer.concat(kept).equals(sent)
  }
  const equal = await Promise.all(Array.from({ length: CONNECTIONS }, (_, connection) => exchange(connection)))
  t.deepEqual(equal, Array(CONNECTIONS).fill(true))
})
