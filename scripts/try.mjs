// Tries the package as its first user would: starts the server of the README, sends it a message and compares what comes back. Releases
// are tried with it on each C library and processor, and the packed packages in an empty folder. It knows the public API alone.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { ConfigBuilder, ParseResult, RinglineBuilder, version } from 'ringline'

class Echo {
  static createForWorker() {
    return new Echo()
  }
  async onAccept(conn) {
    while (
      await conn.withData((data) => {
        conn.sendNowait(data)
        return ParseResult.Consumed(data.length)
      })
    ) {}
  }
}

// Whatever hangs is ended with a failure.
setTimeout(() => process.exit(1), 30_000).unref()

const config = new ConfigBuilder().workers(1).build()
const server = await new RinglineBuilder(config).bind('127.0.0.1:0').launch(Echo)
const socket = connect(server.boundAddr.port, server.boundAddr.address)
socket.end('hello')
const [answer] = await once(socket, 'data')
assert.equal(String(answer), 'hello')
await once(socket, 'close')
await server.shutdown()
console.log(
  `ringline ${version()} serves connections under Node ${process.version} on ${process.platform} ${process.arch}`,
)
