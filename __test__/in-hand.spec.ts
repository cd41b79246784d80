// What is sent from within onData: the chunk that the handler was called with, a part of it, an earlier one. Each goes out from where it lies.

import test from 'ava'
import * as words from '../dist/protocol.js'
import { FakePort } from './fake-port.js'

const LONG_BYTES = 8192
const filled = (value: number) => Buffer.alloc(LONG_BYTES, value)

test('the chunk in hand, a part of it and an earlier one are sent from their own places', (t) => {
  let earlier: Buffer | undefined
  const port = new FakePort({
    onData(conn, chunk) {
      if (earlier !== undefined) {
        conn.sendNowait(chunk)
        conn.sendNowait(chunk.subarray(1000, 6000))
        conn.sendNowait(earlier)
        conn.sendNowait(chunk)
      }
      earlier = chunk
    },
  })
  port.accept(0)
  port.data(0, filled(1))
  port.data(0, filled(2), 1, true)
  port.wake()
  const sent = port.take().map(({ kind, values: [slab, , , flags], bytes }) => {
    t.is(kind, words.SEND_CHUNK)
    // The worker refuses a name of another use of the slab.
    t.is(flags! >> words.SLAB_GENERATION_SHIFT, port.slabGeneration(slab!))
    return [bytes[0], bytes.length]
  })
  t.deepEqual(sent, [
    [2, LONG_BYTES],
    [2, 5000],
    [1, LONG_BYTES],
    [2, LONG_BYTES],
  ])
})

test('what was in hand is sent as well when its handler has returned, and not when its memory has gone', async (t) => {
  t.plan(3)
  const port = new FakePort({
    async onData(conn, chunk) {
      await null
      conn.sendNowait(chunk)
    },
  })
  port.accept(0)
  port.data(0, filled(1))
  await port.settle()
  t.deepEqual(port.completeAll().get(0), filled(1))

  const gone = new FakePort({
    onData(conn, chunk) {
      structuredClone(chunk.buffer, { transfer: [chunk.buffer as ArrayBuffer] })
      t.throws(() => conn.sendNowait(chunk), { code: 'ERR_RINGLINE_INVALID_ARGUMENT' })
    },
  })
  gone.accept(0)
  gone.data(0, filled(3))
  gone.wake()
  t.deepEqual(gone.take(), [])
})
