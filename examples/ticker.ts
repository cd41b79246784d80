// A ticker: every client gets the time of day at a steady pace that does not drift. Run it with a port and the milliseconds between
// two ticks, then try `nc 127.0.0.1 7879`.

import { type AsyncEventHandler, type ConnCtx, Deadline, RinglineBuilder, select, sleepUntil } from 'ringline'

const [port = 7879, periodMs = 1000] = process.argv.slice(2).map(Number)
/** A client that reads nothing for this long is not waited for. */
const UNREAD_BYTES_MAX = 16 * 1024

class Ticker implements AsyncEventHandler {
  static createForWorker(): Ticker {
    return new Ticker()
  }

  /** The connection's task; when it ends, the connection is closed. */
  async onAccept(conn: ConnCtx): Promise<void> {
    const start = Deadline.now().valueOf()
    for (let tick = 1; conn.isOpen && conn.bufferedAmount < UNREAD_BYTES_MAX; tick += 1) {
      // Counted from the start, not from the last tick: being late once does not make every later tick late.
      const next = Deadline.after(Math.max(0, start + tick * periodMs - Deadline.now().valueOf()))
      const first = await select(
        (signal) => conn.recvReady({ signal }),
        (signal) => sleepUntil(next, { signal }),
      )
      // Whatever a client says ends its subscription, and so does its leaving.
      if (first.kind === 'left') return
      conn.sendNowait(`tick ${tick} at ${new Date().toISOString()}\n`)
    }
  }
}

const server = await new RinglineBuilder().bind({ address: '127.0.0.1', port }).launch(Ticker)
console.log(`listening on ${server.boundAddr.address}:${server.boundAddr.port}`)
process.once('SIGINT', () => void server.shutdown())
process.once('SIGTERM', () => void server.shutdown())
