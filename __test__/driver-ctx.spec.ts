// The operations of a worker that a handler method has without a connection at hand, one by one, by token; the sends of several parts, chains,
// UDP and files are in the specs of these.

import { once } from 'node:events'
import { createServer, type Server as NetServer } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import {
  type AsyncEventHandler,
  allocGuard,
  type ConnCtx,
  type ConnToken,
  type DriverCtx,
  type NvmeCompletion,
  NvmeOp,
  ParseResult,
  type Server,
  type WorkerMetrics,
} from 'ringline'
import * as words from '../dist/protocol.js'
import { allocAligned, FakePort } from './fake-port.js'
import { accepted, dial, IDLE, readAll, readBytes, serve, testConfig, until } from './serving.js'

type Use<T> = (driver: DriverCtx) => T

/** A server with one connection, and a way to run something inside of `onNotify`. */
async function inNotify(t: ExecutionContext, handler: AsyncEventHandler = {}, config = testConfig()) {
  let use: Use<void> | undefined
  const { conn, socket, server } = await accepted(t, config, { ...handler, onNotify: (driver) => use?.(driver) })
  const run = <T>(wanted: Use<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      use = (driver) => {
        use = undefined
        try {
          resolve(wanted(driver))
        } catch (error) {
          reject(error)
        }
      }
      server.notify()
    })
  return { conn, socket, server, run, token: conn.token() }
}

/** A server of Node's own that greets. */
async function greeter(t: ExecutionContext): Promise<string> {
  const server: NetServer = createServer((socket) => void socket.end('hello')).listen(0, '127.0.0.1')
  t.teardown(() => void server.close())
  await once(server, 'listening')
  return `127.0.0.1:${(server.address() as { port: number }).port}`
}

test.serial('send queues bytes, and onTick may do the same', async (t) => {
  let ticked = false
  let token: ConnToken | undefined
  const { socket, run, conn } = await inNotify(t, {
    onTick(driver) {
      if (token === undefined || ticked) return
      ticked = true
      driver.send(token, 'ticked')
    },
  })
  t.is(await run((driver) => driver.send(conn.token(), 'notified')), 8)
  t.is(String(await readBytes(socket, 8)), 'notified')
  token = conn.token()
  t.is(String(await readBytes(socket, 6)), 'ticked')
})

test.serial('sendParts sends copies and guards', async (t) => {
  const { socket, run, token } = await inNotify(t)
  const guard = allocGuard(5000).fill('g')
  const sent = await run((driver) => [driver.sendParts(token).copy('<').guard(guard).copy('>').submit()] as const)
  t.is(String(await readBytes(socket, 5002)), `<${'g'.repeat(5000)}>`)
  t.is(await sent[0], 5002)
  await sent[0].released
})

test.serial('shutdownWrite sends the FIN, and receiving goes on', async (t) => {
  const chunks: string[] = []
  const { socket, run, token } = await inNotify(t, { onData: (_conn, chunk) => void chunks.push(String(chunk)) })
  await run((driver) => driver.shutdownWrite(token))
  t.is((await readAll(socket)).length, 0)
  socket.write('still heard')
  await until(() => chunks.join('') === 'still heard')
})

test.serial('close ends the connection after what was sent', async (t) => {
  const { conn, socket, run, token } = await inNotify(t)
  await run((driver) => {
    driver.send(token, 'bye')
    driver.close(token)
    driver.close(token)
  })
  t.is(String(await readAll(socket)), 'bye')
  socket.destroy()
  t.false(conn.isOpen)
})

test.serial('cancel ends a pending receive, and no byte is lost', async (t) => {
  const { conn, socket, run, token } = await inNotify(t)
  const pending = conn.withData((data) => ParseResult.Consumed(data.length))
  const canceled = t.throwsAsync(pending, { code: 'ERR_RINGLINE_CANCELED' })
  await run((driver) => driver.cancel(token))
  await canceled
  socket.write('later')
  t.is(await conn.withData((data) => ParseResult.Consumed(data.length)), 5)
})

test.serial('peerAddr and isOutbound know both kinds of connections', async (t) => {
  const { socket, run, token } = await inNotify(t)
  const address = await greeter(t)
  t.deepEqual(await run((driver) => [driver.peerAddr(token), driver.isOutbound(token)]), [
    { address: '127.0.0.1', port: socket.localPort!, family: 'IPv4' },
    false,
  ])
  const outbound = await run((driver) => driver.connect(address))
  const told = await run((driver) => [driver.peerAddr(outbound.token()).port, driver.isOutbound(outbound.token())])
  t.deepEqual(told, [Number(address.split(':')[1]), true])
  outbound.close()
})

test.serial('connect and connectWithTimeout make connections of this worker', async (t) => {
  const { run } = await inNotify(t)
  const address = await greeter(t)
  for (const attempt of [
    (driver: DriverCtx) => driver.connect(address),
    (driver: DriverCtx) => driver.connectWithTimeout(address, 10_000),
  ]) {
    const conn: ConnCtx = await run(attempt)
    const greeting: Buffer[] = []
    for await (const chunk of conn) greeting.push(chunk)
    t.is(String(Buffer.concat(greeting)), 'hello')
    conn.close()
  }
  const refused = '127.0.0.1:1'
  await t.throwsAsync(
    run((driver) => driver.connect(refused)),
    { code: 'ECONNREFUSED' },
  )
  await t.throwsAsync(
    run((driver) => driver.connectWithTimeout(refused, 10_000)),
    { code: 'ECONNREFUSED' },
  )
})

test.serial('usage counts what is in use, and goes back to where it was', async (t) => {
  const { conn, socket, run, token } = await inNotify(t)
  socket.pause()
  const before = await run((driver) => driver.usage())
  t.like(before, { ...IDLE, connections: 1 })
  const guard = allocGuard(32 * 1024 * 1024)
  const sent = await run((driver) => {
    driver.send(token, 'x')
    return [conn.sendGuard(guard), driver.usage()] as const
  })
  t.is(sent[1].guards, 1)
  t.true(sent[1].sendSlots >= 1)
  socket.resume()
  await sent[0]
  await sent[0].released
  await until(() => conn.bufferedAmount === 0)
  t.deepEqual(await run((driver) => driver.usage()), before)
})

test.serial('metrics count enters, completions, doorbells and calls of JavaScript per request', async (t) => {
  const REQUESTS = 100
  const { conn, socket, run } = await inNotify(t)
  const before = await run((driver) => driver.metrics())
  for (let request = 0; request < REQUESTS; request += 1) {
    const answer = readBytes(socket, 7)
    conn.sendNowait('request')
    await answer
  }
  socket.write('that is all')
  await until(() => conn.bufferedAmount === 0)
  // What a worker has done is seen when it has looked for something to tell, as it does when it is notified.
  const done = (from: WorkerMetrics, to: WorkerMetrics, name: keyof WorkerMetrics): number => to[name] - from[name]
  const after = await run((driver) => driver.metrics())
  t.is(done(before, after, 'sends'), REQUESTS)
  t.is(done(before, after, 'bytesSent'), 7 * REQUESTS)
  t.is(done(before, after, 'bytesReceived'), 11)
  for (const name of ['enters', 'completions', 'doorbells', 'batches'] as const)
    t.true(
      done(before, after, name) > 0 && done(before, after, name) <= 3 * REQUESTS,
      `${name} ${done(before, after, name)}`,
    )
  t.true(Object.values(after).every(Number.isSafeInteger), JSON.stringify(after))
  const later = await run((driver) => driver.metrics())
  t.true(
    Object.entries(after).every(([name, count]) => later[name as keyof WorkerMetrics] >= count),
    'no count goes back',
  )
})

test.serial('requestShutdown ends the server', async (t) => {
  const { socket, server, run } = await inNotify(t)
  const end = readAll(socket)
  await run((driver) => driver.requestShutdown())
  await server.closed
  t.is((await end).length, 0)
})

test.serial('a stale token is refused by everything, and touches nobody', async (t) => {
  const conns: ConnCtx[] = []
  const drivers: DriverCtx[] = []
  let use: Use<void> | undefined
  const handler: AsyncEventHandler = {
    onStart: (driver) => void drivers.push(driver),
    onAccept: (conn) => void conns.push(conn),
    onData: () => {},
    onNotify: (driver) => use?.(driver),
  }
  const server: Server<true> = await serve(t, handler, testConfig().maxConnections(1))
  const first = await dial(t, server)
  await until(() => conns.length === 1)
  first.destroy()
  await until(() => drivers[0]!.usage().connections === 0)
  const second = await dial(t, server)
  await until(() => conns.length === 2)
  const stale = conns[0]!.token()
  t.is(conns[0]!.index(), conns.at(-1)!.index(), 'the slot was used again')
  const outcomes: string[] = []
  use = (driver) => {
    const calls: (() => unknown)[] = [
      () => driver.send(stale, 'never'),
      () => driver.sendChain(stale, (chain) => chain.copy('never').copy('sent')),
      () => driver.peerAddr(stale),
      () => driver.isOutbound(stale),
    ]
    for (const call of calls) {
      const error = t.throws(call) as NodeJS.ErrnoException
      outcomes.push(error.code ?? '')
    }
    for (const call of ['shutdownWrite', 'close', 'cancel'] as const) driver[call](stale)
    driver
      .sendParts(stale)
      .copy('never')
      .submit()
      .catch((error: NodeJS.ErrnoException) => outcomes.push(error.code ?? ''))
    driver.send(conns.at(-1)!.token(), 'alive')
  }
  server.notify()
  t.is(String(await readBytes(second, 5)), 'alive')
  await until(() => outcomes.length === 5)
  t.deepEqual(new Set(outcomes), new Set(['ERR_RINGLINE_INVALID_CONNECTION']))
  for (const token of [undefined, {}, 7]) {
    use = (driver) => {
      const error = t.throws(() => driver.send(token as never, 'x')) as NodeJS.ErrnoException
      outcomes.push(error.code ?? '')
    }
    const before = outcomes.length
    server.notify()
    await until(() => outcomes.length > before)
    t.is(outcomes.at(-1), 'ERR_RINGLINE_INVALID_ARGUMENT')
  }
})

test('NVMe commands of a handler method come back under their numbers', async (t) => {
  const told: NvmeCompletion[] = []
  const handler = { onNvme: (_driver: unknown, completion: NvmeCompletion) => void told.push(completion) }
  const nvme = { maxDevices: 1, maxCommandsInFlight: 4 }
  const port = new FakePort(handler as never, { storage: { sendSlabSlots: 1, directIo: undefined, nvme } })
  const driver = port.dispatcher.driver as unknown as DriverCtx
  const opened = driver.openNvmeDevice('/dev/ng0n1', 1)
  port.post(words.DEVICE_OPENED, 3, 9, 1, 512, 0, 1000, 0)
  await port.settle()
  const { device } = told[0]!
  t.like(told[0], { op: NvmeOp.Open, seq: opened, result: 0, error: undefined })
  t.like(device, { blockSize: 512, blocks: 1000 })

  const buffer = allocAligned(1024)
  const seqs = [
    driver.nvmeWrite(device!, 7, 2, buffer),
    driver.nvmeRead(device!, 7, 2, buffer),
    driver.nvmeFlush(device!),
  ]
  await port.settle()
  const commands = port.take()
  t.deepEqual(
    commands.map(({ kind, slot, generation, values: [, , blocks, low] }) => [
      kind,
      slot & 0xffff,
      generation,
      blocks,
      low,
    ]),
    [
      [words.DEVICE_WRITE, 3, 9, 2, 7],
      [words.DEVICE_READ, 3, 9, 2, 7],
      [words.DEVICE_FLUSH, 3, 9, 0, 0],
    ],
  )
  // They end in another order than they were begun in.
  for (const { slot, kind } of commands.toReversed()) {
    port.post(words.COMMAND_DONE, 3, 9, slot >>> 16, kind === words.DEVICE_FLUSH ? 0 : 1024)
  }
  await port.settle()
  t.deepEqual(
    told.slice(1).map(({ op, seq, result, buffer: moved }) => [op, seq, result, moved === buffer]),
    [
      [NvmeOp.Flush, seqs[2], 0, false],
      [NvmeOp.Read, seqs[1], 1024, true],
      [NvmeOp.Write, seqs[0], 1024, true],
    ],
  )
  driver.closeNvmeDevice(device!)
  await port.settle()
  t.like(port.take(), [{ kind: words.DEVICE_CLOSE, slot: 3, generation: 9 }])
})
