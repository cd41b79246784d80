/**
 * One TCP connection as its user sees it. It owns the connection's own state (flags, positions in the byte streams); how bytes get in and
 * out is in inbound.ts and outbound.ts. There is one object per accepted or connected connection, never reused: once its connection has
 * ended, the object refuses or ignores everything, whoever has the slot by then.
 */

import { type AddressInput, type AddressWords, addressFromWords, type SocketAddress } from './address.js'
import type { ConnectOptions } from './connect.js'
import type { ConnectionAddresses } from './connection-addresses.js'
import { CLOSED, CLOSING, ENDED, OUTBOUND, PULLED, WRITE_SHUT } from './connection-flags.js'
import type { Dispatcher } from './dispatcher.js'
import type { GuardedSend } from './guards.js'
import type { Inbound, ParseFunction, ReceiveOptions } from './inbound.js'
import { inspect } from './node-util.js'
import type { PipeOptions } from './pipe.js'
import { type ChainBuilder, queueChain, sendChain } from './send-chain.js'
import type { SendData } from './send-data.js'
import { AsyncSendBuilder, type SendPart } from './send-parts.js'
import type { Sending } from './sending.js'
import { ConnToken } from './token.js'

/** What few connections need, made when it is needed. */
interface Extras {
  token?: ConnToken
  closed?: Promise<void>
  resolveClosed?: () => void
}

/**
 * A TCP connection.
 *
 * Every method may be called at any time. After the connection has ended, sending fails with `ERR_RINGLINE_INVALID_CONNECTION`, receiving
 * yields what is still buffered and then the end of the stream, and the rest does nothing.
 */
export class ConnCtx {
  /** Whatever the application wants to keep with this connection; the package never looks at it. */
  userData: unknown = undefined

  /** @internal */
  readonly dispatcher: Dispatcher
  /** @internal */
  readonly slot: number
  /** @internal */
  readonly generation: number
  /** @internal */
  flags: number
  /** What the worker's count of sent bytes of this slot will be when all that it was given is out, modulo 2^32. @internal */
  queued: number
  /** The port's epoch in which the record `corkRecord` was written; it may be appended to while that is the current one. @internal */
  corkEpoch = -1
  /** @internal */
  corkRecord = 0
  /** No more unsent bytes than this are named by SEND_CHUNK records. @internal */
  chunkBytes = 0
  /** @internal */
  inbound: Inbound | undefined = undefined
  /** @internal */
  sending: Sending | undefined = undefined
  /** Why the connection failed, when it did. @internal */
  failure: Error | undefined = undefined
  /** The words of the peer's address, as connection-addresses.ts keeps them. */
  private readonly peerMeta: number
  private readonly peerRest: number | readonly number[]
  private readonly local: AddressWords
  private extras: Extras | undefined = undefined

  private constructor(
    dispatcher: Dispatcher,
    slot: number,
    generation: number,
    flags: number,
    queued: number,
    addresses: ConnectionAddresses,
  ) {
    this.dispatcher = dispatcher
    this.slot = slot
    this.generation = generation
    this.flags = flags
    this.queued = queued
    this.peerMeta = addresses.peerMeta
    this.peerRest = addresses.peerRest
    this.local = addresses.local
  }

  /** Connections are made from records only. @internal */
  static open(
    dispatcher: Dispatcher,
    slot: number,
    generation: number,
    flags: number,
    queued: number,
    addresses: ConnectionAddresses,
  ): ConnCtx {
    return new ConnCtx(dispatcher, slot, generation, flags, queued, addresses)
  }

  /** The number of the connection's slot in its worker, 0 … maxConnections − 1. Slots are used again; a {@link ConnToken} is not. */
  index(): number {
    return this.slot
  }

  /** What names this connection for {@link DriverCtx}: one and the same object at every call, so it can be the key of a Map. */
  token(): ConnToken {
    this.extras ??= {}
    this.extras.token ??= ConnToken.of(this)
    return this.extras.token
  }

  /** The peer's address. */
  peerAddr(): SocketAddress {
    const { peerMeta, peerRest } = this
    return addressFromWords(typeof peerRest === 'number' ? [peerMeta, peerRest] : [peerMeta, ...peerRest])
  }

  /** The address of this side. */
  localAddr(): SocketAddress {
    return addressFromWords(this.local)
  }

  /** True when this side made the connection. */
  isOutbound(): boolean {
    return (this.flags & OUTBOUND) !== 0
  }

  /** True until this side has closed the connection, or it has failed. That the peer has sent its FIN does not change it. */
  get isOpen(): boolean {
    return (this.flags & (CLOSING | CLOSED)) === 0
  }

  /** Why the connection failed, or undefined when it did not. */
  get error(): Error | undefined {
    return this.failure
  }

  /** Bytes that were accepted by `send` and `sendNowait` and that the kernel has not taken yet. */
  get bufferedAmount(): number {
    return this.dispatcher.outbound.bufferedAmount(this)
  }

  /**
   * Queues data for sending, without waiting: it is copied, so the caller may change it at once. A received chunk of 4096 bytes or more,
   * or such a slice of one, is sent from where it lies and must not be changed until the kernel has taken it.
   *
   * Sends of one connection reach the wire in call order. Several in one turn become one send of the kernel.
   *
   * @param data - a string (sent as UTF-8), Buffer, typed array or DataView of any length; all of it is queued, or none
   * @returns the number of bytes queued
   * @throws RinglineError `ERR_RINGLINE_SEND_POOL_EXHAUSTED` when there is no room now, `onDrain` tells when there is;
   * `ERR_RINGLINE_INVALID_CONNECTION` after the connection was closed or has ended; `ERR_RINGLINE_WRITE_AFTER_SHUTDOWN` after
   * `shutdownWrite`; `ERR_RINGLINE_INVALID_ARGUMENT` for anything that is not data, or whose memory was detached
   */
  sendNowait(data: SendData): number {
    return this.dispatcher.outbound.sendNowait(this, data)
  }

  /**
   * As {@link ConnCtx.sendNowait}, but waits for room when there is none, in line with others. While it waits, the data must not be
   * changed. It may be larger than all send slots together.
   *
   * @returns the number of bytes, when the kernel has taken all of them
   * @throws the errors of `sendNowait` except for the exhausted pool, as a rejection; also `ERR_RINGLINE_INVALID_CONNECTION`, or the system
   * error, when the connection ends before all was taken
   */
  send(data: SendData): Promise<number> {
    return this.dispatcher.outbound.send(this, data)
  }

  /**
   * Sends memory from where it lies, without a copy: of `allocGuard`, `allocAligned` or a `MemoryRegion`, or a slice of such. It goes out
   * in order with the other sends. Fewer than `sendZcThreshold` bytes are copied by the kernel, which is cheaper; so is memory for a peer
   * on this machine.
   *
   * @returns the number of bytes, when the kernel has taken all of them; `released` of that promise tells when it no longer uses the memory,
   * which must not be changed until then
   * @throws (as a rejection) the errors of {@link AsyncSendBuilder.submit}
   */
  sendGuard(memory: NodeJS.ArrayBufferView): GuardedSend {
    return AsyncSendBuilder.of(this).guard(memory).submit()
  }

  /**
   * Sends several parts as one: all of them are queued, in order, or none. Without an argument it answers a builder:
   * `conn.sendParts().copy(header).guard(value).submit()`.
   */
  sendParts(): AsyncSendBuilder
  /**
   * Sends several parts as one: all of them are queued, in order, or none.
   *
   * @returns as {@link AsyncSendBuilder.submit}, with its errors
   */
  sendParts(parts: readonly SendPart[]): GuardedSend
  sendParts(parts?: readonly SendPart[]): AsyncSendBuilder | GuardedSend {
    const builder = AsyncSendBuilder.of(this)
    return parts === undefined ? builder : builder.submitBatch(parts)
  }

  /**
   * Sends a chain: links that the kernel runs one after the other, each as soon as the one before is out, with one completion for all. It
   * begins when everything that was sent before is out, and what is sent after it follows it. All links are queued, or none. One that
   * fails cancels the rest and ends the connection, as any failing send does.
   *
   * @param add - called once, at the call: adds the links, `(chain) => chain.copy(header).guard(value)`; not async
   * @returns the number of bytes, when the kernel has taken all of them; `released` of that promise tells when the guards' memory is free
   * @throws (as a rejection) what `add` throws; RinglineError `ERR_RINGLINE_CHAIN_TOO_LONG` for more links than `maxChainLength` (or
   * `sqEntries`), and always when that is 0; and the errors of {@link AsyncSendBuilder.submit}, except for too many parts
   */
  sendChain(add: (chain: ChainBuilder) => unknown): GuardedSend {
    return sendChain(this, add)
  }

  /**
   * As {@link ConnCtx.sendChain}, but does not tell when the chain is out.
   *
   * @returns the number of bytes queued
   * @throws the errors of `sendChain`
   */
  sendChainNowait(add: (chain: ChainBuilder) => unknown): number {
    return queueChain(this, add)
  }

  /** Sends a FIN after everything that was sent; receiving goes on. Does nothing the second time or after the end. */
  shutdownWrite(): void {
    this.dispatcher.outbound.shutdownWrite(this)
  }

  /**
   * Closes the connection: what was sent goes out first, then the FIN; received bytes that nobody took are dropped. Does nothing the second
   * time or after the end.
   */
  close(): void {
    this.dispatcher.close(this)
  }

  /**
   * Ends a pending `withData`, `withBytes`, `recvInto` or `recvReady`, which rejects with `ERR_RINGLINE_CANCELED`. The connection stays open and no
   * byte is lost.
   */
  cancel(): void {
    this.inbound?.cancel()
  }

  /**
   * Takes received bytes: calls `parse` with all buffered bytes as one Buffer, and again with all of them whenever more have arrived,
   * until it consumes some. The Buffer stays valid and unchanged for ever.
   *
   * At the end of the stream it resolves 0; if nothing is buffered when the peer's FIN comes, `parse` is called once with an empty Buffer,
   * and may still answer the peer. It resolves 0 without a call after `close()`, and when the connection has failed: {@link ConnCtx.error}
   * tells the difference.
   *
   * @param parse - answers synchronously, with `ParseResult.Consumed(n)` or `ParseResult.NeedMore`
   * @param options - a signal that ends the waiting; the promise then rejects with the signal's reason, and no byte is lost
   * @returns how many bytes were consumed; 0 at the end of the stream
   * @throws (as a rejection) what `parse` throws; RinglineError `ERR_RINGLINE_INVALID_PARSE_RESULT` when it consumed more than it was given;
   * `ERR_RINGLINE_RECEIVE_BUSY` while another receiving call of this connection is pending; `ERR_RINGLINE_RECEIVE_LIMIT_EXCEEDED` when more
   * than `recvAccumulatorLimit` bytes are buffered and `parse` still wants more, which closes the connection
   */
  withData(parse: ParseFunction, options?: ReceiveOptions): Promise<number> {
    return this.pull().withData(parse, options)
  }

  /** The same as {@link ConnCtx.withData}: received memory is reference-counted anyway, so slices of the Buffer may always be kept. */
  withBytes(parse: ParseFunction, options?: ReceiveOptions): Promise<number> {
    return this.pull().withData(parse, options)
  }

  /**
   * Calls `parse` once with all buffered bytes.
   *
   * @returns how many bytes were consumed (0 when more are needed), or undefined when nothing is buffered
   * @throws what `parse` throws, and the errors of {@link ConnCtx.withData}
   */
  tryWithData(parse: ParseFunction): number | undefined {
    return this.pull().tryWithData(parse)
  }

  /**
   * Resolves when bytes are buffered (more than `tryWithData` has been shown and did not want yet), or when the stream has ended.
   *
   * @param options - a signal that ends the waiting
   * @throws (as a rejection) `ERR_RINGLINE_RECEIVE_BUSY` while another receiving call of this connection is pending
   */
  recvReady(options?: ReceiveOptions): Promise<void> {
    return this.pull().ready(options)
  }

  /**
   * Fills a buffer of the caller's with received bytes, those that are buffered first: for large bodies, whose bytes are then copied once
   * and not joined. The buffer must not be detached before the promise is settled.
   *
   * @param buffer - a Buffer, typed array or DataView
   * @param options - a signal that ends the waiting; the bytes taken so far are then received again by whoever asks next
   * @returns the number of bytes written: the buffer's length, or less at the end of the stream
   * @throws (as a rejection) `ERR_RINGLINE_RECEIVE_BUSY` while another receiving call of this connection is pending;
   * `ERR_RINGLINE_INVALID_ARGUMENT`; `ERR_RINGLINE_CANCELED` after {@link ConnCtx.cancel}; or the signal's reason
   */
  recvInto(buffer: NodeJS.ArrayBufferView, options?: ReceiveOptions): Promise<number> {
    return this.pull().into(buffer, options)
  }

  /** The received chunks, one after the other; ends quietly when the stream does. Leaving the loop early leaves the connection open. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Buffer> {
    return this.pull().iterate()
  }

  /**
   * Passes on what this connection receives, to another one of the same worker, until the end of the stream. The bytes go out from the
   * memory that they were received into, on the ring thread: nothing of them enters JavaScript. What is buffered goes first.
   *
   * The peer's FIN is passed on as well, as by {@link ConnCtx.shutdownWrite}. Receiving pauses while the other connection is full. While
   * the pipe lasts, other sends on `to` fail with `ERR_RINGLINE_PIPE_BUSY`, and its `bufferedAmount` does not count what the pipe
   * has under way. A proxy pipes both directions: `await Promise.all([client.pipe(server), server.pipe(client)])`.
   *
   * When a pipe ends early, neither connection is closed and no FIN is sent, since not everything has arrived. What has been passed on goes
   * out; what comes later is received here, by whoever asks for it with `withData` and its like.
   *
   * @param to - another connection of the same worker, such as one made with {@link ConnCtx.connect}; or this one, which echoes
   * @param options - a signal that stops the pipe; so does {@link ConnCtx.cancel}
   * @returns the number of bytes moved, when the kernel has taken all of them
   * @throws (as a rejection) the system error of the connection that failed; RinglineError `ERR_RINGLINE_INVALID_CONNECTION` when one of
   * them was closed; `ERR_RINGLINE_DIFFERENT_WORKER`; `ERR_RINGLINE_RECEIVE_BUSY` while a receiving call or another pipe of this
   * connection is pending; `ERR_RINGLINE_PIPE_BUSY` when another pipe sends on `to`; `ERR_RINGLINE_WRITE_AFTER_SHUTDOWN`;
   * `ERR_RINGLINE_INVALID_ARGUMENT`; `ERR_RINGLINE_CANCELED`; the signal's reason
   */
  pipe(to: ConnCtx, options?: PipeOptions): Promise<number> {
    return this.dispatcher.pipes.pipe(this, to, options)
  }

  /** As the function {@link connect}, on the worker of this connection. */
  connect(address: AddressInput, options?: ConnectOptions): Promise<ConnCtx> {
    return this.dispatcher.connector.connect(address, 0, options)
  }

  /** As the function {@link connectWithTimeout}, on the worker of this connection. */
  connectWithTimeout(address: AddressInput, timeoutMs: number, options?: ConnectOptions): Promise<ConnCtx> {
    return this.dispatcher.connector.connectWithTimeout(address, timeoutMs, options)
  }

  /** Asks the whole server of this connection to shut down. */
  requestShutdown(): void {
    this.dispatcher.requestShutdown()
  }

  /** Closes the connection, as {@link ConnCtx.close} does. */
  [Symbol.dispose](): void {
    this.close()
  }

  /** Closes the connection and resolves when it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    if ((this.flags & CLOSED) !== 0) return
    this.extras ??= {}
    const extras = this.extras
    extras.closed ??= new Promise((resolve) => {
      extras.resolveClosed = resolve
    })
    await extras.closed
  }

  /** What `console.log` shows. @internal */
  [inspect.custom](_depth: number, options: object, print: typeof inspect): string {
    const state = {
      state: stateName(this.flags),
      peer: this.peerAddr(),
      local: this.localAddr(),
      outbound: this.isOutbound(),
      bufferedAmount: this.bufferedAmount,
      ...(this.failure === undefined ? {} : { error: this.failure.message }),
    }
    return `ConnCtx(${this.slot}) ${print(state, { ...options, depth: 1 })}`
  }

  /** The receiving side, which from here on is asked for its bytes. @internal */
  pull(): Inbound {
    this.flags |= PULLED
    this.inbound ??= this.dispatcher.makeInbound(this)
    return this.inbound
  }

  /** Wakes who waits for the end. @internal */
  tellClosed(): void {
    this.extras?.resolveClosed?.()
  }
}

function stateName(flags: number): string {
  if ((flags & CLOSED) !== 0) return 'closed'
  if ((flags & CLOSING) !== 0) return 'closing'
  if ((flags & (ENDED | WRITE_SHUT)) === (ENDED | WRITE_SHUT)) return 'ended'
  if ((flags & ENDED) !== 0) return 'ended by the peer'
  return (flags & WRITE_SHUT) !== 0 ? 'shut down for writing' : 'open'
}
