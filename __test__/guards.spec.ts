// Memory that is sent from where it lies: what arrives, when it is released, and what a program can do to it meanwhile.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { allocAligned, allocGuard, type ConnCtx, MAX_GUARDS, MAX_IOVECS, MemoryRegion, SendPart } from 'ringline'
import type { ConnCtx as FakeConn } from '../dist/connection.js'
import * as words from '../dist/protocol.js'
import { allocAligned as allocated, FakePort } from './fake-port.js'
import { accepted, dial, readAll, readBytes, serve, testConfig, until } from './serving.js'

const MIB = 1024 * 1024

function pattern(bytes: Buffer, seed: number): Buffer {
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = (at * 31 + seed) & 255
  return bytes
}

test.serial('a guard arrives as it is, in order with copied sends, and is released', async (t) => {
  const { conn, socket } = await accepted(t)
  const guard = allocGuard(MIB)
  pattern(guard, 1)
  const received = readBytes(socket, 2 * 5 + MIB)
  conn.sendNowait('first')
  const sent = conn.sendGuard(guard)
  conn.sendNowait('later')
  t.is(await sent, MIB)
  await sent.released
  await guard.released
  t.true((await received).equals(Buffer.concat([Buffer.from('first'), guard, Buffer.from('later')])))
})

test.serial('slices of a registered region, and memory below the threshold, arrive as they are', async (t) => {
  const region = MemoryRegion.allocate(MIB)
  pattern(region.buffer, 2)
  for (const threshold of [0, 4096]) {
    const config = testConfig().registeredRegions([region]).sendZcThreshold(threshold)
    const { conn, socket } = await accepted(t, config)
    const [small, large] = [region.buffer.subarray(7, 107), region.buffer.subarray(5000, 105_000)]
    const received = readBytes(socket, 100_100)
    const sends = [conn.sendGuard(small), conn.sendGuard(large)]
    t.deepEqual(await Promise.all(sends), [100, 100_000])
    t.true((await received).equals(Buffer.concat([small, large])))
    await region.released
  }
})

test.serial('parts are sent in their order, all or none', async (t) => {
  const { conn, socket } = await accepted(t)
  const guard = allocGuard(10_000)
  pattern(guard, 3)
  const received = readBytes(socket, 10_013)
  const sent = conn.sendParts().copy('header').guard(guard).copy('trailer').submit()
  t.is(await sent, 10_013)
  t.true((await received).equals(Buffer.concat([Buffer.from('header'), guard, Buffer.from('trailer')])))
  const again = readBytes(socket, 4)
  await conn.sendParts([SendPart.Copy('ab'), SendPart.Copy('cd')])
  t.is(String(await again), 'abcd')

  const tooMany = conn.sendParts(Array.from({ length: MAX_IOVECS + 1 }, () => SendPart.Copy('x')))
  await t.throwsAsync(tooMany, { code: 'ERR_RINGLINE_TOO_MANY_PARTS' })
  const guards = conn.sendParts(Array.from({ length: MAX_GUARDS + 1 }, () => SendPart.Guard(guard)))
  await t.throwsAsync(guards, { code: 'ERR_RINGLINE_TOO_MANY_PARTS' })
  await guards.released
  const ordinary = conn.sendParts().copy('never').guard(Buffer.alloc(8)).submit()
  await t.throwsAsync(ordinary, { code: 'ERR_RINGLINE_INVALID_ARGUMENT', message: /allocGuard/ })
  conn.close()
  t.is((await readAll(socket)).length, 0)
})

test.serial('beyond sendSlabSlots a guard is refused until an earlier one is released', async (t) => {
  const { conn, socket } = await accepted(t, testConfig().sendSlabSlots(2))
  socket.resume()
  const guard = allocGuard(8192)
  const three = conn.sendParts([SendPart.Guard(guard), SendPart.Guard(guard), SendPart.Guard(guard)])
  await t.throwsAsync(three, { code: 'ERR_RINGLINE_GUARD_LIMIT_REACHED' })
  const two = conn.sendParts([SendPart.Guard(guard), SendPart.Guard(guard)])
  t.is(await two, 16_384)
  await two.released
  t.is(await conn.sendGuard(guard), 8192)
})

test.serial('a guard that waits on a connection that ends is released', async (t) => {
  const { conn, socket } = await accepted(t)
  socket.pause()
  const guard = allocGuard(64 * MIB)
  const sent = conn.sendGuard(guard)
  let released = false
  void guard.released.then(() => {
    released = true
  })
  const before = conn.bufferedAmount
  t.is(before, 64 * MIB)
  // The kernel has taken what the sockets hold by then, and promises have had their turn.
  await until(() => conn.bufferedAmount < before)
  t.false(released)
  socket.destroy()
  await t.throwsAsync(sent)
  await guard.released
  const refused = conn.sendGuard(guard)
  await t.throwsAsync(refused, { code: 'ERR_RINGLINE_INVALID_CONNECTION' })
  await refused.released
})

test.serial('j10 a guard that is mutated while in flight sends bytes of its own memory and nothing else', async (t) => {
  const { conn, socket } = await accepted(t, testConfig().sendZcThreshold(0))
  const guard = allocGuard(4 * MIB)
  guard.fill(1)
  const received = readBytes(socket, guard.length)
  const sent = conn.sendGuard(guard)
  guard.fill(2)
  t.is(await sent, guard.length)
  t.true((await received).every((byte) => byte === 1 || byte === 2))
})

test.serial(
  'j10 a guard that is given away is not detached, and one that is collected arrives all the same',
  async (t) => {
    const { conn, socket } = await accepted(t, testConfig().sendZcThreshold(0))
    const guard = allocGuard(8192)
    pattern(guard, 4)
    try {
      structuredClone(guard.buffer, { transfer: [guard.buffer as ArrayBuffer] })
    } catch (error) {
      t.is((error as Error).name, 'DataCloneError')
    }
    t.is(guard.length, 8192)

    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    socket.pause()
    let total = 0
    for (let round = 0; round < 40; round += 1) {
      const dropped = allocGuard(MIB)
      dropped.fill(round)
      total += dropped.length
      conn.sendGuard(dropped).catch(() => {})
    }
    for (let round = 0; round < 5; round += 1) {
      collect()
      await new Promise((resolve) => setImmediate(resolve))
    }
    // Memory that is mapped anew now would lie where the old one was, had it been unmapped.
    const others = Array.from({ length: 40 }, () => allocGuard(MIB).fill(0xee))
    const all = readBytes(socket, total)
    socket.resume()
    const received = await all
    t.true(
      Array.from({ length: total / 4096 }, (_, page) => page * 4096).every(
        (at) => received[at] === Math.floor(at / MIB),
      ),
    )
    t.is(others.length, 40)
  },
)

test.serial('a guard in flight survives the end of its server', async (t) => {
  const { conn, socket, server } = await accepted(t)
  socket.pause()
  socket.on('error', () => {})
  const guard = allocGuard(64 * MIB)
  const sent = conn.sendGuard(guard)
  sent.catch(() => {})
  const released = sent.released.catch((error: unknown) => error)
  const started = performance.now()
  await server.shutdown()
  // Two seconds for the peer, two more for the kernel; waiting twice for the kernel would make six.
  t.true(performance.now() - started < 5800)
  socket.destroy()
  const outcome = (await released) as { code?: string } | undefined
  t.true(outcome === undefined || outcome.code === 'ERR_RINGLINE_WORKER_STOPPED')
  t.is(guard.fill(5)[0], 5)
})

test('what was sent is released with the notification of the kernel, not with the result of the send', async (t) => {
  const conns: FakeConn[] = []
  const storage = { sendSlabSlots: 2, directIo: undefined, nvme: undefined }
  const port = new FakePort({ onAccept: (conn) => void conns.push(conn as never) }, { storage })
  port.accept(0)
  port.wake()
  const memory = allocated(8192)
  const order: string[] = []
  const first = conns[0]!.sendGuard(memory.subarray(0, 4096))
  const second = conns[0]!.sendGuard(memory.subarray(4096))
  void first.then(() => order.push('first sent'))
  void second.then(() => order.push('second sent'))
  void first.released.then(() => order.push('first released'))
  void second.released.then(() => order.push('second released'))
  void memory.released.then(() => order.push('memory released'))
  await port.settle()
  const keys = port.take().map((submission) => submission.values[4]!)
  t.is(keys.length, 2)
  const sent = new Int32Array(port.sentBytes)
  sent[0] = 8192
  port.post(words.SENT, 0, 1)
  await port.settle()
  t.deepEqual(order, ['first sent', 'second sent'])
  t.is(port.dispatcher.storage.guards.left, 0)
  for (const key of keys.toReversed()) {
    port.post(words.GUARD_RELEASED, 0, 0, key)
    await port.settle()
  }
  t.deepEqual(order.slice(2), ['second released', 'memory released', 'first released'])
  t.is(port.dispatcher.storage.guards.left, 2)
})

test.serial('impossible sizes and alignments are refused by name', (t) => {
  for (const bytes of [0, -1, 1.5, Number.NaN, 2 ** 30 + 1, '8' as never]) {
    t.throws(() => allocGuard(bytes), { code: 'ERR_RINGLINE_INVALID_ARGUMENT', message: /^"bytes"/ })
  }
  for (const alignment of [0, 3, 2 ** 22]) {
    t.throws(() => allocAligned(4096, alignment), { code: 'ERR_RINGLINE_INVALID_ARGUMENT', message: /^"alignment"/ })
  }
  t.is(allocAligned(1000, 2 ** 21).length, 1000)
  const wrong = () =>
    testConfig()
      .registeredRegions([allocGuard(1) as never])
      .build()
  t.throws(wrong, { code: 'ERR_RINGLINE_INVALID_CONFIG', message: /registeredRegions/ })
})

test.serial('guards that are sent amid a shutdown take nothing from what was sent before', async (t) => {
  const opened: ConnCtx[] = []
  const failures: unknown[] = []
  const server = await serve(t, {
    onAccept: (conn) => void opened.push(conn),
    onClose: (_conn, error) => void failures.push(error),
  })
  const socket = await dial(t, server)
  await until(() => opened.length === 1)
  const [conn] = opened as [ConnCtx]
  const sent = Buffer.alloc(4 * 1024 * 1024, 'before')
  conn.send(sent).catch(() => {})
  await until(() => conn.bufferedAmount < sent.length)
  const down = server.shutdown()
  // Whether one reaches the worker before it looks at the shutdown or after it is nobody's to say.
  const guard = allocGuard(8192)
  for (let count = 0; count < 20; count += 1) {
    conn.sendGuard(guard).catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  const received = await readAll(socket)
  t.true(received.subarray(0, sent.length).equals(sent))
  socket.end()
  await down
  t.deepEqual(failures, [undefined])
})
