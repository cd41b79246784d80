// The echo server on `Bun.listen`. `write` may take only part of a chunk: the rest is copied (the chunk's memory is Bun's
// after the call) and goes out in `drain`; meanwhile the socket is paused, so that memory stays bounded.
type Connection = { unsent: Uint8Array[] }

const server = Bun.listen<Connection>({
  hostname: '127.0.0.1',
  port: 0,
  socket: {
    binaryType: 'uint8array',
    open(socket) {
      socket.data = { unsent: [] }
      socket.setNoDelay(true)
    },
    data(socket, chunk) {
      const { unsent } = socket.data
      const taken = unsent.length > 0 ? 0 : Math.max(0, socket.write(chunk))
      if (taken < chunk.length) {
        unsent.push(chunk.slice(taken))
        socket.pause()
      }
    },
    drain(socket) {
      const { unsent } = socket.data
      while (unsent.length > 0) {
        const taken = Math.max(0, socket.write(unsent[0]))
        if (taken < unsent[0].length) {
          unsent[0] = unsent[0].subarray(taken)
          return
        }
        unsent.shift()
      }
      socket.resume()
    },
  },
})

console.log(JSON.stringify({ port: server.port, pid: process.pid }))
process.on('SIGTERM', () => process.exit(0))
