// An echo server: what comes in goes out again. Run it with a port, then try `nc 127.0.0.1 7878`.

import { type AsyncEventHandler, type ConnCtx, RinglineBuilder } from 'ringline'

class Echo implements AsyncEventHandler {
  static createForWorker(): Echo {
    return new Echo()
  }

  /** A promise answered here holds the connection's next chunk back: a peer that does not read is not read from either. */
  onData(conn: ConnCtx, chunk: Buffer): Promise<unknown> | undefined {
    if (conn.bufferedAmount > 1024 * 1024) return conn.send(chunk)
    conn.sendNowait(chunk)
    return undefined
  }
}

const port = Number(process.argv[2] ?? 7878)
const server = await new RinglineBuilder().bind({ address: '127.0.0.1', port }).launch(Echo)
console.log(`listening on ${server.boundAddr.address}:${server.boundAddr.port}`)
process.once('SIGINT', () => void server.shutdown())
process.once('SIGTERM', () => void server.shutdown())
