/**
 * The JavaScript end of the memory in common with one ring thread: typed views of it, the submission ring's producer side, and the two
 * sleep words. It moves records and knows nothing of connections.
 *
 * Records become visible to the worker in batches: {@link Port.publish} is called once per batch of completions, or, outside of one, once
 * at the end of the microtask turn. Until then the newest record of a connection may still be changed, which is what corking lives on.
 */

import type { WorkerMetrics } from './metrics.js'
import * as words from './protocol.js'

/** What the native library gives for one attached worker. */
export interface NativePort {
  readonly control: ArrayBuffer
  readonly completions: ArrayBuffer
  readonly submissions: ArrayBuffer
  readonly freeSlots: ArrayBuffer
  readonly sendMemory: ArrayBuffer
  readonly sentBytes: ArrayBuffer
  readonly sendSlots: number
  readonly sendSlotSize: number
  readonly sendSlotStride: number
  /** Wakes the worker out of the kernel. */
  ring(): void
  /** The memory of a slab as an ArrayBuffer, one and the same until SLAB_RETIRED. */
  wrapSlab(slab: number): ArrayBuffer
  /** Which of its uses a slab is in that an unread record names. */
  slabGeneration(slab: number): number
  /** A copy of received bytes, for when the ArrayBuffer of their slab was detached by its user. */
  copySlab(slab: number, offset: number, length: number): Uint8Array | ArrayBuffer
  /** What the worker has done. */
  metrics(): WorkerMetrics
  connect(request: number, ip: string, port: number, timeoutMs: number): void
  cancelConnect(request: number): void
  /** Opens a file past the page cache; FILE_OPENED or FILE_OPEN_FAILED answers. */
  openFile?(request: number, path: string, readOnly: boolean, create: boolean): void
  /** Opens an NVMe namespace; DEVICE_OPENED or DEVICE_OPEN_FAILED answers. */
  openDevice?(request: number, path: string, namespace: number): void
  /** Hands to the kernel what was published, where this thread turns the worker itself. */
  submit?(): void
  /** Gives up what is being opened. */
  cancelOpen?(request: number): void
  notify(): void
  ref(): void
  unref(): void
  /** Ends the next wait of this thread's event loop, without keeping it alive. */
  wakeEnvironment(): void
  /** Stops this worker and joins its thread. */
  stop(): void
}

const SUBMISSION_MASK = words.SUBMISSION_RING_RECORDS - 1

/** The memory in common with one ring thread. */
export class Port {
  readonly native: NativePort
  readonly control: Int32Array
  readonly completions: Int32Array
  readonly submissions: Int32Array
  readonly sentBytes: Int32Array

  /** Changes whenever records become visible to the worker: a record written in an earlier epoch must not be changed. */
  epoch = 0
  /** True while completions are dispatched: the dispatcher publishes at the end of the batch. */
  inBatch = false

  /** Where the next record goes; ahead of what the worker has been told by the records of this epoch. */
  private tail: number
  private published: number
  /** The worker's position as last seen; it is at least that far. */
  private head: number
  private publishQueued = false
  private closed = false
  /** Records for which the ring had no room, in order, RECORD_WORDS numbers each. */
  private readonly overflow: number[] = []
  private retryQueued = false
  /** Memory that records name, until the worker has taken them: positions and the ArrayBuffers, oldest first. */
  private heldAt: number[] = []
  private held: ArrayBufferLike[] = []

  private readonly publishNow = (): void => {
    this.publishQueued = false
    this.publish()
  }
  private readonly retry = (): void => {
    this.retryQueued = false
    this.publish()
  }

  constructor(native: NativePort) {
    this.native = native
    this.control = new Int32Array(native.control)
    this.completions = new Int32Array(native.completions)
    this.submissions = new Int32Array(native.submissions)
    this.sentBytes = new Int32Array(native.sentBytes)
    this.tail = this.control[words.SUBMISSION_TAIL]!
    this.published = this.tail
    this.head = this.control[words.SUBMISSION_HEAD]!
  }

  /**
   * Queues a record.
   *
   * @returns the index of its first word in {@link Port.submissions}, where it may be changed until the epoch changes; -1 when it waits
   * for room in the ring
   */
  submit(kind: number, slot: number, generation: number, a: number, b: number, c: number, d: number, e = 0): number {
    if (!this.inBatch && !this.publishQueued) {
      this.publishQueued = true
      queueMicrotask(this.publishNow)
    }
    if (this.overflow.length > 0 || !this.hasRoom()) {
      this.overflow.push(kind, slot, generation, a, b, c, d, e)
      return -1
    }
    const at = (this.tail & SUBMISSION_MASK) * words.RECORD_WORDS
    const submissions = this.submissions
    submissions[at] = kind
    submissions[at + 1] = slot
    submissions[at + 2] = generation
    submissions[at + 3] = a
    submissions[at + 4] = b
    submissions[at + 5] = c
    submissions[at + 6] = d
    submissions[at + 7] = e
    this.tail = (this.tail + 1) | 0
    return at
  }

  /** Whether a record that is submitted now will be published with the next batch. */
  canSubmit(): boolean {
    return this.overflow.length === 0 && this.hasRoom()
  }

  /** Sets bits in a word of the record submitted last, which waits for room in the ring. */
  amendWaiting(word: number, bits: number): void {
    const at = this.overflow.length - words.RECORD_WORDS + word
    this.overflow[at] = this.overflow[at]! | bits
  }

  /** Keeps memory alive that the record submitted last names, until the worker has taken that record. */
  hold(memory: ArrayBufferLike): void {
    this.heldAt.push((this.tail + this.overflow.length / words.RECORD_WORDS) | 0)
    this.held.push(memory)
  }

  /** Makes every queued record visible to the worker, and wakes it when it sleeps. */
  publish(): void {
    if (this.closed) return
    if (this.overflow.length > 0) this.drainOverflow()
    if (this.held.length > 0) this.releaseHeld()
    if (this.tail === this.published) return
    this.published = this.tail
    this.epoch = (this.epoch + 1) | 0
    const control = this.control
    Atomics.store(control, words.SUBMISSION_TAIL, this.tail)
    if (Atomics.load(control, words.WORKER_ASLEEP) === 1) this.wakeWorker()
  }

  /** Records that the worker cannot see yet. */
  get unpublished(): number {
    return (this.tail - this.published) | 0
  }

  /** Publishes, and has the kernel get what was published before this turn ends. */
  submitAhead(): void {
    this.publish()
    this.native.submit?.()
  }

  /** Nothing is published from here on: the worker has ended. */
  close(): void {
    this.closed = true
    this.overflow.length = 0
    this.held = []
    this.heldAt = []
  }

  /** Records that wait for room in the ring. */
  get overflowing(): number {
    return this.overflow.length / words.RECORD_WORDS
  }

  private wakeWorker(): void {
    if (Atomics.exchange(this.control, words.WORKER_ASLEEP, 0) === 1) this.native.ring()
  }

  private hasRoom(): boolean {
    if (((this.tail - this.head) | 0) < words.SUBMISSION_RING_RECORDS) return true
    this.head = Atomics.load(this.control, words.SUBMISSION_HEAD)
    if (((this.tail - this.head) | 0) < words.SUBMISSION_RING_RECORDS) return true
    // The worker may not know yet what fills the ring; telling it is what makes room.
    this.publish()
    return false
  }

  /** Moves records that found no room into the ring, in order; what still finds none is tried again when other I/O has run. */
  private drainOverflow(): void {
    this.head = Atomics.load(this.control, words.SUBMISSION_HEAD)
    const room = words.SUBMISSION_RING_RECORDS - ((this.tail - this.head) | 0)
    const moved = Math.min(room, this.overflow.length / words.RECORD_WORDS)
    for (let record = 0; record < moved; record += 1) {
      const at = (this.tail & SUBMISSION_MASK) * words.RECORD_WORDS
      for (let word = 0; word < words.RECORD_WORDS; word += 1) {
        this.submissions[at + word] = this.overflow[record * words.RECORD_WORDS + word]!
      }
      this.tail = (this.tail + 1) | 0
    }
    this.overflow.splice(0, moved * words.RECORD_WORDS)
    if (this.overflow.length > 0 && !this.retryQueued) {
      this.retryQueued = true
      setImmediate(this.retry)
    }
  }

  private releaseHeld(): void {
    const head = Atomics.load(this.control, words.SUBMISSION_HEAD)
    let taken = 0
    while (taken < this.held.length && ((head - this.heldAt[taken]!) | 0) >= 0) taken += 1
    if (taken === 0) return
    this.held.splice(0, taken)
    this.heldAt.splice(0, taken)
  }
}
