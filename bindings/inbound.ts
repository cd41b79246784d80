/**
 * The bytes of one connection that were received and not yet taken: who waits for them, how pieces are joined, when receiving pauses. It
 * owns the accumulated bytes; it may not touch the slot of a connection that has ended.
 *
 * Bytes are joined only when a parse function has to see them in one piece, and into a buffer that doubles: each byte is copied a bounded
 * number of times however many pieces a message comes in. No memory that a user has seen is ever written again.
 */

import type { ConnCtx } from './connection.js'
import { CLOSED, CLOSING, ENDED, PAUSED } from './connection-flags.js'
import { describe, invalidArgument, RinglineError } from './errors.js'
import { bufferOver } from './fast-buffer.js'
import type { ParseResult } from './parse-result.js'
import type { Piping } from './pipe.js'
import { PAUSE, RESUME } from './protocol.js'
import { byteLengthOf, bytesOf, requireAttached } from './send-data.js'
import { isAborted, onAbort, reasonOf, signalOf } from './signal.js'

/** Bytes nobody has taken, above which receiving pauses. */
export const PAUSE_ABOVE_BYTES = 256 * 1024
/** Bytes nobody has taken, down to which they must fall for receiving to resume. */
const RESUME_BELOW_BYTES = PAUSE_ABOVE_BYTES / 2

/** Looks at received bytes and says how many it has consumed. It may keep slices of them; it must answer synchronously. */
export type ParseFunction = (data: Buffer) => ParseResult

/** Options of the receiving methods. */
export interface ReceiveOptions {
  /** Ends the waiting; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

/** Who waits for bytes. There is at most one: two would each get an unforeseeable part. */
type Waiting = 'nobody' | 'parser' | 'ready' | 'iterator' | 'filler' | 'pipe'

const EMPTY = Buffer.alloc(0)

// A promise's two functions, handed out of its constructor without a closure per promise.
let resolveMade: (value: never) => void
let rejectMade: (reason: unknown) => void
const handOut = (resolve: (value: never) => void, reject: (reason: unknown) => void): void => {
  resolveMade = resolve
  rejectMade = reject
}

/** Received bytes of one connection. */
export class Inbound {
  /** Bytes that wait to be taken. */
  buffered = 0
  /** Called when a promise of `onData` is settled; made once per connection that needs it. */
  onSettled: ((value: unknown) => void) | undefined = undefined
  onFailed: ((reason: unknown) => void) | undefined = undefined

  private readonly conn: ConnCtx
  /** The oldest bytes, in one piece. */
  private first: Buffer | undefined = undefined
  /** The pieces after it; those before `restAt` are taken. */
  private rest: Buffer[] = []
  private restAt = 0
  /** The buffer in which pieces were joined, when `first` lies in one, and where its unwritten part begins. */
  private store: Buffer | undefined = undefined
  private storeEnd = 0

  private waiting: Waiting = 'nobody'
  private parse: ParseFunction | undefined = undefined
  private resolve: (value: never) => void = resolveMade
  private reject: (reason: unknown) => void = rejectMade
  /** What `recvInto` fills, and how far it has come. */
  private target: Uint8Array | undefined = undefined
  private filled = 0
  private pipe: Piping | undefined = undefined
  private parsing = false
  /** As many bytes were shown to `tryWithData` and not wanted yet. */
  private refused = 0
  private unlisten: (() => void) | undefined = undefined

  constructor(conn: ConnCtx) {
    this.conn = conn
  }

  /** See ConnCtx.withData. */
  withData(parse: ParseFunction, options: ReceiveOptions | undefined): Promise<number> {
    if (typeof parse !== 'function') return Promise.reject(invalidArgument('parse', 'a function', parse))
    if (this.waiting !== 'nobody' || this.parsing) return Promise.reject(busy())
    const ended = this.atEnd
    // Nobody is there any more to whom an answer to the end could be sent.
    if (this.buffered === 0 && this.isGone) return Promise.resolve(0)
    if (this.buffered > 0 || ended) {
      try {
        const consumed = this.offer(parse)
        if (consumed > 0 || ended) return Promise.resolve(consumed)
        this.requireBelowLimit()
      } catch (error) {
        return Promise.reject(error)
      }
    }
    this.parse = parse
    return this.wait('parser', options)
  }

  /** See ConnCtx.tryWithData. */
  tryWithData(parse: ParseFunction): number | undefined {
    if (typeof parse !== 'function') throw invalidArgument('parse', 'a function', parse)
    if (this.waiting !== 'nobody' || this.parsing) throw busy()
    if (this.buffered === 0) return undefined
    const consumed = this.offer(parse)
    if (consumed === 0) {
      this.refused = this.buffered
      this.requireBelowLimit()
      this.resumeIfPaused()
    }
    return consumed
  }

  /** See ConnCtx.recvReady. */
  ready(options: ReceiveOptions | undefined): Promise<void> {
    if (this.waiting !== 'nobody' || this.parsing) return Promise.reject(busy())
    if (this.buffered > this.refused || this.atEnd) return Promise.resolve()
    return this.wait('ready', options)
  }

  /** See ConnCtx.recvInto. */
  into(target: NodeJS.ArrayBufferView, options: ReceiveOptions | undefined): Promise<number> {
    if (this.waiting !== 'nobody' || this.parsing) return Promise.reject(busy())
    try {
      const signal = signalOf(options)
      if (isAborted(signal)) throw reasonOf(signal)
      const bytes = bytesOf(target, 'buffer', 'a Buffer, typed array or DataView')
      const length = byteLengthOf(bytes)
      if (length === 0) requireAttached(bytes, 'buffer')
      const ready = Math.min(length, this.buffered)
      this.moveTo(bytes, 0, ready)
      if (ready === length || this.atEnd) return Promise.resolve(ready)
      this.target = bytes
      this.filled = ready
      return this.wait<number>('filler', options)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** See ConnCtx[Symbol.asyncIterator]. */
  iterate(): AsyncIterableIterator<Buffer> {
    let left = false
    const done = (): IteratorResult<Buffer> => ({ done: true, value: undefined })
    const iterator: AsyncIterableIterator<Buffer> = {
      next: () => {
        if (left) return Promise.resolve(done())
        if (this.waiting !== 'nobody' || this.parsing) return Promise.reject(busy())
        const chunk = this.take()
        if (chunk !== undefined) return Promise.resolve({ done: false, value: chunk })
        if (this.atEnd) return Promise.resolve(done())
        return this.wait('iterator', undefined)
      },
      return: () => {
        left = true
        return Promise.resolve(done())
      },
      [Symbol.asyncIterator]: () => iterator,
    }
    return iterator
  }

  /** Throws when somebody waits for bytes, or is looking at them. */
  requireFree(): void {
    if (this.waiting !== 'nobody' || this.parsing) throw busy()
  }

  /** Gives everything to a pipe until its end, beginning with what is buffered. Nobody may be waiting. */
  beginPipe(pipe: Piping): void {
    this.waiting = 'pipe'
    this.pipe = pipe
    for (let chunk = this.take(); chunk !== undefined; chunk = this.take()) pipe.pass(chunk)
  }

  /** The pipe has ended. */
  endPipe(): void {
    this.stopWaiting()
  }

  /** Bytes have arrived for whoever pulls. */
  received(chunk: Buffer): void {
    if (this.pipe !== undefined) {
      this.pipe.pass(chunk)
      return
    }
    const rest = this.waiting === 'filler' ? this.fill(chunk) : chunk
    if (rest.length === 0) return
    this.append(rest)
    if (this.parsing) return
    switch (this.waiting) {
      case 'parser':
        this.offerToWaiter()
        break
      case 'ready':
        if (this.buffered > this.refused) this.settle(undefined)
        break
      case 'iterator':
        this.settle({ done: false, value: this.take() })
        break
      case 'nobody':
        this.pauseIfFull()
    }
  }

  /** Bytes have arrived while the handler is busy with earlier ones. */
  enqueue(chunk: Buffer): void {
    this.append(chunk)
    this.pauseIfFull()
  }

  /** Takes the oldest piece. */
  take(): Buffer | undefined {
    const chunk = this.first
    if (chunk === undefined) return undefined
    this.consume(chunk.length)
    return chunk
  }

  /** No more bytes will come: who waits is told. */
  end(): void {
    if (this.waiting === 'parser' && this.buffered === 0 && !this.isGone) this.offerToWaiter()
    if (this.waiting === 'parser') this.settle(0)
    else if (this.waiting === 'ready') this.settle(undefined)
    else if (this.waiting === 'iterator') this.settle({ done: true, value: undefined })
    else if (this.waiting === 'filler') this.settle(this.filled)
  }

  /** Drops what nobody has taken: the connection was closed on this side. */
  discard(): void {
    this.first = undefined
    this.rest = []
    this.restAt = 0
    this.store = undefined
    this.buffered = 0
    this.refused = 0
    this.end()
  }

  /** Ends the waiting with an error; bytes stay. */
  cancel(
    reason: unknown = new RinglineError('ERR_RINGLINE_CANCELED', 'the receive was canceled; no byte was lost'),
  ): void {
    if (this.waiting === 'nobody') return
    if (this.pipe !== undefined) {
      this.pipe.stop(reason)
      return
    }
    const reject = this.reject
    if (this.waiting === 'filler') this.putBack()
    this.stopWaiting()
    reject(reason)
  }

  /** Receiving goes on when it was paused and there is room, or somebody waits for bytes. */
  resumeIfPaused(): void {
    const { conn } = this
    if ((conn.flags & PAUSED) === 0 || (conn.flags & (CLOSING | CLOSED)) !== 0) return
    conn.flags &= ~PAUSED
    conn.dispatcher.port.submit(RESUME, conn.slot, conn.generation, 0, 0, 0, 0)
  }

  private get atEnd(): boolean {
    return (this.conn.flags & (ENDED | CLOSING | CLOSED)) !== 0
  }

  private get isGone(): boolean {
    return (this.conn.flags & (CLOSING | CLOSED)) !== 0
  }

  private wait<T>(waiting: Waiting, options: ReceiveOptions | undefined): Promise<T> {
    if (options !== undefined) {
      try {
        const signal = signalOf(options)
        if (isAborted(signal)) throw reasonOf(signal)
        this.unlisten = onAbort(signal, (reason) => this.cancel(reason))
      } catch (error) {
        return Promise.reject(error)
      }
    }
    const promise = new Promise<T>(handOut as (resolve: (value: T) => void, reject: (reason: unknown) => void) => void)
    this.resolve = resolveMade
    this.reject = rejectMade
    this.waiting = waiting
    this.resumeIfPaused()
    return promise
  }

  private settle(value: unknown): void {
    const resolve = this.resolve as (value: unknown) => void
    this.stopWaiting()
    resolve(value)
  }

  private stopWaiting(): void {
    this.waiting = 'nobody'
    this.parse = undefined
    this.target = undefined
    this.pipe = undefined
    if (this.unlisten !== undefined) {
      this.unlisten()
      this.unlisten = undefined
    }
  }

  /** Copies received bytes to where `recvInto` wants them; answers those it does not want. */
  private fill(chunk: Buffer): Buffer {
    const target = this.target!
    const length = byteLengthOf(target)
    if (length === 0) {
      this.cancel(invalidArgument('buffer', 'memory that stays until recvInto is settled', target))
      return chunk
    }
    const size = Math.min(length - this.filled, chunk.length)
    target.set(size === chunk.length ? chunk : chunk.subarray(0, size), this.filled)
    this.filled += size
    if (this.filled === length) this.settle(length)
    return size === chunk.length ? EMPTY : chunk.subarray(size)
  }

  /** Takes so many of the buffered bytes. */
  private moveTo(target: Uint8Array, offset: number, bytes: number): void {
    for (let done = 0; done < bytes; ) {
      const first = this.first!
      const size = Math.min(first.length, bytes - done)
      target.set(size === first.length ? first : first.subarray(0, size), offset + done)
      this.consume(size)
      done += size
    }
  }

  /** `recvInto` ends before its buffer is full: what it has taken is to be received again. */
  private putBack(): void {
    const { target, filled } = this
    this.target = undefined
    if (target === undefined || filled === 0 || byteLengthOf(target) < filled) return
    const bytes = Buffer.from(target.subarray(0, filled))
    if (this.first !== undefined) this.rest.splice(this.restAt, 0, this.first)
    this.first = bytes
    this.store = undefined
    this.buffered += bytes.length
  }

  private offerToWaiter(): void {
    const parse = this.parse!
    try {
      const consumed = this.ask(parse)
      // The parse function may have closed the connection or ended the waiting, which has settled the promise. Of a call that was
      // rejected nothing is taken: the bytes are there for the next.
      if (this.parse !== parse) return
      if (consumed > 0) {
        this.consume(consumed)
        this.settle(consumed)
      } else this.requireBelowLimit()
    } catch (error) {
      if (this.parse === parse) this.cancel(error)
    }
  }

  /** Shows all bytes to a parse function and drops what it has consumed. */
  private offer(parse: ParseFunction): number {
    const consumed = this.ask(parse)
    // Nothing is left to drop when the parse function has closed the connection.
    if (consumed > 0 && this.buffered > 0) this.consume(consumed)
    return consumed
  }

  /** Shows all bytes to a parse function and answers how many it wants to consume. */
  private ask(parse: ParseFunction): number {
    const data = this.join()
    let consumed: unknown
    this.parsing = true
    try {
      consumed = parse(data)
    } finally {
      this.parsing = false
    }
    if (typeof consumed !== 'number' || !(consumed >= 0 && consumed <= data.length) || !Number.isInteger(consumed)) {
      throw invalidParseResult(consumed, data.length)
    }
    return consumed
  }

  private requireBelowLimit(): void {
    const limit = this.conn.dispatcher.recvAccumulatorLimit
    if (this.buffered <= limit || (this.conn.flags & (CLOSING | CLOSED)) !== 0) return
    const error = new RinglineError(
      'ERR_RINGLINE_RECEIVE_LIMIT_EXCEEDED',
      `${this.buffered} bytes have accumulated and the parse function still needs more; recvAccumulatorLimit is ${limit}`,
    )
    this.cancel(error)
    this.conn.dispatcher.fail(this.conn, error, true)
    throw error
  }

  private pauseIfFull(): void {
    const { conn } = this
    if (this.buffered <= PAUSE_ABOVE_BYTES || (conn.flags & (PAUSED | ENDED | CLOSING | CLOSED)) !== 0) return
    conn.flags |= PAUSED
    conn.dispatcher.port.submit(PAUSE, conn.slot, conn.generation, 0, 0, 0, 0)
  }

  private append(received: Buffer): void {
    // What is only lent has to be copied to be kept.
    const chunk = this.conn.dispatcher.loan === undefined ? received : Buffer.from(received)
    this.buffered += chunk.length
    const pieces = this.rest.length
    const last = pieces > this.restAt ? this.rest[pieces - 1]! : this.first
    if (last === undefined) {
      this.first = chunk
    } else if (last.buffer === chunk.buffer && last.byteOffset + last.length === chunk.byteOffset) {
      // Both lie side by side in one slab: one view of both costs nothing.
      const both = bufferOver(chunk.buffer, last.byteOffset, last.length + chunk.length)
      if (last === this.first) this.first = both
      else this.rest[pieces - 1] = both
    } else {
      this.rest.push(chunk)
    }
  }

  private consume(bytes: number): void {
    const first = this.first!
    this.buffered -= bytes
    this.refused = Math.max(0, this.refused - bytes)
    if (bytes < first.length) {
      this.first = bufferOver(first.buffer, first.byteOffset + bytes, first.length - bytes)
    } else if (this.restAt < this.rest.length) {
      this.first = this.rest[this.restAt]!
      this.rest[this.restAt] = EMPTY
      this.restAt += 1
      this.store = undefined
    } else {
      this.first = undefined
      this.store = undefined
    }
    if (this.restAt > 0 && this.restAt === this.rest.length) {
      this.rest.length = 0
      this.restAt = 0
    }
    if ((this.conn.flags & PAUSED) !== 0 && this.buffered <= RESUME_BELOW_BYTES) {
      this.resumeIfPaused()
    }
  }

  /** All bytes in one piece. */
  private join(): Buffer {
    const first = this.first
    if (first === undefined) return EMPTY
    if (this.restAt === this.rest.length) return first
    let store = this.store
    if (store === undefined || store.length - this.storeEnd < this.buffered - first.length) {
      const capacity = Math.max(this.conn.dispatcher.recvAccumulatorCapacity, 2 * this.buffered)
      store = Buffer.allocUnsafeSlow(capacity)
      store.set(first, 0)
      this.store = store
      this.storeEnd = first.length
    }
    const start = this.storeEnd - first.length
    for (let index = this.restAt; index < this.rest.length; index += 1) {
      const piece = this.rest[index]!
      store.set(piece, this.storeEnd)
      this.storeEnd += piece.length
    }
    this.rest.length = 0
    this.restAt = 0
    this.first = bufferOver(store.buffer, store.byteOffset + start, this.buffered)
    return this.first
  }
}

function busy(): RinglineError {
  const message = 'another receiving call of this connection is pending; await it first, or end it with conn.cancel()'
  return new RinglineError('ERR_RINGLINE_RECEIVE_BUSY', message)
}

function invalidParseResult(result: unknown, given: number): RinglineError {
  const message =
    `a parse function must answer ParseResult.Consumed(n) with n from 0 to the ${given} bytes it was given, or ParseResult.NeedMore, ` +
    `and not as a promise; it answered ${describe(result)}`
  return new RinglineError('ERR_RINGLINE_INVALID_PARSE_RESULT', message)
}
