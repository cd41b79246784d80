/**
 * Who waits for a deadline. It owns nothing: order and time are the business of timer-queue.ts and timers.ts.
 */

import { markHandled } from './settling.js'
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

/** A sleep that cannot be given up. Most are such, so that as little as possible is there to be collected. */
export class Sleep {
  private readonly promise: Promise<void>
  readonly resolve: Resolve

  constructor(promise: Promise<void>, resolve: Resolve) {
    this.promise = promise
    this.resolve = resolve
  }

  /** It will not end as it should; whoever has dropped it need not know. */
  stop(error: Error): void {
    markHandled(this.promise)
    this.resolve(Promise.reject(error))
  }
}

/** Who waits for a deadline. */
export type Sleeper = Timer | Sleep
