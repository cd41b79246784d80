// launch(new URL(…)): one thread per worker, failures at the start, threads that die later.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { type LaunchOptions, RinglineBuilder, type Server } from 'ringline'
import { dial, holdings, readBytes, testConfig, until, untilReleased } from './serving.js'

const fixture = (name: string) => new URL(`./fixtures/${name}.js`, import.meta.url)
const launch = (name: string, workers = 2, options?: LaunchOptions): Promise<Server<true>> =>
  new RinglineBuilder(testConfig().workers(workers).build()).bind('127.0.0.1:0').launch(fixture(name), options)

/** A connection to a worker of the echo server, however many it takes to get one. */
async function dialWorker(t: ExecutionContext, server: Server<true>, worker: number): Promise<Socket> {
  for (let count = 1; ; count += 1) {
    // More at a time with each try: other clients may take turns with this one in just the wrong rhythm.
    const sockets = await Promise.all(Array.from({ length: count }, () => dial(t, server)))
    const lines = sockets.map((socket) => {
      socket.on('error', () => {})
      socket.write('who')
      return readBytes(socket, 'worker 0 thread 1\n'.length)
    })
    const found = (await Promise.all(lines)).findIndex((line) => String(line).startsWith(`worker ${worker} `))
    for (const socket of sockets.filter((_, index) => index !== found)) socket.destroy()
    if (found >= 0) return sockets[found]!
  }
}

test.serial('each worker has a thread of its own with its own handler', async (t) => {
  await using server = await launch('echo-handler')
  const seen = new Set<string>()
  for (let count = 0; count < 4; count += 1) {
    const socket = await dial(t, server)
    socket.write('who')
    seen.add(String(await readBytes(socket, 'worker 0 thread 1\n'.length)).trim())
    socket.write('echo')
    t.is(String(await readBytes(socket, 4)), 'echo')
    socket.destroy()
  }
  t.is(seen.size, 2)
  t.deepEqual([...seen].map((line) => line.slice(0, 8)).sort(), ['worker 0', 'worker 1'])
})

test.serial('notify() reaches the handlers of every thread', async (t) => {
  await using server = await launch('echo-handler')
  const sockets = [await dial(t, server), await dial(t, server)]
  for (const socket of sockets) {
    socket.write('echo')
    await readBytes(socket, 4)
  }
  server.notify()
  const lines = await Promise.all(sockets.map((socket) => readBytes(socket, 'notified 0\n'.length)))
  t.deepEqual(lines.map(String).sort(), ['notified 0\n', 'notified 1\n'])
})

test.serial('requestShutdown in one thread ends all of them', async (t) => {
  const before = holdings()
  const server = await launch('echo-handler')
  const socket = await dial(t, server)
  socket.write('shutdown')
  await server.closed
  socket.destroy()
  await untilReleased(before)
  t.pass()
})

test.serial('what a module says to its parent is nothing to its worker', async (t) => {
  const before = holdings()
  const server = await launch('chatting-module')
  for (let count = 0; count < 2; count += 1) {
    const socket = await dial(t, server)
    socket.write('echo')
    t.is(String(await readBytes(socket, 4)), 'echo')
    socket.destroy()
  }
  await server.shutdown()
  await untilReleased(before)
})

test.serial('a handler that cannot be made fails the launch, and nothing is left', async (t) => {
  const before = holdings()
  const unlucky = { code: 'EBADLUCK', message: 'the second worker has no luck' }
  const error = await t.throwsAsync(launch('failing-handler'), unlucky)
  t.regex((error.cause as Error).stack ?? '', /createForWorker.*failing-handler/)
  await t.throwsAsync(launch('no-handler'), {
    code: 'ERR_RINGLINE_INVALID_ARGUMENT',
    message: /default export of .*no-handler/,
  })
  await t.throwsAsync(launch('not-there'), { message: /Cannot find module/ })
  await t.throwsAsync(launch('hanging-module'), { code: 'ERR_RINGLINE_WORKER_STOPPED', message: /ended early/ })
  await t.throwsAsync(launch('throwing-module'), { code: 'EBADLUCK', message: 'no second module' })
  await untilReleased(before)
})

for (const [command, message] of [
  ['exit', /thread of worker \d has ended early/],
  ['throw', /uncaught in the worker/],
] as const) {
  test.serial(`a thread that dies (${command}) rejects server.closed and ends the others`, async (t) => {
    const before = holdings()
    const server = await launch('echo-handler')
    const socket = await dial(t, server)
    socket.on('error', () => {})
    socket.write(command)
    await t.throwsAsync(server.closed, { code: 'ERR_RINGLINE_WORKER_STOPPED', message })
    await t.throwsAsync(server.shutdown(), { message })
    await until(() => socket.closed || socket.readableEnded || socket.destroyed || socket.readableLength === 0)
    socket.destroy()
    await untilReleased(before)
  })
}

test.serial(
  'when the thread that accepts dies the next one takes its listener over, and no connection is refused',
  async (t) => {
    const before = holdings()
    const failures: [string, number][] = []
    const server = await launch('echo-handler', 3, {
      onWorkerError(error, worker) {
        failures.push([(error as NodeJS.ErrnoException).code ?? '', worker])
        return 'continue'
      },
    })
    const { port } = server.boundAddr
    let refused = 0
    let knocking = true
    const knock = (async () => {
      while (knocking) {
        const socket = connect(port, '127.0.0.1')
        // A connection of the worker that dies is reset; one that nobody listens for is refused.
        socket.on('error', ({ code }: NodeJS.ErrnoException) => {
          if (code === 'ECONNREFUSED') refused += 1
        })
        socket.on('connect', () => socket.destroy())
        await once(socket, 'close').catch(() => {})
      }
    })()
    for (const worker of [0, 1]) {
      const last = await dialWorker(t, server, worker)
      last.write(worker === 0 ? 'exit' : 'throw')
      await until(() => failures.length === worker + 1)
      last.destroy()
      for (let count = 0; count < 10; count += 1) {
        const socket = await dial(t, server)
        socket.write('ping')
        t.is(String(await readBytes(socket, 4)), 'ping')
        socket.destroy()
      }
    }
    knocking = false
    await knock
    t.is(refused, 0)
    const last = await dialWorker(t, server, 2)
    last.write('throw')
    await t.throwsAsync(server.closed, { code: 'ERR_RINGLINE_WORKER_STOPPED', message: /worker 2.*uncaught/ })
    t.deepEqual(
      failures,
      [0, 1, 2].map((worker) => ['ERR_RINGLINE_WORKER_STOPPED', worker]),
    )
    const closed = connect(port, '127.0.0.1')
    const [error] = (await once(closed, 'error')) as [NodeJS.ErrnoException]
    t.is(error.code, 'ECONNREFUSED')
    last.destroy()
    await untilReleased(before)
  },
)

test.serial('a worker that others outlive does not fail a shutdown later', async (t) => {
  const failed: number[] = []
  const server = await launch('echo-handler', 2, {
    onWorkerError(_error, worker) {
      failed.push(worker)
      return 'continue'
    },
  })
  const last = await dialWorker(t, server, 1)
  last.write('exit')
  await until(() => failed.length === 1)
  await t.notThrowsAsync(server.shutdown())
  t.deepEqual(failed, [1])
})

test.serial('an onWorkerError that throws, or answers anything else, ends the server', async (t) => {
  const badLuck = new Error('bad luck in the hook')
  const hooks: [() => never, object][] = [
    [
      () => {
        throw badLuck
      },
      { is: badLuck },
    ],
    [() => undefined as never, { code: 'ERR_RINGLINE_WORKER_STOPPED' }],
  ]
  for (const [onWorkerError, expected] of hooks) {
    const server = await launch('echo-handler', 2, { onWorkerError })
    const last = await dialWorker(t, server, 0)
    last.write('exit')
    await t.throwsAsync(server.closed, expected)
  }
  for (const options of [null, 7, { onWorkerError: 'continue' }]) {
    await t.throwsAsync(launch('echo-handler', 1, options as never), {
      code: 'ERR_RINGLINE_INVALID_ARGUMENT',
      message: /^"options/,
    })
  }
})
