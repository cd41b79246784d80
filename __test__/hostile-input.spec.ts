// Every argument of the public API is given everything that it is not meant for. Each time there is an error of this package that names
// the argument, at once or as a rejection; and when all of it is over, the server still works and nothing of it is left.

import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import * as ringline from 'ringline'
import { type ConnCtx, type DirectIoFile, type DriverCtx, RinglineError, type UdpCtx } from 'ringline'
import { dial, handlerClass, readBytes, serve, testConfig, until } from './serving.js'

const throwing = (): never => {
  throw new Error('a trap')
}
type ResizableConstructor = new (bytes: number, options: object) => ArrayBuffer & { resize(bytes: number): void }
const revocable = Proxy.revocable({}, {})
revocable.revoke()
const detached = new Uint8Array(8)
structuredClone(detached.buffer, { transfer: [detached.buffer] })
const shrunk = new (ArrayBuffer as unknown as ResizableConstructor)(16, { maxByteLength: 16 })
const outside = new Uint8Array(shrunk, 8, 8)
shrunk.resize(4)

/** What no argument wants, unless its row says so. */
const VALUES = {
  undefined,
  null: null,
  NaN: Number.NaN,
  negative: -1,
  fraction: 0.5,
  infinity: Number.POSITIVE_INFINITY,
  huge: 2 ** 53,
  bigint: 1n,
  text: 'no such thing',
  empty: '',
  true: true,
  symbol: Symbol('s'),
  object: {},
  array: [],
  function: () => 0,
  bare: Object.create(null) as object,
  // Every operation on this throws, as on a proxy that was revoked.
  trapped: new Proxy({}, new Proxy({}, { get: () => throwing })),
  revoked: revocable.proxy,
  detached,
  outside,
  date: new Date(0),
  map: new Map(),
  // Has the shape of a signal, and is none.
  pretender: { aborted: false, addEventListener() {}, removeEventListener: throwing, throwIfAborted() {} },
} satisfies Record<string, unknown>

type Label = keyof typeof VALUES
/** The argument's name in the message, what is called, and which values it takes. */
type Row = [name: string, call: (value: never) => unknown, taken?: Label[]]

const OBJECTS: Label[] = ['undefined', 'object', 'array', 'bare', 'detached', 'outside', 'date', 'map', 'pretender']
const NONE_OR_FUNCTION: Label[] = ['undefined', 'function']
const TEXTS: Label[] = ['text', 'empty']

async function outcome(call: () => unknown): Promise<unknown> {
  try {
    await call()
  } catch (error) {
    return error
  }
  return undefined
}

/** Gives every argument every value. */
async function refuseAll(t: ExecutionContext, rows: Row[]): Promise<void> {
  for (const [name, call, taken = []] of rows) {
    for (const [label, value] of Object.entries(VALUES)) {
      if (taken.includes(label as Label)) continue
      const error = await outcome(() => call(value as never))
      const what = `${call} of ${label}`
      t.true(error instanceof RinglineError, `${what}: ${String(error)}`)
      t.regex((error as RinglineError).code, /^ERR_RINGLINE_INVALID_(ARGUMENT|ADDRESS|CONFIG)$/, what)
      t.true((error as RinglineError).message.includes(name), `${what}: ${(error as RinglineError).message}`)
    }
  }
}

interface Served {
  conn: ConnCtx
  driver: DriverCtx
  udp: UdpCtx
  file: DirectIoFile
  /** Fails unless everything still works. */
  works(): Promise<void>
}

/** A server with everything that has arguments. */
async function everything(t: ExecutionContext): Promise<Served> {
  const conns: ConnCtx[] = []
  let driver: DriverCtx | undefined
  let udp: UdpCtx | undefined
  const server = await serve(
    t,
    {
      onStart: (started) => {
        driver = started
      },
      onUdpBind: (bound) => {
        udp = bound
      },
      onAccept: (conn) => void conns.push(conn),
      onData: (conn, chunk) => void conn.sendNowait(chunk),
    },
    testConfig().udpBind(['127.0.0.1:0']).directIo({}),
  )
  const socket = await dial(t, server)
  await until(() => conns.length === 1)
  const path = joinPath(tmpdir(), `ringline-hostile-${process.pid}`)
  writeFileSync(path, Buffer.alloc(8192))
  const file = await ringline.openDirectIoFile(path)
  const works = async (): Promise<void> => {
    socket.write('still there?')
    t.is(String(await readBytes(socket, 12)), 'still there?')
    await ringline.sleep(0.1)
    t.is(await file.read(0, ringline.allocAligned(4096)), 4096)
  }
  await works()
  return { conn: conns[0]!, driver: driver!, udp: udp!, file, works }
}

test.serial('settings and addresses', async (t) => {
  const builder = () => new ringline.RinglineBuilder(testConfig().build())
  const config = (fields: object) => new ringline.Config(fields)
  await refuseAll(t, [
    [' must be ', (value) => new ringline.Config(value), OBJECTS.filter((label) => label !== 'pretender')],
    ['config', (value) => new ringline.RinglineBuilder(value), ['undefined']],
    ['"address"', (value) => builder().bind(value)],
    ['"address"', (value) => builder().bindUdp(value)],
    ['"address"', (address) => builder().bind({ address, port: 1 })],
    ['"address"', (port) => builder().bind({ address: '127.0.0.1', port })],
    ['sqEntries', (value) => config({ sqEntries: value }), ['undefined']],
    ['sqpoll', (value) => config({ sqpoll: value }), ['undefined', 'true']],
    ['reusePort', (value) => config({ reusePort: value }), ['undefined', 'true']],
    ['maxChainLength', (value) => config({ maxChainLength: value }), ['undefined']],
    ['timerSlots', (value) => config({ timerSlots: value }), ['undefined']],
    ['worker.threads', (value) => config({ worker: { threads: value } }), ['undefined']],
    ['recvBuffer.bgid', (value) => config({ recvBuffer: { bgid: value } }), ['undefined']],
    ['registeredRegions', (value) => config({ registeredRegions: value }), ['undefined', 'array']],
    ['udpBind', (value) => config({ udpBind: value }), ['undefined', 'array']],
    ['udpBind[0]', (value) => config({ udpBind: [value] })],
    ['handler', (value) => builder().launch(value)],
    ['"options"', (value) => builder().launch(handlerClass({ onStart: throwing }), value), OBJECTS],
    [
      '"options.onWorkerError"',
      (onWorkerError) => builder().launch(handlerClass({}), { onWorkerError }),
      NONE_OR_FUNCTION,
    ],
    ['createForWorker', (value) => builder().launch({ createForWorker: value }), ['function']],
    ['onData', (onData) => builder().launch(handlerClass({ onData })), ['undefined', 'function']],
    ['onStart', (onStart) => builder().launch(handlerClass({ onStart })), ['undefined', 'function']],
  ])
})

test.serial('functions of the package', async (t) => {
  const { works } = await everything(t)
  const { join, join3, select, select3, sleep, trySleep, timeout, tryTimeout, connect, connectWithTimeout } = ringline
  const never = () => new Promise<never>(() => {})
  const now = () => 0
  const nobody = '127.0.0.1:1'
  await refuseAll(t, [
    ['"address"', (value) => connect(value)],
    ['"options"', (value) => connect(nobody, value), OBJECTS],
    ['"options.signal"', (signal) => connect(nobody, { signal }), ['undefined']],
    ['"timeoutMs"', (value) => connectWithTimeout(nobody, value), ['fraction']],
    ['"task"', (value) => ringline.spawn(value), ['function']],
    ['"ms"', (value) => sleep(value), ['fraction']],
    ['"ms"', (value) => trySleep(value), ['fraction']],
    ['"options"', (value) => sleep(1, value), OBJECTS],
    ['"options.signal"', (signal) => sleep(1, { signal }), ['undefined']],
    ['"deadline"', (value) => ringline.sleepUntil(value)],
    ['"deadline"', (value) => ringline.trySleepUntil(value)],
    ['"ms"', (value) => ringline.Deadline.after(value), ['fraction']],
    ['"ms"', (value) => timeout(value, now), ['fraction']],
    ['"task"', (value) => timeout(1, value), ['function']],
    ['"options.signal"', (signal) => timeout(1, now, { signal }), ['undefined']],
    ['"ms"', (value) => tryTimeout(value, now), ['fraction']],
    ['"deadline"', (value) => ringline.timeoutAt(value, now)],
    ['"deadline"', (value) => ringline.tryTimeoutAt(value, now)],
    ['"branch"', (value) => join(value, now), ['function']],
    ['"branch"', (value) => join3(now, now, value), ['function']],
    ['"branch"', (value) => select(never, value), ['function']],
    ['"branch"', (value) => select3(never, never, value), ['function']],
    ['"options"', (value) => join(now, now, value), OBJECTS],
    ['"options.signal"', (signal) => select(now, now, { signal }), ['undefined']],
    ['"bytes"', (value) => ringline.allocGuard(value)],
    ['"bytes"', (value) => ringline.allocAligned(value)],
    ['"alignment"', (value) => ringline.allocAligned(4096, value), ['undefined']],
    ['"bytes"', (value) => ringline.MemoryRegion.allocate(value)],
  ])
  await works()
})

test.serial('connections, and the driver', async (t) => {
  const { conn, driver, udp } = await everything(t)
  const never = () => ringline.ParseResult.NeedMore
  const data = [...TEXTS]
  await refuseAll(t, [
    ['"data"', (value) => conn.sendNowait(value), data],
    ['"data"', (value) => conn.send(value), data],
    ['"data"', (value) => conn.sendParts().copy(value).submit(), data],
    ['"guard"', (value) => conn.sendGuard(value)],
    ['"parts"', (value) => conn.sendParts(value), ['undefined', 'array']],
    ['"', (value) => conn.sendParts([value])],
    ['"parts"', (value) => conn.sendParts().submitBatch(value), ['array']],
    ['"add"', (value) => conn.sendChain(value), ['function']],
    ['"add"', (value) => conn.sendChainNowait(value), ['function']],
    ['"data"', (value) => conn.sendChain((chain) => chain.copy(value)), data],
    ['"guard"', (value) => conn.sendChain((chain) => chain.guard(value))],
    ['"', (value) => conn.sendChainNowait((chain) => chain.link(value))],
    ['"parse"', (value) => conn.withData(value), ['function']],
    ['"parse"', (value) => conn.withBytes(value), ['function']],
    ['"parse"', (value) => conn.tryWithData(value), ['function']],
    ['"options"', (value) => conn.withData(never, value), OBJECTS],
    ['"options.signal"', (signal) => conn.withData(never, { signal }), ['undefined']],
    ['"options.signal"', (signal) => conn.recvReady({ signal }), ['undefined']],
    ['"buffer" must be a', (value) => conn.recvInto(value)],
    ['"to"', (value) => conn.pipe(value)],
    ['"options.signal"', (signal) => conn.pipe(conn, { signal }), ['undefined']],
    ['"options"', (value) => conn.pipe(conn, value), OBJECTS],
    ['"options.signal"', (signal) => conn.recvInto(Buffer.alloc(8), { signal }), ['undefined']],
    ['"address"', (value) => conn.connect(value)],
    ['"token"', (value) => driver.send(value, 'x')],
    ['"data"', (value) => driver.send(conn.token(), value), data],
    ['"token"', (value) => driver.sendParts(value)],
    ['"token"', (value) => driver.sendChain(value, () => {})],
    ['"add"', (value) => driver.sendChain(conn.token(), value), ['function']],
    ['"token"', (value) => driver.close(value)],
    ['"token"', (value) => driver.shutdownWrite(value)],
    ['"token"', (value) => driver.cancel(value)],
    ['"token"', (value) => driver.peerAddr(value)],
    ['"token"', (value) => driver.isOutbound(value)],
    ['"token"', (value) => driver.sendTo(value, '127.0.0.1:9', 'x')],
    ['"address"', (value) => driver.connect(value)],
    ['"address"', (value) => udp.sendTo(value, 'x')],
    ['"data"', (value) => udp.sendTo('127.0.0.1:9', value), data],
    ['"options.signal"', (signal) => udp.recvFrom({ signal }), ['undefined']],
  ])
  conn.cancel()
  t.is(conn.bufferedAmount, 0)
  await conn.send('still open')
})

test.serial('files and devices', async (t) => {
  const { driver, file, works } = await everything(t)
  const memory = ringline.allocAligned(4096)
  const missing = '/nonexistent/file'
  await refuseAll(t, [
    ['"path"', (value) => ringline.openDirectIoFile(value), TEXTS],
    ['"options"', (value) => ringline.openDirectIoFile(missing, value), OBJECTS],
    ['"options.readOnly"', (readOnly) => ringline.openDirectIoFile(missing, { readOnly }), ['undefined', 'true']],
    ['"options.create"', (create) => ringline.openDirectIoFile(missing, { create }), ['undefined', 'true']],
    ['"options.signal"', (signal) => ringline.openDirectIoFile(missing, { signal }), ['undefined']],
    ['"offset"', (value) => file.read(value, memory)],
    ['"offset"', (value) => file.write(value, memory)],
    ['"buffer"', (value) => file.read(0, value)],
    ['"buffer"', (value) => file.write(0, value)],
    ['"options.signal"', (signal) => file.read(0, memory, { signal }), ['undefined']],
    ['"options.signal"', (signal) => file.fsync({ signal }), ['undefined']],
    ['"file"', (value) => ringline.directIoRead(value, 0, memory)],
    ['"file"', (value) => ringline.directIoWrite(value, 0, memory)],
    ['"file"', (value) => ringline.directIoFsync(value)],
    ['"device"', (value) => ringline.nvmeRead(value, 0, 1, memory)],
    ['"device"', (value) => ringline.nvmeWrite(value, 0, 1, memory)],
    ['"device"', (value) => ringline.nvmeFlush(value)],
    ['"path"', (value) => ringline.openNvmeDevice(value, 1), TEXTS],
    ['"namespace"', (value) => ringline.openNvmeDevice('/dev/ng0n1', value)],
    ['"options"', (value) => ringline.openNvmeDevice(missing, 1, value), OBJECTS],
    ['"options.signal"', (signal) => ringline.openNvmeDevice(missing, 1, { signal }), ['undefined']],
    ['"path"', (value) => driver.openDirectIoFile(value), TEXTS],
    ['"options"', (value) => driver.openDirectIoFile(missing, value), OBJECTS],
    ['"file"', (value) => driver.directIoRead(value, 0, memory)],
    ['"file"', (value) => driver.directIoFsync(value)],
    ['"file"', (value) => driver.closeDirectIoFile(value)],
    ['"device"', (value) => driver.nvmeRead(value, 0, 1, memory)],
    ['"device"', (value) => driver.nvmeFlush(value)],
    ['"device"', (value) => driver.closeNvmeDevice(value)],
  ])
  await works()
})

test.serial('methods that are called on something else throw a TypeError', async (t) => {
  const { works } = await everything(t)
  const classes = [ringline.ConnCtx, ringline.Server, ringline.DriverCtx, ringline.UdpCtx, ringline.DirectIoFile]
  const builders = [ringline.RinglineBuilder, ringline.ConfigBuilder, ringline.AsyncSendBuilder, ringline.ChainBuilder]
  for (const { prototype } of [...classes, ...builders]) {
    for (const [name, { value, get }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      // What is wrong with a builder is told when it submits.
      if (name === 'constructor' || name === 'sendParts') continue
      for (const self of [undefined, null]) {
        const error = await outcome(() => ((value ?? get) as () => unknown).call(self))
        t.true(error instanceof TypeError || error instanceof RinglineError, `${name}: ${String(error)}`)
      }
    }
  }
  await works()
})

test.serial('tokens, files and sockets of another worker are refused', async (t) => {
  const one = await everything(t)
  const two = await everything(t)
  const refused = { code: 'ERR_RINGLINE_INVALID_ARGUMENT' }
  t.throws(() => one.driver.send(two.conn.token(), 'x'), { ...refused, message: /"token".*worker 0/ })
  t.throws(() => one.driver.close(two.conn.token()), refused)
  t.throws(() => one.driver.sendTo(two.udp.token(), '127.0.0.1:9', 'x'), refused)
  await one.works()
  await two.works()
})

test.serial('after the end everything is refused with a code, or does nothing', async (t) => {
  const noRuntime = { code: 'ERR_RINGLINE_NO_RUNTIME' }
  await t.throwsAsync(ringline.connect('127.0.0.1:1'), noRuntime)
  await t.throwsAsync(ringline.sleep(1), noRuntime)
  t.throws(() => ringline.spawn(() => {}), noRuntime)
  t.throws(() => ringline.requestShutdown(), noRuntime)

  const { conn, driver, udp, file } = await everything(t)
  conn.requestShutdown()
  await until(() => !conn.isOpen && driver.connections === 0)
  const stopped = { code: 'ERR_RINGLINE_WORKER_STOPPED' }
  const ended = { code: 'ERR_RINGLINE_INVALID_CONNECTION' }
  const memory = ringline.allocAligned(4096)
  const isOver = async () => (await outcome(() => ringline.sleep(0))) !== undefined
  while (!(await isOver())) await new Promise((resolve) => setImmediate(resolve))

  await t.throwsAsync(ringline.sleep(1), noRuntime)
  await t.throwsAsync(conn.connect('127.0.0.1:1'), stopped)
  await t.throwsAsync(driver.connect('127.0.0.1:1'), stopped)
  await t.throwsAsync(file.read(0, memory), stopped)
  await t.throwsAsync(udp.recvFrom(), stopped)
  t.throws(() => udp.sendTo('127.0.0.1:9', 'x'), stopped)
  t.throws(() => driver.directIoRead(file, 0, memory), stopped)
  t.throws(() => conn.sendNowait('x'), ended)
  t.throws(() => driver.send(conn.token(), 'x'), ended)
  t.throws(() => driver.peerAddr(conn.token()), ended)
  await t.throwsAsync(conn.sendGuard(memory), ended)
  await file.close()
  for (const end of ['close', 'shutdownWrite', 'cancel'] as const) {
    t.is(conn[end](), undefined)
    t.is(driver[end](conn.token()), undefined)
  }
  t.is(await conn.withData(() => 0), 0)
})
