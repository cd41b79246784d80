// The echo server on ringline: the received chunk is sent as it lies. One worker, its handler on this thread. With
// `--wait-for-sends` it takes the next chunk of a connection only when the last one is out. With
// `--borrowed` chunks are lent to the handler and not given.
import { type AsyncEventHandler, ConfigBuilder, type ConnCtx, RinglineBuilder } from 'ringline'

class Echo implements AsyncEventHandler {
  static createForWorker(): Echo {
    return new Echo()
  }

  onData(conn: ConnCtx, chunk: Buffer): void {
    conn.sendNowait(chunk)
  }
}

class WaitingEcho implements AsyncEventHandler {
  static createForWorker(): WaitingEcho {
    return new WaitingEcho()
  }

  async onData(conn: ConnCtx, chunk: Buffer): Promise<void> {
    await conn.send(chunk)
  }
}

const handler = process.argv.includes('--wait-for-sends') ? WaitingEcho : Echo
const builder = new ConfigBuilder().workers(1).pinToCore(false)
// A send slot for each of them: all may send within one turn.
if (process.argv.includes('--many-connections')) builder.sendCopyCount(16_384)
if (process.argv.includes('--borrowed')) builder.receive('borrowed')
if (process.argv.includes('--inline')) builder.delivery('inline')
const config = builder.build()
const server = await new RinglineBuilder(config).bind('127.0.0.1:0').launch(handler)
console.log(JSON.stringify({ port: server.boundAddr.port, pid: process.pid }))

process.once('SIGTERM', () => {
  server.shutdown()
})
