/**
 * What a handler gets where no connection is at hand: the operations of a worker, by token. It owns nothing and adds nothing to what the
 * connections can do themselves.
 */

import type { AddressInput, SocketAddress } from './address.js'
import type { ConnectOptions } from './connect.js'
import type { ConnCtx } from './connection.js'
import { CLOSED } from './connection-flags.js'
import type { Dispatcher } from './dispatcher.js'
import { invalidArgument, invalidConnection } from './errors.js'
import type { SendData } from './send-data.js'
import { ConnToken } from './token.js'
import { UdpToken } from './udp.js'

/**
 * The operations of one worker, as `onStart`, `onTick` and `onNotify` get them. Every operation through the token of a connection that has
 * ended is refused, or does nothing where that is what it would do anyway.
 */
export class DriverCtx {
  private readonly dispatcher: Dispatcher

  private constructor(dispatcher: Dispatcher) {
    this.dispatcher = dispatcher
  }

  /** @internal */
  static of(dispatcher: Dispatcher): DriverCtx {
    return new DriverCtx(dispatcher)
  }

  /** The number of the worker, 0 … workers − 1. */
  get workerId(): number {
    return this.dispatcher.workerId
  }

  /** Open connections of this worker. */
  get connections(): number {
    return this.dispatcher.connections
  }

  /** As {@link ConnCtx.sendNowait}, with the same errors. */
  send(token: ConnToken, data: SendData): number {
    return this.connOf(token).sendNowait(data)
  }

  /** As {@link ConnCtx.shutdownWrite}. */
  shutdownWrite(token: ConnToken): void {
    this.connOf(token).shutdownWrite()
  }

  /** As {@link ConnCtx.close}. */
  close(token: ConnToken): void {
    this.connOf(token).close()
  }

  /** As {@link ConnCtx.cancel}. */
  cancel(token: ConnToken): void {
    this.connOf(token).cancel()
  }

  /**
   * The peer's address.
   *
   * @throws RinglineError `ERR_RINGLINE_INVALID_CONNECTION` when the connection has ended
   */
  peerAddr(token: ConnToken): SocketAddress {
    return this.liveConnOf(token).peerAddr()
  }

  /**
   * True when this side made the connection.
   *
   * @throws RinglineError `ERR_RINGLINE_INVALID_CONNECTION` when the connection has ended
   */
  isOutbound(token: ConnToken): boolean {
    return this.liveConnOf(token).isOutbound()
  }

  /** As {@link UdpCtx.sendTo}, with the same errors. */
  sendTo(token: UdpToken, address: AddressInput, data: SendData): void {
    if (!(token instanceof UdpToken)) throw invalidArgument('token', 'a UdpToken, as udp.token() answers it', token)
    const udp = UdpToken.udpOf(token)
    if (this.dispatcher.datagrams.sockets[udp.index()] !== udp) {
      throw invalidArgument('token', `the token of a UDP socket of worker ${this.workerId}`, token)
    }
    udp.sendTo(address, data)
  }

  /** As the function {@link connect}, on this worker. */
  connect(address: AddressInput, options?: ConnectOptions): Promise<ConnCtx> {
    return this.dispatcher.connector.connect(address, 0, options)
  }

  /** As the function {@link connectWithTimeout}, on this worker. */
  connectWithTimeout(address: AddressInput, timeoutMs: number, options?: ConnectOptions): Promise<ConnCtx> {
    return this.dispatcher.connector.connectWithTimeout(address, timeoutMs, options)
  }

  /** Asks the whole server to shut down. */
  requestShutdown(): void {
    this.dispatcher.requestShutdown()
  }

  private connOf(token: unknown): ConnCtx {
    if (!(token instanceof ConnToken)) throw invalidArgument('token', 'a ConnToken, as conn.token() answers it', token)
    const conn = ConnToken.connOf(token)
    if (conn.dispatcher === this.dispatcher) return conn
    throw invalidArgument('token', `the token of a connection of worker ${this.workerId}`, token)
  }

  private liveConnOf(token: ConnToken): ConnCtx {
    const conn = this.connOf(token)
    if ((conn.flags & CLOSED) !== 0) throw invalidConnection('the connection of this token has ended')
    return conn
  }
}
