// Pipes between connections, end to end: bytes exact under back-pressure, half-closes, failures of either side, aborts, refusals.

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { type AsyncEventHandler, type ConnCtx, RinglineError, sleep } from 'ringline'
import { dial, readAll, readBytes, serve, testConfig, until } from './serving.js'

const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex')

interface Proxied {
  client: Socket
  upstream: Socket
  /** What became of the handler's own work. */
  result: Promise<unknown>
}

/** A connection that was accepted, one that was made to an upstream, and both of their peers. */
async function proxied(
  t: ExecutionContext,
  work: (client: ConnCtx, server: ConnCtx) => Promise<unknown>,
  first = '',
  handler: AsyncEventHandler = {},
): Promise<Proxied> {
  const listener = createServer({ allowHalfOpen: true })
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => void listener.close())
  const { port } = listener.address() as { port: number }
  let result: Promise<unknown> = Promise.resolve()
  const working = new Promise<void>((resolve) => {
    void serve(t, {
      ...handler,
      async onAccept(client) {
        const server = await client.connect({ address: '127.0.0.1', port })
        result = work(client, server)
        result.catch(() => {})
        resolve()
        // The connection's task ends when the work does, whichever way.
        await result.catch(() => {})
      },
    }).then(async (server) => {
      const socket = await dial(t, server)
      if (first !== '') socket.write(first)
      dialed(socket)
    })
  })
  let dialed: (socket: Socket) => void = () => {}
  const client = new Promise<Socket>((resolve) => {
    dialed = resolve
  })
  const [upstream] = (await once(listener, 'connection')) as [Socket]
  upstream.on('error', () => {})
  t.teardown(() => void upstream.destroy())
  await working
  return { client: await client, upstream, result }
}

test.serial('every byte passes both ways at once while one side reads slowly, and the half-closes too', async (t) => {
  const [there, back] = [randomBytes(12 * 1024 * 1024), randomBytes(12 * 1024 * 1024)]
  const { client, upstream, result } = await proxied(t, (client, server) =>
    Promise.all([client.pipe(server), server.pipe(client)]),
  )
  client.end(there)
  upstream.end(back)
  const atClient = readAll(client)
  const slow: Buffer[] = []
  for await (const chunk of upstream) {
    slow.push(chunk as Buffer)
    if (slow.length % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  t.is(hash(Buffer.concat(slow)), hash(there))
  t.is(hash(await atClient), hash(back))
  t.deepEqual(await result, [there.length, back.length])
})

test.serial('what was received before goes first, and what still waits to be sent before that', async (t) => {
  const before = randomBytes(40 * 1024 * 1024)
  const { client, upstream, result } = await proxied(
    t,
    async (client, server) => {
      await client.recvReady()
      // More than the whole pool: it waits in line, and the pipe behind it.
      const sent = server.send(before)
      const piped = client.pipe(server)
      t.is(await sent, before.length)
      return piped
    },
    'received before, ',
  )
  client.end('piped')
  t.is(hash(await readAll(upstream)), hash(Buffer.concat([before, Buffer.from('received before, piped')])))
  t.is(await result, 22)
})

test.serial('chunks that arrive while the pipe is being made keep their place', async (t) => {
  for (let round = 0; round < 20; round += 1) {
    const { client, upstream, result } = await proxied(t, (client, server) => client.pipe(server))
    const expected: string[] = []
    for (let piece = 0; piece < 50; piece += 1) {
      expected.push(`${round}/${piece} `)
      client.write(expected[piece]!)
      if (piece % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    client.end()
    t.is(String(await readAll(upstream)), expected.join(''))
    t.is(await result, expected.join('').length)
  }
})

test.serial('a reset of the source rejects with its error, and sends no FIN', async (t) => {
  const { client, upstream, result } = await proxied(t, async (client, server) => {
    const error = await client.pipe(server).catch((error: unknown) => error)
    await server.send('broken off')
    server.close()
    return error
  })
  client.write('half of it, ')
  t.is(String(await readBytes(upstream, 12)), 'half of it, ')
  const rest = readAll(upstream)
  client.resetAndDestroy()
  t.is(String(await rest), 'broken off')
  t.like(await result, { code: 'ECONNRESET', syscall: 'read' })
})

test.serial('a reset of the target rejects with its error, and the source can be read', async (t) => {
  const { client, upstream, result } = await proxied(t, async (client, server) => {
    const error = await client.pipe(server).catch((error: unknown) => error)
    client.sendNowait('gone')
    const read = client[Symbol.asyncIterator]()
    client.sendNowait((await read.next()).value as Buffer)
    return error
  })
  upstream.resetAndDestroy()
  t.is(String(await readBytes(client, 4)), 'gone')
  client.write('rest')
  t.is(String(await readBytes(client, 4)), 'rest')
  t.like(await result, { code: 'ECONNRESET', syscall: 'write' })
})

test.serial('closing either connection rejects', async (t) => {
  const { result } = await proxied(t, async (client, server) => {
    const target = client.pipe(server).catch((error: unknown) => error)
    server.close()
    const first = await target
    const source = client.pipe(client).catch((error: unknown) => error)
    client.close()
    return [first, await source]
  })
  const [target, source] = (await result) as RinglineError[]
  t.like(target, { code: 'ERR_RINGLINE_INVALID_CONNECTION' })
  t.regex(target!.message, /its target was closed/)
  t.like(source, { code: 'ERR_RINGLINE_INVALID_CONNECTION' })
  t.regex(source!.message, /its source was closed/)
})

for (const first of ['', 'first']) {
  const when = first === '' ? 'before it flows' : 'while it flows'
  test.serial(`shutting the target down for writing ends the pipe at once, ${when}`, async (t) => {
    let upstreamHas = ''
    const { client, upstream, result } = await proxied(t, async (client, server) => {
      const piped = client.pipe(server)
      // Not one more byte comes of the source before the pipe has ended.
      if (first !== '') await until(() => upstreamHas === first)
      server.shutdownWrite()
      const failed = await piped.catch((error: unknown) => error)
      client.send('go on')
      let rest = ''
      await client.withData((data) => {
        rest = String(data)
        return data.length
      })
      return [failed, rest]
    })
    upstream.on('data', (data) => {
      upstreamHas += String(data)
    })
    if (first !== '') client.write(first)
    await once(upstream, 'end')
    t.is(String(await readBytes(client, 5)), 'go on')
    client.write('rest')
    const [failed, rest] = (await result) as [RinglineError, string]
    t.like(failed, { code: 'ERR_RINGLINE_INVALID_CONNECTION' })
    t.regex(failed.message, /shut down for writing/)
    t.is(rest, 'rest')
    t.is(upstreamHas, first)
  })
}

test.serial('an aborted pipe loses no byte, and both connections go on', async (t) => {
  const reason = new Error('enough')
  let aborts = 0
  const { client, upstream, result } = await proxied(t, async (client, server) => {
    for (;;) {
      const abort = new AbortController()
      setTimeout(() => abort.abort(reason), 2)
      try {
        return await client.pipe(server, { signal: abort.signal })
      } catch (error) {
        t.is(error, reason)
        aborts += 1
      }
      // What comes next is read here, and sent behind what was piped.
      await client.recvReady()
      client.tryWithData((data) => server.sendNowait(data))
    }
  })
  const data = randomBytes(8 * 1024 * 1024)
  const received = readAll(upstream)
  for (let at = 0; at < data.length; at += 65_536) {
    client.write(data.subarray(at, at + 65_536))
    if (at % (16 * 65_536) === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  client.end()
  t.is(hash(await received), hash(data))
  await result
  t.true(aborts > 0)
})

test.serial('a pipe that is stopped when its source has finished leaves the target open for writing', async (t) => {
  const controller = new AbortController()
  let filled = 0
  let flows = false
  let finished = false
  const work = async (client: ConnCtx, server: ConnCtx): Promise<unknown> => {
    // As much as the upstream's kernel takes without being read, so that what is piped waits.
    for (let full = 0; full < 20; ) {
      if (server.bufferedAmount < 64 * 1024) filled += server.sendNowait(Buffer.alloc(64 * 1024, 'f'))
      const before = server.bufferedAmount
      await new Promise((resolve) => setTimeout(resolve, 5))
      full = server.bufferedAmount === before && before > 0 ? full + 1 : 0
    }
    const outcome = client.pipe(server, { signal: controller.signal }).catch((reason: unknown) => reason)
    // The worker does things in order: when it has told of the second sleep, it has started the pipe.
    for (let turn = 0; turn < 2; turn += 1) await sleep(0)
    flows = true
    await until(() => finished)
    controller.abort('enough')
    const reason = await outcome
    await server.send(', after it')
    server.shutdownWrite()
    return reason
  }
  const onEnd = (conn: ConnCtx): void => {
    finished ||= !conn.isOutbound()
  }
  const { client, upstream, result } = await proxied(t, work, '', { onEnd })
  await until(() => flows)
  client.end('piped')
  await until(() => controller.signal.aborted)
  const received = await readAll(upstream)
  t.is(await result, 'enough')
  t.is(received.subarray(filled).toString(), 'piped, after it')
})

test.serial('conn.cancel() stops a pipe', async (t) => {
  const { result } = await proxied(t, async (client, server) => {
    const piped = client.pipe(server).catch((error: unknown) => error)
    client.cancel()
    return piped
  })
  t.like(await result, { code: 'ERR_RINGLINE_CANCELED' })
})

test.serial('what cannot be piped is refused', async (t) => {
  const { client, upstream, result } = await proxied(t, async (client, server) => {
    const refused: unknown[] = []
    const refuse = async (attempt: Promise<unknown>) => void refused.push(await attempt.catch((error) => error.code))
    await refuse(client.pipe({} as ConnCtx))
    await refuse(
      client.pipe(server, { signal: AbortSignal.abort(Object.assign(new Error('aborted'), { code: 'aborted' })) }),
    )
    const read = client.recvReady()
    await refuse(client.pipe(server))
    client.cancel()
    await refuse(read)
    const piped = client.pipe(server)
    await refuse(client.pipe(server))
    await refuse(server.pipe(server))
    await refuse(server.send('no'))
    await refuse(server.sendParts([{ copy: 'no' }]))
    await refuse(client.recvReady())
    t.throws(() => server.sendNowait('no'), { code: 'ERR_RINGLINE_PIPE_BUSY' })
    t.is(server.bufferedAmount, 0)
    t.is(await piped, 4)
    await refuse(client.pipe(server))
    server.close()
    await refuse(client.pipe(server))
    await refuse(server.pipe(client))
    return refused
  })
  client.end('once')
  t.is(String(await readAll(upstream)), 'once')
  upstream.end()
  t.deepEqual(await result, [
    'ERR_RINGLINE_INVALID_ARGUMENT',
    'aborted',
    'ERR_RINGLINE_RECEIVE_BUSY',
    'ERR_RINGLINE_CANCELED',
    'ERR_RINGLINE_PIPE_BUSY',
    'ERR_RINGLINE_PIPE_BUSY',
    'ERR_RINGLINE_PIPE_BUSY',
    'ERR_RINGLINE_PIPE_BUSY',
    'ERR_RINGLINE_RECEIVE_BUSY',
    'ERR_RINGLINE_WRITE_AFTER_SHUTDOWN',
    'ERR_RINGLINE_INVALID_CONNECTION',
    'ERR_RINGLINE_INVALID_CONNECTION',
  ])
})

test.serial('connections of two workers cannot be piped', async (t) => {
  const conns: ConnCtx[] = []
  const server = await serve(t, { onAccept: (conn) => void conns.push(conn) }, testConfig().workers(2))
  await Promise.all([dial(t, server), dial(t, server)])
  await until(() => conns.length === 2)
  const error = await t.throwsAsync(conns[0]!.pipe(conns[1]!), { instanceOf: RinglineError })
  t.like(error, { code: 'ERR_RINGLINE_DIFFERENT_WORKER' })
  t.regex(error.message, /workers [01] and [01]/)
})

test.serial('a handler with onData pipes from within it, and an echo needs no handler', async (t) => {
  const server = await serve(t, {
    async onData(conn, chunk) {
      conn.sendNowait(chunk)
      await conn.pipe(conn)
      conn.close()
    },
  })
  const socket = await dial(t, server)
  const data = randomBytes(4 * 1024 * 1024)
  const echoed = readAll(socket)
  socket.end(data)
  t.is(hash(await echoed), hash(data))
})
