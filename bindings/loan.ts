/**
 * Borrowed chunks (`receive: 'borrowed'`): what a handler has of received memory until it returns. It owns the knowledge of which bytes are
 * lent at the moment, and refuses to send those that were lent before, since they may be another connection's by now.
 */

import { RinglineError } from './errors.js'
import { SLAB_GENERATION_SHIFT } from './protocol.js'
import { bufferOf, byteLengthOf, byteOffsetOf } from './send-data.js'
import type { SlabName } from './slabs.js'

/** What borrowed memory is overwritten with when it goes back, if that is asked for. */
const POISON = 0xdb
/** The environment variable that asks for it. */
const POISON_VARIABLE = 'RINGLINE_POISON_BORROWED'

const { fill } = Uint8Array.prototype

/** The chunk that is lent, one at a time. */
export class Loan {
  private readonly poisons = (process.env[POISON_VARIABLE] ?? '0') !== '0'
  /** Every ArrayBuffer that chunks are lent from. */
  private readonly lenders = new WeakSet<ArrayBufferLike>()
  private lender: ArrayBufferLike | undefined = undefined
  private start = 0
  private end = 0
  private slab = 0
  private generation = 0

  /** Lends a chunk of a slab in its present use. One that does not lie in the slab's memory is a copy, and its user's for ever. */
  begin(chunk: Buffer, memory: ArrayBufferLike | undefined, slab: number, generation: number): void {
    if (chunk.buffer !== memory) return
    this.lender = memory
    this.start = chunk.byteOffset
    this.end = this.start + chunk.length
    this.slab = slab
    this.generation = generation
  }

  /** The handler has returned. */
  over(chunk: Buffer): void {
    if (this.lender === undefined) return
    this.lender = undefined
    // A chunk that its user has given away is empty.
    if (this.poisons && byteLengthOf(chunk) > 0) fill.call(chunk, POISON)
  }

  /** Notes memory that chunks will be lent from. */
  lendFrom(memory: ArrayBufferLike): void {
    this.lenders.add(memory)
  }

  /** Where lent bytes can be sent from, if that may be: not when they will be overwritten, and never others than those that are lent. */
  place(bytes: Uint8Array): SlabName | undefined {
    if (this.poisons || !this.isLent(bytes)) return undefined
    return { slab: this.slab, use: this.generation << SLAB_GENERATION_SHIFT }
  }

  /** The same bytes, or a copy of them if they are lent: for whoever needs them after the handler has returned. */
  keep(bytes: Uint8Array): Uint8Array {
    return bufferOf(bytes) === this.lender ? Buffer.from(bytes) : bytes
  }

  /** Throws for bytes that were lent, and are no more. */
  check(bytes: Uint8Array): void {
    if (bufferOf(bytes) === this.lender ? this.isLent(bytes) : !this.lenders.has(bufferOf(bytes))) return
    const message =
      'nothing was sent: this chunk was borrowed and is valid only until its handler returns; copy what is needed later'
    throw new RinglineError('ERR_RINGLINE_STALE_CHUNK', message)
  }

  private isLent(bytes: Uint8Array): boolean {
    const offset = byteOffsetOf(bytes)
    return bufferOf(bytes) === this.lender && offset >= this.start && offset + byteLengthOf(bytes) <= this.end
  }
}
