// Connections end to end, against Node's own sockets: half-close, order, big streams, resets, outbound ones, garbage collection.

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { type AsyncEventHandler, type ConnCtx, connect, connectWithTimeout, ParseResult, type Server } from 'ringline'
import { dial, readAll, readBytes, serve, testConfig, until } from './serving.js'

const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex')

test.serial('a16 an answer that is computed after the peer has half-closed still arrives', async (t) => {
  const server = await serve(t, {
    async onAccept(conn) {
      let request = ''
      while (
        await conn.withData((data) => {
          request += data
          return ParseResult.Consumed(data.length)
        })
      ) {}
      await new Promise((resolve) => setTimeout(resolve, 20))
      await conn.send(`answer to ${request}`)
    },
  })
  const socket = await dial(t, server)
  socket.end('request')
  t.is(String(await readAll(socket)), 'answer to request')
})

test.serial('a16 with callbacks: a promise of onData is waited for before the connection is closed', async (t) => {
  const server = await serve(t, {
    async onData(conn, chunk) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      conn.sendNowait(`late ${chunk}`)
    },
  })
  const socket = await dial(t, server)
  socket.end('request')
  t.is(String(await readAll(socket)), 'late request')
})

test.serial('b1 a slow reader gets every byte that was queued before close(), in order', async (t) => {
  const data = randomBytes(8 * 1024 * 1024)
  const server = await serve(t, {
    onAccept(conn) {
      for (let at = 0; at < data.length; at += 10_000) conn.sendNowait(data.subarray(at, at + 10_000))
      conn.close()
    },
  })
  const socket = await dial(t, server)
  socket.pause()
  // Nothing is read for a while: the socket buffers of both sides are full long before everything is out.
  await new Promise((resolve) => setTimeout(resolve, 100))
  const all = readAll(socket)
  socket.resume()
  t.is(hash(await all), hash(data))
})

test.serial('b2 the FIN of shutdownWrite comes after the last byte, and receiving goes on', async (t) => {
  const data = randomBytes(2 * 1024 * 1024)
  let received = ''
  const server = await serve(t, {
    onAccept(conn) {
      void conn.send(data)
      conn.shutdownWrite()
    },
    onData: (_, chunk) => {
      received += chunk
    },
  })
  const socket = await dial(t, server)
  t.is(hash(await readAll(socket)), hash(data))
  socket.end('still heard')
  await until(() => received === 'still heard')
})

test.serial('b4 send() of more than the whole pool arrives and resolves once, with the full count', async (t) => {
  const data = randomBytes(4 * 1024 * 1024)
  let sent = 0
  const server = await serve(
    t,
    {
      async onAccept(conn) {
        sent = await conn.send(data)
      },
    },
    testConfig().sendCopyCount(8).sendCopySlotSize(4096),
  )
  const socket = await dial(t, server)
  t.is(hash(await readAll(socket)), hash(data))
  await until(() => sent === data.length)
})

test.serial(
  'every byte of 32 connections with messages of 1 byte to 1 MiB is echoed, with forced collection (j6)',
  async (t) => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const timer = setInterval(collect, 10)
    t.teardown(() => clearInterval(timer))
    const server = await serve(t, {
      onData: (conn, chunk) => (conn.bufferedAmount > 1024 * 1024 ? conn.send(chunk) : void conn.sendNowait(chunk)),
    })
    const run = async (seed: number) => {
      const socket = await dial(t, server)
      for (let round = 0; round < 6; round += 1) {
        const size = 1 + ((seed * 7919 + round * 104_729) % 1024) ** 2
        const data = randomBytes(size)
        socket.write(data)
        t.is(hash(await readBytes(socket, size)), hash(data))
      }
      socket.destroy()
    }
    await Promise.all(Array.from({ length: 32 }, (_, seed) => run(seed)))
  },
)

test.serial('j7 chunks that are kept never change while the connection goes on', async (t) => {
  const kept: { chunk: Buffer; digest: string }[] = []
  const server = await serve(t, {
    onData(conn, chunk) {
      kept.push({ chunk, digest: hash(chunk) })
      conn.sendNowait(String(chunk.length).padStart(8))
    },
  })
  const socket = await dial(t, server)
  let acknowledged = 0
  socket.on('data', (data: Buffer) => {
    for (let at = 0; at + 8 <= data.length; at += 8) acknowledged += Number(data.toString('latin1', at, at + 8))
  })
  const total = 16 * 1024 * 1024
  for (let at = 0; at < total; at += 65536) if (!socket.write(randomBytes(65536))) await once(socket, 'drain')
  await until(() => acknowledged === total)
  t.true(kept.every(({ chunk, digest }) => hash(chunk) === digest))
})

/** Tries every way in which memory can leave its owner; Node may refuse some, and older versions lack others. */
function giveAway(memory: ArrayBuffer & { transfer?(): ArrayBuffer }): void {
  try {
    structuredClone(memory, { transfer: [memory] })
  } catch (error) {
    if ((error as Error).name !== 'DataCloneError') throw error
  }
  memory.transfer?.()
}

test.serial('j10 a chunk given away by transfer harms no other connection', async (t) => {
  const server = await serve(t, {
    onData(conn, chunk) {
      if (String(chunk) === 'give away') giveAway(chunk.buffer as ArrayBuffer & { transfer?(): ArrayBuffer })
      conn.sendNowait('ok')
    },
  })
  const one = await dial(t, server)
  const two = await dial(t, server)
  for (let round = 0; round < 20; round += 1) {
    one.write('give away')
    two.write('normal')
    t.is(String(await readBytes(one, 2)), 'ok')
    t.is(String(await readBytes(two, 2)), 'ok')
  }
})

test.serial('a reset of the peer is told to onClose with its system error', async (t) => {
  const closed: (Error | undefined)[] = []
  const server = await serve(t, {
    onData: (conn, chunk) => void conn.sendNowait(chunk),
    onClose: (_, error) => void closed.push(error),
  })
  const socket = await dial(t, server)
  socket.write('x')
  await readBytes(socket, 1)
  socket.resetAndDestroy()
  await until(() => closed.length === 1)
  t.like(closed[0], { code: 'ECONNRESET', errno: -104 })
})

test.serial(
  'j8 shutdown inside a handler, close inside onClose, write after close: stable codes, nothing hangs',
  async (t) => {
    const codes: unknown[] = []
    let down: Promise<void> | undefined
    const server = await serve(t, {
      onData(conn) {
        down = server.shutdown()
        conn.close()
        conn.close()
        try {
          conn.sendNowait('late')
        } catch (error) {
          codes.push((error as { code: string }).code)
        }
      },
      onClose(conn) {
        conn.close()
        conn.shutdownWrite()
        conn.cancel()
        try {
          conn.sendNowait('later')
        } catch (error) {
          codes.push((error as { code: string }).code)
        }
      },
    })
    const socket = await dial(t, server)
    socket.write('x')
    t.is((await readAll(socket)).length, 0)
    await until(() => down !== undefined)
    await down
    t.deepEqual(codes, ['ERR_RINGLINE_INVALID_CONNECTION', 'ERR_RINGLINE_INVALID_CONNECTION'])
  },
)

test.serial('what was sent before a shutdown was asked for arrives before the FIN', async (t) => {
  const reply = Buffer.alloc(100_000, 'reply')
  const shutdowns: ((server: Server<true>, conn: ConnCtx) => unknown)[] = [
    (server) => server.shutdown(),
    (_, conn) => conn.requestShutdown(),
  ]
  for (const shutDown of shutdowns) {
    const conns: ConnCtx[] = []
    const server = await serve(t, {
      onAccept: (conn) => void conns.push(conn),
      onData(conn, chunk) {
        conn.sendNowait(reply)
        if (String(chunk) === 'inside') shutDown(server, conn)
      },
    })
    const sockets = [await dial(t, server), await dial(t, server)] as const
    const received = sockets.map((socket) => readAll(socket))
    await until(() => conns.length === 2)
    // Of one connection in a handler, of the other outside of any.
    for (const conn of conns) conn.sendNowait('greeting')
    sockets[0].write('inside')
    await server.closed
    t.deepEqual(await received[0], Buffer.concat([Buffer.from('greeting'), reply]))
    t.is(String(await received[1]), 'greeting')
  }
  const conns: ConnCtx[] = []
  const server = await serve(t, { onAccept: (conn) => void conns.push(conn), onData: () => {} })
  const received = readAll(await dial(t, server))
  await until(() => conns.length === 1)
  conns[0]!.sendNowait(reply)
  await server.shutdown()
  t.deepEqual(await received, reply)
})

test.serial('j9 a stale connection whose slot is used again reaches nobody', async (t) => {
  const conns: ConnCtx[] = []
  const server = await serve(
    t,
    { onAccept: (conn) => void conns.push(conn), onData: () => {} },
    testConfig().maxConnections(1),
  )
  const first = await dial(t, server)
  await until(() => conns.length === 1)
  first.destroy()
  const [stale] = conns as [ConnCtx]
  await until(() => !stale.isOpen)
  await stale[Symbol.asyncDispose]()
  const second = await dial(t, server)
  await until(() => conns.length === 2)
  t.is(conns[1]?.index(), stale.index())
  let refused = 0
  for (let tries = 0; tries < 100_000; tries += 1) {
    try {
      stale.sendNowait('foreign')
    } catch {
      refused += 1
    }
    stale.close()
  }
  t.is(refused, 100_000)
  conns[1]?.sendNowait('own')
  t.is(String(await readBytes(second, 3)), 'own')
  t.true(conns[1]?.isOpen)
})

test.serial(
  'j3 a handler that blocks for a second loses nothing, and the process does not grow with what arrives',
  async (t) => {
    const total = 64 * 1024 * 1024
    let received = 0
    let blocked = false
    const server = await serve(t, {
      onData(_, chunk) {
        received += chunk.length
        if (blocked) return
        blocked = true
        const until = Date.now() + 1000
        while (Date.now() < until) {}
      },
    })
    const { Worker } = await import('node:worker_threads')
    const client = new Worker(
      `const { connect } = require('node:net')
     const socket = connect(${server.boundAddr.port}, '127.0.0.1')
     let left = ${total}
     const more = () => { while (left > 0) { left -= 65536; if (!socket.write(Buffer.alloc(65536))) return socket.once('drain', more) } socket.end() }
     more()`,
      { eval: true },
    )
    // It may have gone by the time that everything is here.
    const gone = once(client, 'exit')
    await until(() => received === total)
    await gone
    t.is(received, total)
  },
)

test.serial("connect: a connection of one's own, refused ones, timeouts, cancellation", async (t) => {
  const peers: Socket[] = []
  const listener = createServer((peer) => {
    peers.push(peer)
    peer.write('greeting')
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  t.teardown(() => {
    for (const peer of peers) peer.destroy()
    listener.close()
  })
  const { port } = listener.address() as { port: number }
  await serve(t, { onAccept: () => {} })
  const conn = await connect({ address: '127.0.0.1', port })
  t.true(conn.isOutbound())
  t.deepEqual(conn.peerAddr(), { address: '127.0.0.1', port, family: 'IPv4' })
  let greeting = ''
  t.is(
    await conn.withData((data) => {
      greeting = String(data)
      return ParseResult.Consumed(data.length)
    }),
    8,
  )
  t.is(greeting, 'greeting')
  await conn.send('hello')
  t.is(String(await readBytes(peers[0]!, 5)), 'hello')
  conn.close()
  await once(peers[0]!, 'end')

  t.like(await t.throwsAsync(connect('127.0.0.1:1')), {
    code: 'ECONNREFUSED',
    syscall: 'connect',
    address: '127.0.0.1',
    port: 1,
  })
  await t.throwsAsync(connect('nowhere:1'), { code: 'ERR_RINGLINE_INVALID_ADDRESS' })
  for (const wrong of [0, -1, Number.NaN, '5', 2 ** 40]) {
    await t.throwsAsync(connectWithTimeout('127.0.0.1:1', wrong as number), {
      code: 'ERR_RINGLINE_INVALID_ARGUMENT',
      message: /timeoutMs/,
    })
  }
  await t.throwsAsync(connect({ address: '127.0.0.1', port }, { signal: AbortSignal.abort(new Error('before')) }), {
    message: 'before',
  })
})

test.serial('connect amid a shutdown says that the worker has stopped', async (t) => {
  const outcomes: Promise<unknown>[] = []
  let accepted = 0
  const handler: AsyncEventHandler = {
    onAccept() {
      accepted += 1
    },
    onClose(conn) {
      outcomes.push(conn.connect('127.0.0.1:1').catch((error: unknown) => error))
    },
  }
  const server = await serve(t, handler)
  for (let count = 0; count < 20; count += 1) (await dial(t, server)).resume()
  // The kernel connects before the worker accepts; what it has not accepted has no handler to tell.
  await until(() => accepted === 20)
  await server.shutdown()
  t.is(outcomes.length, 20)
  for (const error of await Promise.all(outcomes)) t.like(error, { code: 'ERR_RINGLINE_WORKER_STOPPED' })
})

test.serial('connect without a running worker says what is missing', async (t) => {
  await t.throwsAsync(connect('127.0.0.1:1'), { code: 'ERR_RINGLINE_NO_RUNTIME', message: /launch one first/ })
})

test.serial(
  'a connection that is accepted in the turn in which another one ends is served without a third',
  async (t) => {
    const server = await serve(t, { onAccept: (conn) => conn.close(), onData: () => {} })
    for (let round = 0; round < 1000; round += 1) {
      const socket = await dial(t, server)
      socket.end('data')
      socket.on('error', () => {}).resume()
      await new Promise((resolve) => socket.once('close', resolve))
      t.true(socket.destroyed)
    }
  },
)
