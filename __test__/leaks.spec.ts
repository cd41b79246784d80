// Promises that are aborted or forgotten at any moment: whatever was in use is free again, and no received byte is lost.

import { getEventListeners, setMaxListeners } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import * as ringline from 'ringline'
import {
  allocAligned,
  allocGuard,
  type ConnCtx,
  connect,
  connectWithTimeout,
  Deadline,
  type DirectIoFile,
  type DriverCtx,
  openDirectIoFile,
  openNvmeDevice,
  ParseResult,
  RinglineBuilder,
  select,
  sleep,
  spawn,
  type UdpCtx,
} from 'ringline'
import { handlerClass, holdings, IDLE, testConfig, until } from './serving.js'

const BLOCK = 4096
const ROUNDS = 60

interface Things {
  conn: ConnCtx
  udp: UdpCtx
  file: DirectIoFile
  path: string
  server: string
  round: number
}

/** A promise of each kind that this call of the package answers; the signal is aborted at any moment. */
function attempts(things: Things, signal: AbortSignal): Promise<unknown>[] {
  const { conn, udp, file, path, server, round } = things
  const options = { signal }
  const guard = allocGuard(5000).fill(round)
  const block = allocAligned(BLOCK)
  const shortMs = (round % 7) / 10
  const needMore = (): ParseResult => ParseResult.NeedMore
  const close = (made: { close(): unknown }): void => void made.close()
  const task = spawn(async (given) => await sleep(1000, { signal: given }))
  signal.addEventListener('abort', () => task.cancel())
  return [
    conn.send('sent'),
    conn.sendGuard(guard),
    conn.sendParts().copy('parts').guard(guard).submit(),
    conn.sendChain((chain) => chain.copy('chain').guard(guard)),
    connect(server, options).then(close),
    connectWithTimeout(server, 1000, options).then(close),
    conn.connect(server, options).then(close),
    conn.connectWithTimeout(server, 0.01, options).then(close),
    // Only one of these waits, the others are refused; which one changes with the round.
    ...rotated(round, [
      () => conn.withData(needMore, options),
      () => conn.withBytes(needMore, options),
      () => conn.recvReady(options),
      () => conn.recvInto(Buffer.alloc(1 << 20), options),
      () => conn[Symbol.asyncIterator]().return!(),
    ]),
    piped(server, options),
    udp.recvFrom(options),
    sleep(shortMs, options),
    ringline.sleepUntil(Deadline.after(shortMs), options),
    ringline.trySleep(shortMs, options),
    ringline.trySleepUntil(Deadline.after(shortMs), options),
    ringline.timeout(shortMs, (given) => connect(server, { signal: given }).then(close), options),
    ringline.timeoutAt(Deadline.after(shortMs), (given) => sleep(100, { signal: given }), options),
    ringline.tryTimeout(shortMs, (given) => sleep(0, { signal: given }), options),
    ringline.join(
      (given) => sleep(shortMs, { signal: given }),
      (given) => connect(server, { signal: given }).then(close),
      options,
    ),
    ringline.select3(
      (given) => connect(server, { signal: given }).then(close),
      (given) => sleep(shortMs, { signal: given }),
      (given) => connectWithTimeout(server, 1, { signal: given }).then(close),
      options,
    ),
    file.read(0, block, options),
    file.write(0, block, options),
    file.fsync(options),
    openDirectIoFile(path, { ...options, create: true }).then(close),
    openNvmeDevice('/dev/null', 1, options),
  ]
}

/** Pipes one connection into another until it is given up. */
async function piped(server: string, options: { signal: AbortSignal }): Promise<void> {
  const ends: ConnCtx[] = []
  try {
    for (let end = 0; end < 2; end += 1) ends.push(await connect(server, options))
    await ends[0]!.pipe(ends[1]!, options)
  } finally {
    for (const end of ends) end.close()
  }
}

function rotated(by: number, calls: (() => Promise<unknown>)[]): Promise<unknown>[] {
  const first = by % calls.length
  return [...calls.slice(first), ...calls.slice(0, first)].map((call) => call())
}

/** Aborts at once, or after some turns; in every fourth round never. */
async function abortLater(controller: AbortController, round: number): Promise<void> {
  for (let turns = round % 4; turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve))
  if (round % 4 < 3) controller.abort(new Error('given up'))
}

/** A runtime that echoes, with a UDP socket and files, and what its worker has in use. */
async function runtime(t: ExecutionContext) {
  const drivers: DriverCtx[] = []
  const udps: UdpCtx[] = []
  const config = testConfig()
    .directIo({ maxFiles: 8, maxCommandsInFlight: 64 })
    .nvme()
    .timerSlots(4096)
    .sendZcThreshold(0)
  const server = await new RinglineBuilder(config.build())
    .bind('127.0.0.1:0')
    .bindUdp('127.0.0.1:0')
    .launch(
      handlerClass({
        onStart: (driver) => void drivers.push(driver),
        onUdpBind: (udp) => void udps.push(udp),
        async onAccept(conn) {
          for await (const chunk of conn) await conn.send(chunk)
        },
      }),
    )
  t.teardown(() => server.shutdown())
  return { driver: drivers[0]!, udp: udps[0]!, address: `127.0.0.1:${server.boundAddr.port}` }
}

/** Reads exactly so many bytes. */
async function receive(t: ExecutionContext, conn: ConnCtx, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  t.is(await conn.recvInto(bytes), length)
  return bytes
}

test.serial('b15 promises that are aborted or forgotten at any moment leave nothing behind', async (t) => {
  const directory = mkdtempSync(fileURLToPath(new URL('./leaks-', import.meta.url)))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'file')
  const { driver, udp, address } = await runtime(t)
  const [conn, file] = [await connect(address), await openDirectIoFile(path, { create: true })]
  await file.write(0, allocAligned(BLOCK))
  await until(() => driver.usage().connections === 2)
  const before = driver.usage()
  t.like(before, { ...IDLE, connections: 2 })
  const held = holdings()
  for (let round = 0; round < ROUNDS; round += 1) {
    const controller = new AbortController()
    setMaxListeners(0, controller.signal)
    const settled = Promise.allSettled(attempts({ conn, udp, file, path, server: address, round }, controller.signal))
    await abortLater(controller, round)
    if (round % 4 === 3) controller.abort()
    await settled
    // Everything that was sent comes back, in order, whoever waited for it.
    const guard = Buffer.alloc(5000, round)
    const expected = ['sent', guard, 'parts', guard, 'chain', guard].map((part) => Buffer.from(part as string))
    t.true((await receive(t, conn, 15_014)).equals(Buffer.concat(expected)), `round ${round}`)
  }
  await until(() => JSON.stringify(driver.usage()) === JSON.stringify(before))
  await until(() => holdings().descriptors <= held.descriptors)
  // Every file slot but the one of the open file is free.
  const files = await Promise.all(Array.from({ length: 7 }, () => openDirectIoFile(path)))
  await Promise.all([...files, file].map((open) => open.close()))
  t.is(driver.usage().diskOperations, 0)
})

test.serial('e7 a connect that stands a moment too late is closed and not leaked', async (t) => {
  const { driver, address } = await runtime(t)
  let lost = 0
  for (let round = 0; round < 400; round += 1) {
    // About as long as a connect takes, so that both are often ready in one turn.
    const ms = (round % 40) / 100
    const outcome = await select(
      (signal) => sleep(ms, { signal }),
      (signal) => connect(address, { signal }),
    )
    if (outcome.kind === 'right') outcome.value.close()
    else lost += 1
    await ringline
      .timeout(ms, (signal) => connect(address, { signal }))
      .then(
        (conn) => conn.close(),
        () => {
          lost += 1
        },
      )
    await t.throwsAsync(
      ringline.join(
        (signal) => connect(address, { signal }),
        async (signal) => {
          await sleep(ms, { signal })
          throw new Error('the other branch has failed')
        },
      ),
    )
  }
  t.true(lost > 0)
  await until(() => driver.usage().connections === 0 && driver.usage().connects === 0)
  t.is(driver.usage().timers, 0)
})

test.serial('a signal that outlives what it was given to is left alone', async (t) => {
  const directory = mkdtempSync(fileURLToPath(new URL('./leaks-', import.meta.url)))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'file')
  const { udp, address } = await runtime(t)
  const conn = await connect(address)
  const { signal } = new AbortController()
  const options = { signal }
  const echoed = async (): Promise<void> => void (await conn.send('echoed'))
  const all = (data: Buffer): ParseResult => data.length
  const open = () => openDirectIoFile(path, { ...options, create: true })
  const calls: Record<string, () => Promise<unknown>> = {
    sleep: () => sleep(0.1, options),
    sleepUntil: () => ringline.sleepUntil(Deadline.after(0.1), options),
    trySleep: () => ringline.trySleep(0.1, options),
    timeout: () => ringline.timeout(100, async () => {}, options),
    'a timeout that is up': () => ringline.timeout(0.1, (given) => sleep(100, { signal: given }), options),
    tryTimeoutAt: () => ringline.tryTimeoutAt(Deadline.after(100), async () => {}, options),
    connect: async () => (await connect(address, options)).close(),
    'a connect that is refused': () => connectWithTimeout('127.0.0.1:1', 100, options),
    withData: () => echoed().then(() => conn.withData(all, options)),
    recvReady: () => echoed().then(() => conn.recvReady(options)),
    recvInto: () => Promise.all([conn.recvInto(Buffer.alloc(12), options), echoed()]),
    'a receive that is canceled': () => Promise.all([conn.withBytes(all, options), conn.cancel()]),
    recvFrom: () => Promise.all([udp.recvFrom(options), udp.sendTo(udp.localAddr(), 'to itself')]),
    pipe: () => Promise.all([conn.pipe(conn, options), conn.cancel()]),
    join: () =>
      ringline.join(
        async () => {},
        (given) => sleep(0.1, { signal: given }),
        options,
      ),
    select: () =>
      select(
        (given) => sleep(0.1, { signal: given }),
        (given) => sleep(100, { signal: given }),
        options,
      ),
    'a select of which a branch fails': () =>
      select(
        () => Promise.reject(new Error('lost')),
        () => sleep(0.1),
        options,
      ),
    'reads, writes and fsyncs': async () => {
      const file = await open()
      await file.write(0, allocAligned(BLOCK), options)
      await file.read(0, allocAligned(BLOCK), options)
      await file.fsync(options)
      await file.close()
    },
    'a file that is not there': () => openDirectIoFile(join(directory, 'no', 'such'), options),
    'a device that is none': () => openNvmeDevice('/dev/null', 1, options),
  }
  for (const [name, call] of Object.entries(calls)) {
    await call().catch(() => {})
    t.is(getEventListeners(signal, 'abort').length, 0, name)
  }
})
