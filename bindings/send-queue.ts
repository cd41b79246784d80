/**
 * Sends that wait for room, in one line per worker. It owns that line and the promises in it; memory and records are handled by outbound.ts.
 */

import type { ConnCtx } from './connection.js'
import { RinglineError } from './errors.js'
import type { Outbound } from './outbound.js'
import { WATCH } from './protocol.js'
import { bufferOf, byteLengthOf, byteOffsetOf } from './send-data.js'
import { rejectQuietly, type Settleable, settleable } from './settling.js'

/** A send that waits for slots, or a command that has to come after such a send. */
interface Waiting {
  conn: ConnCtx
  /** What is to be sent; undefined for a command. */
  bytes: Uint8Array | undefined
  length: number
  done: number
  pending: Settleable<number> | undefined
  command: number
  operand: number
  /** The connection has ended while this was in line: there is nothing left to do. */
  dropped: boolean
}

/** The line of those that wait for slots of one worker. */
export class SendQueue {
  private readonly outbound: Outbound
  private line: Waiting[] = []

  constructor(outbound: Outbound) {
    this.outbound = outbound
  }

  get length(): number {
    return this.line.length
  }

  /** Lines up a send; the data is read when its turn comes. */
  enqueue(conn: ConnCtx, bytes: Uint8Array): Promise<number> {
    const length = byteLengthOf(bytes)
    const pending = settleable<number>()
    this.push({ conn, bytes, length, done: 0, pending, command: 0, operand: 0, dropped: false })
    conn.sending!.waitingBytes += length
    return pending.promise
  }

  /** Lines up a command behind the sends of its connection. */
  enqueueCommand(conn: ConnCtx, command: number, operand: number): void {
    this.push({ conn, bytes: undefined, length: 0, done: 0, pending: undefined, command, operand, dropped: false })
  }

  /**
   * Hands free slots to the line, in order.
   *
   * @returns true when nobody is left in it
   */
  advance(): boolean {
    let finished = 0
    while (finished < this.line.length && this.serve(this.line[finished]!)) finished += 1
    if (finished > 0) this.line.splice(0, finished)
    return this.line.length === 0
  }

  /** Settles everything of one connection, which takes no more; its places in the line go when their turn comes. */
  drop(conn: ConnCtx, error: Error): void {
    const sending = conn.sending!
    if (sending.waiting > 0) {
      sending.waiting = 0
      sending.waitingBytes = 0
      for (const waiting of this.line) if (waiting.conn === conn) abandon(waiting, error)
    }
    sending.fail(error)
  }

  private push(waiting: Waiting): void {
    waiting.conn.sending!.waiting += 1
    this.line.push(waiting)
  }

  /** Queues as much of one send as there are slots for; true when it is done with. */
  private serve(waiting: Waiting): boolean {
    if (waiting.dropped) return true
    const { conn, bytes } = waiting
    const sending = conn.sending!
    if (bytes === undefined) {
      sending.waiting -= 1
      this.outbound.submitCommand(conn, waiting.command, waiting.operand)
      return true
    }
    const { pool } = this.outbound
    while (waiting.done < waiting.length) {
      if (pool.available(1) === 0) return false
      const size = Math.min(pool.slotSize, waiting.length - waiting.done)
      if (byteLengthOf(bytes) !== waiting.length) {
        this.outbound.breakOff(conn, changed())
        return true
      }
      const piece = new Uint8Array(bufferOf(bytes), byteOffsetOf(bytes) + waiting.done, size)
      waiting.done += size
      sending.waitingBytes -= size
      this.outbound.putBytes(conn, piece, waiting.done === waiting.length ? WATCH : 0)
    }
    sending.waiting -= 1
    sending.watch(conn.queued, waiting.length, waiting.pending)
    return true
  }
}

function abandon(waiting: Waiting, error: Error): void {
  if (waiting.dropped) return
  waiting.dropped = true
  waiting.bytes = undefined
  if (waiting.pending !== undefined) rejectQuietly(waiting.pending, error)
}

function changed(): RinglineError {
  const message = 'data that waited to be sent was detached or resized; it must stay as it is until send() is settled'
  return new RinglineError('ERR_RINGLINE_INVALID_ARGUMENT', message)
}
