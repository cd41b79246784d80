// Several workers: who gets which connection, who listens, and on which core each runs.

import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import test from 'ava'
import { ConfigBuilder, RinglineBuilder } from 'ringline'
import { handlerClass, holdings, testConfig, until, untilReleased } from './serving.js'

test.serial('1,000 connections over 4 workers are 250 each', async (t) => {
  const accepted = [0, 0, 0, 0]
  const server = await new RinglineBuilder(testConfig().workers(4).backlog(1024).build()).bind('127.0.0.1:0').launch({
    createForWorker: (id) => ({
      onAccept: () => {
        accepted[id] = accepted[id]! + 1
      },
      onData: () => {},
    }),
  })
  t.teardown(() => server.shutdown())
  const sockets: Socket[] = []
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (let round = 0; round < 10; round += 1) {
    const dialed = Array.from({ length: 100 }, () => connect(server.boundAddr.port, '127.0.0.1'))
    sockets.push(...dialed)
    await Promise.all(dialed.map((socket) => once(socket, 'connect')))
  }
  await until(() => accepted.reduce((sum, count) => sum + count) === 1000)
  t.true(
    accepted.every((count) => Math.abs(count - 250) <= 1),
    accepted.join(', '),
  )
})

test.serial('with reusePort every worker listens, and each keeps what it accepts', async (t) => {
  const accepted = [0, 0, 0, 0]
  const config = testConfig().workers(4).reusePort(true).build()
  const server = await new RinglineBuilder(config).bind('127.0.0.1:0').launch({
    createForWorker: (id) => ({
      onData(conn, chunk) {
        accepted[id] = accepted[id]! + 1
        conn.sendNowait(chunk)
      },
    }),
  })
  t.teardown(() => server.shutdown())
  const { port } = server.boundAddr
  t.is(listenersOn(port), 4)
  for (let count = 0; count < 100; count += 1) {
    const socket = connect(port, '127.0.0.1')
    socket.end('ping')
    await once(socket, 'data')
    socket.destroy()
  }
  t.is(
    accepted.reduce((sum, count) => sum + count),
    100,
  )
  // A hash that gives all of 100 connections to one of four would be broken.
  t.true(accepted.filter((count) => count > 0).length > 1, accepted.join(', '))
  await server.shutdown()
  t.is(listenersOn(port), 0)
})

test.serial('without reusePort one worker listens for all', async (t) => {
  const server = await new RinglineBuilder(testConfig().workers(4).build())
    .bind('127.0.0.1:0')
    .launch(handlerClass({ onData: () => {} }))
  t.teardown(() => server.shutdown())
  t.is(listenersOn(server.boundAddr.port), 1)
})

test.serial(
  'a worker runs on the core that coreOffset says, and a core that is not there fails the launch',
  async (t) => {
    const launch = (core: number) =>
      new RinglineBuilder(new ConfigBuilder().workers(1).coreOffset(core).build()).launch(handlerClass({}))
    for (const core of new Set([allowedCores()[0]!, allowedCores().at(-1)!])) {
      const server = await launch(core)
      t.deepEqual(ringThreads(), [[core]])
      await server.shutdown()
    }
    const before = holdings()
    await t.throwsAsync(launch(4095), { code: 'ERR_RINGLINE_PIN_FAILED', message: /core 4095/ })
    await untilReleased(before)
  },
)

/** Listening sockets of this port. */
function listenersOn(port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const sockets = readFileSync('/proc/self/net/tcp', 'utf8').split('\n').slice(1)
  // The state 0A is LISTEN.
  return sockets
    .map((line) => line.trim().split(/\s+/))
    .filter(([, at, , state]) => at?.endsWith(local) && state === '0A').length
}

/** The cores on which each ring thread of this process may run. */
function ringThreads(): number[][] {
  const tasks = readdirSync('/proc/self/task').map((task) => `/proc/self/task/${task}`)
  return tasks.filter((task) => readFileSync(`${task}/comm`, 'utf8').startsWith('ringline-')).map(coresOf)
}

function allowedCores(): number[] {
  return coresOf('/proc/self')
}

function coresOf(task: string): number[] {
  const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync(`${task}/status`, 'utf8'))?.[1] ?? ''
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}
