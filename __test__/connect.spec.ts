// Connecting to peers that do not answer, end to end: by time, by signal, and by the end of the worker; nothing is left each time.

import test, { type ExecutionContext } from 'ava'
import { type ConnCtx, connect, connectWithTimeout, type DriverCtx, type Server } from 'ringline'
import { IDLE, serve, testConfig, until } from './serving.js'
import { blackHole } from './silent-peer.js'

/** A worker and its own view of what it has in use. */
async function worker(t: ExecutionContext): Promise<{ server: Server<true>; driver: () => DriverCtx }> {
  let driver: DriverCtx | undefined
  const onTick = (ctx: DriverCtx): void => {
    driver = ctx
  }
  const server = await serve(t, { onAccept() {}, onTick }, testConfig().maxConnections(2))
  await until(() => driver !== undefined)
  return { server, driver: () => driver! }
}

test.serial('a connect that is not answered in time rejects with the address, and its slot is free', async (t) => {
  const { driver } = await worker(t)
  const peer = await blackHole(t)
  for (let round = 0; round < 3; round += 1) {
    const attempts = [connectWithTimeout(peer, 20), connectWithTimeout(peer, 30)]
    for (const attempt of attempts) {
      t.like(await t.throwsAsync(attempt), { code: 'ETIMEDOUT', syscall: 'connect', ...peer })
    }
    await until(() => driver().usage().connections === 0)
  }
  t.like(driver().usage(), IDLE)
})

test.serial('a connect without a limit waits until its signal ends it, and its slot is free', async (t) => {
  const { server, driver } = await worker(t)
  const controller = new AbortController()
  const peer = await blackHole(t)
  const attempts = [connect(peer, { signal: controller.signal }), connect(peer, { signal: controller.signal })]
  await until(() => driver().usage().connects === 2)
  await t.throwsAsync(connect(server.boundAddr), { code: 'ERR_RINGLINE_CONNECTION_LIMIT_REACHED' })
  controller.abort(new Error('enough'))
  for (const attempt of attempts) await t.throwsAsync(attempt, { message: 'enough' })
  await until(() => driver().usage().connections === 0)
  t.like(driver().usage(), IDLE)
  // The attempts themselves are over too, which shows by their slots alone.
  let conn: ConnCtx | undefined
  await until(() => {
    connect(server.boundAddr).then(
      (made) => {
        if (conn === undefined) conn = made
        else made.close()
      },
      () => {},
    )
    return conn !== undefined
  })
  t.true(conn!.isOutbound())
})

test.serial('a connect without a limit and a signal ends with its worker', async (t) => {
  const { server, driver } = await worker(t)
  const attempt = connect(await blackHole(t))
  await until(() => driver().usage().connects === 1)
  await server.shutdown()
  await t.throwsAsync(attempt, { code: 'ERR_RINGLINE_WORKER_STOPPED' })
})

test.serial('a connect that is refused needs neither a limit nor a signal', async (t) => {
  const { server, driver } = await worker(t)
  const refused = await t.throwsAsync<Error & { code?: string }>(connect('127.0.0.1:1'))
  t.like(refused, { code: 'ECONNREFUSED', syscall: 'connect', address: '127.0.0.1', port: 1 })
  await until(() => driver().usage().connections === 0)
  const { port } = server.boundAddr
  const conn: ConnCtx = await connect({ address: '127.0.0.1', port })
  t.true(conn.isOutbound())
})
