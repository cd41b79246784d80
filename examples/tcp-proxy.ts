// A TCP proxy: every connection is piped to another server and back, byte for byte, half-closes included. Run it with a port and the
// server's: `tcp-proxy.js 8080 127.0.0.1:80`.

import { type AsyncEventHandler, type ConnCtx, join, RinglineBuilder, timeout } from 'ringline'

const [port = '8080', upstream = '127.0.0.1:80'] = process.argv.slice(2)
const CONNECT_TIMEOUT_MS = 5000

class TcpProxy implements AsyncEventHandler {
  static createForWorker(): TcpProxy {
    return new TcpProxy()
  }

  /** The connection's task; when it ends, both connections are closed. */
  async onAccept(client: ConnCtx): Promise<void> {
    using server = await timeout(CONNECT_TIMEOUT_MS, (signal) => client.connect(upstream, { signal }))
    // The ring thread passes the bytes on, no faster than the receiver reads; nothing of them comes here. The first that fails ends both.
    await join(
      (signal) => client.pipe(server, { signal }),
      (signal) => server.pipe(client, { signal }),
    )
  }

  onError(error: Error): void {
    console.error(error.message)
  }
}

const server = await new RinglineBuilder().bind({ address: '127.0.0.1', port: Number(port) }).launch(TcpProxy)
console.log(`listening on ${server.boundAddr.address}:${server.boundAddr.port}`)
process.once('SIGINT', () => void server.shutdown())
process.once('SIGTERM', () => void server.shutdown())
