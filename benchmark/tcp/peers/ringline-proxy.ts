// The TCP proxy on ringline: every connection is piped to the upstream, whose port is the argument, and back. One worker.
import { type AsyncEventHandler, ConfigBuilder, type ConnCtx, RinglineBuilder } from 'ringline'

const upstream = { address: '127.0.0.1', port: Number(process.argv[2]) }

class TcpProxy implements AsyncEventHandler {
  static createForWorker(): TcpProxy {
    return new TcpProxy()
  }

  async onAccept(client: ConnCtx): Promise<void> {
    const server = await client.connect(upstream)
    await Promise.allSettled([client.pipe(server), server.pipe(client)])
    server.close()
  }
}

const config = new ConfigBuilder().workers(1).pinToCore(false).build()
const server = await new RinglineBuilder(config).bind('127.0.0.1:0').launch(TcpProxy)
console.log(JSON.stringify({ port: server.boundAddr.port, pid: process.pid }))

process.once('SIGTERM', () => {
  server.shutdown()
})
