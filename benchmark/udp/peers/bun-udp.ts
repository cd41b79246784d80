// The UDP echo on `Bun.udpSocket`.
const socket = await Bun.udpSocket({
  hostname: '127.0.0.1',
  port: 0,
  binaryType: 'uint8array',
  socket: {
    data(socket, data, port, address) {
      socket.send(data, port, address)
    },
  },
})

console.log(JSON.stringify({ port: socket.port, pid: process.pid }))
process.on('SIGTERM', () => process.exit(0))
