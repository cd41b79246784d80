// Connections that come all at once, while the JavaScript thread is busy.

import { connect, type Socket } from 'node:net'
import test from 'ava'
import { RinglineBuilder } from 'ringline'
import { handlerClass, readBytes, testConfig } from './serving.js'

/** More than the completion ring can tell of at once, and as many again as once were kept waiting beside it. */
const CONNECTIONS = 3200
const BUSY_MS = 500

test('of thousands of connections that come while JavaScript is busy, every one is served', async (t) => {
  const handler = handlerClass({ onData: (conn, chunk) => conn.send(chunk) })
  const server = await new RinglineBuilder(testConfig().maxConnections(CONNECTIONS).backlog(4096).build())
    .bind('127.0.0.1:0')
    .launch(handler)
  t.teardown(() => server.shutdown())
  const sockets: Socket[] = []
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  const echoes: Promise<Buffer>[] = []
  for (let index = 0; index < CONNECTIONS; index += 1) {
    const socket = connect(server.boundAddr.port, '127.0.0.1')
    sockets.push(socket)
    socket.write(String(index))
    echoes.push(readBytes(socket, String(index).length))
  }
  // The connects are under way from the next turn of the event loop on; the ring thread accepts them meanwhile.
  await new Promise((resolve) => setImmediate(resolve))
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY_MS)
  const answers = await Promise.all(echoes)
  t.true(answers.every((echo, index) => String(echo) === String(index)))
})
