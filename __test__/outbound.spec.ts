// Sending: slots, corking, chunks without a copy, waiting sends, drains, order, what is refused and with which code.

import test from 'ava'
import type { ConnCtx } from '../dist/connection.js'
import type { AsyncEventHandler } from '../dist/handler.js'
import * as words from '../dist/protocol.js'
import { type FakeOptions, FakePort } from './fake-port.js'

/** Accepted connections of a handler with onData. */
function accepted(
  count = 1,
  handler: AsyncEventHandler = {},
  options: FakeOptions = {},
): { port: FakePort; conns: ConnCtx[] } {
  const conns: ConnCtx[] = []
  const onAccept = (conn: ConnCtx) => {
    conns.push(conn)
  }
  const port = new FakePort({ onData: () => {}, onError: () => {}, ...handler, onAccept }, options)
  for (let slot = 0; slot < count; slot += 1) port.accept(slot)
  port.wake()
  return { port, conns }
}

const turn = () => new Promise<void>((resolve) => queueMicrotask(resolve))

test('strings and views of every kind are sent as their bytes', async (t) => {
  const { port, conns } = accepted()
  const [conn] = conns as [ConnCtx]
  const wide = new Uint16Array([0x4142, 0x4344])
  const sent = [
    conn.sendNowait('plain'),
    conn.sendNowait('ünïcödé 🙂 \ud800'),
    conn.sendNowait('long '.repeat(20)),
    conn.sendNowait(Buffer.from('buffer')),
    conn.sendNowait(wide),
    conn.sendNowait(new DataView(wide.buffer, 1, 2)),
    conn.sendNowait(''),
    conn.sendNowait(new Uint8Array(0)),
  ]
  await turn()
  const expected = [
    Buffer.from('plain'),
    Buffer.from('ünïcödé 🙂 \ud800'),
    Buffer.from('long '.repeat(20)),
    Buffer.from('buffer'),
    Buffer.from(wide.buffer),
    Buffer.from(wide.buffer, 1, 2),
    Buffer.alloc(0),
    Buffer.alloc(0),
  ]
  t.deepEqual(
    sent,
    expected.map((bytes) => bytes.length),
  )
  t.deepEqual(port.completeAll().get(0), Buffer.concat(expected))
  t.is(conn.bufferedAmount, 0)
})

test('sends of one turn share a slot and a record, and the worker is rung once', async (t) => {
  const { port, conns } = accepted(2)
  const [one, two] = conns as [ConnCtx, ConnCtx]
  port.setWord(words.WORKER_ASLEEP, 1)
  one.sendNowait('a')
  two.sendNowait('x')
  one.sendNowait('b')
  two.sendNowait('y')
  t.is(port.take().length, 0)
  await turn()
  t.is(port.rings, 1)
  t.deepEqual(
    port.take().map(({ slot, bytes }) => [slot, String(bytes)]),
    [
      [0, 'ab'],
      [1, 'xy'],
    ],
  )
  one.sendNowait('c')
  await turn()
  t.is(port.rings, 1)
  t.is(String(port.take()[0]?.bytes), 'c')
})

test('a full slot is followed by another; other commands keep their place between sends', async (t) => {
  const { port, conns } = accepted(1, {}, { slotSize: 16 })
  const [conn] = conns as [ConnCtx]
  conn.sendNowait('0123456789')
  conn.sendNowait('abcdefgh')
  conn.sendNowait('ij')
  conn.shutdownWrite()
  await turn()
  t.deepEqual(
    port.take().map(({ kind, bytes }) => [kind, String(bytes)]),
    [
      [words.SEND_SLOT, '0123456789'],
      [words.SEND_SLOT, 'abcdefghij'],
      [words.SHUTDOWN_WRITE, ''],
    ],
  )
})

test('b4 data larger than a slot takes several, all or nothing', async (t) => {
  const { port, conns } = accepted(1, {}, { slots: 4, slotSize: 100 })
  const [conn] = conns as [ConnCtx]
  const data = Buffer.from(Array.from({ length: 350 }, (_, index) => index & 255))
  t.is(conn.sendNowait(data), 350)
  t.throws(() => conn.sendNowait(Buffer.alloc(51)), {
    code: 'ERR_RINGLINE_SEND_POOL_EXHAUSTED',
    message: /1 of 4 send slots/,
  })
  t.throws(() => conn.sendNowait(Buffer.alloc(401)), {
    code: 'ERR_RINGLINE_SEND_POOL_EXHAUSTED',
    message: /use send\(\)/,
  })
  await turn()
  t.deepEqual(port.completeAll().get(0), data)
  t.is(conn.sendNowait('x'.repeat(400)), 400)
})

test('b14 after an exhausted pool sends work again when slots come back', async (t) => {
  const { port, conns } = accepted(1, {}, { slots: 2, slotSize: 8 })
  const [conn] = conns as [ConnCtx]
  for (let round = 0; round < 100; round += 1) {
    t.is(conn.sendNowait('12345678'), 8)
    t.is(conn.sendNowait('abcdefgh'), 8)
    t.throws(() => conn.sendNowait('x'), { code: 'ERR_RINGLINE_SEND_POOL_EXHAUSTED' })
    await turn()
    t.is(String(port.completeAll().get(0)), '12345678abcdefgh')
  }
})

test('the slot freed last is used next', async (t) => {
  const { port, conns } = accepted()
  const [conn] = conns as [ConnCtx]
  const used = new Set<number>()
  for (let round = 0; round < 50; round += 1) {
    conn.sendNowait('message')
    await turn()
    for (const submission of port.take()) {
      used.add(submission.values[0]!)
      port.complete(submission)
    }
    port.data(0, 'x')
    port.wake()
  }
  t.true(used.size <= 2, `${used.size} slots used`)
})

test('a received chunk of 4096 bytes is sent from its slab, a shorter or foreign one is copied', async (t) => {
  const chunks: Buffer[] = []
  const { port, conns } = accepted(2, { onData: (_, chunk) => void chunks.push(chunk) })
  const [, two] = conns as [ConnCtx, ConnCtx]
  port.data(0, Buffer.alloc(8192, 'z'))
  port.wake()
  const [chunk] = chunks as [Buffer]
  two.sendNowait('header')
  two.sendNowait(chunk.subarray(100, 100 + 4096))
  two.sendNowait(chunk.subarray(0, 4095).subarray(0, 10))
  two.sendNowait(Buffer.from(chunk).subarray(0, 900))
  await turn()
  const records = port.take()
  t.deepEqual(
    records.map(({ kind }) => kind),
    [words.SEND_SLOT, words.SEND_CHUNK, words.SEND_SLOT],
  )
  t.deepEqual(records[1]?.values.slice(0, 3), [0, 100, 4096])
  t.is(records[2]?.bytes.length, 910)
})

test('a chunk of a retired slab is still sent without a copy', async (t) => {
  const chunks: Buffer[] = []
  const { port, conns } = accepted(1, { onData: (_, chunk) => void chunks.push(chunk) })
  port.data(0, Buffer.alloc(5000, 'q'))
  port.data(0, 'next slab', 1, true)
  port.wake()
  conns[0]?.sendNowait(chunks[0]!)
  await turn()
  t.is(port.take()[0]?.kind, words.SEND_CHUNK)
})

test('unsent chunk bytes are bounded by the size of the pool; beyond it chunks are copied, then refused', async (t) => {
  const chunks: Buffer[] = []
  const { port, conns } = accepted(1, { onData: (_, chunk) => void chunks.push(chunk) }, { slots: 16, slotSize: 1024 })
  const [conn] = conns as [ConnCtx]
  port.data(0, Buffer.alloc(8192, 'c'))
  port.wake()
  const send = () => conn.sendNowait(chunks[0]!)
  for (let count = 0; count < 4; count += 1) t.is(send(), 8192)
  t.throws(send, { code: 'ERR_RINGLINE_SEND_POOL_EXHAUSTED' })
  await turn()
  const kinds = port.take()
  t.deepEqual(
    kinds.map(({ kind }) => kind),
    [words.SEND_CHUNK, words.SEND_CHUNK, ...Array<number>(16).fill(words.SEND_SLOT)],
  )
  for (const submission of kinds) port.complete(submission)
  t.is(conn.bufferedAmount, 0)
  t.is(send(), 8192)
  await turn()
  t.is(port.take()[0]?.kind, words.SEND_CHUNK)
})

test('b5 two sends each resolve with their own count, when the kernel has taken them', async (t) => {
  const { port, conns } = accepted()
  const [conn] = conns as [ConnCtx]
  const done: string[] = []
  void conn.send('first').then((bytes) => done.push(`first ${bytes}`))
  conn.sendNowait('between')
  void conn.send(Buffer.alloc(3000)).then((bytes) => done.push(`second ${bytes}`))
  await turn()
  const records = port.take()
  t.deepEqual(done, [])
  port.complete(records[0]!)
  await port.settle()
  t.deepEqual(done, ['first 5'])
  for (const record of records.slice(1)) port.complete(record)
  await port.settle()
  t.deepEqual(done, ['first 5', 'second 3000'])
})

test('e8 sends that wait for room are served in order, larger ones than the pool included', async (t) => {
  const { port, conns } = accepted(3, {}, { slots: 4, slotSize: 64 })
  const [one, two, three] = conns as [ConnCtx, ConnCtx, ConnCtx]
  const big = Buffer.from(Array.from({ length: 1000 }, (_, index) => index & 255))
  const order: string[] = []
  one.sendNowait(Buffer.alloc(256, 'a'))
  const sends = [
    two.send(big).then((bytes) => order.push(`two ${bytes}`)),
    three.send('third').then((bytes) => order.push(`three ${bytes}`)),
    two.send('tail').then((bytes) => order.push(`tail ${bytes}`)),
  ]
  t.throws(() => two.sendNowait('overtaking'), {
    code: 'ERR_RINGLINE_SEND_POOL_EXHAUSTED',
    message: /earlier send\(\)/,
  })
  t.is(two.bufferedAmount, 1004)
  two.close()
  const received = [Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0)]
  const kinds: number[] = []
  for (let round = 0; round < 40; round += 1) {
    await port.settle()
    for (const record of port.take()) {
      if (record.kind === words.SEND_SLOT) received[record.slot] = Buffer.concat([received[record.slot]!, record.bytes])
      else kinds.push(record.kind, record.slot, received[1]!.length)
      if (record.kind === words.SEND_SLOT) port.complete(record)
    }
  }
  await Promise.all(sends)
  t.deepEqual(received[1], Buffer.concat([big, Buffer.from('tail')]))
  t.is(String(received[2]), 'third')
  t.deepEqual(kinds, [words.CLOSE, 1, 1004], 'the close waits for the sends before it')
  t.true(order.indexOf('two 1000') < order.indexOf('tail 4'))
})

test('slots that come free without a record wake a waiting send', async (t) => {
  const { port, conns } = accepted(1, {}, { slots: 1, slotSize: 8 })
  const [conn] = conns as [ConnCtx]
  conn.sendNowait('12345678')
  const waiting = conn.send('rest')
  await port.settle()
  t.is(port.word(words.WANTS_SLOTS), 1)
  t.is(port.word(words.JS_ASLEEP), 1)
  const [first] = port.take()
  port.complete(first!)
  await port.settle()
  port.completeAll()
  await port.settle()
  t.is(await waiting, 4)
})

test('onDrain: exactly one after refused sends, when there is room', async (t) => {
  let drains = 0
  const { port, conns } = accepted(1, { onDrain: () => void drains++ }, { slots: 2, slotSize: 8 })
  const [conn] = conns as [ConnCtx]
  conn.sendNowait('12345678abcdefgh')
  for (let count = 0; count < 3; count += 1) t.throws(() => conn.sendNowait('0123456789'))
  await port.settle()
  t.is(drains, 0)
  const records = port.take()
  port.complete(records[0]!)
  await port.settle()
  t.is(drains, 0, 'the refused send needs two slots')
  port.complete(records[1]!)
  await port.settle()
  t.is(drains, 1)
  await port.settle()
  t.is(drains, 1)
})

test('onDrain: exactly one when everything is out after the high-water mark was passed', async (t) => {
  let drains = 0
  const { port, conns } = accepted(1, { onDrain: () => void drains++ }, { slots: 100, slotSize: 4096 })
  const [conn] = conns as [ConnCtx]
  conn.sendNowait(Buffer.alloc(60_000))
  await turn()
  port.completeAll()
  await port.settle()
  t.is(drains, 0, 'below the mark nothing is owed')
  conn.sendNowait(Buffer.alloc(70_000))
  await turn()
  const before = port.take()
  conn.sendNowait('a little more')
  await turn()
  for (const record of before) port.complete(record)
  await port.settle()
  t.is(drains, 0)
  port.completeAll()
  await port.settle()
  t.is(drains, 1)
})

test('sends of a connection that ends are rejected, and need no handling', async (t) => {
  const { port, conns } = accepted(1, {}, { slots: 1, slotSize: 8 })
  const [conn] = conns as [ConnCtx]
  const taken = conn.send('12345678')
  const waiting = conn.send('never')
  void conn.send('nobody looks')
  await port.settle()
  port.post(words.CLOSED, 0, 1, 104)
  await port.settle()
  await t.throwsAsync(taken, { code: 'ECONNRESET' })
  await t.throwsAsync(waiting, { code: 'ECONNRESET' })
  await t.throwsAsync(conn.send('late'), { code: 'ERR_RINGLINE_INVALID_CONNECTION' })
  t.is(conn.bufferedAmount, 0)
})

test('j8 sends after close() and after shutdownWrite() are refused with their own codes; both are idempotent', async (t) => {
  const { port, conns } = accepted(2)
  const [closed, shut] = conns as [ConnCtx, ConnCtx]
  for (let count = 0; count < 2; count += 1) {
    closed.close()
    shut.shutdownWrite()
  }
  t.throws(() => closed.sendNowait('x'), { code: 'ERR_RINGLINE_INVALID_CONNECTION' })
  t.throws(() => shut.sendNowait('x'), { code: 'ERR_RINGLINE_WRITE_AFTER_SHUTDOWN' })
  closed.shutdownWrite()
  await turn()
  t.deepEqual(
    port.take().map(({ kind, slot }) => [kind, slot]),
    [
      [words.CLOSE, 0],
      [words.SHUTDOWN_WRITE, 1],
    ],
  )
})

test('j9 a stale connection never reaches the new owner of its slot, in a million tries', async (t) => {
  const { port, conns } = accepted()
  const [stale] = conns as [ConnCtx]
  const token = stale.token()
  port.post(words.CLOSED, 0, 1, 0)
  port.accept(0, 2)
  port.wake()
  let refused = 0
  for (let tries = 0; tries < 1_000_000; tries += 1) {
    try {
      if (tries % 2 === 0) stale.sendNowait('stale')
      else port.dispatcher.driver.send(token, 'stale')
    } catch {
      refused += 1
    }
    if (tries % 1000 !== 0) continue
    stale.close()
    stale.shutdownWrite()
    stale.cancel()
    stale.tryWithData(() => 0)
  }
  await turn()
  t.is(refused, 1_000_000)
  t.deepEqual(port.take(), [])
  t.is(conns[1]?.index(), 0)
  t.is(conns[1]?.bufferedAmount, 0)
})

test('a submission ring that is full loses nothing and keeps the order', async (t) => {
  const total = words.SUBMISSION_RING_RECORDS + 500
  const { port, conns } = accepted(1, { onDrain: () => {} }, { slots: 8192, slotSize: 8 })
  const [conn] = conns as [ConnCtx]
  for (let index = 0; index < total; index += 1) conn.sendNowait(`${10_000_000 + index}`)
  let text = ''
  for (let round = 0; round < 5; round += 1) {
    await port.settle()
    for (const record of port.take()) {
      text += String(record.bytes)
      port.complete(record)
    }
  }
  t.is(text.length, total * 8)
  t.is(text, Array.from({ length: total }, (_, index) => `${10_000_000 + index}`).join(''))
})

test('j11 shared, resizable and lying inputs are copied as what they are', async (t) => {
  const { port, conns } = accepted()
  const [conn] = conns as [ConnCtx]
  const shared = new Uint8Array(new SharedArrayBuffer(4)).fill(65)
  class Liar extends Uint8Array {
    override get length(): number {
      return 1_000_000
    }
    override get byteLength(): number {
      throw new Error('not to be asked')
    }
  }
  const liar = Liar.from([66, 67]) as Liar
  const own = Object.defineProperty(new Uint8Array([68]), 'length', { value: 4096 })
  t.is(conn.sendNowait(shared), 4)
  t.is(conn.sendNowait(liar), 2)
  t.is(conn.sendNowait(own), 1)
  await turn()
  t.is(String(port.completeAll().get(0)), 'AAAABCD')
})

test('j11 everything else is refused with a code, and disturbs nothing', async (t) => {
  const { port, conns } = accepted()
  const [conn] = conns as [ConnCtx]
  const detached = new Uint8Array(8)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  const throwing = {
    get byteLength(): number {
      throw new Error('getter')
    },
  }
  const inputs = [
    undefined,
    null,
    1,
    {},
    [1, 2],
    new ArrayBuffer(8),
    throwing,
    Object.create(Uint8Array.prototype),
    detached,
  ]
  for (const input of inputs) {
    t.throws(() => conn.sendNowait(input as never), {
      code: 'ERR_RINGLINE_INVALID_ARGUMENT',
      message: /^"data" must be/,
    })
    await t.throwsAsync(conn.send(input as never), { code: 'ERR_RINGLINE_INVALID_ARGUMENT' })
  }
  conn.sendNowait('fine')
  await turn()
  t.is(String(port.completeAll().get(0)), 'fine')
})

test('j10 data detached while it waits to be sent ends the connection instead of sending other memory', async (t) => {
  const { port, conns } = accepted(1, {}, { slots: 1, slotSize: 8 })
  const [conn] = conns as [ConnCtx]
  conn.sendNowait('12345678')
  const data = new Uint8Array(16)
  const waiting = conn.send(data)
  await port.settle()
  structuredClone(data.buffer, { transfer: [data.buffer] })
  port.completeAll()
  await port.settle()
  await t.throwsAsync(waiting, { code: 'ERR_RINGLINE_INVALID_ARGUMENT' })
  t.deepEqual(
    port.take().map(({ kind }) => kind),
    [words.ABORT],
  )
})
