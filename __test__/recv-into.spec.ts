// recvInto: a caller's buffer is filled with the bytes of a connection, in order, and none is lost.

import { randomBytes } from 'node:crypto'
import test from 'ava'
import { type ConnCtx, ParseResult } from 'ringline'
import { dial, serve, until } from './serving.js'

test.serial('a large body is read into one buffer, after a header that came with it', async (t) => {
  const body = randomBytes(8 * 1024 * 1024)
  const received: Buffer[] = []
  const server = await serve(t, {
    async onAccept(conn) {
      let length = 0
      await conn.withData((data) => {
        if (data.length < 4) return ParseResult.NeedMore
        length = data.readUInt32BE()
        return ParseResult.Consumed(4)
      })
      const buffer = Buffer.alloc(length)
      t.is(await conn.recvInto(buffer), length)
      received.push(buffer)
      // What follows the body is there for whoever asks next.
      await conn.withData((data) => {
        if (data.length < 4) return ParseResult.NeedMore
        received.push(Buffer.from(data))
        return ParseResult.Consumed(data.length)
      })
    },
  })
  const socket = await dial(t, server)
  const header = Buffer.alloc(4)
  header.writeUInt32BE(body.length)
  socket.end(Buffer.concat([header, body, Buffer.from('next')]))
  await until(() => received.length === 2)
  t.true(received[0]!.equals(body))
  t.is(String(received[1]), 'next')
})

test.serial('at the end of the stream it answers what has come, and then 0', async (t) => {
  const counts: number[] = []
  let text = ''
  const server = await serve(t, {
    async onAccept(conn) {
      const buffer = new Uint16Array(50)
      counts.push(await conn.recvInto(buffer))
      text = String(Buffer.from(buffer.buffer, 0, counts[0]))
      counts.push(await conn.recvInto(buffer), await conn.recvInto(new Uint8Array(0)))
    },
  })
  const socket = await dial(t, server)
  socket.write('one ')
  await new Promise((resolve) => setTimeout(resolve, 10))
  socket.end('two')
  await until(() => counts.length === 3)
  t.deepEqual([counts, text], [[7, 0, 0], 'one two'])
})

test.serial('bytes taken by a canceled recvInto are received again', async (t) => {
  let conn: ConnCtx | undefined
  const server = await serve(t, {
    onAccept: (accepted) => {
      conn = accepted
    },
  })
  const socket = await dial(t, server)
  await until(() => conn !== undefined)
  const buffer = Buffer.alloc(10)
  const controller = new AbortController()
  const reading = conn!.recvInto(buffer, { signal: controller.signal })
  await t.throwsAsync(conn!.recvInto(Buffer.alloc(1)), { code: 'ERR_RINGLINE_RECEIVE_BUSY' })
  socket.write('abc')
  await until(() => buffer[2] === 0x63)
  controller.abort(new Error('enough'))
  await t.throwsAsync(reading, { message: 'enough' })
  buffer.fill(0)
  socket.write('defgh')
  t.is(await conn!.recvInto(buffer.subarray(0, 5)), 5)
  t.is(String(buffer.subarray(0, 5)), 'abcde')
  t.is(await conn!.recvInto(buffer.subarray(0, 3)), 3)
  t.is(String(buffer.subarray(0, 3)), 'fgh')
})

test.serial('a buffer that is detached meanwhile ends the call, not the connection', async (t) => {
  let conn: ConnCtx | undefined
  const server = await serve(t, {
    onAccept: (accepted) => {
      conn = accepted
    },
  })
  const socket = await dial(t, server)
  await until(() => conn !== undefined)
  const buffer = new Uint8Array(10)
  const reading = conn!.recvInto(buffer)
  structuredClone(buffer, { transfer: [buffer.buffer] })
  socket.write('abc')
  await t.throwsAsync(reading, { code: 'ERR_RINGLINE_INVALID_ARGUMENT' })
  t.is(
    conn!.tryWithData((data) => (String(data) === 'abc' ? data.length : 0)),
    3,
  )
  t.true(conn!.isOpen)
  await t.throwsAsync(conn!.recvInto('text' as never), { code: 'ERR_RINGLINE_INVALID_ARGUMENT' })
})
