/**
 * The guarded sends of one worker that the kernel has not finished with. It owns how many there may be and who is told of their end.
 */

import { RinglineError } from './errors.js'
import type { OwnedMemory } from './memory.js'
import { rejectedQuietly, rejectQuietly, type Settleable, settleable } from './settling.js'

/** The promise of a zero-copy send: the number of bytes, when the kernel has taken all of them. */
export interface GuardedSend extends Promise<number> {
  /**
   * Resolves when the kernel no longer uses the guards' memory, which is when the peer has acknowledged the bytes; also when nothing was sent.
   *
   * @throws (as a rejection) RinglineError `ERR_RINGLINE_WORKER_STOPPED` when the worker has ended before
   */
  readonly released: Promise<void>
}

/** The guards of one send. */
export class Release {
  private left = 0
  private failure: Error | undefined
  private waiting: Settleable<void> | undefined

  /** Resolves when all of them are released. */
  get promise(): Promise<void> {
    if (this.failure !== undefined) return rejectedQuietly(this.failure)
    if (this.left === 0) return Promise.resolve()
    this.waiting ??= settleable()
    return this.waiting.promise
  }

  add(): void {
    this.left += 1
  }

  remove(failure: Error | undefined): void {
    this.left -= 1
    this.failure ??= failure
    if (this.left > 0 || this.waiting === undefined) return
    if (this.failure === undefined) this.waiting.resolve()
    else rejectQuietly(this.waiting, this.failure)
  }
}

/** The guarded sends of one worker. */
export class Guards {
  /** How many may be in flight. */
  readonly limit: number
  private readonly inFlight = new Map<number, { memory: OwnedMemory; release: Release }>()
  private nextKey = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** How many more may be sent now. */
  get left(): number {
    return this.limit - this.inFlight.size
  }

  /** A guard is about to be sent; answers the key that its release comes with. */
  begin(memory: OwnedMemory, release: Release): number {
    const key = this.nextKey
    this.nextKey = (this.nextKey + 1) | 0
    this.inFlight.set(key, { memory, release })
    memory.sending()
    release.add()
    return key
  }

  /** The kernel has finished with a guard. */
  released(key: number): void {
    const send = this.inFlight.get(key)
    if (send === undefined) return
    this.inFlight.delete(key)
    send.memory.sent()
    send.release.remove(undefined)
  }

  /** The worker has ended. */
  stop(): void {
    const message = 'the worker has ended while the kernel was sending from this memory'
    for (const { memory, release } of this.inFlight.values()) {
      const error = new RinglineError('ERR_RINGLINE_WORKER_STOPPED', message)
      memory.lost(error)
      release.remove(error)
    }
    this.inFlight.clear()
  }
}

/** A promise of a send with what tells its release. */
export function guardedSend(promise: Promise<number>, release: Release): GuardedSend {
  return Object.defineProperty(promise, 'released', { get: () => release.promise }) as GuardedSend
}
