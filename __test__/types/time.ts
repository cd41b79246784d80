// Compiled, never run: what the public types promise about timers, combinators and UDP.

import {
  type AsyncEventHandler,
  Config,
  type Datagram,
  Deadline,
  type DriverCtx,
  type Either,
  Elapsed,
  join,
  join3,
  RinglineBuilder,
  type RinglineError,
  type SocketAddress,
  select,
  select3,
  sleep,
  timeout,
  tryTimeoutAt,
  UdpCtx,
  UdpSendError,
  type UdpToken,
} from 'ringline'

sleep(0.25, { signal: AbortSignal.timeout(1) }) satisfies Promise<void>
;(await timeout(1, async () => 'text')) satisfies string
;(await timeout(1, (signal) => signal.aborted)) satisfies boolean
tryTimeoutAt(Deadline.after(1), () => sleep(1)) satisfies Promise<void>
;(Deadline.now() < Deadline.after(1)) satisfies boolean
// @ts-expect-error: deadlines are made by their functions
new Deadline(1)
// @ts-expect-error: a deadline is not a number
tryTimeoutAt(1, () => {})
// @ts-expect-error: a task is a function, so that it can be told to give up
timeout(1, sleep(1))
Elapsed.prototype satisfies RinglineError
// @ts-expect-error: sockets are made by the runtime
new UdpCtx()

const [text, number] = await join(
  async () => 'text',
  () => 1,
)
text satisfies string
number satisfies number
;(await join3(
  () => 1,
  async () => true,
  () => 'c',
)) satisfies [number, boolean, string]

const won = await select(
  async () => 'text',
  () => 1,
)
won satisfies Either<string, number>
if (won.kind === 'left') won.value satisfies string
else won.value satisfies number
won.intoInner() satisfies string | number
// @ts-expect-error: which branch has won is not known
won.value satisfies string
const same = await select(
  (signal) => sleep(1, { signal }),
  () => sleep(2),
)
same satisfies Either<void, void>
const third = await select3(
  () => 1,
  () => true,
  () => 'c',
)
switch (third.kind) {
  case 'first':
    third.value satisfies number
    break
  case 'second':
    third.value satisfies boolean
    break
  case 'third':
    third.value satisfies string
}

class Handler implements AsyncEventHandler {
  static createForWorker(): Handler {
    return new Handler()
  }
  private token: UdpToken | undefined
  async onUdpBind(udp: UdpCtx): Promise<void> {
    this.token = udp.token()
    udp.localAddr() satisfies SocketAddress
    ;(await udp.recvFrom()) satisfies Datagram
    for await (const { data, address } of udp) {
      data satisfies Buffer
      udp.sendTo(address, data)
    }
  }
  onDatagram(udp: UdpCtx, data: Buffer, address: SocketAddress): void {
    try {
      udp.sendTo(address, data)
    } catch (error) {
      if (!(error instanceof UdpSendError)) throw error
    }
    udp.dropped satisfies number
    // @ts-expect-error: counters are read-only
    udp.dropped = 0
  }
  onTick(driver: DriverCtx): void {
    if (this.token !== undefined) driver.sendTo(this.token, '127.0.0.1:9', 'tick')
    // @ts-expect-error: a token is not a number
    driver.sendTo(0, '127.0.0.1:9', 'tick')
  }
}

new RinglineBuilder(new Config({ timerSlots: 16, udpBind: ['[::1]:0', { address: '127.0.0.1', port: 0 }] }))
  .bindUdp('127.0.0.1:0')
  .bindUdp('127.0.0.1:0')
  .launch(Handler)
  .then((server) => server.udpAddrs satisfies readonly SocketAddress[])
