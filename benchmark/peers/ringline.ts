// The echo server on ringline: the received chunk is sent as it lies. One worker, its handler on this thread.
import { type AsyncEventHandler, ConfigBuilder, type ConnCtx, RinglineBuilder } from 'ringline'

class Echo implements AsyncEventHandler {
  static createForWorker(): Echo {
    return new Echo()
  }

  onData(conn: ConnCtx, chunk: Buffer): void {
    conn.sendNowait(chunk)
  }
}

const config = new ConfigBuilder().workers(1).pinToCore(false).build()
const server = await new RinglineBuilder(config).bind('127.0.0.1:0').launch(Echo)
const port = Number(String(server.boundAddr).split(':').at(-1))
console.log(JSON.stringify({ port, pid: process.pid }))

process.once('SIGTERM', () => {
  server.shutdown()
})
