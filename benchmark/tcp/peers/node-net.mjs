// The echo server on Node's own `net`: one chunk in, one write out. A socket whose peer does not take its bytes is paused
// until it drains, so that memory stays bounded.
import { createServer } from 'node:net'

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', (chunk) => {
    if (!socket.write(chunk)) socket.pause()
  })
  socket.on('drain', () => socket.resume())
  socket.on('error', () => socket.destroy())
})

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  console.log(JSON.stringify({ port, pid: process.pid }))
})
process.on('SIGTERM', () => process.exit(0))
