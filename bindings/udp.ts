/**
 * One UDP socket as its user sees it, and the datagrams that wait for its user. How datagrams come and go is in datagrams.ts.
 */

import type { AddressInput, SocketAddress } from './address.js'
import type { Datagrams } from './datagrams.js'
import { RinglineError } from './errors.js'
import type { ReceiveOptions } from './inbound.js'
import { inspect } from './node-util.js'
import type { SendData } from './send-data.js'
import { attempt, rejectQuietly, type Settleable, settleable } from './settling.js'
import { isAborted, onAbort, reasonOf, signalOf } from './signal.js'

/** Datagrams that may wait for `recvFrom`; the newest beyond it are dropped. */
export const QUEUE_DATAGRAMS_MAX = 4096
/** Bytes of the datagrams that may wait. */
export const QUEUE_BYTES_MAX = 4 * 1024 * 1024

/** A received datagram. */
export interface Datagram {
  /**
   * What it carries, 0 to 65,507 bytes. It never changes and may be kept; keeping it keeps the 64 KiB of received memory alive that it is a
   * view of.
   */
  readonly data: Buffer
  /** Who sent it. All datagrams of a peer may share this object, which is frozen; `sendTo` takes it without parsing. */
  readonly address: SocketAddress
}

/** Names one UDP socket of one worker, for {@link DriverCtx.sendTo}. One socket has one token. */
export class UdpToken {
  private readonly udp: UdpCtx

  private constructor(udp: UdpCtx) {
    this.udp = udp
  }

  /** The token of a socket; {@link UdpCtx.token} keeps it. @internal */
  static of(udp: UdpCtx): UdpToken {
    return new UdpToken(udp)
  }

  /** The socket that a token names. @internal */
  static udpOf(token: UdpToken): UdpCtx {
    return token.udp
  }

  /** What `console.log` shows. @internal */
  [inspect.custom](): string {
    return `UdpToken(${this.udp.index()})`
  }
}

/**
 * A UDP socket of one worker. It lives as long as the worker: nothing that a peer or a router answers ends it.
 *
 * Datagrams go to `onDatagram`, when the handler has it and nobody has called `recvFrom` or begun a `for await` loop of this socket;
 * otherwise they wait here. When 4096 of them wait, or 4 MiB, the newest are dropped and counted.
 */
export class UdpCtx {
  /** Whatever the application wants to keep with this socket; the package never looks at it. */
  userData: unknown = undefined

  /** Datagrams wait here instead of going to `onDatagram`. @internal */
  isPulled = false
  /** Datagrams handed to the worker so far, modulo 2^32. @internal */
  queued = 0

  private readonly sockets: Datagrams
  private readonly number: number
  private readonly local: SocketAddress
  private readonly name: UdpToken
  private queue: Datagram[] = []
  private queueAt = 0
  private queueBytes = 0
  private overflowed = 0
  private droppedBefore = 0
  private failed = 0
  private waiter: Settleable<Datagram> | undefined = undefined
  private unlisten: (() => void) | undefined = undefined

  private constructor(sockets: Datagrams, index: number, local: SocketAddress) {
    this.sockets = sockets
    this.number = index
    this.local = local
    this.name = UdpToken.of(this)
  }

  /** @internal */
  static of(sockets: Datagrams, index: number, local: SocketAddress): UdpCtx {
    return new UdpCtx(sockets, index, local)
  }

  /** The place of the socket's address among those that were bound, the same on every worker. */
  index(): number {
    return this.number
  }

  /** What names this socket for {@link DriverCtx}: one and the same object at every call. */
  token(): UdpToken {
    return this.name
  }

  /** The address that the socket is bound to. */
  localAddr(): SocketAddress {
    return this.local
  }

  /** Datagrams that were received and dropped, because too many waited already. */
  get dropped(): number {
    return this.overflowed + this.droppedBefore
  }

  /** Datagrams that `sendTo` has queued and that could then not be sent: no route, for example. */
  get sendErrors(): number {
    return this.failed
  }

  /**
   * Takes the next datagram.
   *
   * @param options - a signal that ends the waiting; no datagram is lost by it
   * @throws (as a rejection) RinglineError `ERR_RINGLINE_RECEIVE_BUSY` while another `recvFrom` is pending, which goes on waiting;
   * `ERR_RINGLINE_WORKER_STOPPED` when the worker has ended; or the signal's reason
   */
  recvFrom(options?: ReceiveOptions): Promise<Datagram> {
    this.isPulled = true
    return attempt(() => {
      const signal = signalOf(options)
      if (this.waiter !== undefined) throw busy()
      const datagram = this.take()
      if (datagram !== undefined) return Promise.resolve(datagram)
      if (this.sockets.isStopped) throw stopped()
      if (isAborted(signal)) throw reasonOf(signal)
      this.waiter = settleable<Datagram>()
      this.unlisten = onAbort(signal, (reason) => this.stopWaiting()?.reject(reason))
      return this.waiter.promise
    })
  }

  /**
   * Queues a datagram; its bytes are copied. Datagrams of one turn go out together, and to one peer in the order of the calls.
   *
   * @param address - an IP address of the socket's family and a port; names are not looked up
   * @param data - a string (sent as UTF-8), Buffer, typed array or DataView of 0 to 65,507 bytes
   * @throws UdpSendError when it cannot be queued now, or never: see its codes; RinglineError `ERR_RINGLINE_INVALID_ADDRESS`,
   * `ERR_RINGLINE_INVALID_ARGUMENT`, `ERR_RINGLINE_WORKER_STOPPED`
   */
  sendTo(address: AddressInput, data: SendData): void {
    this.sockets.send(this, address, data)
  }

  /** The datagrams, one after the other, until the worker ends. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Datagram, void, undefined> {
    this.isPulled = true
    for (;;) {
      const datagram = this.take()
      if (datagram !== undefined) yield datagram
      else if (this.sockets.isStopped) return
      else if (!(await this.arrival())) return
    }
  }

  /** What `console.log` shows. @internal */
  [inspect.custom](_depth: number, options: object, print: typeof inspect): string {
    const state = { local: this.local, dropped: this.dropped, sendErrors: this.sendErrors }
    return `UdpCtx(${this.number}) ${print(state, { ...options, depth: 1 })}`
  }

  /** Datagrams that wait here. @internal */
  get waiting(): number {
    return this.queue.length - this.queueAt
  }

  /** A datagram has arrived for whoever pulls. @internal */
  received(data: Buffer, address: SocketAddress): void {
    const waiter = this.stopWaiting()
    if (waiter !== undefined) {
      waiter.resolve({ data, address })
      return
    }
    if (this.waiting >= QUEUE_DATAGRAMS_MAX || this.queueBytes + data.length > QUEUE_BYTES_MAX) {
      this.overflowed += 1
      return
    }
    this.queueBytes += data.length
    this.queue.push({ data, address })
  }

  /** The worker has lost so many datagrams so far. @internal */
  lost(dropped: number, failed: number): void {
    this.droppedBefore = dropped >>> 0
    this.failed = failed >>> 0
  }

  /** The worker has ended. @internal */
  stop(): void {
    const waiter = this.stopWaiting()
    if (waiter !== undefined) rejectQuietly(waiter, stopped())
  }

  /** Waits for a datagram to take; false when none will come any more. */
  private async arrival(): Promise<boolean> {
    try {
      const datagram = await this.recvFrom()
      this.queue.splice(this.queueAt, 0, datagram)
      this.queueBytes += datagram.data.length
      return true
    } catch (error) {
      if (this.sockets.isStopped) return false
      throw error
    }
  }

  private take(): Datagram | undefined {
    const datagram = this.queue[this.queueAt]
    if (datagram === undefined) return undefined
    this.queueBytes -= datagram.data.length
    this.queueAt += 1
    if (this.queueAt === this.queue.length) {
      this.queue = []
      this.queueAt = 0
    } else if (this.queueAt === QUEUE_DATAGRAMS_MAX) {
      this.queue = this.queue.slice(this.queueAt)
      this.queueAt = 0
    }
    return datagram
  }

  /** Answers who has waited until now. */
  private stopWaiting(): Settleable<Datagram> | undefined {
    const { waiter } = this
    this.waiter = undefined
    this.unlisten?.()
    this.unlisten = undefined
    return waiter
  }
}

function busy(): RinglineError {
  const message = 'another recvFrom of this socket is pending: await it first, or end it with its signal'
  return new RinglineError('ERR_RINGLINE_RECEIVE_BUSY', message)
}

function stopped(): RinglineError {
  return new RinglineError('ERR_RINGLINE_WORKER_STOPPED', 'no datagram will come: the worker has stopped')
}
