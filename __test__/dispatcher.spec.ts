// How records become calls of the handler: every kind of record, order, batches, sleep, and handlers that throw.

import { setImmediate as nextImmediate } from 'node:timers/promises'
import { inspect } from 'node:util'
import test from 'ava'
import type { ConnCtx } from '../dist/connection.js'
import { BATCH_RECORDS_MAX } from '../dist/dispatcher.js'
import type { AsyncEventHandler } from '../dist/handler.js'
import * as words from '../dist/protocol.js'
import { FakePort } from './fake-port.js'

/** A handler that writes down what it is called with. */
function recorder(log: string[], extra: AsyncEventHandler = {}): AsyncEventHandler {
  return {
    onAccept: (conn) => void log.push(`accept ${conn.index()}`),
    onData: (conn, chunk) => void log.push(`data ${conn.index()} ${chunk}`),
    onEnd: (conn) => void log.push(`end ${conn.index()}`),
    onClose: (conn, error) =>
      void log.push(`close ${conn.index()} ${(error as { code?: string } | undefined)?.code ?? 'ok'}`),
    onError: (error) => void log.push(`error ${error.message}`),
    ...extra,
  }
}

test('records reach the handler in order, with addresses', (t) => {
  const log: string[] = []
  let conn: ConnCtx | undefined
  const port = new FakePort(
    recorder(log, {
      onAccept: (accepted) => {
        conn = accepted
      },
    }),
  )
  port.accept(3)
  port.data(3, 'one')
  port.data(3, 'two')
  port.post(words.END, 3, 1)
  port.post(words.CLOSED, 3, 1, 0)
  t.true(port.wake())
  t.deepEqual(log, ['data 3 one', 'data 3 two', 'end 3', 'close 3 ok'])
  t.deepEqual(conn?.peerAddr(), { address: '10.0.0.3', port: 4000, family: 'IPv4' })
  t.deepEqual(conn?.localAddr(), { address: '127.0.0.1', port: 80, family: 'IPv4' })
  t.false(conn?.isOutbound())
  t.regex(inspect(conn), /^ConnCtx\(3\) \{\s+state: 'closed'/)
  t.is(port.word(words.COMPLETION_HEAD), port.word(words.COMPLETION_TAIL))
})

test('an IPv6 address is shown as people write it', (t) => {
  let conn: ConnCtx | undefined
  const port = new FakePort({
    onAccept: (accepted) => {
      conn = accepted
    },
  })
  const bytes = Buffer.from('20010db8000000000000000000000001', 'hex')
  const parts = [0, 4, 8, 12].map((at) => bytes.readInt32LE(at)) as [number, number, number, number]
  port.post(words.ADDRESS, 0, 1, (6 << 8) | (65535 << 16), ...parts)
  port.post(words.ACCEPTED, 0, 1, 0)
  port.wake()
  t.deepEqual(conn?.peerAddr(), { address: '2001:db8::1', port: 65535, family: 'IPv6' })
})

test('j1 a throw on every 7th message closes that connection, is reported once, and the rest of the batch arrives', (t) => {
  const log: string[] = []
  let messages = 0
  const errors: (ConnCtx | undefined)[] = []
  const port = new FakePort(
    recorder(log, {
      onData(conn, chunk) {
        messages += 1
        if (messages % 7 === 0) throw new Error(`message ${messages}`)
        log.push(`data ${conn.index()} ${chunk}`)
      },
      onError: (_, conn) => void errors.push(conn),
    }),
  )
  for (let slot = 0; slot < 21; slot += 1) port.accept(slot)
  for (let slot = 0; slot < 21; slot += 1) port.data(slot, `m${slot}`)
  port.wake()
  t.is(log.filter((line) => line.startsWith('data')).length, 18)
  t.deepEqual(
    errors.map((conn) => conn?.index()),
    [6, 13, 20],
  )
  t.deepEqual(
    port.take().map(({ kind, slot }) => [kind, slot]),
    [6, 13, 20].map((slot) => [words.CLOSE, slot]),
  )
  for (const slot of [6, 13, 20]) {
    port.data(slot, 'dropped: the connection is closing')
    port.post(words.CLOSED, slot, 1, 0)
  }
  port.wake()
  t.is(messages, 21)
  t.is(port.dispatcher.connections, 18)
  t.deepEqual(
    log.slice(-3).map((line) => line.split(' ', 2).join(' ')),
    ['close 6', 'close 13', 'close 20'],
  )
})

test('throws in every other method are reported and disturb nothing', async (t) => {
  const failed: string[] = []
  const closed: (Error | undefined)[] = []
  const boom = (name: string) => () => {
    throw new Error(name)
  }
  const port = new FakePort({
    onAccept: boom('onAccept'),
    onData: () => {},
    onEnd: boom('onEnd'),
    onTick: boom('onTick'),
    onNotify: () => Promise.reject(new Error('onNotify')),
    onClose(_, error) {
      closed.push(error)
      throw new Error('onClose')
    },
    onError: (error) => void failed.push(error.message),
  })
  port.accept(0)
  port.post(words.TICK)
  port.post(words.NOTIFY)
  port.post(words.CLOSED, 0, 1, 0)
  await port.settle()
  t.deepEqual(failed.sort(), ['onAccept', 'onClose', 'onNotify', 'onTick'])
  t.is(closed[0]?.message, 'onAccept')
})

test('whatever is thrown, traps that throw included, the rest of the batch arrives', async (t) => {
  const trap = (): never => {
    throw new Error('trap')
  }
  const hostile = new Proxy({}, { get: trap, has: trap, ownKeys: trap, getPrototypeOf: trap })
  const lying = new Proxy(new Error('hidden'), { get: trap })
  const inspected = { [inspect.custom]: trap }
  const values = [undefined, null, Symbol('s'), Object.create(null), hostile, lying, inspected]
  for (const told of [true, false]) {
    const got: string[] = []
    const failed: unknown[] = []
    const port = new FakePort({
      onData(conn, chunk) {
        got.push(String(chunk))
        if (conn.index() < values.length) throw values[conn.index()]
      },
      ...(told ? { onError: (error: Error) => void failed.push(error) } : {}),
    })
    for (const slot of [...values.keys(), values.length]) {
      port.accept(slot)
      port.data(slot, String(slot))
    }
    t.notThrows(() => port.wake())
    await port.settle()
    t.is(got.length, values.length + 1)
    if (told) t.is(failed.length, values.length)
  }
})

test('a send to a connection that has ended meanwhile is no failure of the handler', async (t) => {
  const failed: string[] = []
  const port = new FakePort({
    async onAccept(conn) {
      for await (const chunk of conn) conn.sendNowait(chunk)
    },
    onError: (error) => void failed.push(error.message),
  })
  port.accept(0)
  port.data(0, 'last words')
  port.post(words.CLOSED, 0, 1, 104)
  port.wake()
  await port.settle()
  t.deepEqual(failed, [])
})

test('without onError a failure becomes a process warning with its stack', async (t) => {
  const port = new FakePort({
    onData() {
      throw new TypeError('quite wrong')
    },
  })
  const warned = new Promise<Error & { code?: string; detail?: string }>((resolve) => process.once('warning', resolve))
  port.accept(0)
  port.data(0, 'x')
  port.wake()
  const warning = await warned
  t.is(warning.code, 'ERR_RINGLINE_HANDLER_FAILED')
  t.regex(warning.message, /quite wrong/)
  t.regex(warning.detail ?? '', /dispatcher\.spec/)
})

test('a promise of onData holds the next chunk of that connection back, and of no other', async (t) => {
  const log: string[] = []
  const releases: (() => void)[] = []
  const port = new FakePort(
    recorder(log, {
      onData(conn, chunk) {
        log.push(`data ${conn.index()} ${chunk}`)
        if (conn.index() === 0) return new Promise<void>((resolve) => releases.push(resolve))
        return undefined
      },
    }),
  )
  port.accept(0)
  port.accept(1)
  port.data(0, 'a')
  port.data(0, 'b', 1, true)
  port.data(0, 'c', 1, true)
  port.data(1, 'z')
  port.post(words.END, 0, 1)
  port.post(words.CLOSED, 0, 1, 0)
  await port.settle()
  t.deepEqual(log.slice(2), ['data 0 a', 'data 1 z'])
  releases.shift()?.()
  await port.settle()
  releases.shift()?.()
  await port.settle()
  t.deepEqual(log.slice(4), ['data 0 b', 'data 0 c'])
  releases.shift()?.()
  await port.settle()
  t.deepEqual(log.slice(6), ['end 0', 'close 0 ok'])
})

test('j2 a promise of onData that never settles pauses that connection at its bound', async (t) => {
  const port = new FakePort({ onData: () => new Promise(() => {}) })
  port.accept(0)
  port.data(0, 'first')
  for (let block = 0; block < 9; block += 1) port.data(0, Buffer.alloc(32768), 1, true)
  await port.settle()
  t.deepEqual(
    port.take().map(({ kind }) => kind),
    [words.PAUSE],
  )
})

test('j2 a rejection of onData closes that connection with the error', async (t) => {
  const log: string[] = []
  const port = new FakePort(recorder(log, { onData: async () => Promise.reject(new Error('no')) }))
  port.accept(0)
  port.data(0, 'x')
  await port.settle()
  t.deepEqual(
    port.take().map(({ kind }) => kind),
    [words.CLOSE],
  )
  port.post(words.CLOSED, 0, 1, 0)
  await port.settle()
  t.deepEqual(log, ['accept 0', 'error no', 'close 0 ok'])
})

test('j3 a batch is bounded; timers and other I/O run between batches', async (t) => {
  let seen = 0
  const port = new FakePort({
    onData: () => {
      seen += 1
    },
  })
  port.accept(0)
  const total = 3000
  for (let index = 0; index < total; index += 1) port.data(0, 'x')
  port.wake()
  t.is(seen, BATCH_RECORDS_MAX - 3)
  t.is(port.word(words.JS_ASLEEP), 0)
  const during: number[] = []
  while (seen < total) {
    await nextImmediate()
    during.push(seen)
  }
  t.true(during.length >= 2)
  await nextImmediate()
  t.is(port.word(words.JS_ASLEEP), 1)
})

test('a record posted while JavaScript goes to sleep is not lost', (t) => {
  const log: string[] = []
  const port = new FakePort(recorder(log))
  t.is(port.word(words.JS_ASLEEP), 1)
  port.accept(0)
  // The worker has seen JavaScript awake: it does not ring, and the record must be found by the second look.
  port.setWord(words.JS_ASLEEP, 0)
  t.false(port.wake())
  port.dispatcher.doorbell()
  t.deepEqual(log, ['accept 0'])
})

test('room in a full completion ring is announced once when the worker wants to hear it', (t) => {
  const port = new FakePort({ onData: () => {} })
  port.setWord(words.WANTS_ROOM, 1)
  port.accept(0)
  port.wake()
  t.is(port.rings, 1)
  t.is(port.word(words.WANTS_ROOM), 0)
  port.data(0, 'x')
  port.wake()
  t.is(port.rings, 1)
})

test('records of a past generation touch nobody', (t) => {
  const log: string[] = []
  const port = new FakePort(recorder(log))
  port.accept(0, 2)
  port.data(0, 'old', 1)
  port.post(words.END, 0, 1)
  port.post(words.CLOSED, 0, 1, 0)
  port.post(words.SENT, 7, 9)
  port.wake()
  t.deepEqual(log, ['accept 0'])
  t.is(port.dispatcher.connections, 1)
})

test('a reset is told with its system error', (t) => {
  const seen: unknown[] = []
  const port = new FakePort({ onData: () => {}, onClose: (_, error) => void seen.push(error) })
  port.accept(0)
  port.post(words.CLOSED, 0, 1, 104)
  port.wake()
  t.like(seen[0], { code: 'ECONNRESET', errno: -104, syscall: 'read', name: 'RinglineError' })
})

test('the end of the worker ends connections, connects and tasks', async (t) => {
  const log: string[] = []
  const port = new FakePort(recorder(log))
  port.accept(0)
  port.wake()
  const connecting = port.dispatcher.connector.connect('127.0.0.1:1', 0, undefined)
  let aborted = false
  port.dispatcher.tasks.spawn((signal) => {
    signal.addEventListener('abort', () => {
      aborted = true
    })
    return new Promise(() => {})
  })
  port.post(words.STOPPED, 0, 0, 5)
  port.wake()
  await t.throwsAsync(connecting, { code: 'ERR_RINGLINE_WORKER_STOPPED' })
  t.true(aborted)
  t.is(port.stoppedWith, 5)
  t.deepEqual(log, ['accept 0', 'close 0 EIO'])
  port.dispatcher.doorbell()
  t.pass()
})

test('a detached slab costs its own connection a copy and the others nothing', (t) => {
  const seen: string[] = []
  const port = new FakePort({ onData: (conn, chunk) => void seen.push(`${conn.index()} ${chunk}`) })
  port.accept(0)
  port.accept(1)
  port.data(0, 'before')
  port.wake()
  // The library marks slabs as untransferable; a cloning transfer must leave the slab in place, and even if one got through…
  structuredClone(port.slab, { transfer: [port.slab] })
  port.data(0, 'after')
  port.data(1, 'other')
  port.wake()
  t.deepEqual(seen, ['0 before', '0 after', '1 other'])
})

test('without onEnd a connection is closed after the peer has ended, with it the handler decides', (t) => {
  const closing = new FakePort({ onData: () => {} })
  const staying = new FakePort({ onData: () => {}, onEnd: () => {} })
  for (const port of [closing, staying]) {
    port.accept(0)
    port.post(words.END, 0, 1)
    port.wake()
  }
  t.deepEqual(
    closing.take().map(({ kind }) => kind),
    [words.CLOSE],
  )
  t.deepEqual(staying.take(), [])
})

test('a pipe ends with the error of its connection, also when that had failed before the worker read of the pipe', async (t) => {
  for (const [failing, how] of [
    [0, words.PIPE_SOURCE_FAILED],
    [1, words.PIPE_TARGET_FAILED],
  ] as const) {
    const conns: ConnCtx[] = []
    const port = new FakePort({ onAccept: (conn) => void conns.push(conn) })
    port.accept(0)
    port.accept(1)
    port.wake()
    const piped = conns[0]!.pipe(conns[1]!)
    await nextImmediate()
    port.post(words.CLOSED, failing, 1, 104)
    port.post(words.PIPE_ENDED, 0, 0, 0, how, 0)
    port.wake()
    await t.throwsAsync(piped, { code: 'ECONNRESET' })
  }
})
