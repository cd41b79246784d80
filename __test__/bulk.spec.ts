// Bulk data: it comes in larger slabs than messages, every byte stays as it was received, and V8 collects what is let go of while it is
// young.

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import test from 'ava'
import { dial, readBytes, serve, start, until } from './serving.js'

const KIB = 1024
const MIB = 1024 * KIB
const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex')

test.serial('slabs are large while pieces are, and small for messages', async (t) => {
  let slabBytes = 0
  const server = await serve(t, {
    onData(conn, chunk) {
      slabBytes = chunk.buffer.byteLength
      conn.sendNowait(chunk)
    },
  })
  const socket = await dial(t, server)
  const echo = async (bytes: number): Promise<void> => {
    const data = randomBytes(bytes)
    socket.write(data)
    t.is(hash(await readBytes(socket, bytes)), hash(data))
  }
  await echo(64)
  t.is(slabBytes, 64 * KIB)
  while (slabBytes < 512 * KIB) await echo(4 * KIB)
  t.is(slabBytes, 512 * KIB)
  while (slabBytes > 64 * KIB) await echo(1500)
  t.is(slabBytes, 64 * KIB)
})

test.serial('j7 pieces of bulk data that are kept stay as they were received', async (t) => {
  const kept: { chunk: Buffer; hash: string }[] = []
  let received = 0
  const server = await serve(t, {
    onData(_conn, chunk) {
      received += chunk.length
      // Every eighth is kept, the memory of the others is received into again.
      if (received % (8 * 37) < 37) kept.push({ chunk, hash: hash(chunk) })
    },
  })
  const socket = await dial(t, server)
  const data = randomBytes(MIB + 1)
  for (let sent = 1; sent <= 256; sent += 1) {
    if (!socket.write(data)) await until(() => received > (sent - 1) * data.length || socket.writableLength === 0)
  }
  await until(() => received === 256 * data.length)
  t.true(kept.length > 0)
  for (const piece of kept) t.is(hash(piece.chunk), piece.hash)
})

test.serial('bulk data that was let go of is collected young', async (t) => {
  const child = start(t, 'young')
  let text = ''
  child.stdout?.on('data', (chunk) => {
    text += String(chunk)
  })
  await once(child, 'close')
  const { young, full } = JSON.parse(text) as { young: number; full: number }
  t.log(`${young} young collections, ${full} full ones`)
  // Otherwise all generations would be collected, every 64 MiB: 16 times.
  t.true(young >= 16 && full < 8, text)
})
