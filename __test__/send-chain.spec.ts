// Chains of sends: order, bounds, failing links, and what is free again afterwards.

import { once } from 'node:events'
import test from 'ava'
import { allocGuard, type ChainBuilder, type ConnCtx, type ConnToken, SendPart } from 'ringline'
import { accepted, dial, readAll, readBytes, serve, testConfig, until } from './serving.js'

const MIB = 1024 * 1024
/** More than the buffers of both sockets hold. */
const MORE_THAN_THE_SOCKET_HOLDS = 12 * MIB

const links =
  (count: number, data: string | Buffer = 'x') =>
  (chain: ChainBuilder): void => {
    for (let link = 0; link < count; link += 1) chain.copy(data)
  }

test.serial('the links of a chain arrive in order with one completion', async (t) => {
  const { conn, socket } = await accepted(t)
  const long = Buffer.alloc(100_000, 'long')
  const guard = allocGuard(5000).fill('g')
  const received = readAll(socket)
  const sent = conn.sendChain((chain) => chain.copy('<').copy(long).copy('').guard(guard).link(SendPart.Copy('>')))
  t.is(await sent, 105_002)
  await sent.released
  await guard.released
  t.is(await conn.sendChain(links(1)), 1)
  t.is(await conn.sendChain(() => {}), 0)
  t.is(
    conn.sendChainNowait((chain) => chain.copy('no').copy('wait')),
    6,
  )
  conn.close()
  t.true((await received).equals(Buffer.concat([Buffer.from('<'), long, guard, Buffer.from('>xnowait')])))
})

test.serial('b12 chains and plain sends reach the wire in the order of their calls', async (t) => {
  const { conn, socket } = await accepted(t)
  const received = readAll(socket)
  const expected: string[] = []
  const sends: Promise<number>[] = []
  for (let round = 0; round < 50; round += 1) {
    const [a, b, c] = ['a', 'b', 'c'].map((letter) => `${letter}${round}`.repeat(700)) as [string, string, string]
    sends.push(conn.send(a))
    sends.push(conn.sendChain((chain) => chain.copy(b).copy(c)))
    conn.sendNowait('between')
    sends.push(conn.sendChain((chain) => chain.copy(c).copy('!')))
    conn.sendChainNowait((chain) => chain.copy('?').copy(a))
    conn.sendNowait('after')
    expected.push(a, b, c, 'between', c, '!', '?', a, 'after')
    if (round % 2 === 0) await Promise.all(sends)
  }
  const counts = await Promise.all(sends)
  t.true(counts.every((count) => count > 0))
  conn.close()
  t.is(String(await received), expected.join(''))
})

test.serial(
  'a chain that is larger than the socket waits for its reader, and what was sent later for the chain',
  async (t) => {
    const { conn, socket } = await accepted(t)
    const half = Buffer.alloc(MIB, 'half')
    const chain = conn.sendChain(links(MORE_THAN_THE_SOCKET_HOLDS / MIB, half))
    const behind = conn.send('behind')
    let ended = false
    void chain.then(() => {
      ended = true
    })
    await once(socket, 'readable')
    t.false(ended)
    const all = readBytes(socket, MORE_THAN_THE_SOCKET_HOLDS + 6)
    socket.resume()
    t.deepEqual(await Promise.all([chain, behind]), [MORE_THAN_THE_SOCKET_HOLDS, 6])
    const received = await all
    t.is(received.subarray(MORE_THAN_THE_SOCKET_HOLDS).toString(), 'behind')
    t.true(received.subarray(0, MORE_THAN_THE_SOCKET_HOLDS).equals(Buffer.alloc(MORE_THAN_THE_SOCKET_HOLDS, half)))
  },
)

test.serial('received chunks and chains of more records than the ring has room for arrive whole', async (t) => {
  const config = testConfig().maxChainLength(64).sendCopyCount(8192).sendCopySlotSize(64)
  const echoed: Promise<number>[] = []
  const server = await serve(
    t,
    {
      onData(conn: ConnCtx, chunk: Buffer) {
        // Records of other sends come first, so that the last ones of the chain find no room in the ring.
        for (let send = 0; send < 8; send += 1) conn.sendNowait(Buffer.alloc(64, 'plain'))
        echoed.push(conn.sendChain((chain) => chain.copy(chunk).copy(Buffer.alloc(63 * 64 * 64, 'tail'))))
      },
      onEnd: (conn: ConnCtx) => conn.close(),
    },
    config,
  )
  const socket = await dial(t, server)
  const received = readAll(socket)
  const request = Buffer.alloc(4096, 'request')
  socket.end(request)
  const answer = await received
  t.true(echoed.length >= 1)
  const plain = answer.subarray(0, 8 * 64)
  t.true(plain.equals(Buffer.concat(Array.from({ length: 8 }, () => Buffer.alloc(64, 'plain')))))
  const counts = await Promise.all(echoed)
  t.is(answer.length, counts.reduce((sum, count) => sum + count) + echoed.length * 8 * 64)
  t.is(answer.subarray(answer.length - 4).toString(), 'tail')
})

test.serial('b11 a link that fails cancels the rest, and everything is free again', async (t) => {
  const slots = 1024
  const conns: ConnCtx[] = []
  const server = await serve(
    t,
    { onAccept: (conn) => void conns.push(conn), onData: () => {}, onEnd: () => {} },
    testConfig().maxConnections(1).sendCopyCount(slots),
  )
  for (let round = 1; round <= 3; round += 1) {
    const socket = await dial(t, server)
    socket.pause()
    socket.on('error', () => {})
    await until(() => conns.length === round)
    const conn = conns[round - 1]!
    const guard = allocGuard(MIB)
    // All slots but four: the next round finds none unless they come back.
    const data = Buffer.alloc(MIB)
    const chain = conn.sendChain((chain) => links(15, data)(chain.guard(guard)))
    const behind = conn.send('behind')
    const again = conn.sendChain(links(2))
    socket.once('readable', () => socket.resetAndDestroy())
    const error = await t.throwsAsync(chain)
    t.regex((error as NodeJS.ErrnoException).code ?? '', /^(ECONNRESET|EPIPE|ERR_RINGLINE_INVALID_CONNECTION)$/)
    await Promise.all([t.throwsAsync(behind), t.throwsAsync(again)])
    await chain.released
    await again.released
    t.throws(() => conn.sendChainNowait(links(2)), { code: 'ERR_RINGLINE_INVALID_CONNECTION' })
    await until(() => !conn.isOpen)
  }
})

test.serial('a chain has bounds, and can be disabled', async (t) => {
  for (const [config, max] of [
    [testConfig().maxChainLength(4), 4],
    // A chain has to fit into the submission queue.
    [testConfig().sqEntries(4), 4],
    [testConfig().maxChainLength(0), 0],
  ] as const) {
    const { conn, socket } = await accepted(t, config)
    const received = readAll(socket)
    const code = 'ERR_RINGLINE_CHAIN_TOO_LONG'
    const message = max === 0 ? /maxChainLength is 0/ : /needs 5 links and may have 4/
    t.throws(() => conn.sendChainNowait(links(5)), { code, message })
    await t.throwsAsync(conn.sendChain(links(5)), { code, message })
    if (max > 0) t.is(await conn.sendChain(links(max)), max)
    else t.throws(() => conn.sendChainNowait(links(1)), { code })
    conn.close()
    t.is((await received).length, max)
  }
  t.throws(() => testConfig().maxChainLength(65).build(), {
    code: 'ERR_RINGLINE_INVALID_CONFIG',
    message: /maxChainLength.*0 to 64.*65/,
  })
})

test.serial('a chain that cannot be sent sends nothing and says why', async (t) => {
  const { conn, socket } = await accepted(t, testConfig().sendCopyCount(4).sendCopySlotSize(64).sendSlabSlots(1))
  const guard = allocGuard(10)
  const badLuck = new Error('bad luck')
  const throws = (): never => {
    throw badLuck
  }
  t.is(await t.throwsAsync(conn.sendChain(throws)), badLuck)
  t.is(
    t.throws(() => conn.sendChainNowait(throws)),
    badLuck,
  )
  const refused: [(chain: ChainBuilder) => unknown, string][] = [
    [(chain) => chain.copy('a').guard(Buffer.alloc(8)), 'ERR_RINGLINE_INVALID_ARGUMENT'],
    [(chain) => chain.copy('a').copy(7 as never), 'ERR_RINGLINE_INVALID_ARGUMENT'],
    [undefined as never, 'ERR_RINGLINE_INVALID_ARGUMENT'],
    [async (chain) => chain.copy('not all'), 'ERR_RINGLINE_INVALID_ARGUMENT'],
    [(chain) => chain.guard(guard).guard(guard), 'ERR_RINGLINE_GUARD_LIMIT_REACHED'],
    [(chain) => chain.copy('a').copy(Buffer.alloc(4 * 64)), 'ERR_RINGLINE_SEND_POOL_EXHAUSTED'],
  ]
  for (const [add, code] of refused) {
    t.throws(() => conn.sendChainNowait(add), { code })
    const sent = conn.sendChain(add)
    await t.throwsAsync(sent, { code })
    await sent.released
  }
  await guard.released
  let kept: ChainBuilder | undefined
  const keep = (chain: ChainBuilder): void => {
    kept = chain
  }
  t.is(conn.sendChainNowait(keep), 0)
  t.throws(() => kept?.copy('late'), { code: 'ERR_RINGLINE_INVALID_ARGUMENT', message: /submitted already/ })
  const received = readAll(socket)
  conn.shutdownWrite()
  t.throws(() => conn.sendChainNowait(links(2)), { code: 'ERR_RINGLINE_WRITE_AFTER_SHUTDOWN' })
  t.is((await received).length, 0)
})

test.serial('a handler method sends a chain by token, and a stale token is refused', async (t) => {
  const tokens: ConnToken[] = []
  const refused: unknown[] = []
  const { conn, socket, server } = await accepted(t, testConfig(), {
    onNotify(driver) {
      try {
        t.is(
          driver.sendChain(tokens[0]!, (chain) => chain.copy('from ').copy('afar')),
          9,
        )
        driver.close(tokens[0]!)
      } catch (error) {
        refused.push(error)
      }
    },
  })
  tokens.push(conn.token())
  const received = readAll(socket)
  server.notify()
  t.is(String(await received), 'from afar')
  socket.end()
  await until(() => !conn.isOpen)
  server.notify()
  await until(() => refused.length === 1)
  t.is((refused[0] as { code?: string }).code, 'ERR_RINGLINE_INVALID_CONNECTION')
  const stale = conn.sendChain(links(2))
  await t.throwsAsync(stale, { code: 'ERR_RINGLINE_INVALID_CONNECTION' })
  await stale.released
})
