/**
 * Memory that Rust owns and JavaScript sees as a Buffer: what zero-copy sends and direct I/O work with. It owns the knowledge which
 * ArrayBuffer is which memory; what is done with it is in send-parts.ts and disk.ts.
 *
 * The garbage collector cannot take such memory from the kernel: whatever is in flight keeps it, although its Buffer is gone.
 */

import { fromRecord, invalidArgument, type RinglineError } from './errors.js'
import { bufferOver } from './fast-buffer.js'
import { loadNative } from './native/load.js'
import { bufferOf, byteLengthOf, byteOffsetOf, bytesOf } from './send-data.js'
import { rejectedQuietly, rejectQuietly, type Settleable, settleable } from './settling.js'

/** The most bytes of one piece of such memory: 2^30, the kernel's limit for a registered region. */
const BYTES_MAX = 2 ** 30
/** What memory for sends is aligned to; mappings start on a page anyway. */
const PAGE_BYTES = 4096
/** The largest alignment: that of a huge page. */
const ALIGNMENT_MAX = 2 ** 21

/** A Buffer over memory that the kernel can send from where it lies. Slices of it can be sent too. */
export interface GuardBuffer extends Buffer {
  /**
   * Resolves when no send of this memory, or of a slice of it, is in the kernel's hands: at once when there is none. Until then changing
   * the bytes changes what the peer gets.
   *
   * @throws (as a rejection) RinglineError `ERR_RINGLINE_WORKER_STOPPED` when a worker has ended while it was sending from this memory
   */
  readonly released: Promise<void>
}

/** One piece of such memory, as commands name it. */
export class OwnedMemory {
  readonly id: number
  private sends = 0
  private failure: RinglineError | undefined
  private waiting: Settleable<void> | undefined

  constructor(id: number) {
    this.id = id
  }

  /** See {@link GuardBuffer.released}. */
  get released(): Promise<void> {
    if (this.failure !== undefined) return rejectedQuietly(this.failure)
    if (this.sends === 0) return Promise.resolve()
    this.waiting ??= settleable()
    return this.waiting.promise
  }

  /** A send of it was queued. */
  sending(): void {
    this.sends += 1
  }

  /** The kernel has finished with a send of it. */
  sent(): void {
    this.sends -= 1
    if (this.sends > 0) return
    this.waiting?.resolve()
    this.waiting = undefined
  }

  /** A worker has ended with a send of it in flight: nobody will tell when the kernel has finished. */
  lost(error: RinglineError): void {
    this.failure = error
    if (this.waiting !== undefined) rejectQuietly(this.waiting, error)
    this.waiting = undefined
  }
}

/** A range of such memory. */
export interface Place {
  readonly memory: OwnedMemory
  readonly offset: number
  readonly length: number
}

const owned = new WeakMap<ArrayBufferLike, OwnedMemory>()

/** Where a view lies in memory that Rust owns, or undefined when it is ordinary memory. */
export function placeOf(data: unknown, name: string): Place | undefined {
  const bytes = bytesOf(data, name, 'a Buffer, typed array or DataView')
  const memory = owned.get(bufferOf(bytes))
  return memory && { memory, offset: byteOffsetOf(bytes), length: byteLengthOf(bytes) }
}

/**
 * Memory for zero-copy sends that the workers of a runtime register with the kernel, so that it need not look up its pages for every send:
 * an arena for values that are sent often. Pass it in `registeredRegions`; without that its bytes can be sent all the same.
 */
export class MemoryRegion {
  /** The whole region, zeroed at first. */
  readonly buffer: GuardBuffer
  /** @internal */
  readonly memory: OwnedMemory

  private constructor(bytes: number) {
    const { memory, buffer } = allocate(bytes, PAGE_BYTES)
    this.memory = memory
    this.buffer = withReleased(buffer, memory)
  }

  /**
   * Maps zeroed memory. Registering it counts against the limit of locked memory (`ulimit -l`) where that applies.
   *
   * @param bytes - 1 … 2^30
   * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`, or the system error `ENOMEM`
   */
  static allocate(bytes: number): MemoryRegion {
    return new MemoryRegion(bytes)
  }

  /** The number of bytes. */
  get byteLength(): number {
    return this.buffer.length
  }

  /** As {@link GuardBuffer.released}, for the whole region. */
  get released(): Promise<void> {
    return this.memory.released
  }
}

/**
 * Allocates memory for zero-copy sends with `conn.sendGuard` and `conn.sendParts`.
 *
 * @param bytes - 1 … 2^30
 * @returns a zeroed Buffer that can be sent, whole or in slices, any number of times
 * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`, or the system error `ENOMEM`
 */
export function allocGuard(bytes: number): GuardBuffer {
  const { memory, buffer } = allocate(bytes, PAGE_BYTES)
  return withReleased(buffer, memory)
}

/**
 * Allocates memory for direct I/O and NVMe commands, which need aligned addresses. It can be sent with `conn.sendGuard` as well.
 *
 * Use it again, or slices of it: from the second read or write of a file on, a worker has the kernel know it (a fixed buffer), which spares the
 * look-up of its pages. That holds for memory of up to 8 MiB, up to 64 MiB and 1024 pieces of a worker, and as far as the limit of
 * locked memory (`ulimit -l`) goes; beyond, reads and writes go on without. What is no longer used is let go of when others are registered
 * and when the worker's last file closes.
 *
 * @param bytes - 1 … 2^30
 * @param alignment - bytes, a power of two up to 2^21; default 4096
 * @returns a zeroed Buffer; slices that begin at multiples of the block size can be used too
 * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`, or the system error `ENOMEM`
 */
export function allocAligned(bytes: number, alignment = PAGE_BYTES): GuardBuffer {
  const powerOfTwo = Number.isInteger(alignment) && alignment > 0 && (alignment & (alignment - 1)) === 0
  if (!powerOfTwo || alignment > ALIGNMENT_MAX) {
    throw invalidArgument('alignment', `a power of two up to ${ALIGNMENT_MAX}`, alignment)
  }
  const { memory, buffer } = allocate(bytes, alignment)
  return withReleased(buffer, memory)
}

function allocate(bytes: number, alignment: number): { memory: OwnedMemory; buffer: Buffer } {
  if (!Number.isInteger(bytes) || bytes < 1 || bytes > BYTES_MAX) {
    throw invalidArgument('bytes', `a whole number from 1 to ${BYTES_MAX}`, bytes)
  }
  try {
    const allocated = loadNative().allocMemory(bytes, alignment)
    // Node refuses by itself to hand external memory to another thread, where it could not be named here any more. Marking it once more
    // must not be done: since Node 24 the mark sets a detach key, and Node then aborts the process at its exit.
    const memory = new OwnedMemory(allocated.id)
    owned.set(allocated.memory, memory)
    return { memory, buffer: bufferOver(allocated.memory, 0, bytes) }
  } catch (error) {
    throw fromRecord(error, 'ERR_RINGLINE_INVALID_ARGUMENT')
  }
}

function withReleased(buffer: Buffer, memory: OwnedMemory): GuardBuffer {
  return Object.defineProperty(buffer, 'released', { get: () => memory.released }) as GuardBuffer
}
