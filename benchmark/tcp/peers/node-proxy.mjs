// The TCP proxy on Node's own `net`: every connection is piped to the upstream, whose port is the argument, and back.
import { connect, createServer } from 'node:net'

const upstream = { host: '127.0.0.1', port: Number(process.argv[2]) }

const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
  const remote = connect({ ...upstream, noDelay: true, allowHalfOpen: true })
  for (const [from, to] of [
    [client, remote],
    [remote, client],
  ]) {
    from.pipe(to)
    from.on('error', () => to.destroy())
  }
})

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  console.log(JSON.stringify({ port, pid: process.pid }))
})
process.on('SIGTERM', () => process.exit(0))
