// The UDP echo on ringline: a received datagram goes back as it lies. One worker, its handler on this thread.
import { type AsyncEventHandler, ConfigBuilder, RinglineBuilder, type SocketAddress, type UdpCtx } from 'ringline'

class Echo implements AsyncEventHandler {
  static createForWorker(): Echo {
    return new Echo()
  }

  onUdpBind(udp: UdpCtx): void {
    console.log(JSON.stringify({ port: udp.localAddr().port, pid: process.pid }))
  }

  onDatagram(udp: UdpCtx, data: Buffer, address: SocketAddress): void {
    udp.sendTo(address, data)
  }
}

const builder = new ConfigBuilder().workers(1).pinToCore(false)
if (process.argv.includes('--inline')) builder.delivery('inline')
const server = await new RinglineBuilder(builder.build()).bindUdp('127.0.0.1:0').launch(Echo)

process.once('SIGTERM', () => {
  server.shutdown()
})
