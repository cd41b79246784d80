// The echo server on ringline with as many sleeps armed as the command line says, an hour each.
import { type AsyncEventHandler, ConfigBuilder, type ConnCtx, RinglineBuilder, sleep } from 'ringline'

const HOUR_MS = 3_600_000
const armed = Number(process.argv[2] ?? 0)

class Echo implements AsyncEventHandler {
  static createForWorker(): Echo {
    return new Echo()
  }

  onData(conn: ConnCtx, chunk: Buffer): void {
    conn.sendNowait(chunk)
  }
}

const config = new ConfigBuilder().workers(1).pinToCore(false).timerSlots(65_535).build()
const server = await new RinglineBuilder(config).bind('127.0.0.1:0').launch(Echo)
// They are told when the worker stops, long before their time.
for (let count = 0; count < armed; count += 1) sleep(HOUR_MS + count / 1000).catch(() => {})
console.log(JSON.stringify({ port: server.boundAddr.port, pid: process.pid }))

process.once('SIGTERM', () => {
  server.shutdown()
})
