// What becomes of received bytes when a parse function does more than look at them, and of errors that a handler brings about, end to end.

import test from 'ava'
import { ParseResult, type RinglineError } from 'ringline'
import { accepted, dial, readAll, readBytes, serve, testConfig, until } from './serving.js'

const all = (data: Buffer) => ParseResult.Consumed(data.length)

for (const [how, code] of [
  ['aborts its own signal', 'aborted'],
  ['cancels its connection', 'ERR_RINGLINE_CANCELED'],
] as const) {
  test.serial(`a parse function that ${how} has taken nothing: the next call gets the bytes`, async (t) => {
    const { conn, socket } = await accepted(t)
    const controller = new AbortController()
    const first = conn.withData(
      (data) => {
        if (code === 'aborted') controller.abort(Object.assign(new Error('enough'), { code }))
        else conn.cancel()
        return all(data)
      },
      { signal: controller.signal },
    )
    socket.write('message')
    t.is((await t.throwsAsync<Error & { code?: string }>(first)).code, code)
    let got = ''
    t.is(
      await conn.withData((data) => {
        got = String(data)
        return all(data)
      }),
      7,
    )
    t.is(got, 'message')
    socket.write('next')
    t.is(await conn.withData(all), 4)
  })
}

test.serial('a parse function that answers with more than it was given is told so, and the bytes stay', async (t) => {
  const { conn, socket } = await accepted(t)
  const wrong = conn.withData((data) => ParseResult.Consumed(data.length + 1))
  socket.write('message')
  await t.throwsAsync(wrong, { code: 'ERR_RINGLINE_INVALID_PARSE_RESULT', message: /0 to the 7 bytes/ })
  t.is(await conn.withData(all), 7)
})

test.serial(
  'c7 a parse function that needs more for ever is stopped by the limit, and its connection closed',
  async (t) => {
    const config = testConfig().recvAccumulatorLimit(64 * 1024)
    let refused: Promise<unknown> | undefined
    const told: (string | undefined)[] = []
    const server = await serve(
      t,
      {
        onAccept(conn) {
          refused = conn.withData(() => ParseResult.NeedMore).catch((error: unknown) => error)
          return refused
        },
        onError: () => {},
        onClose: (_, error) => void told.push((error as RinglineError | undefined)?.code),
      },
      config,
    )
    const socket = await dial(t, server)
    socket.write(Buffer.alloc(1024 * 1024))
    // It may be a reset: not everything was read.
    await readAll(socket).catch(() => {})
    t.like(await refused, { code: 'ERR_RINGLINE_RECEIVE_LIMIT_EXCEEDED' })
    await until(() => told.length === 1)
    t.deepEqual(told, ['ERR_RINGLINE_RECEIVE_LIMIT_EXCEEDED'])
  },
)

test.serial(
  'what a handler rejects with that is no error is told as one, with what it was, and others go on',
  async (t) => {
    const errors: (Error & { code?: string })[] = []
    const server = await serve(t, {
      onData(conn, chunk) {
        if (String(chunk) === 'throw') return Promise.reject('a string')
        return void conn.sendNowait(chunk)
      },
      onError: (error) => void errors.push(error),
    })
    const [failing, other] = [await dial(t, server), await dial(t, server)]
    failing.on('error', () => {})
    failing.write('throw')
    await readAll(failing).catch(() => {})
    t.like(errors[0], { code: 'ERR_RINGLINE_HANDLER_FAILED', cause: 'a string' })
    other.write('still here')
    t.is(String(await readBytes(other, 10)), 'still here')
  },
)
