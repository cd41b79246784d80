// Launching and ending a server on this thread: addresses, relaunch, failures, what is left afterwards.

import { once } from 'node:events'
import { createServer } from 'node:net'
import { inspect } from 'node:util'
import test from 'ava'
import {
  type AsyncEventHandler,
  type ConnCtx,
  ParseResult,
  RinglineBuilder,
  RinglineError,
  requestShutdown,
  type Server,
} from 'ringline'
import {
  dial,
  ending,
  handlerClass,
  holdings,
  readAll,
  readBytes,
  serve,
  start,
  testConfig,
  until,
  untilReleased,
} from './serving.js'

const echo = handlerClass({ onData: (conn, chunk) => conn.sendNowait(chunk) && undefined })
const builder = () => new RinglineBuilder(testConfig().build())

test.serial('boundAddr tells the port that the system chose; a server shows its state', async (t) => {
  const server = await builder().bind('127.0.0.1:0').launch(echo)
  t.is(server.boundAddr.address, '127.0.0.1')
  t.is(server.boundAddr.family, 'IPv4')
  t.true(server.boundAddr.port > 0)
  t.is(server.workers, 1)
  t.regex(inspect(server), /^Server \{\s+boundAddr: \{ address: '127\.0\.0\.1'/)
  await server.shutdown()
})

test.serial('an IPv6 server is reached over IPv6', async (t) => {
  let peer: unknown
  await using server = await builder()
    .bind('[::1]:0')
    .launch(
      handlerClass({
        onAccept: (conn) => {
          peer = conn.peerAddr()
        },
        onData: (conn, chunk) => void conn.sendNowait(chunk),
      }),
    )
  const socket = await dial(t, server)
  socket.write('six')
  t.is(String(await readBytes(socket, 3)), 'six')
  t.deepEqual(peer, { address: '::1', port: socket.localPort, family: 'IPv6' })
})

test.serial('d6 shutdown is idempotent, and the port can be used again at once', async (t) => {
  let server: Server<true> = await builder().bind('127.0.0.1:0').launch(echo)
  const { port } = server.boundAddr
  for (let round = 0; round < 10; round += 1) {
    const socket = await dial(t, server)
    socket.write('x')
    await readBytes(socket, 1)
    const both = [server.shutdown(), server.shutdown()]
    await Promise.all(both)
    await server.closed
    t.is((await readAll(socket)).length, 0)
    server = await builder().bind({ address: '127.0.0.1', port }).launch(echo)
    t.is(server.boundAddr.port, port)
  }
  await server[Symbol.asyncDispose]()
})

test.serial('d8 launching and ending leaves no descriptor and no thread behind', async (t) => {
  const once = async () => {
    await using server = await builder().bind('127.0.0.1:0').launch(echo)
    const socket = await dial(t, server)
    socket.write('x')
    await readBytes(socket, 1)
    socket.destroy()
  }
  await once()
  const before = holdings()
  for (let round = 0; round < 6; round += 1) await once()
  await untilReleased(before)
  t.pass()
})

test.serial('a busy address is told with address and port, and leaves nothing behind', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => other.once('listening', resolve))
  t.teardown(() => void other.close())
  const { port } = other.address() as { port: number }
  const before = holdings()
  const error = await t.throwsAsync(builder().bind({ address: '127.0.0.1', port }).launch(echo), {
    instanceOf: RinglineError,
    code: 'EADDRINUSE',
  })
  t.like(error, { errno: -98, syscall: 'listen', address: '127.0.0.1', port })
  const [own] = (await once(createServer().listen(port, '127.0.0.1'), 'error')) as [Error]
  t.is(error?.message, own.message, "these are Node's own words")
  await untilReleased(before)
})

test.serial('a privileged port is refused with EACCES', async (t) => {
  const root = process.getuid?.() === 0
  const nobody = 65534
  const child = start(t, 'bind', ['127.0.0.1:81'], root ? { uid: nobody } : {})
  const { output } = await ending(child)
  t.regex(output, /EACCES listen 127\.0\.0\.1 81/)
})

test.serial('an address of another machine is refused with EADDRNOTAVAIL', async (t) => {
  await t.throwsAsync(builder().bind('192.0.2.1:80').launch(echo), { code: 'EADDRNOTAVAIL' })
})

test.serial('wrong handlers are refused before anything starts', async (t) => {
  const before = holdings()
  const refused = { code: 'ERR_RINGLINE_INVALID_ARGUMENT' }
  const bound = builder().bind('127.0.0.1:0')
  await t.throwsAsync(bound.launch(undefined as never), refused)
  await t.throwsAsync(bound.launch({} as never), { ...refused, message: /static method createForWorker/ })
  await t.throwsAsync(bound.launch(class {} as never), refused)
  await t.throwsAsync(bound.launch('./handler.js' as never), { ...refused, message: /new URL/ })
  await t.throwsAsync(bound.launch({ createForWorker: () => undefined as never }), refused)
  await t.throwsAsync(bound.launch(handlerClass({ onClose: () => {} })), { ...refused, message: /onAccept or onData/ })
  await untilReleased(before)
})

test.serial('what createForWorker or onStart throws is what launch rejects with', async (t) => {
  const before = holdings()
  const bound = new RinglineBuilder(testConfig().workers(2).build()).bind('127.0.0.1:0')
  let made = 0
  const second = {
    createForWorker(id: number) {
      made += 1
      if (id === 1) throw new Error('no second one')
      return { onData: () => {} }
    },
  }
  await t.throwsAsync(bound.launch(second), { message: 'no second one' })
  t.is(made, 2)
  const starting = handlerClass({
    onData: () => {},
    onStart() {
      throw new Error('not today')
    },
  })
  await t.throwsAsync(bound.launch(starting), { message: 'not today' })
  await untilReleased(before)
})

test.serial('several workers on this thread have a handler each, and share the connections', async (t) => {
  const served = [0, 0]
  const server = await new RinglineBuilder(testConfig().workers(2).build()).bind('127.0.0.1:0').launch({
    createForWorker: (id) => ({
      onAccept: () => {
        served[id] = served[id]! + 1
      },
      onData: (conn, chunk) => void conn.sendNowait(`${id}${chunk}`),
    }),
  })
  t.teardown(() => server.shutdown())
  for (let count = 0; count < 10; count += 1) {
    const socket = await dial(t, server)
    socket.write('?')
    await readBytes(socket, 2)
  }
  t.deepEqual(served, [5, 5])
})

test.serial('notify() reaches onNotify, onTick comes by itself, and DriverCtx serves by token', async (t) => {
  const conns: ConnCtx[] = []
  const tickedOn: number[] = []
  let notified = 0
  const server = await serve(t, {
    onAccept: (conn) => void conns.push(conn),
    onData: () => {},
    onTick: (driver) => void tickedOn.push(driver.workerId),
    onNotify(driver) {
      notified += 1
      for (const conn of conns) driver.send(conn.token(), 'pushed')
    },
  })
  const socket = await dial(t, server)
  await until(() => conns.length === 1)
  server.notify()
  t.is(String(await readBytes(socket, 6)), 'pushed')
  t.true(notified >= 1)
  await until(() => tickedOn.length > 3)
  t.true(tickedOn.every((worker) => worker === 0))
  t.is(conns[0]?.token(), conns[0]?.token())
})

test.serial('requestShutdown of a connection ends the server', async (t) => {
  const server = await serve(t, { onData: (conn) => conn.requestShutdown() })
  const socket = await dial(t, server)
  socket.write('stop')
  await server.closed
  t.is((await readAll(socket)).length, 0)
})

test.serial(
  'a launch that is shut down meanwhile fails when there is an address to be bound, and else has ended',
  async (t) => {
    const starts: AsyncEventHandler[] = [
      { onAccept: () => {}, onStart: (driver) => driver.requestShutdown() },
      { onAccept: () => {}, onDatagram: () => {}, onUdpBind: () => requestShutdown() },
    ]
    // In a function of its own: what an async function has held, its frame may hold until it returns.
    const launchAll = async () => {
      for (const [index, handler] of starts.entries()) {
        const udp = index === 0 ? [] : ['127.0.0.1:0']
        const workers = () => new RinglineBuilder(testConfig().workers(2).udpBind(udp).build())
        await t.throwsAsync(workers().bind('127.0.0.1:0').launch(handlerClass(handler)), {
          code: 'ERR_RINGLINE_WORKER_STOPPED',
          message: 'the runtime was asked to shut down while it was starting',
        })
        const runtime = await workers().launch(handlerClass(handler))
        await runtime.closed
      }
    }
    await launchAll()
    const before = holdings()
    await launchAll()
    await untilReleased(before)
  },
)

test.serial('withData works end to end, as in the first example', async (t) => {
  const server = await serve(t, {
    async onAccept(conn) {
      while (await conn.withData((data) => ParseResult.Consumed(conn.sendNowait(data)))) {}
    },
  })
  const socket = await dial(t, server)
  socket.write('one')
  t.is(String(await readBytes(socket, 3)), 'one')
  socket.end('two')
  t.is(String(await readAll(socket)), 'two')
})
