/**
 * The sending side of one worker's connections: which memory a send goes into, what is refused, and who is told of a drain. It owns the
 * order of sends: records of one connection are queued in call order, and nothing overtakes a send that waits (send-queue.ts).
 */

import type { ConnCtx } from './connection.js'
import { CLOSED, CLOSING, DRAIN_DUE, PIPED, REFUSED, SENDS_REFUSED, WRITE_SHUT } from './connection-flags.js'
import type { Dispatcher } from './dispatcher.js'
import { invalidConnection, RinglineError } from './errors.js'
import type { Place } from './memory.js'
import { CLOSE, SEND_CHAIN, SEND_CHUNK, SEND_GUARD, SEND_SLOT, SHUTDOWN_WRITE, WATCH } from './protocol.js'
import { bufferOf, byteLengthOf, byteOffsetOf, bytesOf, requireAttached, type SendData } from './send-data.js'
import { SendPool } from './send-pool.js'
import { SendQueue } from './send-queue.js'
import { Sending } from './sending.js'
import { rejectedQuietly } from './settling.js'
import type { SlabName } from './slabs.js'

/** Unsent bytes of a connection above which it is owed an `onDrain`. */
export const HIGH_WATER_MARK_BYTES = 64 * 1024
/** A received chunk is sent from where it lies when it is at least this long; a shorter one is copied, which is cheaper. */
const CHUNK_MIN_BYTES = 4096
/** Words of the two send records. */
const SLOT_LENGTH_WORD = 4
const SLOT_FLAGS_WORD = 5
const CHUNK_FLAGS_WORD = 6
/** A UTF-16 unit becomes at most this many bytes of UTF-8. */
const UTF8_BYTES_PER_CHAR_MAX = 3

/** The sending side of one worker. */
export class Outbound {
  readonly pool: SendPool
  readonly queue: SendQueue
  /** Links of a chain at most; 0 = no chains. */
  readonly chainLinksMax: number

  private readonly dispatcher: Dispatcher
  private readonly tellsDrain: boolean
  /** Connections that were refused a send, in the order in which they are told that there is room. */
  private readonly refused: ConnCtx[] = []
  /** Where the flags of the record submitted last are: an index into the submissions, or -1 - word while that record waits for room. */
  private lastFlags = 0
  /** No more unsent bytes than this are named by SEND_CHUNK records, of the connections in `chunked`. */
  private chunkBytes = 0
  private readonly chunked = new Set<ConnCtx>()
  private chunksCountedIn = -1
  private retryQueued = false

  private readonly retry = (): void => {
    this.retryQueued = false
    this.dispatcher.runBatch(this.pumpOnce)
  }
  private readonly pumpOnce = (): void => this.pump()

  constructor(dispatcher: Dispatcher, tellsDrain: boolean, chainLinksMax: number) {
    this.dispatcher = dispatcher
    this.chainLinksMax = chainLinksMax
    this.tellsDrain = tellsDrain
    this.pool = new SendPool(dispatcher.port)
    this.queue = new SendQueue(this)
  }

  /** See ConnCtx.bufferedAmount. */
  bufferedAmount(conn: ConnCtx): number {
    if ((conn.flags & CLOSED) !== 0) return 0
    return this.unsent(conn) + (conn.sending === undefined ? 0 : conn.sending.waitingBytes)
  }

  /** See ConnCtx.sendNowait. */
  sendNowait(conn: ConnCtx, data: SendData): number {
    if ((conn.flags & SENDS_REFUSED) !== 0) throw this.unsendable(conn)
    // What waits was called first and has to go first.
    const overtakes = conn.sending !== undefined && conn.sending.waiting > 0
    const queued = overtakes ? -1 : this.put(conn, data, (conn.flags & DRAIN_DUE) === 0 ? 0 : WATCH)
    if (queued < 0) throw this.refuse(conn, -queued, overtakes)
    return queued
  }

  /** See ConnCtx.send. */
  send(conn: ConnCtx, data: SendData): Promise<number> {
    try {
      if ((conn.flags & SENDS_REFUSED) !== 0) return rejectedQuietly(this.unsendable(conn))
      conn.sending ??= new Sending()
      const bytes = typeof data === 'string' ? data : bytesOf(data)
      const queued = conn.sending.waiting > 0 ? -1 : this.put(conn, bytes, WATCH)
      if (queued === 0) return Promise.resolve(0)
      if (queued > 0) return conn.sending.watch(conn.queued, queued)
      const promise = this.queue.enqueue(conn, typeof bytes === 'string' ? Buffer.from(bytes) : this.lasting(bytes))
      this.pumpSoon()
      return promise
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Queues what a connection has received in front of the pipe that is to send the rest, and behind everything that was sent. */
  forward(conn: ConnCtx, bytes: Buffer): void {
    conn.sending ??= new Sending()
    if (conn.sending.waiting === 0 && this.putBytes(conn, bytes, 0) >= 0) return
    // The pipe tells when the connection breaks; of this part alone nobody wants to hear.
    this.queue.enqueue(conn, this.lasting(bytes)).catch(() => {})
    this.pumpSoon()
  }

  /** See ConnCtx.shutdownWrite. */
  shutdownWrite(conn: ConnCtx): void {
    if ((conn.flags & (CLOSED | CLOSING | WRITE_SHUT)) !== 0) return
    conn.flags |= WRITE_SHUT
    this.afterSends(conn, SHUTDOWN_WRITE)
  }

  /** Closes after everything that was sent, what still waits for room included. */
  close(conn: ConnCtx): void {
    this.afterSends(conn, CLOSE)
  }

  /** The connection takes no more: everything that was promised to it is settled. */
  drop(conn: ConnCtx, error: Error): void {
    this.releaseChunks(conn, 0)
    if (conn.sending !== undefined) this.queue.drop(conn, error)
    if ((conn.flags & REFUSED) !== 0) this.refused.splice(this.refused.indexOf(conn), 1)
    conn.flags &= ~(REFUSED | DRAIN_DUE)
  }

  /** The kernel has taken what was watched: promises are settled, and the handler is told when nothing is left. */
  sent(conn: ConnCtx): void {
    conn.sending?.settleUntil(this.dispatcher.port.sentBytes[conn.slot]!)
    if ((conn.flags & DRAIN_DUE) === 0 || this.bufferedAmount(conn) > 0) return
    conn.flags &= ~DRAIN_DUE
    // A refused send is answered when there is room for it, and one answer is enough.
    if ((conn.flags & REFUSED) === 0) this.dispatcher.drained(conn)
  }

  /**
   * Gives free slots to who waits: first to waiting sends, in line, then to connections that were refused one. When somebody still waits,
   * the worker is asked to ring as soon as slots come free.
   */
  pump(): void {
    if (!this.someoneWaits) return
    this.pool.harvest()
    for (;;) {
      if (this.queue.advance()) this.tellRefused()
      if (!this.someoneWaits) return
      this.pool.askForSlots()
      // Slots freed before the worker saw the question will not be announced.
      if (!this.pool.hasFreed) return
      this.pool.harvest()
    }
  }

  /** True when somebody waits for slots and some have come back: JavaScript must not go to sleep. */
  get shouldPump(): boolean {
    return this.someoneWaits && this.pool.hasFreed
  }

  /**
   * Queues bytes of a connection in slots, as many as it takes.
   *
   * @returns the number of bytes, or -n when n free slots would be needed
   */
  putBytes(conn: ConnCtx, bytes: Uint8Array, flags: number): number {
    this.dispatcher.loan?.check(bytes)
    const length = byteLengthOf(bytes)
    if (length === 0) {
      requireAttached(bytes)
      return 0
    }
    if (length >= CHUNK_MIN_BYTES && this.putChunk(conn, bytes, length, flags)) return length
    const { pool } = this
    const slotSize = pool.slotSize
    if (length <= slotSize) return this.putSmall(conn, bytes, length, flags)
    const needed = Math.ceil(length / slotSize)
    if (pool.available(needed) < needed) return -needed
    for (let done = 0; done < length; done += slotSize) {
      const size = Math.min(slotSize, length - done)
      const slot = pool.takeSlot()
      pool.write(slot, 0, new Uint8Array(bufferOf(bytes), byteOffsetOf(bytes) + done, size))
      this.submitSlot(conn, slot, size, done + size === length ? flags : 0)
    }
    this.count(conn, length)
    return length
  }

  /** Queues memory that is sent from where it lies; `key` comes back with its release. */
  putGuard(conn: ConnCtx, bytes: Uint8Array, place: Place, key: number, flags: number): void {
    const { port } = this.dispatcher
    const { memory, offset, length } = place
    const record = port.submit(SEND_GUARD, conn.slot, conn.generation, memory.id, offset, length, flags, key)
    port.hold(bufferOf(bytes))
    this.uncork(conn)
    this.lastFlags = record < 0 ? -1 - CHUNK_FLAGS_WORD : record + CHUNK_FLAGS_WORD
    this.count(conn, length)
  }

  /** What is queued next, up to CHAIN_END, is a chain. */
  beginChain(conn: ConnCtx): void {
    this.uncork(conn)
    this.submitCommand(conn, SEND_CHAIN, 0)
  }

  /** What was queued last does not grow any more. */
  uncork(conn: ConnCtx): void {
    conn.corkEpoch = (this.dispatcher.port.epoch - 1) | 0
  }

  /** Queues a command that has one operand, or none. */
  submitCommand(conn: ConnCtx, kind: number, operand: number): void {
    this.dispatcher.port.submit(kind, conn.slot, conn.generation, operand, 0, 0, 0)
  }

  /** Queues a command that has to come after everything that was sent. */
  afterSends(conn: ConnCtx, kind: number, operand = 0): void {
    this.uncork(conn)
    if (conn.sending !== undefined && conn.sending.waiting > 0) this.queue.enqueueCommand(conn, kind, operand)
    else this.submitCommand(conn, kind, operand)
  }

  /** A send stopped in the middle: what follows it would be misread, so the connection ends here. */
  breakOff(conn: ConnCtx, error: Error): void {
    this.dispatcher.fail(conn, error, true)
  }

  private get someoneWaits(): boolean {
    return this.queue.length > 0 || this.refused.length > 0
  }

  private put(conn: ConnCtx, data: SendData, flags: number): number {
    if (typeof data === 'string') return this.putString(conn, data, flags)
    const { chunk } = this.dispatcher.inHand
    return this.putBytes(conn, chunk !== undefined && data === chunk ? chunk : bytesOf(data), flags)
  }

  private putString(conn: ConnCtx, text: string, flags: number): number {
    if (text.length === 0) return 0
    const { pool } = this
    let most = text.length * UTF8_BYTES_PER_CHAR_MAX
    if (most > pool.slotSize) {
      most = Buffer.byteLength(text)
      if (most > pool.slotSize) return this.putBytes(conn, Buffer.from(text), flags)
    }
    const record = this.corkedRecord(conn, most)
    if (record >= 0) {
      const submissions = this.dispatcher.port.submissions
      const before = submissions[record + SLOT_LENGTH_WORD]!
      const written = pool.writeString(submissions[record + 3]!, before, text)
      this.extend(record, before + written, flags)
      this.count(conn, written)
      return written
    }
    if (pool.available(1) === 0) return -1
    const slot = pool.takeSlot()
    const written = pool.writeString(slot, 0, text)
    this.submitSlot(conn, slot, written, flags)
    this.count(conn, written)
    return written
  }

  private putSmall(conn: ConnCtx, bytes: Uint8Array, length: number, flags: number): number {
    const { pool } = this
    const record = this.corkedRecord(conn, length)
    if (record >= 0) {
      const submissions = this.dispatcher.port.submissions
      const before = submissions[record + SLOT_LENGTH_WORD]!
      pool.write(submissions[record + 3]!, before, bytes)
      this.extend(record, before + length, flags)
    } else {
      if (pool.available(1) === 0) return -1
      const slot = pool.takeSlot()
      pool.write(slot, 0, bytes)
      this.submitSlot(conn, slot, length, flags)
    }
    this.count(conn, length)
    return length
  }

  /** Bytes that stay as they are while they wait: those that are lent to a handler are copied. */
  private lasting(bytes: Uint8Array): Uint8Array {
    const { loan } = this.dispatcher
    if (loan === undefined) return bytes
    loan.check(bytes)
    return loan.keep(bytes)
  }

  /** Sends received memory from where it lies, when it is memory of a live slab and not too much of it is under way. */
  private putChunk(conn: ConnCtx, bytes: Uint8Array, length: number, flags: number): boolean {
    const { inHand, port, loan, slabs } = this.dispatcher
    const name = this.nameOf(bytes)
    if (name === undefined || !this.reserveChunk(conn, length)) return false
    const { slab, use } = name
    const offset = bytes === inHand.chunk ? inHand.offset : byteOffsetOf(bytes)
    const record = port.submit(SEND_CHUNK, conn.slot, conn.generation, slab, offset, length, flags | use)
    // Memory that is lent is never collected.
    if (loan === undefined) port.hold(bytes === inHand.chunk ? slabs.memoryOf(slab) : bufferOf(bytes))
    this.uncork(conn)
    this.lastFlags = record < 0 ? -1 - CHUNK_FLAGS_WORD : record + CHUNK_FLAGS_WORD
    this.count(conn, length)
    return true
  }

  /** Which slab these bytes can be sent from, if they can. */
  private nameOf(bytes: Uint8Array): SlabName | undefined {
    const { inHand, slabs, port, loan } = this.dispatcher
    if (loan === undefined) return bytes === inHand.chunk ? inHand : slabs.nameOf(bufferOf(bytes))
    // What is lent goes back when the handler has returned: the worker must hear of the send by then.
    return port.canSubmit() ? loan.place(bytes) : undefined
  }

  /** The record of this connection that can still grow by so many bytes, or -1. */
  private corkedRecord(conn: ConnCtx, bytes: number): number {
    const { port } = this.dispatcher
    if (conn.corkEpoch !== port.epoch) return -1
    const used = port.submissions[conn.corkRecord + SLOT_LENGTH_WORD]!
    return used + bytes <= this.pool.slotSize ? conn.corkRecord : -1
  }

  private extend(record: number, length: number, flags: number): void {
    const submissions = this.dispatcher.port.submissions
    submissions[record + SLOT_LENGTH_WORD] = length
    submissions[record + SLOT_FLAGS_WORD] = submissions[record + SLOT_FLAGS_WORD]! | flags
    this.lastFlags = record + SLOT_FLAGS_WORD
  }

  private submitSlot(conn: ConnCtx, slot: number, length: number, flags: number): void {
    const { port } = this.dispatcher
    const record = port.submit(SEND_SLOT, conn.slot, conn.generation, slot, length, flags, 0)
    conn.corkRecord = record
    conn.corkEpoch = record < 0 ? (port.epoch - 1) | 0 : port.epoch
    this.lastFlags = record < 0 ? -1 - SLOT_FLAGS_WORD : record + SLOT_FLAGS_WORD
  }

  /** Counts queued bytes; at the high-water mark the record queued last is watched, so that the drain will be seen. */
  private count(conn: ConnCtx, bytes: number): void {
    conn.queued = (conn.queued + bytes) | 0
    if (!this.tellsDrain || (conn.flags & DRAIN_DUE) !== 0 || this.unsent(conn) <= HIGH_WATER_MARK_BYTES) return
    conn.flags |= DRAIN_DUE
    const { port } = this.dispatcher
    if (this.lastFlags < 0) port.amendWaiting(-1 - this.lastFlags, WATCH)
    else port.submissions[this.lastFlags] = port.submissions[this.lastFlags]! | WATCH
  }

  /** Bytes that the worker was given and the kernel has not taken. While a pipe sends, nobody here knows. */
  private unsent(conn: ConnCtx): number {
    if ((conn.flags & PIPED) !== 0) return 0
    return (conn.queued - this.dispatcher.port.sentBytes[conn.slot]!) >>> 0
  }

  /** A send was refused; the connection is owed an `onDrain`. */
  refuse(conn: ConnCtx, needed: number, overtakes: boolean): RinglineError {
    const { slots } = this.pool
    if (needed > slots) {
      const message = `nothing was sent: it needs ${needed} send slots and there are ${slots}; use send(), or raise sendCopyCount`
      return new RinglineError('ERR_RINGLINE_SEND_POOL_EXHAUSTED', message)
    }
    if (this.tellsDrain) {
      conn.sending ??= new Sending()
      conn.sending.neededSlots = needed
      if ((conn.flags & REFUSED) === 0) {
        conn.flags |= REFUSED
        this.refused.push(conn)
      }
      this.pumpSoon()
    }
    const why = overtakes
      ? 'an earlier send() of this connection still waits for room'
      : `${needed} of ${slots} send slots are needed and fewer are free`
    const remedy = 'wait for onDrain, use send(), or raise sendCopyCount'
    return new RinglineError('ERR_RINGLINE_SEND_POOL_EXHAUSTED', `nothing was sent: ${why}; ${remedy}`)
  }

  private tellRefused(): void {
    while (this.refused.length > 0 && this.queue.length === 0) {
      const conn = this.refused[0]!
      if (this.pool.available(conn.sending!.neededSlots) < conn.sending!.neededSlots) return
      this.refused.shift()
      conn.flags &= ~REFUSED
      if (this.bufferedAmount(conn) === 0) conn.flags &= ~DRAIN_DUE
      this.dispatcher.drained(conn)
    }
  }

  /** Within a batch, who waits is looked after at its end; outside of one, as soon as other I/O has run. */
  private pumpSoon(): void {
    if (this.dispatcher.port.inBatch || this.retryQueued) return
    this.retryQueued = true
    setImmediate(this.retry)
  }

  private reserveChunk(conn: ConnCtx, length: number): boolean {
    if (this.chunkBytes + length > this.pool.bytes) this.recountChunks()
    if (this.chunkBytes + length > this.pool.bytes) return false
    if (conn.chunkBytes === 0) this.chunked.add(conn)
    conn.chunkBytes += length
    this.chunkBytes += length
    return true
  }

  /** No connection has more chunk bytes under way than unsent bytes. Looked up at most once per epoch: it visits every connection. */
  private recountChunks(): void {
    if (this.chunksCountedIn === this.dispatcher.port.epoch) return
    this.chunksCountedIn = this.dispatcher.port.epoch
    for (const conn of this.chunked) this.releaseChunks(conn, Math.min(conn.chunkBytes, this.unsent(conn)))
  }

  private releaseChunks(conn: ConnCtx, left: number): void {
    this.chunkBytes -= conn.chunkBytes - left
    conn.chunkBytes = left
    if (left === 0) this.chunked.delete(conn)
  }

  /** Why nothing more can be sent. */
  unsendable(conn: ConnCtx): RinglineError {
    if ((conn.flags & CLOSED) !== 0) return invalidConnection('nothing was sent: the connection has ended')
    if ((conn.flags & CLOSING) !== 0) return invalidConnection('nothing was sent: the connection was closed')
    if ((conn.flags & PIPED) !== 0) {
      const message = 'nothing was sent: a pipe sends on this connection; wait for its end, or stop it'
      return new RinglineError('ERR_RINGLINE_PIPE_BUSY', message)
    }
    return new RinglineError('ERR_RINGLINE_WRITE_AFTER_SHUTDOWN', 'nothing was sent: shutdownWrite() was called before')
  }
}
