// UDP end to end, against Node's own sockets: every size, both families, loss that is counted, peers that are not there.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import {
  type AsyncEventHandler,
  type ConfigBuilder,
  type Datagram,
  RinglineBuilder,
  type Server,
  type SocketAddress,
  type UdpCtx,
  UdpSendError,
  type UdpToken,
} from 'ringline'
import { handlerClass, holdings, testConfig, until, untilReleased } from './serving.js'

/** A runtime with one UDP socket. */
async function bound(
  t: ExecutionContext,
  handler: AsyncEventHandler,
  { config = testConfig(), address = '127.0.0.1:0' }: { config?: ConfigBuilder; address?: string } = {},
): Promise<{ server: Server; at: SocketAddress }> {
  const server = await new RinglineBuilder(config.build()).bindUdp(address).launch(handlerClass(handler))
  t.teardown(() => server.shutdown())
  return { server, at: server.udpAddrs[0]! }
}

/** A socket of Node's own, closed when the test ends. */
async function peer(t: ExecutionContext, type: 'udp4' | 'udp6' = 'udp4'): Promise<Socket> {
  const socket = createSocket({ type, recvBufferSize: 4 * 1024 * 1024 })
  t.teardown(() => socket.close())
  socket.bind(0, type === 'udp4' ? '127.0.0.1' : '::1')
  await once(socket, 'listening')
  return socket
}

function send(socket: Socket, data: Uint8Array, to: SocketAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(data, to.port, to.address, (error) => (error === null ? resolve() : reject(error)))
  })
}

async function exchange(socket: Socket, data: Uint8Array, to: SocketAddress): Promise<[Buffer, RemoteInfo]> {
  const answer = once(socket, 'message') as Promise<[Buffer, RemoteInfo]>
  await send(socket, data, to)
  return await answer
}

const echo: AsyncEventHandler = { onDatagram: (udp, data, address) => udp.sendTo(address, data) }

test.serial('datagrams of every size are echoed by onDatagram, over IPv4 and IPv6', async (t) => {
  for (const [type, address] of [
    ['udp4', '127.0.0.1:0'],
    ['udp6', '[::1]:0'],
  ] as const) {
    const { at } = await bound(t, echo, { address })
    const socket = await peer(t, type)
    for (const size of [0, 1, 64, 1472, 16_383, 16_384, 16_385, 32_768, 49_153, 65_507]) {
      const data = Buffer.alloc(size, size % 251)
      const [answer, from] = await exchange(socket, data, at)
      t.true(answer.equals(data), `${type}, ${size} bytes`)
      t.is(from.port, at.port)
    }
  }
})

test.serial('what leaves and arrives joined is one datagram each, in order, with its sender', async (t) => {
  // Datagrams of one size follow each other to one peer, so they leave as one, and arrive so at another of ringline's sockets.
  for (const address of ['127.0.0.1:0', '[::1]:0']) {
    const received: Datagram[] = []
    const senders: UdpCtx[] = []
    const { at } = await bound(
      t,
      { onDatagram: (_, data, from) => void received.push({ data, address: from }) },
      { address },
    )
    const { at: from } = await bound(t, { onUdpBind: (udp) => void senders.push(udp) }, { address })
    const sizes = [...Array<number>(100).fill(64), 63, 64, 0, ...Array<number>(50).fill(1452), 1, 1453, 40_000, 64, 64]
    const datagrams = sizes.map((size, index) => Buffer.alloc(size, index))
    for (const data of datagrams) senders[0]!.sendTo(at, data)
    await until(() => received.length === sizes.length)
    t.true(received.every(({ data }, index) => data.equals(datagrams[index]!)))
    t.true(received.every(({ address }) => address.port === from.port))
  }
})

test.serial('a burst of joined datagrams is not lost for coming within one turn', async (t) => {
  const [sockets, each] = [5, 1000]
  let received = 0
  const udps: UdpCtx[] = []
  const onUdpBind = (udp: UdpCtx): void => void udps.push(udp)
  const onDatagram = (): void => {
    received += 1
  }
  const { at } = await bound(t, { onUdpBind, onDatagram })
  const receiver = udps.pop()!
  for (let socket = 0; socket < sockets; socket += 1) await bound(t, { onUdpBind })
  for (const sender of udps) {
    for (let sent = 0; sent < each; sent += 1) sender.sendTo(at, 'datagram')
  }
  await until(() => received + receiver.dropped === sockets * each)
  t.is(receiver.dropped, 0)
})

test.serial('a for await loop receives each datagram with its sender, and ends with the worker', async (t) => {
  const received: Datagram[] = []
  let ended = false
  const { server, at } = await bound(t, {
    async onUdpBind(udp) {
      for await (const datagram of udp) received.push(datagram)
      ended = true
    },
  })
  const [first, second] = [await peer(t), await peer(t)]
  for (const [index, socket] of [first, second, first].entries()) {
    await send(socket, Buffer.from(`datagram ${index}`), at)
    await until(() => received.length === index + 1)
  }
  t.deepEqual(
    received.map(({ data }) => String(data)),
    ['datagram 0', 'datagram 1', 'datagram 2'],
  )
  t.deepEqual(received[0]?.address, { address: '127.0.0.1', port: first.address().port, family: 'IPv4' })
  t.is(received[0]?.address, received[2]?.address, 'one object per peer')
  t.is(received[1]?.address.port, second.address().port)
  await server.shutdown()
  await until(() => ended)
})

test.serial('a second recvFrom is an error, and the first goes on waiting', async (t) => {
  let udp: UdpCtx | undefined
  const { at } = await bound(t, {
    onUdpBind: (ctx) => {
      udp = ctx
    },
  })
  const first = udp!.recvFrom()
  await t.throwsAsync(udp!.recvFrom(), { code: 'ERR_RINGLINE_RECEIVE_BUSY' })
  await send(await peer(t), Buffer.from('for the first'), at)
  t.is(String((await first).data), 'for the first')
})

test.serial('an aborted recvFrom loses nothing', async (t) => {
  let udp: UdpCtx | undefined
  const { at } = await bound(t, {
    onUdpBind: (ctx) => {
      udp = ctx
    },
  })
  const controller = new AbortController()
  const waiting = udp!.recvFrom({ signal: controller.signal })
  controller.abort(new Error('enough'))
  await t.throwsAsync(waiting, { message: 'enough' })
  await send(await peer(t), Buffer.from('later'), at)
  t.is(String((await udp!.recvFrom()).data), 'later')
})

test.serial('datagrams that nobody takes are dropped, the newest first, and counted', async (t) => {
  let udp: UdpCtx | undefined
  const { at } = await bound(t, {
    onUdpBind: (ctx) => {
      udp = ctx
    },
  })
  const socket = await peer(t)
  let sent = 0
  for (; udp!.dropped < 10; sent += 1) {
    const data = Buffer.alloc(16)
    data.writeUInt32LE(sent)
    await send(socket, data, at)
    // The system's own buffer must not be what overflows.
    if (sent % 64 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  t.true(sent >= 4096 + 10)
  let last = -1
  const takeNumber = (data: Buffer): void => {
    const number = data.readUInt32LE()
    t.true(number > last)
    last = number
  }
  for (let index = 0; index < 4096; index += 1) takeNumber((await udp!.recvFrom()).data)
  // There is room again, once the worker has seen it. What was still on its way when the loop above ended comes first.
  for (let taken = 4096; ; taken += 1) {
    t.true(taken <= sent)
    await send(socket, Buffer.from('next'), at)
    const { data } = await udp!.recvFrom()
    if (String(data) === 'next') break
    takeNumber(data)
  }
})

test.serial('JavaScript that stands still loses datagrams and neither memory nor the socket', async (t) => {
  let received = 0
  let udp: UdpCtx | undefined
  const { at } = await bound(t, {
    onUdpBind: (ctx) => {
      udp = ctx
    },
    onDatagram: () => {
      received += 1
    },
  })
  // Sent by the socket itself: all of it comes while this thread is busy.
  const data = Buffer.alloc(60_000)
  let sent = 0
  const sentThere = (): boolean => {
    try {
      udp!.sendTo(at, data)
      return true
    } catch (error) {
      // The worker may be slower than this thread.
      if ((error as NodeJS.ErrnoException).code === 'ERR_RINGLINE_SEND_POOL_EXHAUSTED') return false
      throw error
    }
  }
  for (let round = 0; round < 60; round += 1) {
    for (let index = 0; index < 16 && sentThere(); index += 1) sent += 1
    await new Promise((resolve) => setImmediate(resolve))
    const until = performance.now() + 2
    while (performance.now() < until) {}
  }
  const last = received
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.true(received > 0 && received >= last && received + udp!.dropped <= sent)
  const before = received
  udp!.sendTo(at, 'alive')
  await until(() => received === before + 1)
})

test.serial('a peer that is not there breaks nothing', async (t) => {
  let udp: UdpCtx | undefined
  const { at } = await bound(t, {
    ...echo,
    onUdpBind: (ctx) => {
      udp = ctx
    },
  })
  const socket = await peer(t)
  const gone = createSocket('udp4')
  gone.bind(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port } = gone.address()
  gone.close()
  // The system answers each of these with "port unreachable".
  for (let round = 0; round < 100; round += 1) udp!.sendTo({ address: '127.0.0.1', port }, 'anybody?')
  t.is(String((await exchange(socket, Buffer.from('still there'), at))[0]), 'still there')
})

test.serial('what cannot be sent is refused with a code', async (t) => {
  let udp: UdpCtx | undefined
  const { at } = await bound(
    t,
    {
      onUdpBind: (ctx) => {
        udp = ctx
      },
    },
    { config: testConfig().sendCopyCount(4).sendCopySlotSize(1024) },
  )
  const codeOf = (send: () => void) => (t.throws(send) as UdpSendError).code
  t.is(
    codeOf(() => udp!.sendTo(at, Buffer.alloc(65_508))),
    'EMSGSIZE',
  )
  t.is(
    codeOf(() => udp!.sendTo(at, Buffer.alloc(4097))),
    'ERR_RINGLINE_SEND_POOL_EXHAUSTED',
  )
  t.is(
    codeOf(() => udp!.sendTo('[::1]:9', 'x')),
    'ERR_RINGLINE_INVALID_ADDRESS',
  )
  t.is(
    codeOf(() => udp!.sendTo('127.0.0.1:0', 'x')),
    'ERR_RINGLINE_INVALID_ADDRESS',
  )
  t.is(
    codeOf(() => udp!.sendTo('localhost:9', 'x')),
    'ERR_RINGLINE_INVALID_ADDRESS',
  )
  t.is(
    codeOf(() => udp!.sendTo(at, 7 as never)),
    'ERR_RINGLINE_INVALID_ARGUMENT',
  )
  for (let slot = 0; slot < 4; slot += 1) udp!.sendTo(at, 'x')
  t.throws(() => udp!.sendTo(at, 'x'), { instanceOf: UdpSendError, code: 'ERR_RINGLINE_SEND_POOL_EXHAUSTED' })
  // All four come back, one after the other, and so do their slots.
  for (let slot = 0; slot < 4; slot += 1) t.is(String((await udp!.recvFrom()).data), 'x')
  await until(() => {
    try {
      udp!.sendTo(at, Buffer.alloc(4096, 'y'))
      return true
    } catch {
      return false
    }
  })
  t.true((await udp!.recvFrom()).data.equals(Buffer.alloc(4096, 'y')))
})

test.serial('no more than 1024 datagrams of a socket are on their way out', async (t) => {
  let udp: UdpCtx | undefined
  const { at } = await bound(
    t,
    {
      onUdpBind: (ctx) => {
        udp = ctx
      },
      onDatagram: () => {},
    },
    { config: testConfig().sendCopyCount(4096).sendCopySlotSize(64) },
  )
  for (let count = 0; count < 1024; count += 1) udp!.sendTo(at, 'x')
  t.throws(() => udp!.sendTo(at, 'x'), { code: 'ERR_RINGLINE_SEND_IN_FLIGHT' })
  await until(() => {
    try {
      udp!.sendTo(at, 'x')
      return true
    } catch {
      return false
    }
  })
  t.is(udp!.sendErrors, 0)
})

test.serial(
  'more datagrams in one turn than the submission ring has room for are refused, and none of the others is lost',
  async (t) => {
    const SOCKETS = 8
    const sockets: UdpCtx[] = []
    const config = testConfig().sendCopyCount(16_384).sendCopySlotSize(64)
    const builder = new RinglineBuilder(config.build())
    for (let socket = 0; socket < SOCKETS; socket += 1) builder.bindUdp('127.0.0.1:0')
    const server = await builder.launch(handlerClass({ onUdpBind: (udp) => void sockets.push(udp) }))
    t.teardown(() => server.shutdown())
    const to = await peer(t)
    let received = 0
    to.on('message', () => {
      received += 1
    })
    let sent = 0
    const refused = t.throws<UdpSendError>(() => {
      for (const udp of sockets) {
        for (let count = 0; count < 1024; count += 1, sent += 1)
          udp.sendTo({ address: '127.0.0.1', port: to.address().port }, '')
      }
    })
    t.true(refused instanceof UdpSendError)
    t.is(refused.code, 'ERR_RINGLINE_SUBMISSION_QUEUE_FULL')
    // In a later turn there is room. What the peer's own buffer had no room for is lost to it, and to nobody else.
    await until(() => received > 0)
    t.deepEqual(
      sockets.map((udp) => udp.sendErrors),
      Array<number>(SOCKETS).fill(0),
    )
    const before = received
    sockets.at(-1)!.sendTo({ address: '127.0.0.1', port: to.address().port }, 'after')
    await until(() => received > before)
    t.true(sent > 1024)
  },
)

test.serial('a datagram without a route is counted, and the socket goes on', async (t) => {
  let udp: UdpCtx | undefined
  const { at } = await bound(t, {
    onUdpBind: (ctx) => {
      udp = ctx
    },
  })
  // A socket bound to the loopback address reaches no other network.
  udp!.sendTo('192.0.2.1:9', 'nowhere')
  await until(() => udp!.sendErrors === 1)
  udp!.sendTo(at, 'here')
  t.is(String((await udp!.recvFrom()).data), 'here')
})

test.serial('DriverCtx sends by token, and knows foreign tokens', async (t) => {
  const tokens: UdpToken[] = []
  const received: string[] = []
  const { server } = await bound(t, {
    onUdpBind: (udp) => void tokens.push(udp.token()),
    onDatagram: (_, data) => void received.push(String(data)),
    onNotify(driver) {
      driver.sendTo(tokens[0]!, server.udpAddrs[0]!, 'by token')
      t.throws(() => driver.sendTo({} as UdpToken, '127.0.0.1:9', 'x'), { code: 'ERR_RINGLINE_INVALID_ARGUMENT' })
    },
  })
  server.notify()
  await until(() => received.length === 1)
  t.deepEqual(received, ['by token'])
})

test.serial('a throw of onDatagram is reported, and the datagrams after it are delivered', async (t) => {
  const errors: string[] = []
  const received: string[] = []
  const { at } = await bound(t, {
    onDatagram(_, data) {
      if (String(data) === 'bad') throw new Error('of the handler')
      received.push(String(data))
    },
    onError: (error) => void errors.push(error.message),
  })
  const socket = await peer(t)
  for (const text of ['bad', 'good']) await send(socket, Buffer.from(text), at)
  await until(() => received.length === 1)
  t.deepEqual([errors, received], [['of the handler'], ['good']])
})

test.serial(
  'several workers and addresses: each has a socket of its own, and every datagram reaches one',
  async (t) => {
    const sockets: [number, UdpCtx][] = []
    let received = 0
    class Handler implements AsyncEventHandler {
      private readonly worker: number
      constructor(worker: number) {
        this.worker = worker
      }
      static createForWorker(worker: number): Handler {
        return new Handler(worker)
      }
      onUdpBind(udp: UdpCtx): void {
        sockets.push([this.worker, udp])
      }
      onDatagram(): void {
        received += 1
      }
    }
    const config = testConfig().workers(2).udpBind(['127.0.0.1:0']).build()
    const server = await new RinglineBuilder(config).bindUdp('127.0.0.1:0').launch(Handler)
    t.teardown(() => server.shutdown())
    t.deepEqual(
      sockets.map(([worker, udp]) => [worker, udp.index(), udp.localAddr().port]),
      [0, 0, 1, 1].map((worker, index) => [worker, index % 2, server.udpAddrs[index % 2]!.port]),
    )
    for (let count = 0; count < 40; count += 1) {
      await send(await peer(t), Buffer.from('x'), server.udpAddrs[count % 2]!)
    }
    await until(() => received === 40)
    t.pass()
  },
)

test.serial(
  'a UDP address that cannot be had makes launch fail with address and port, and leaves nothing',
  async (t) => {
    const before = holdings()
    const launch = () => new RinglineBuilder(testConfig().build()).bindUdp('192.0.2.1:9').launch(handlerClass(echo))
    await t.throwsAsync(launch, { code: 'EADDRNOTAVAIL', message: /192\.0\.2\.1:9/ })
    await t.throwsAsync(
      () => new RinglineBuilder(testConfig().build()).bindUdp('127.0.0.1:0').launch(handlerClass({})),
      {
        code: 'ERR_RINGLINE_INVALID_ARGUMENT',
      },
    )
    await untilReleased(before)
    t.pass()
  },
)

test.serial(
  'sockets, slabs and slots are given back: many datagrams and many runtimes leave nothing behind',
  async (t) => {
    const before = holdings()
    for (let round = 0; round < 3; round += 1) {
      const server = await new RinglineBuilder(testConfig().build()).bindUdp('127.0.0.1:0').launch(handlerClass(echo))
      const socket = createSocket('udp4')
      socket.bind(0, '127.0.0.1')
      await once(socket, 'listening')
      for (let count = 0; count < 500; count += 1) {
        await exchange(socket, Buffer.alloc(20_000, count), server.udpAddrs[0]!)
      }
      socket.close()
      await server.shutdown()
    }
    await untilReleased(before)
    t.pass()
  },
)
