/**
 * Sends of several parts, copied ones and memory that is sent from where it lies: all of them are queued, in order, or none. It owns the
 * rules for parts; slots and records are handled by outbound.ts.
 */

import type { ConnCtx } from './connection.js'
import { SENDS_REFUSED } from './connection-flags.js'
import { invalidArgument, isArray, RinglineError, untrusted } from './errors.js'
import { type GuardedSend, guardedSend, Release } from './guards.js'
import { type Place, placeOf } from './memory.js'
import { CHAIN_END, LINK_END, WATCH } from './protocol.js'
import { isInvalidConnection } from './runtime-errors.js'
import { byteLengthOf, bytesOf, requireAttached, type SendData } from './send-data.js'
import { Sending } from './sending.js'
import { rejectedQuietly } from './settling.js'

/** The most parts of one send of `conn.sendParts`. */
export const MAX_IOVECS = 8
/** The most guards among the parts of one send. */
export const MAX_GUARDS = 4

/** A part of a send: data that is copied when it is submitted, or memory of `allocGuard`, `allocAligned` or a `MemoryRegion`. */
export type SendPart = { readonly copy: SendData } | { readonly guard: NodeJS.ArrayBufferView }

/** Makes the parts of a send. */
export const SendPart = {
  /** Data that is copied when the send is submitted. */
  Copy(data: SendData): SendPart {
    return { copy: data }
  },
  /** Memory that is sent from where it lies. */
  Guard(memory: NodeJS.ArrayBufferView): SendPart {
    return { guard: memory }
  },
} as const

/** Collects the parts of one send of a connection. What is wrong with a part is told when the send is submitted. */
export class AsyncSendBuilder {
  private readonly conn: ConnCtx
  private readonly parts: SendPart[] = []
  private submitted = false

  private constructor(conn: ConnCtx) {
    this.conn = conn
  }

  /** @internal */
  static of(conn: ConnCtx): AsyncSendBuilder {
    return new AsyncSendBuilder(conn)
  }

  /** Adds data that is copied when the send is submitted. */
  copy(data: SendData): this {
    this.parts.push({ copy: data })
    return this
  }

  /** Adds memory that is sent from where it lies: of `allocGuard`, `allocAligned` or a `MemoryRegion`, or a slice of such. */
  guard(memory: NodeJS.ArrayBufferView): this {
    this.parts.push({ guard: memory })
    return this
  }

  /**
   * Queues all parts or none. A builder submits once.
   *
   * @returns the number of bytes, when the kernel has taken all of them; `released` of that promise tells when the guards' memory is free
   * @throws (as a rejection) the errors of `conn.sendNowait`, and RinglineError `ERR_RINGLINE_TOO_MANY_PARTS`;
   * `ERR_RINGLINE_GUARD_LIMIT_REACHED` when `sendSlabSlots` guards are in flight; `ERR_RINGLINE_INVALID_ARGUMENT` for a guard in ordinary
   * memory
   */
  submit(): GuardedSend {
    return this.submitBatch([])
  }

  /** As {@link AsyncSendBuilder.submit}, with these parts behind the others. */
  submitBatch(parts: readonly SendPart[]): GuardedSend {
    const again = this.submitted
    this.submitted = true
    const submit = (): Promise<number> => {
      if (!isArray(parts)) throw invalidArgument('parts', 'an array of parts, as SendPart makes them', parts)
      if (!again) {
        const checked = check([...this.parts, ...(parts as SendPart[])])
        return settled(this.conn, queueParts(this.conn, checked, release, false))
      }
      throw new RinglineError('ERR_RINGLINE_INVALID_ARGUMENT', 'this send was submitted already: make a new one')
    }
    const release = new Release()
    return guardedSend(attemptSend(submit), release)
  }
}

/** A part that was looked at. */
export type Checked = { bytes: Uint8Array; place: Place | undefined; length: number }

/**
 * Queues parts that have bytes, all or none; as the links of a chain if they are `chained`. The last is watched.
 *
 * @returns the number of bytes
 */
export function queueParts(conn: ConnCtx, parts: readonly Checked[], release: Release, chained: boolean): number {
  const { outbound, storage } = conn.dispatcher
  requireRoom(conn, parts)
  if (chained) outbound.beginChain(conn)
  let total = 0
  for (const [index, part] of parts.entries()) {
    const isLast = index === parts.length - 1
    let flags = isLast ? WATCH : 0
    if (chained) flags |= isLast ? CHAIN_END : LINK_END
    if (part.place === undefined) outbound.putBytes(conn, part.bytes, flags)
    else outbound.putGuard(conn, part.bytes, part.place, storage.guards.begin(part.place.memory, release), flags)
    // A link must not grow by what is sent after it.
    if (chained) outbound.uncork(conn)
    total += part.length
  }
  return total
}

/** A promise for the moment when the kernel has taken so many bytes, which were queued last. */
export function settled(conn: ConnCtx, total: number): Promise<number> {
  if (total === 0) return Promise.resolve(0)
  conn.sending ??= new Sending()
  return conn.sending.watch(conn.queued, total)
}

function requireRoom(conn: ConnCtx, parts: readonly Checked[]): void {
  const { outbound, loan, storage } = conn.dispatcher
  for (const { bytes, place } of parts) if (place === undefined) loan?.check(bytes)
  if ((conn.flags & SENDS_REFUSED) !== 0) throw outbound.unsendable(conn)
  const { slotSize } = outbound.pool
  const copies = parts.filter((part) => part.place === undefined)
  const slots = copies.reduce((sum, part) => sum + Math.ceil(part.length / slotSize), 0)
  const overtakes = conn.sending !== undefined && conn.sending.waiting > 0
  if (overtakes || outbound.pool.available(slots) < slots) throw outbound.refuse(conn, slots, overtakes)
  requireGuards(parts.length - copies.length, storage.guards.left, storage.guards.limit)
}

/** Checks every part before anything is queued; empty ones are left out. */
function check(parts: SendPart[]): Checked[] {
  requireAtMost(parts.length, MAX_IOVECS, 'parts')
  const checked = parts.map(checkPart)
  requireAtMost(checked.filter((part) => part.place !== undefined).length, MAX_GUARDS, 'guards')
  return checked.filter((part) => part.length > 0)
}

/** Looks at a part; nothing is queued. */
export function checkPart(part: SendPart): Checked {
  return untrusted('part', 'made by SendPart', part, () => readPart(part))
}

function readPart(part: SendPart): Checked {
  if (typeof part !== 'object' || part === null) throw invalidArgument('part', 'made by SendPart', part)
  if ('guard' in part) {
    const place = placeOf(part.guard, 'guard')
    if (place !== undefined) return { bytes: bytesOf(part.guard), place, length: place.length }
    const wanted = 'memory of allocGuard(), allocAligned() or a MemoryRegion, or a slice of it'
    throw invalidArgument('guard', wanted, part.guard)
  }
  const bytes = typeof part.copy === 'string' ? Buffer.from(part.copy) : bytesOf(part.copy)
  const length = byteLengthOf(bytes)
  if (length === 0) requireAttached(bytes)
  return { bytes, place: undefined, length }
}

function requireAtMost(count: number, max: number, what: string): void {
  if (count <= max) return
  const message = `nothing was sent: a send has at most ${max} ${what}, and this one ${count}; split it`
  throw new RinglineError('ERR_RINGLINE_TOO_MANY_PARTS', message)
}

function requireGuards(needed: number, left: number, limit: number): void {
  if (needed <= left) return
  const message = `nothing was sent: it needs ${needed} guards, and ${limit - left} of ${limit} are in flight; await "released" of earlier sends, or raise sendSlabSlots`
  throw new RinglineError('ERR_RINGLINE_GUARD_LIMIT_REACHED', message)
}

/** A throw as a rejection. That a connection ends while data is sent is not a mistake of the program, so nobody has to handle it. */
export function attemptSend(submit: () => Promise<number>): Promise<number> {
  try {
    return submit()
  } catch (error) {
    return isInvalidConnection(error) ? rejectedQuietly(error) : Promise.reject(error)
  }
}
