/**
 * Outbound connections of one worker that are being made. It owns the pending requests; what becomes of them arrives as records.
 */

import { constants } from 'node:os'
import { type AddressInput, parseAddress, type SocketAddress } from './address.js'
import type { ConnCtx } from './connection.js'
import type { Dispatcher } from './dispatcher.js'
import { fromRecord, invalidArgument, RinglineError } from './errors.js'
import { madeFor } from './made-for.js'
import { systemError } from './runtime-errors.js'
import { attempt, rejectQuietly, type Settleable, settleable } from './settling.js'
import { isAborted, onAbort, reasonOf, signalOf } from './signal.js'

/** Options of the connecting functions. */
export interface ConnectOptions {
  /** Gives up: the promise rejects with the signal's reason, and no connection is left behind. */
  readonly signal?: AbortSignal
}

interface Request extends Settleable<ConnCtx> {
  address: SocketAddress
  signal: AbortSignal | undefined
  unlisten: (() => void) | undefined
}

const { ECANCELED } = constants.errno

/** The longest timeout of a connection attempt, in milliseconds: 2^31 − 1. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1

/** Makes the outbound connections of one worker. */
export class Connector {
  private readonly dispatcher: Dispatcher
  private readonly requests = new Map<number, Request>()
  private nextRequest = 1

  constructor(dispatcher: Dispatcher) {
    this.dispatcher = dispatcher
  }

  /** Connections that are being made. */
  get pending(): number {
    return this.requests.size
  }

  /** As {@link Connector.connect}, with a limit of time. */
  connectWithTimeout(input: AddressInput, timeoutMs: number, options: ConnectOptions | undefined): Promise<ConnCtx> {
    if (typeof timeoutMs !== 'number' || !(timeoutMs > 0 && timeoutMs <= TIMEOUT_MAX_MS)) {
      const wanted = `a number of milliseconds above 0 and up to ${TIMEOUT_MAX_MS}`
      return Promise.reject(invalidArgument('timeoutMs', wanted, timeoutMs))
    }
    return this.connect(input, timeoutMs, options)
  }

  /** Makes a connection; a `timeoutMs` of 0 is none. */
  connect(input: AddressInput, timeoutMs: number, options: ConnectOptions | undefined): Promise<ConnCtx> {
    return attempt(() => {
      const address = parseAddress(input)
      const signal = signalOf(options)
      if (isAborted(signal)) throw reasonOf(signal)
      if (this.dispatcher.isStopped) throw stopped()
      const id = this.nextRequest
      this.nextRequest = (this.nextRequest + 1) & 0x7fffffff
      const request: Request = { ...settleable<ConnCtx>(), address, signal, unlisten: undefined }
      try {
        this.dispatcher.port.native.connect(id, address.address, address.port, timeoutMs)
      } catch (error) {
        throw fromRecord(error, 'ERR_RINGLINE_INVALID_ARGUMENT')
      }
      this.requests.set(id, request)
      request.unlisten = onAbort(signal, (reason) => this.giveUp(id, request, reason))
      return request.promise
    })
  }

  /** A connection was made; true when somebody still wants it. */
  connected(id: number, conn: ConnCtx): boolean {
    const request = this.take(id)
    if (request === undefined) return false
    madeFor(request.signal, conn)
    request.resolve(conn)
    return true
  }

  /** A connection could not be made. */
  failed(id: number, errno: number): void {
    const request = this.take(id)
    if (request === undefined) return
    const { address, port } = request.address
    // One that its user gives up is taken before; those that are cancelled here are cancelled by a worker that ends.
    if (errno === ECANCELED) rejectQuietly(request, stopped())
    else if (errno === 0) request.reject(limitReached(address, port))
    else request.reject(systemError(errno, 'connect', { address, port }))
  }

  /** The worker has ended: nothing will be connected any more. */
  stop(): void {
    for (const id of [...this.requests.keys()]) rejectQuietly(this.take(id)!, stopped())
  }

  private take(id: number): Request | undefined {
    const request = this.requests.get(id)
    this.requests.delete(id)
    request?.unlisten?.()
    return request
  }

  private giveUp(id: number, request: Request, reason: unknown): void {
    if (this.take(id) === undefined) return
    this.dispatcher.port.native.cancelConnect(id)
    request.reject(reason)
  }
}

function stopped(): RinglineError {
  return new RinglineError('ERR_RINGLINE_WORKER_STOPPED', 'no connection can be made: the worker has stopped')
}

function limitReached(address: string, port: number): RinglineError {
  const message = `no connection slot is free for ${address}:${port}: close connections, or raise maxConnections`
  return new RinglineError('ERR_RINGLINE_CONNECTION_LIMIT_REACHED', message)
}
