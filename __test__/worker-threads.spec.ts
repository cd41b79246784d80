// launch(new URL(…)): one thread per worker, failures at the start, threads that die later.

import test from 'ava'
import { RinglineBuilder, type Server } from 'ringline'
import { dial, holdings, readBytes, testConfig, until, untilReleased } from './serving.js'

const fixture = (name: string) => new URL(`./fixtures/${name}.js`, import.meta.url)
const launch = (name: string): Promise<Server<true>> =>
  new RinglineBuilder(testConfig().workers(2).build()).bind('127.0.0.1:0').launch(fixture(name))

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

test.serial('a handler that cannot be made fails the launch, and nothing is left', async (t) => {
  const before = holdings()
  await t.throwsAsync(launch('failing-handler'), { code: 'EBADLUCK', message: 'the second worker has no luck' })
  await t.throwsAsync(launch('no-handler'), {
    code: 'ERR_RINGLINE_INVALID_ARGUMENT',
    message: /default export of .*no-handler/,
  })
  await t.throwsAsync(launch('not-there'), { message: /Cannot find module/ })
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
