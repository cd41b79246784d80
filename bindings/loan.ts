/**
 * Borrowed chunks (`receive: 'borrowed'`): what a handler has of received memory until it returns. It owns the knowledge of which bytes are
 * lent at the moment, and refuses to send those that were lent before, since they may be another connection's by now.
 */

import { RinglineError } from './errors.js'
import type { InHand } from './in-hand.js'
import { bufferOf, byteLengthOf, byteOffsetOf } from './send-data.js'
import type { SlabName } from './slabs.js'

/** What borrowed memory is overwritten with when it goes back, if that is asked for. */
const POISON = 0xdb
/** The environment variable that asks for it. */
const POISON_VARIABLE = 'RINGLINE_POISON_BORROWED'

const { fill } = Uint8Array.prototype

/** Who knows what a handler has in hand. */
interface Holder {
  readonly inHand: InHand
}

/** Lent is what a handler has in hand. */
export class Loan {
  private readonly poisons = (process.env[POISON_VARIABLE] ?? '0') !== '0'
  /** Every ArrayBuffer that chunks are lent from. */
  private readonly lenders = new WeakSet<ArrayBufferLike>()
  private readonly holder: Holder

  constructor(holder: Holder) {
    this.holder = holder
  }

  /** The handler has returned: what it had in hand goes back. */
  over(): void {
    const { chunk } = this.holder.inHand
    // A chunk that its user has given away is empty.
    if (this.poisons && chunk !== undefined && byteLengthOf(chunk) > 0) fill.call(chunk, POISON)
  }

  /** Notes memory that chunks will be lent from. */
  lendFrom(memory: ArrayBufferLike): void {
    this.lenders.add(memory)
  }

  /** Where lent bytes can be sent from, if that may be: not when they will be overwritten, and never others than those that are lent. */
  place(bytes: Uint8Array): SlabName | undefined {
    return this.poisons || !this.isLent(bytes) ? undefined : this.holder.inHand
  }

  /** The same bytes, or a copy of them if they are lent: for whoever needs them after the handler has returned. */
  keep(bytes: Uint8Array): Uint8Array {
    const { chunk } = this.holder.inHand
    return chunk !== undefined && bufferOf(bytes) === bufferOf(chunk) ? Buffer.from(bytes) : bytes
  }

  /** Throws for bytes that were lent, and are no more. */
  check(bytes: Uint8Array): void {
    if (this.isLent(bytes) || !this.lenders.has(bufferOf(bytes))) return
    const message =
      'nothing was sent: this chunk was borrowed and is valid only until its handler returns; copy what is needed later'
    throw new RinglineError('ERR_RINGLINE_STALE_CHUNK', message)
  }

  private isLent(bytes: Uint8Array): boolean {
    const { chunk, offset, length } = this.holder.inHand
    if (bytes === chunk) return true
    if (chunk === undefined || bufferOf(bytes) !== bufferOf(chunk)) return false
    const start = byteOffsetOf(bytes) - offset
    return start >= 0 && start + byteLengthOf(bytes) <= length
  }
}
