/**
 * The timers of one worker: they come up on its ring thread, with the resolution of the kernel's clock, and are told by records. It owns
 * their numbers and how many there are; what happens then is in sleep.ts.
 */

import { RinglineError, TimerExhausted } from './errors.js'
import type { Port } from './port.js'
import { TIMER, TIMER_CANCEL } from './protocol.js'

const NS_PER_MS = 1e6
const WORD = 2 ** 32

/** Who armed a timer. */
export interface Sleeper {
  /** The timer has come up. */
  due(): void
  /** The timer will not come up. */
  stopped(error: Error): void
}

/** The timers of one worker. */
export class Timers {
  private readonly port: Port
  private readonly slots: number
  private readonly armed = new Map<number, Sleeper>()
  private next = 1
  private isStopped = false

  constructor(port: Port, slots: number) {
    this.port = port
    this.slots = slots
  }

  /**
   * Arms a timer; it comes up at the deadline (of `performance.now()`) or later, never earlier.
   *
   * @returns its number, for {@link Timers.cancel}
   * @throws TimerExhausted when all slots are taken
   */
  arm(deadline: number, sleeper: Sleeper): number {
    if (this.isStopped) throw workerStopped()
    if (this.armed.size >= this.slots) throw new TimerExhausted(this.slots)
    const number = this.next
    // A number comes back after four billion timers; the one that had it may still be armed.
    do this.next = (this.next + 1) >>> 0
    while (this.armed.has(this.next))
    this.armed.set(number, sleeper)
    // The worker counts from when it reads the record, which is after this moment.
    const delay = Math.max(0, Math.ceil((deadline - performance.now()) * NS_PER_MS))
    this.port.submit(TIMER, 0, 0, number, delay % WORD, Math.floor(delay / WORD), 0)
    return number
  }

  /** Disarms a timer that has not come up; its sleeper hears nothing. */
  cancel(number: number): void {
    if (this.armed.delete(number) && !this.isStopped) this.port.submit(TIMER_CANCEL, 0, 0, number, 0, 0, 0)
  }

  /** A timer has come up. It may have been canceled meanwhile. */
  due(number: number): void {
    const sleeper = this.armed.get(number >>> 0)
    if (sleeper === undefined) return
    this.armed.delete(number >>> 0)
    sleeper.due()
  }

  /** The worker has ended: nothing will come up. */
  stop(): void {
    this.isStopped = true
    const sleepers = [...this.armed.values()]
    this.armed.clear()
    for (const sleeper of sleepers) sleeper.stopped(workerStopped())
  }
}

function workerStopped(): RinglineError {
  return new RinglineError('ERR_RINGLINE_WORKER_STOPPED', 'no timer comes up any more: the worker has stopped')
}
