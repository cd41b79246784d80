// Taking received bytes: withData, tryWithData, recvReady, iteration; joining, limits, pauses, the end of the stream.

import test from 'ava'
import type { ConnCtx } from '../dist/connection.js'
import type { AsyncEventHandler } from '../dist/handler.js'
import { ParseResult } from '../dist/parse-result.js'
import * as words from '../dist/protocol.js'
import { type FakeOptions, FakePort } from './fake-port.js'

/** An accepted connection of a handler without onData. */
function accepted(handler: AsyncEventHandler = {}, options: FakeOptions = {}): { port: FakePort; conn: ConnCtx } {
  let conn: ConnCtx | undefined
  const port = new FakePort(
    {
      onError: () => {},
      ...handler,
      onAccept: (made) => {
        conn = made
      },
    },
    options,
  )
  port.accept(0)
  port.wake()
  return { port, conn: conn! }
}

const all = (data: Buffer) => ParseResult.Consumed(data.length)

test('withData waits, gets what came, and resolves what it consumed', async (t) => {
  const { port, conn } = accepted()
  const got: string[] = []
  const taken = conn.withData((data) => {
    got.push(String(data))
    return ParseResult.Consumed(3)
  })
  port.data(0, 'abcdef')
  port.wake()
  t.is(await taken, 3)
  t.is(
    await conn.withData((data) => {
      got.push(String(data))
      return all(data)
    }),
    3,
  )
  t.deepEqual(got, ['abcdef', 'def'])
})

test('NeedMore is asked again with all bytes when more have come', async (t) => {
  const { port, conn } = accepted()
  const shown: string[] = []
  const line = conn.withData((data) => {
    shown.push(String(data))
    const end = data.indexOf('\n')
    return end < 0 ? ParseResult.NeedMore : ParseResult.Consumed(end + 1)
  })
  for (const piece of ['GET ', 'key', '\r\nrest']) {
    port.data(0, piece, 1, true)
    port.wake()
  }
  t.is(await line, 9)
  t.deepEqual(shown, ['GET ', 'GET key', 'GET key\r\nrest'])
  t.is(conn.tryWithData(all), 4)
  t.is(conn.tryWithData(all), undefined)
})

test('views that a parse function has kept never change', async (t) => {
  const { port, conn } = accepted({}, { recvAccumulatorCapacity: 16 })
  const kept: { view: Buffer; copy: string }[] = []
  for (let round = 0; round < 200; round += 1) {
    const wanted = 1 + ((round * 7) % 40)
    const taken = conn.withData((data) => {
      kept.push({ view: data, copy: String(data) })
      return data.length < wanted ? ParseResult.NeedMore : ParseResult.Consumed(wanted)
    })
    for (let piece = 0; piece < 8; piece += 1) {
      port.data(0, `${round}:${piece};`, 1, piece % 3 === 0)
      port.wake()
    }
    t.is(await taken, wanted)
  }
  for (const { view, copy } of kept) t.is(String(view), copy)
})

test('c8 64 MiB in 16 KiB pieces, asked for with NeedMore each time, copies each byte a bounded number of times', async (t) => {
  const { port, conn } = accepted({}, { recvAccumulatorLimit: 2 ** 27 })
  const pieces = 4096
  const piece = Buffer.alloc(16384, 'x')
  let copied = 0
  const set = Uint8Array.prototype.set
  Uint8Array.prototype.set = function (source: ArrayLike<number>, offset?: number) {
    copied += source.length
    return set.call(this, source, offset)
  }
  t.teardown(() => {
    Uint8Array.prototype.set = set
  })
  const total = conn.withData((data) => (data.length < pieces * piece.length ? ParseResult.NeedMore : all(data)))
  for (let index = 0; index < pieces; index += 1) {
    port.data(0, piece, 1, true)
    port.wake()
    port.completeAll()
  }
  t.is(await total, pieces * piece.length)
  t.true(copied > 0 && copied < 4 * pieces * piece.length, `${copied} bytes copied`)
})

test('c7 NeedMore beyond the limit closes the connection with an error, once', async (t) => {
  const errors: string[] = []
  const { port, conn } = accepted({ onError: (error) => void errors.push((error as { code?: string }).code ?? '') })
  const endless = conn.withData(() => ParseResult.NeedMore)
  for (let block = 0; block < 40; block += 1) {
    port.data(0, Buffer.alloc(32768), 1, true)
    port.wake()
  }
  await t.throwsAsync(endless, { code: 'ERR_RINGLINE_RECEIVE_LIMIT_EXCEEDED' })
  t.deepEqual(
    port.take().map(({ kind }) => kind),
    [words.ABORT],
  )
  t.deepEqual(errors, ['ERR_RINGLINE_RECEIVE_LIMIT_EXCEEDED'])
  t.false(conn.isOpen)
})

test('unread bytes above 256 KiB pause receiving; taking them, or waiting for more, resumes it', async (t) => {
  const { port, conn } = accepted()
  const kinds = () => port.take().map(({ kind }) => kind)
  for (let block = 0; block < 8; block += 1) port.data(0, Buffer.alloc(32768), 1, true)
  port.wake()
  t.deepEqual(kinds(), [])
  port.data(0, 'x', 1, true)
  port.wake()
  t.deepEqual(kinds(), [words.PAUSE])
  t.is(
    conn.tryWithData(() => ParseResult.Consumed(1000)),
    1000,
  )
  await port.settle()
  t.deepEqual(kinds(), [])
  t.is(
    conn.tryWithData(() => ParseResult.Consumed(150_000)),
    150_000,
  )
  await port.settle()
  t.deepEqual(kinds(), [words.RESUME])
  for (let block = 0; block < 8; block += 1) port.data(0, Buffer.alloc(32768), 1, true)
  port.wake()
  t.deepEqual(kinds(), [words.PAUSE])
  const waiting = conn.withData((data) => (data.length < 400_000 ? ParseResult.NeedMore : all(data)))
  await port.settle()
  t.deepEqual(kinds(), [words.RESUME])
  port.data(0, Buffer.alloc(32768), 1, true)
  port.wake()
  t.is(await waiting, 262_144 + 1 - 151_000 + 262_144 + 32_768)
})

test('at the end of the stream withData shows an empty Buffer once and resolves 0', async (t) => {
  const { port, conn } = accepted()
  const lengths: number[] = []
  const ended = conn.withData((data) => {
    lengths.push(data.length)
    return ParseResult.NeedMore
  })
  port.post(words.END, 0, 1)
  port.wake()
  t.is(await ended, 0)
  t.deepEqual(lengths, [0])
})

test('when the connection is gone withData resolves 0 without showing anything: there is nobody to answer', async (t) => {
  const { port, conn } = accepted()
  const shown = (data: Buffer): number => {
    t.fail('the parse function was called')
    return data.length
  }
  const waited = conn.withData(shown)
  port.post(words.CLOSED, 0, 1, 104)
  port.wake()
  t.is(await waited, 0)
  t.is(await conn.withData(shown), 0)
})

test('at the end of the stream what is left can still be taken', async (t) => {
  const { port, conn } = accepted()
  port.data(0, 'abc')
  port.post(words.END, 0, 1)
  port.post(words.CLOSED, 0, 1, 0)
  port.wake()
  t.is(await conn.withData(() => ParseResult.Consumed(2)), 2)
  t.is(await conn.withData(() => ParseResult.NeedMore), 0)
  t.is(await conn.withData(() => ParseResult.Consumed(1)), 1)
  t.is(await conn.withData(all), 0)
})

test('a5 close() by this side drops unread bytes and ends the waiting', async (t) => {
  const { port, conn } = accepted()
  const waiting = conn.withData(all)
  conn.close()
  conn.close()
  t.is(await waiting, 0)
  t.is(conn.tryWithData(all), undefined)
  await port.settle()
  t.deepEqual(
    port.take().map(({ kind }) => kind),
    [words.CLOSE],
  )
})

test('a parse function may close its connection', async (t) => {
  const { port, conn } = accepted()
  const taken = conn.withData((data) => {
    conn.close()
    return all(data)
  })
  port.data(0, 'quit')
  port.wake()
  t.is(await taken, 0)
  t.is(conn.tryWithData(all), undefined)
})

test('what a parse function throws rejects; no byte is lost and the connection stays', async (t) => {
  const { port, conn } = accepted()
  const thrown = conn.withData(() => {
    throw new RangeError('bad frame')
  })
  port.data(0, 'abc')
  port.wake()
  await t.throwsAsync(thrown, { instanceOf: RangeError })
  t.is(conn.tryWithData(all), 3)
  t.true(conn.isOpen)
})

for (const [name, result] of [
  ['more than given', 4],
  ['a negative number', -1],
  ['a fraction', 1.5],
  ['NaN', Number.NaN],
  ['nothing', undefined],
  ['a promise', Promise.resolve(1)],
] as const) {
  test(`a parse function that answers ${name} is an error`, async (t) => {
    const { port, conn } = accepted()
    port.data(0, 'abc')
    port.wake()
    await t.throwsAsync(
      conn.withData(() => result as number),
      { code: 'ERR_RINGLINE_INVALID_PARSE_RESULT', message: /3 bytes/ },
    )
    t.throws(() => conn.tryWithData(() => result as number), { code: 'ERR_RINGLINE_INVALID_PARSE_RESULT' })
    t.is(conn.tryWithData(all), 3)
  })
}

test('a second receiver is refused loudly, and the first goes on', async (t) => {
  const { port, conn } = accepted()
  const first = conn.withData(all)
  await t.throwsAsync(conn.withData(all), { code: 'ERR_RINGLINE_RECEIVE_BUSY' })
  await t.throwsAsync(conn.recvReady(), { code: 'ERR_RINGLINE_RECEIVE_BUSY' })
  t.throws(() => conn.tryWithData(all), { code: 'ERR_RINGLINE_RECEIVE_BUSY' })
  port.data(0, 'abc')
  port.wake()
  t.is(await first, 3)
})

test('cancel() and a signal end the waiting; bytes that come later are kept', async (t) => {
  const { port, conn } = accepted()
  const canceled = conn.withData(all)
  conn.cancel()
  await t.throwsAsync(canceled, { code: 'ERR_RINGLINE_CANCELED' })
  const controller = new AbortController()
  const aborted = conn.withData(all, { signal: controller.signal })
  controller.abort(new Error('enough'))
  await t.throwsAsync(aborted, { message: 'enough' })
  port.data(0, 'abc')
  port.wake()
  t.is(conn.tryWithData(all), 3)
})

test('recvReady resolves for new bytes, not for those that were refused', async (t) => {
  const { port, conn } = accepted()
  let ready = 0
  const wait = () =>
    conn.recvReady().then(() => {
      ready += 1
    })
  void wait()
  port.data(0, 'ab')
  await port.settle()
  t.is(ready, 1)
  t.is(
    conn.tryWithData(() => ParseResult.NeedMore),
    0,
  )
  void wait()
  await port.settle()
  t.is(ready, 1)
  port.data(0, 'c')
  await port.settle()
  t.is(ready, 2)
})

test('for await yields chunks and ends quietly, at a FIN and at a reset', async (t) => {
  for (const end of [
    (port: FakePort) => port.post(words.END, 0, 1),
    (port: FakePort) => port.post(words.CLOSED, 0, 1, 104),
  ]) {
    const { port, conn } = accepted()
    const read = (async () => {
      const chunks: string[] = []
      for await (const chunk of conn) chunks.push(String(chunk))
      return chunks.join('|')
    })()
    port.data(0, 'one')
    await port.settle()
    port.data(0, 'two', 1, true)
    port.data(0, 'three', 1, true)
    end(port)
    await port.settle()
    t.is(await read, 'one|two|three')
  }
})

test('leaving a for await loop early leaves the connection open and its bytes unread', async (t) => {
  const { port, conn } = accepted()
  port.data(0, 'one')
  port.data(0, 'two', 1, true)
  port.wake()
  for await (const chunk of conn) {
    t.is(String(chunk), 'one')
    break
  }
  t.true(conn.isOpen)
  t.is(
    conn.tryWithData((data) => all(Buffer.from(String(data) === 'two' ? data : ''))),
    3,
  )
})

test('adjacent chunks are joined without a copy', async (t) => {
  const { port, conn } = accepted()
  port.data(0, 'ab')
  port.data(0, 'cd')
  port.wake()
  conn.tryWithData((data) => {
    t.is(String(data), 'abcd')
    t.is(data.buffer, port.slab)
    return all(data)
  })
})

test('a connection of an onData handler turns to withData when it asks', async (t) => {
  const log: string[] = []
  let conn: ConnCtx | undefined
  const port = new FakePort({
    onAccept: (made) => {
      conn = made
    },
    onData: (_, chunk) => void log.push(`pushed ${chunk}`),
  })
  port.accept(0)
  port.data(0, 'a')
  port.wake()
  const pulled = conn!.withData(all)
  port.data(0, 'bcd')
  port.wake()
  t.is(await pulled, 3)
  t.deepEqual(log, ['pushed a'])
})

test('when the promise of onAccept is fulfilled the connection is closed, after its sends', async (t) => {
  const port = new FakePort({
    async onAccept(conn) {
      while (await conn.withData((data) => ParseResult.Consumed(conn.sendNowait(data)))) {}
    },
  })
  port.accept(0)
  port.data(0, 'echo')
  await port.settle()
  t.is(String(port.completeAll().get(0)), 'echo')
  port.post(words.END, 0, 1)
  await port.settle()
  t.deepEqual(
    port.take().map(({ kind }) => kind),
    [words.CLOSE],
  )
})
