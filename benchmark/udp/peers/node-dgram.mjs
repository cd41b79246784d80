// The UDP echo on Node's own `dgram`.
import { createSocket } from 'node:dgram'

const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 })
socket.on('message', (data, from) => socket.send(data, from.port, from.address))
socket.bind({ address: '127.0.0.1', port: 0 }, () => {
  console.log(JSON.stringify({ port: socket.address().port, pid: process.pid }))
})
process.on('SIGTERM', () => process.exit(0))
