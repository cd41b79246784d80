/**
 * The UDP sockets of one worker: records become datagrams, and datagrams become records and filled send slots. It owns who gets a
 * datagram; per datagram it makes one Buffer, and calls nothing native.
 */

import type { AddressInput, SocketAddress } from './address.js'
import type { Dispatcher } from './dispatcher.js'
import { RinglineError, UdpSendError } from './errors.js'
import type { AsyncEventHandler } from './handler.js'
import { type Peer, Peers } from './peers.js'
import * as words from './protocol.js'
import { bufferOf, byteLengthOf, byteOffsetOf, bytesOf, requireAttached, type SendData } from './send-data.js'
import { Slabs } from './slabs.js'
import { UdpCtx } from './udp.js'

/** The largest payload of a datagram, in bytes. */
export const DATAGRAM_BYTES_MAX = 65_507
/** A UTF-16 unit becomes at most this many bytes of UTF-8. */
const UTF8_BYTES_PER_CHAR_MAX = 3

/** The UDP sockets of one worker. */
export class Datagrams {
  readonly slabs: Slabs
  readonly sockets: readonly UdpCtx[]
  isStopped = false

  private readonly dispatcher: Dispatcher
  private readonly handler: AsyncEventHandler
  private readonly peers = new Peers()
  /** The word of `sentBytes` that counts the datagrams that have left the first socket. */
  private readonly firstSentWord: number
  private readonly pushes: boolean
  /** The sender of the next datagram, when it has an IPv6 address. */
  private from: [scope: number, a: number, b: number, c: number, d: number] = [0, 0, 0, 0, 0]

  constructor(dispatcher: Dispatcher, handler: AsyncEventHandler, addresses: readonly SocketAddress[]) {
    this.dispatcher = dispatcher
    this.handler = handler
    this.slabs = new Slabs(dispatcher.port.native, words.DATAGRAM_SLABS, undefined)
    this.sockets = addresses.map((address, index) => UdpCtx.of(this, index, Object.freeze({ ...address })))
    this.firstSentWord = dispatcher.port.sentBytes.length - addresses.length
    this.pushes = typeof handler.onDatagram === 'function'
    // What counts there has counted since the memory was made.
    for (const udp of this.sockets) udp.queued = dispatcher.port.sentBytes[this.firstSentWord + udp.index()]!
  }

  /** A DATAGRAM record. */
  received(at: number): void {
    const { completions } = this.dispatcher.port
    const udp = this.sockets[completions[at + 1]!]!
    const meta = completions[at + 2]!
    const [slab, offset, length] = [completions[at + 3]!, completions[at + 4]!, completions[at + 5]!]
    const data = this.slabs.view(slab, offset, length) ?? this.slabs.copy(slab, offset, length)
    const peer =
      ((meta >>> 8) & 255) === 4 ? this.peers.ipv4(meta, completions[at + 6]!) : this.peers.ipv6(meta, ...this.from)
    if (this.pushes && !udp.isPulled) this.push(udp, data, peer.address)
    else udp.received(data, peer.address)
  }

  /** A DATAGRAM_FROM record. */
  keepSender(at: number): void {
    const { completions } = this.dispatcher.port
    for (let word = 0; word < 5; word += 1) this.from[word] = completions[at + 2 + word]!
  }

  /** A DATAGRAMS_LOST record. */
  lost(index: number, dropped: number, failed: number): void {
    this.sockets[index]!.lost(dropped, failed)
  }

  /** The worker has ended. */
  stop(): void {
    this.isStopped = true
    for (const udp of this.sockets) udp.stop()
  }

  /** See UdpCtx.sendTo. */
  send(udp: UdpCtx, address: AddressInput, data: SendData): void {
    if (this.isStopped) {
      throw new RinglineError('ERR_RINGLINE_WORKER_STOPPED', 'nothing was sent: the worker has stopped')
    }
    const peer = this.peers.at(address)
    requireReachable(udp, peer)
    const { port } = this.dispatcher
    const left = port.sentBytes[this.firstSentWord + udp.index()]!
    if (((udp.queued - left) | 0) >= words.DATAGRAMS_IN_FLIGHT_MAX) {
      const message = `${words.DATAGRAMS_IN_FLIGHT_MAX} datagrams of this socket are on their way out; try again when some have left`
      throw new UdpSendError('ERR_RINGLINE_SEND_IN_FLIGHT', message)
    }
    if (port.overflowing > 0) {
      const message = 'the submission ring is full; try again in a later turn of the event loop'
      throw new UdpSendError('ERR_RINGLINE_SUBMISSION_QUEUE_FULL', message)
    }
    if (typeof data === 'string') this.sendString(udp, peer, data)
    else this.sendBytes(udp, peer, bytesOf(data))
    udp.queued = (udp.queued + 1) | 0
  }

  private sendString(udp: UdpCtx, peer: Peer, text: string): void {
    const { pool } = this.dispatcher.outbound
    if (text.length * UTF8_BYTES_PER_CHAR_MAX > Math.min(pool.slotSize, DATAGRAM_BYTES_MAX)) {
      this.sendBytes(udp, peer, Buffer.from(text))
      return
    }
    this.requireSlots(1)
    const slot = pool.takeSlot()
    this.submit(udp, peer, slot, pool.writeString(slot, 0, text))
  }

  private sendBytes(udp: UdpCtx, peer: Peer, bytes: Uint8Array): void {
    this.dispatcher.loan?.check(bytes)
    const length = byteLengthOf(bytes)
    if (length > DATAGRAM_BYTES_MAX) {
      throw new UdpSendError('EMSGSIZE', `${length} bytes are more than a datagram holds: ${DATAGRAM_BYTES_MAX}`)
    }
    if (length === 0) requireAttached(bytes)
    const { pool } = this.dispatcher.outbound
    const { slotSize } = pool
    if (length <= slotSize) {
      this.requireSlots(1)
      const slot = pool.takeSlot()
      pool.write(slot, 0, bytes)
      this.submit(udp, peer, slot, length)
      return
    }
    this.requireSlots(Math.ceil(length / slotSize))
    let done = 0
    for (; length - done > slotSize; done += slotSize) {
      const slot = pool.takeSlot()
      pool.write(slot, 0, new Uint8Array(bufferOf(bytes), byteOffsetOf(bytes) + done, slotSize))
      this.dispatcher.port.submit(words.DATAGRAM_SLOT, udp.index(), 0, slot, 0, 0, 0)
    }
    const slot = pool.takeSlot()
    pool.write(slot, 0, new Uint8Array(bufferOf(bytes), byteOffsetOf(bytes) + done, length - done))
    this.submit(udp, peer, slot, length)
  }

  private requireSlots(needed: number): void {
    const { pool } = this.dispatcher.outbound
    if (pool.available(needed) >= needed) return
    const message = `nothing was sent: ${needed} of ${pool.slots} send slots are needed and fewer are free; try again later, or raise sendCopyCount`
    throw new UdpSendError('ERR_RINGLINE_SEND_POOL_EXHAUSTED', message)
  }

  private submit(udp: UdpCtx, peer: Peer, slot: number, length: number): void {
    const { port } = this.dispatcher
    const [meta = 0, a = 0, b = 0, c = 0, d = 0] = peer.words
    if (peer.words.length > 2) port.submit(words.DATAGRAM_TO, udp.index(), peer.scope, a, b, c, d)
    port.submit(words.SEND_DATAGRAM, udp.index(), meta, slot, length, a, 0)
  }

  private push(udp: UdpCtx, data: Buffer, address: SocketAddress): void {
    try {
      const result = this.handler.onDatagram!(udp, data, address)
      if (result !== undefined) this.dispatcher.watchResult(result)
    } catch (error) {
      this.dispatcher.reportError(error)
    }
  }
}

function requireReachable(udp: UdpCtx, peer: Peer): void {
  const { family } = udp.localAddr()
  const to = peer.address
  if (to.family === family && to.port !== 0) return
  const why = to.port === 0 ? 'port 0 receives nothing' : `the socket is bound to an ${family} address`
  const message = `nothing can be sent to ${to.address} port ${to.port}: ${why}`
  throw new RinglineError('ERR_RINGLINE_INVALID_ADDRESS', message)
}
