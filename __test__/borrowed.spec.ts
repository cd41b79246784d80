// Borrowed chunks: right when they are sent from within the handler, refused or overwritten when they are kept.

import { createHash, randomBytes } from 'node:crypto'
import test from 'ava'
import { Config, ConfigBuilder, type ConnCtx, ParseResult, RinglineError } from 'ringline'
import { dial, ending, readAll, readBytes, serve, start, testConfig, until } from './serving.js'

const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex')
const borrowing = (): ConfigBuilder => testConfig().receive('borrowed')

test('the setting has two values', (t) => {
  t.is(Config.default().receive, 'owned')
  t.is(new ConfigBuilder().receive('borrowed').build().receive, 'borrowed')
  const error = t.throws(() => new Config({ receive: 'lent' as never }), { instanceOf: RinglineError })
  t.regex(error.message, /receive must be 'owned' or 'borrowed'; received string 'lent'/)
})

test.serial('j10 every byte of an echo is right, while slow readers keep chunks in flight', async (t) => {
  const server = await serve(t, { onData: (conn, chunk) => void conn.send(chunk) }, borrowing())
  await Promise.all(
    Array.from({ length: 8 }, async (_, index) => {
      const socket = await dial(t, server)
      const data = randomBytes(6 * 1024 * 1024 + index)
      const hashed = createHash('sha256')
      socket.end(data)
      let length = 0
      for await (const chunk of socket) {
        hashed.update(chunk as Buffer)
        length += (chunk as Buffer).length
        if (index % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      t.is(length, data.length)
      t.is(hashed.digest('hex'), hash(data))
    }),
  )
})

test.serial('slices of a chunk are sent as they are, in each way of sending', async (t) => {
  const server = await serve(
    t,
    {
      onData(conn, chunk) {
        const half = chunk.length >> 1
        conn.sendNowait(chunk.subarray(0, half))
        void conn.sendParts([{ copy: chunk.subarray(half, half) }, { copy: chunk.subarray(half) }])
      },
    },
    borrowing(),
  )
  const socket = await dial(t, server)
  const data = randomBytes(500_000)
  const echoed = readAll(socket)
  for (let at = 0; at < data.length; at += 10_000) {
    socket.write(data.subarray(at, at + 10_000))
    await new Promise((resolve) => setImmediate(resolve))
  }
  socket.end()
  t.is(hash(await echoed), hash(data))
})

test.serial('a chunk that was kept cannot be sent later, whichever way', async (t) => {
  const kept: Buffer[] = []
  const conns: ConnCtx[] = []
  const server = await serve(
    t,
    {
      onData(conn, chunk) {
        conns.push(conn)
        kept.push(chunk)
        // What is lent now may be sent, what was lent before may not.
        if (kept.length > 1) t.throws(() => conn.sendNowait(kept[0]!), { code: 'ERR_RINGLINE_STALE_CHUNK' })
        conn.sendNowait(chunk)
      },
    },
    borrowing(),
  )
  const socket = await dial(t, server)
  for (const text of ['first', 'second']) {
    socket.write(text)
    t.is(String(await readBytes(socket, text.length)), text)
  }
  const stale = { code: 'ERR_RINGLINE_STALE_CHUNK' }
  t.throws(() => conns[0]!.sendNowait(kept[1]!), stale)
  await t.throwsAsync(conns[0]!.send(kept[1]!.subarray(1)), stale)
  await t.throwsAsync(conns[0]!.sendParts([{ copy: 'good' }, { copy: kept[0]! }]), stale)
  // Nothing of the refused parts was sent.
  conns[0]!.sendNowait(Buffer.from('third'))
  t.is(String(await readBytes(socket, 5)), 'third')
})

test.serial('what is asked for is copied out and stays: withData, iteration, recvInto, an async onData', async (t) => {
  const texts = ['one', 'two', 'three', 'four']
  let copies: Buffer[] = []
  const server = await serve(
    t,
    {
      async onAccept(conn) {
        await conn.withData((data) => {
          copies.push(data)
          return ParseResult.Consumed(data.length)
        })
        conn.sendNowait('.')
        copies.push((await conn[Symbol.asyncIterator]().next()).value as Buffer)
        conn.sendNowait('.')
        const into = Buffer.alloc(5)
        await conn.recvInto(into)
        copies.push(into)
        conn.sendNowait('.')
        await conn.pipe(conn)
      },
    },
    borrowing(),
  )
  const socket = await dial(t, server)
  for (const text of texts.slice(0, 3)) {
    socket.write(text)
    t.is(String(await readBytes(socket, 1)), '.')
  }
  const data = randomBytes(2 * 1024 * 1024)
  const piped = readAll(socket)
  socket.end(data)
  t.is(hash(await piped), hash(data))
  t.deepEqual(copies.map(String), texts.slice(0, 3))

  copies = []
  const waits = await serve(
    t,
    {
      async onData(conn, chunk) {
        // Chunks that come while this one is worked on wait as copies.
        const text = String(chunk)
        await new Promise((resolve) => setTimeout(resolve, 5))
        copies.push(Buffer.from(text))
        conn.sendNowait(text)
      },
    },
    borrowing(),
  )
  const busy = await dial(t, waits)
  const all = texts.join('')
  const answered = readBytes(busy, all.length)
  for (const text of texts) {
    busy.write(text)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  t.is(String(await answered), all)
})

test.serial('memory stays small and is used again, however much passes', async (t) => {
  const memories = new Set<ArrayBufferLike>()
  let received = 0
  const server = await serve(
    t,
    {
      onData(_conn, chunk) {
        memories.add(chunk.buffer)
        received += chunk.length
      },
    },
    borrowing(),
  )
  const socket = await dial(t, server)
  const data = Buffer.alloc(64 * 1024 * 1024, 1)
  socket.end(data)
  await until(() => received === data.length)
  t.true(memories.size <= 64, `${memories.size} slabs of 64 KiB for 64 MiB`)
})

test.serial('j10 a chunk that its user detaches harms nobody', async (t) => {
  const server = await serve(
    t,
    {
      onData(conn, chunk) {
        conn.sendNowait(chunk)
        try {
          structuredClone(chunk.buffer, { transfer: [chunk.buffer as ArrayBuffer] })
        } catch {
          // Node refuses to detach external memory: nothing has happened.
        }
      },
    },
    borrowing(),
  )
  const socket = await dial(t, server)
  const data = randomBytes(300_000)
  const echoed = readAll(socket)
  socket.end(data)
  t.is(hash(await echoed), hash(data))
})

test.serial(
  'with RINGLINE_POISON_BORROWED a chunk is overwritten when it goes back, and what was sent is right',
  async (t) => {
    const child = start(t, 'borrower', [], { env: { ...process.env, RINGLINE_POISON_BORROWED: '1' } })
    const { code, output } = await ending(child)
    t.is(code, 0, output)
    t.is(output.trim(), 'kept: all overwritten, echoed: right')
  },
)
