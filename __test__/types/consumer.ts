// The server of the README, as a project of its own would have it. It uses nothing that `@types/node` declares: what the public types
// need of it they must bring themselves.

import { type AsyncEventHandler, ConfigBuilder, type ConnCtx, ParseResult, RinglineBuilder } from 'ringline'

class Echo implements AsyncEventHandler {
  static createForWorker(_id: number) {
    return new Echo()
  }
  async onAccept(conn: ConnCtx) {
    while (
      await conn.withData((data) => {
        conn.sendNowait(data)
        return ParseResult.Consumed(data.length)
      })
    ) {}
  }
}

const config = new ConfigBuilder().workers(1).build()
const server = await new RinglineBuilder(config).bind('127.0.0.1:7878').launch(Echo)
server.boundAddr.port satisfies number
