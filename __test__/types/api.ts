// Compiled, never run: what the public types promise.

import {
  type AsyncEventHandler,
  Config,
  ConfigBuilder,
  ConnCtx,
  type ConnToken,
  connect,
  ParseResult,
  RinglineBuilder,
  type Server,
  type SocketAddress,
  spawn,
} from 'ringline'

class Handler implements AsyncEventHandler {
  static createForWorker(id: number): Handler {
    id satisfies number
    return new Handler()
  }
  async onAccept(conn: ConnCtx): Promise<void> {
    ;(await conn.withData((data) => ParseResult.Consumed(data.length))) satisfies number
    ;(await conn.withData(() => ParseResult.NeedMore)) satisfies number
    conn.tryWithData((data) => data.length) satisfies number | undefined
    for await (const chunk of conn) chunk satisfies Buffer
    conn.sendNowait(new Float64Array(1)) satisfies number
    conn.send('text') satisfies Promise<number>
    conn.token() satisfies ConnToken
    // @ts-expect-error: a parse function answers at once
    conn.withData(async (data) => data.length)
    // @ts-expect-error: a bare ArrayBuffer has to be wrapped
    conn.sendNowait(new ArrayBuffer(1))
    // @ts-expect-error: connections are made by the runtime
    new ConnCtx()
  }
}

const builder = new RinglineBuilder(new ConfigBuilder().workers(1).recvBuffer({ ringSize: 16 }).build())
builder.bind('127.0.0.1:0').launch(Handler) satisfies Promise<Server<true>>
;(await builder.bind({ address: '::1', port: 0 }).launch(new URL('file:///handler.js')))
  .boundAddr satisfies SocketAddress
;(await new RinglineBuilder().launch(Handler)).boundAddr satisfies SocketAddress | undefined
// @ts-expect-error: nothing was bound
;(await new RinglineBuilder().launch(Handler)).boundAddr.port satisfies number
// @ts-expect-error: a class without createForWorker makes no handlers
new RinglineBuilder().launch(class {})
// @ts-expect-error: there is no such setting
new Config({ threads: 1 })
// @ts-expect-error: a configuration is read-only
new Config().backlog = 1

connect('127.0.0.1:1', { signal: AbortSignal.timeout(1) }) satisfies Promise<ConnCtx>
spawn(async (signal) => signal.throwIfAborted()).cancel()
