/**
 * Who waits for a deadline. It owns nothing: order and time are the business of timer-queue.ts and timers.ts.
 */

import type { TimerHeap } from './timer-heap.js'
import type { TimerLine } from './timer-line.js'

/** What resolves the promise of a sleep that cannot be given up. */
export type Resolve = (value: void | PromiseLike<void>) => void

/** A timer that can be disarmed. */
export class Timer {
  /** What it lies in; undefined when it is not armed. */
  home: TimerLine | TimerHeap | undefined = undefined
  /** Its place there. */
  place = 0
  /** Called when it has come up. */
  readonly due: () => void
  /** Called when it will not come up. */
  readonly stopped: (error: Error) => void

  constructor(due: () => void, stopped: (error: Error) => void) {
    this.due = due
    this.stopped = stopped
  }
}

/** Most sleeps have nothing but their promise, so that as little as possible is there to be collected. */
export type Sleeper = Timer | Resolve
