// What is peculiar to inline delivery: one thread has to serve its rings and everything else that its event loop has, and neither may
// starve the other. That servers behave as they do with ring threads is shown by running their specs once more; see delivery.ts.

import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, connect as dialNet, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { type AsyncEventHandler, ConfigBuilder, connect, RinglineBuilder, type Server, sleep } from 'ringline'
import { requireLibuv } from '../dist/attach.js'
import { dial, handlerClass, holdings, readBytes, serve, start, until, untilReleased } from './serving.js'

const echo: AsyncEventHandler = { onData: (conn, chunk) => void conn.sendNowait(chunk) }
const inline = (): ConfigBuilder => new ConfigBuilder().workers(1).pinToCore(false).delivery('inline')
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Keeps connections busy: each gets its bytes back and sends them again, for ever. Answers how often that has happened. */
async function load(t: ExecutionContext, server: Server<true>, connections = 16): Promise<() => number> {
  let rounds = 0
  for (let count = 0; count < connections; count += 1) {
    const socket = await dial(t, server)
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      rounds += 1
      socket.write(chunk)
    })
    socket.write('round and round')
  }
  return () => rounds
}

/** An echo server of Node's own. */
async function netEcho(t: ExecutionContext): Promise<Socket> {
  const server = createServer((socket) => void socket.on('error', () => {}).pipe(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close())
  const { port } = server.address() as { port: number }
  const socket = dialNet(port, '127.0.0.1')
  t.teardown(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

/** Starts a thread beside this one that keeps a server busy until the test ends; answers the port at which it listens itself. */
async function busyNeighbour(t: ExecutionContext, { boundAddr }: Server<true>): Promise<number> {
  const module = new URL('./fixtures/busy-neighbour.js', import.meta.url)
  const thread = new Worker(module, { workerData: boundAddr.port })
  t.teardown(() => thread.terminate())
  const [port] = (await once(thread, 'message')) as [number]
  return port
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number

test('a host without libuv is refused with a code, before anything is called that it lacks', (t) => {
  t.throws(() => requireLibuv({ bun: '1.4.5' }), { code: 'ERR_RINGLINE_INLINE_UNAVAILABLE', message: /Bun 1\.4\.5/ })
  t.notThrows(() => requireLibuv(process.versions))
})

test.serial('a server has no thread of its own, and leaves nothing behind', async (t) => {
  await (await new RinglineBuilder(inline().build()).launch(handlerClass(echo))).shutdown()
  const before = holdings()
  const server = await serve(t, echo, inline())
  t.is(holdings().threads, before.threads)
  const socket = await dial(t, server)
  socket.write('ping')
  t.is(String(await readBytes(socket, 4)), 'ping')
  socket.destroy()
  await server.shutdown()
  await untilReleased(before)
})

test.serial('timers, immediates, files and sockets of Node go on under full load', async (t) => {
  const server = await serve(t, echo, inline())
  const rounds = await load(t, server)
  const other = await netEcho(t)
  const counts = { timers: 0, immediates: 0, files: 0, sockets: 0 }
  let running = true
  const tick = setInterval(() => {
    counts.timers += 1
  }, 1)
  const again = (): void => {
    counts.immediates += 1
    if (running) setImmediate(again)
  }
  again()
  const reading = (async () => {
    for (; running; counts.files += 1) await readFile(fileURLToPath(import.meta.url))
  })()
  other.on('data', (chunk: Buffer) => {
    counts.sockets += 1
    if (running) other.write(chunk)
  })
  other.write('between')
  await until(() => rounds() > 5000 && Math.min(...Object.values(counts)) > 50)
  running = false
  clearInterval(tick)
  await reading
  t.pass()
})

test.serial('a ring that never runs dry leaves timers, files and sockets of Node their turn', async (t) => {
  let rounds = 0
  const again: AsyncEventHandler = {
    onData(conn, chunk) {
      rounds += 1
      conn.sendNowait(chunk)
    },
  }
  const { boundAddr } = await serve(t, again, inline())
  const other = await netEcho(t)
  const counts = { timers: 0, files: 0, sockets: 0 }
  const tick = setInterval(() => {
    counts.timers += 1
  }, 1)
  t.teardown(() => clearInterval(tick))
  other.on('data', (chunk: Buffer) => {
    counts.sockets += 1
    other.write(chunk)
  })
  other.write('between')
  // Both ends of these connections are this worker's: each batch that it is told of makes the next one.
  for (let count = 0; count < 128; count += 1) (await connect(boundAddr)).sendNowait('round and round')
  while (rounds < 50_000 || Math.min(...Object.values(counts)) < 20) {
    await readFile(fileURLToPath(import.meta.url))
    counts.files += 1
  }
  t.pass()
})

test.serial('a server goes on beside a busy loop of immediates and sockets', async (t) => {
  const server = await serve(t, echo, inline())
  const others = await Promise.all([1, 2, 3, 4].map(() => netEcho(t)))
  let running = true
  for (const other of others) {
    other.on('data', (chunk: Buffer) => void (running && other.write(chunk)))
    other.write('x'.repeat(10_000))
  }
  const spin = (): void => {
    for (const end = performance.now() + 1; performance.now() < end; ) {}
    if (running) setImmediate(spin)
  }
  spin()
  const socket = await dial(t, server)
  for (let round = 0; round < 100; round += 1) {
    socket.write('still there')
    t.is(String(await readBytes(socket, 11)), 'still there')
  }
  running = false
})

test.serial('a timeout that a handler sets is never early, however long the thread has waited for bytes', async (t) => {
  const waits: number[] = []
  const server = await serve(
    t,
    {
      onData(conn, chunk) {
        const started = performance.now()
        setTimeout(() => {
          waits.push(performance.now() - started)
          conn.sendNowait(chunk)
        }, 20)
      },
    },
    inline(),
  )
  const socket = await dial(t, server)
  for (let round = 0; round < 20; round += 1) {
    socket.write('x')
    await readBytes(socket, 1)
    await sleep(round / 10)
  }
  // Node counts whole milliseconds.
  t.true(Math.min(...waits) >= 19, String(waits))
})

test.serial('what a timer of Node sends goes out at once, and an unreferenced immediate runs', async (t) => {
  let immediates = 0
  const server = await serve(
    t,
    {
      onData(conn, chunk) {
        setTimeout(() => conn.sendNowait(chunk), 1)
        setImmediate(() => {
          immediates += 1
        }).unref()
      },
    },
    inline(),
  )
  const socket = await dial(t, server)
  for (let round = 1; round <= 50; round += 1) {
    socket.write('late')
    await readBytes(socket, 4)
    await until(() => immediates === round)
  }
  t.pass()
})

test.serial('a socket of Node that a handler opens is watched at once, however busy the ring', async (t) => {
  let port = 0
  const waits: number[] = []
  let connected = (): void => {}
  const server = await serve(
    t,
    {
      onData(conn, chunk) {
        conn.sendNowait(chunk)
        if (port === 0) return
        const started = performance.now()
        const socket = dialNet(port, '127.0.0.1', () => {
          waits.push(performance.now() - started)
          socket.destroy()
          connected()
        })
        port = 0
      },
    },
    inline(),
  )
  const listens = await busyNeighbour(t, server)
  for (let round = 0; round < 30; round += 1) {
    await pause(20)
    await new Promise<void>((resolve) => {
      connected = resolve
      port = listens
    })
  }
  // A loop that hears of it only when the alarm goes off takes 16 ms: so it does where one asks only once per visit what libuv has to do.
  t.true(median(waits) < 4, String(waits))
})

test.serial('a timeout that ends a silence is on time, however long the traffic before it', async (t) => {
  let silence: (() => void) | undefined
  const waits: number[] = []
  const handler: AsyncEventHandler = {
    onData(conn, chunk) {
      if (silence === undefined) return void conn.sendNowait(chunk)
      const over = silence
      silence = undefined
      const started = performance.now()
      setTimeout(() => {
        waits.push(performance.now() - started)
        conn.sendNowait(chunk)
        over()
      }, 1)
    },
  }
  const server = await serve(t, handler, inline())
  await busyNeighbour(t, server)
  for (let round = 0; round < 15; round += 1) {
    await pause(60)
    await new Promise<void>((resolve) => {
      silence = resolve
    })
  }
  // A thread that forgets the timers of Node while it waits in its ring comes back after 4 to 16 ms.
  t.true(median(waits) < 3, String(waits))
})

test.serial('next ticks and microtasks of a batch run before the loop goes on', async (t) => {
  const order: string[] = []
  const server = await serve(
    t,
    {
      onData(conn, chunk) {
        process.nextTick(() => order.push('tick'))
        queueMicrotask(() => order.push('microtask'))
        setImmediate(() => conn.sendNowait(chunk))
        setImmediate(() => order.push('immediate'))
        order.push('data')
      },
    },
    inline(),
  )
  const socket = await dial(t, server)
  socket.write('x')
  await readBytes(socket, 1)
  await until(() => order.length === 4)
  t.deepEqual(order, ['data', 'tick', 'microtask', 'immediate'])
})

test.serial('several workers and several servers share the thread, and each is heard after a pause', async (t) => {
  const servers: Server<true>[] = []
  const handler: AsyncEventHandler = {
    async onData(conn, chunk) {
      // Also from inside a handler, with the workers of this thread in the middle of their work.
      if (servers.length < 3) servers.push(await serve(t, handler, inline()))
      conn.sendNowait(chunk)
    },
  }
  servers.push(await serve(t, handler, inline().workers(3)))
  for (let round = 0; round < 12; round += 1) {
    for (const server of [...servers]) {
      const socket = await dial(t, server)
      socket.write('whose turn')
      t.is(String(await readBytes(socket, 10)), 'whose turn')
      socket.destroy()
    }
    await pause(round)
  }
  t.is(servers.length, 3)
  await servers[0]?.shutdown()
  await servers[1]?.shutdown()
  // The last one is alone again.
  const socket = await dial(t, servers[2] as Server<true>)
  for (let round = 0; round < 100; round += 1) {
    socket.write('alone')
    t.is(String(await readBytes(socket, 5)), 'alone')
  }
})

test.serial(
  'what a timer of one server sends through another goes out, whichever of them the loop turns first',
  async (t) => {
    const program = start(t, 'relays')
    const [line] = (await once(program.stdout!, 'data')) as [Buffer]
    const sockets: Socket[] = []
    for (const port of String(line).trim().split(' ')) {
      const socket = dialNet(Number(port), '127.0.0.1')
      t.teardown(() => void socket.destroy())
      await once(socket, 'connect')
      sockets.push(socket)
    }
    const [first, second] = sockets as [Socket, Socket]
    for (let round = 0; round < 10; round += 1) {
      first.write('to the second')
      t.is(String(await readBytes(second, 6)), 'across')
      second.write('to the first')
      t.is(String(await readBytes(first, 6)), 'across')
    }
  },
)

test.serial('a thread without work is woken by other threads', async (t) => {
  const module = new URL('./fixtures/echo-handler.js', import.meta.url)
  const server = await new RinglineBuilder(inline().workers(2).build()).bind('127.0.0.1:0').launch(module)
  t.teardown(() => server.shutdown())
  for (let round = 0; round < 10; round += 1) {
    await pause(30)
    const started = performance.now()
    const socket = await dial(t, server)
    // Every second connection is handed on to the thread that does not listen.
    socket.write('echo')
    await readBytes(socket, 4)
    socket.destroy()
    t.true(performance.now() - started < 1000)
  }
  await pause(30)
  const started = performance.now()
  await server.shutdown()
  t.true(performance.now() - started < 1500)
})

test.serial('an idle server leaves the thread idle, and says so', async (t) => {
  const server = await serve(t, echo, inline())
  const socket = await dial(t, server)
  socket.write('once')
  await readBytes(socket, 4)
  await pause(50)
  const [cpu, loop] = [process.cpuUsage(), performance.eventLoopUtilization()]
  await pause(500)
  const { user, system } = process.cpuUsage(cpu)
  const { utilization } = performance.eventLoopUtilization(loop)
  t.true(user + system < 50_000, `${user + system} µs`)
  t.true(utilization < 0.1, String(utilization))
})

test.serial('timers of the ring are as exact while the thread waits elsewhere', async (t) => {
  await serve(t, echo, inline())
  const late: number[] = []
  for (let round = 0; round < 50; round += 1) {
    await pause(3)
    const started = performance.now()
    await sleep(2.3)
    late.push(performance.now() - started - 2.3)
  }
  late.sort((a, b) => a - b)
  t.true((late[0] as number) >= 0, String(late[0]))
  t.true((late[25] as number) < 0.7, String(late[25]))
})

test.serial('j3 a handler that blocks its own ring for a second loses nothing', async (t) => {
  let blocked = false
  const server = await serve(
    t,
    {
      onData(conn, chunk) {
        if (!blocked) for (const end = performance.now() + 1000; performance.now() < end; ) {}
        blocked = true
        conn.sendNowait(chunk)
      },
    },
    inline(),
  )
  const socket = await dial(t, server)
  const sent = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251))
  socket.write(sent)
  t.deepEqual(await readBytes(socket, sent.length), sent)
})
