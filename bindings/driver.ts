/**
 * What a handler gets where no connection is at hand: the operations of a worker, by token. It owns nothing and adds nothing to what the
 * connections can do themselves.
 */

import type { AddressInput, SocketAddress } from './address.js'
import type { ConnectOptions } from './connect.js'
import type { ConnCtx } from './connection.js'
import { CLOSED } from './connection-flags.js'
import { type DirectIoFile, type DirectIoOpenOptions, requireFile } from './direct-io.js'
import type { Dispatcher } from './dispatcher.js'
import { invalidArgument, invalidConnection, isInstance } from './errors.js'
import { metricsOf, type WorkerMetrics } from './metrics.js'
import { type NvmeDevice, requireDevice } from './nvme.js'
import type { ChainBuilder } from './send-chain.js'
import type { SendData } from './send-data.js'
import type { AsyncSendBuilder } from './send-parts.js'
import { ConnToken } from './token.js'
import { UdpToken } from './udp.js'
import { usageOf, type WorkerUsage } from './usage.js'

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

  /** What this worker has in use. */
  usage(): WorkerUsage {
    return usageOf(this.dispatcher)
  }

  /** What this worker has done since it started. */
  metrics(): WorkerMetrics {
    return metricsOf(this.dispatcher)
  }

  /** As {@link ConnCtx.sendNowait}, with the same errors. */
  send(token: ConnToken, data: SendData): number {
    return this.connOf(token).sendNowait(data)
  }

  /** As `conn.sendParts()`: a builder of a send of several parts. */
  sendParts(token: ConnToken): AsyncSendBuilder {
    return this.connOf(token).sendParts()
  }

  /** As {@link ConnCtx.sendChainNowait}, with the same errors. */
  sendChain(token: ConnToken, add: (chain: ChainBuilder) => unknown): number {
    return this.connOf(token).sendChainNowait(add)
  }

  /**
   * Opens a file for direct I/O. How it ended is told to `onDirectIo`, as the end of every operation that is begun here; what can be seen to
   * be wrong at once is thrown, with the errors of the function {@link openDirectIoFile}.
   *
   * @returns the number of the operation
   */
  openDirectIoFile(path: string, options: Omit<DirectIoOpenOptions, 'signal'> = {}): number {
    return this.dispatcher.storage.openFile(path, options)
  }

  /** Begins a read, as {@link DirectIoFile.read}; answers its number. */
  directIoRead(file: DirectIoFile, offset: number, buffer: NodeJS.ArrayBufferView): number {
    return this.dispatcher.storage.onFile(requireFile(file), { op: 'read', offset, buffer })
  }

  /** Begins a write, as {@link DirectIoFile.write}; answers its number. */
  directIoWrite(file: DirectIoFile, offset: number, buffer: NodeJS.ArrayBufferView): number {
    return this.dispatcher.storage.onFile(requireFile(file), { op: 'write', offset, buffer })
  }

  /** Begins an fsync, as {@link DirectIoFile.fsync}; answers its number. */
  directIoFsync(file: DirectIoFile): number {
    return this.dispatcher.storage.onFile(requireFile(file), { op: 'fsync', offset: 0, buffer: undefined })
  }

  /** Closes a file when what is in flight on it has ended. */
  closeDirectIoFile(file: DirectIoFile): void {
    void requireFile(file).close()
  }

  /** Opens an NVMe namespace, as the function {@link openNvmeDevice}. How it ended is told to `onNvme`. */
  openNvmeDevice(path: string, namespace: number): number {
    return this.dispatcher.storage.openDevice(path, namespace)
  }

  /** Submits a read, as {@link NvmeDevice.read}; answers its number. */
  nvmeRead(device: NvmeDevice, lba: number, numBlocks: number, buffer: NodeJS.ArrayBufferView): number {
    return this.dispatcher.storage.onDevice(requireDevice(device), { op: 'read', lba, numBlocks, buffer })
  }

  /** Submits a write, as {@link NvmeDevice.write}; answers its number. */
  nvmeWrite(device: NvmeDevice, lba: number, numBlocks: number, buffer: NodeJS.ArrayBufferView): number {
    return this.dispatcher.storage.onDevice(requireDevice(device), { op: 'write', lba, numBlocks, buffer })
  }

  /** Submits a flush, as {@link NvmeDevice.flush}; answers its number. */
  nvmeFlush(device: NvmeDevice): number {
    return this.dispatcher.storage.onDevice(requireDevice(device), {
      op: 'flush',
      lba: 0,
      numBlocks: 0,
      buffer: undefined,
    })
  }

  /** Closes a device when what is in flight on it has ended. */
  closeNvmeDevice(device: NvmeDevice): void {
    void requireDevice(device).close()
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
    if (!isInstance(token, UdpToken)) throw invalidArgument('token', 'a UdpToken, as udp.token() answers it', token)
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
    if (!isInstance(token, ConnToken)) throw invalidArgument('token', 'a ConnToken, as conn.token() answers it', token)
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
