// Several workers: who gets which connection.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import test from 'ava'
import { RinglineBuilder } from 'ringline'
import { testConfig, until } from './serving.js'

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
