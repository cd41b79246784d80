/**
 * The sleepers of one worker by their deadlines. It owns their order; it has no clock.
 *
 * Sleeps of one length end in the order of their calls, and programs use few lengths. A few lines therefore take whatever comes in order,
 * for which a timer costs the same beside any number of others; the heap takes the rest, and what is far away, as that would keep a line
 * from all nearer ones for long.
 */

import { type Sleeper, Timer } from './sleeper.js'
import { TimerHeap } from './timer-heap.js'
import { TimerLine } from './timer-line.js'

const LINES = 4
/** What is further away than this lies in the heap. */
const LINE_MS = 1000

/** Sleepers by their deadlines. */
export class TimerQueue {
  private readonly lines = Array.from({ length: LINES }, () => new TimerLine())
  private readonly heap = new TimerHeap()
  /** How many there are. */
  size = 0

  /** The nearest deadline; infinite when there is none. */
  get first(): number {
    let first = this.heap.first
    for (let index = 0; index < LINES; index += 1) {
      const line = this.lines[index]!
      if (line.first < first) first = line.first
    }
    return first
  }

  /**
   * Adds a sleeper.
   *
   * @param now - a time in the near past
   */
  push(sleeper: Sleeper, deadline: number, now: number): void {
    const home = deadline - now > LINE_MS ? this.heap : this.homeFor(deadline)
    home.push(sleeper, deadline)
    if (sleeper instanceof Timer) sleeper.home = home
    this.size += 1
  }

  /** Takes the nearest one if it is due by a time. */
  shiftDue(now: number): Sleeper | undefined {
    let nearest: TimerLine | TimerHeap = this.heap
    let first = nearest.first
    for (let index = 0; index < LINES; index += 1) {
      const line = this.lines[index]!
      if (line.first < first) {
        nearest = line
        first = line.first
      }
    }
    if (this.size === 0 || first > now) return undefined
    const sleeper = nearest.shift()
    if (sleeper instanceof Timer) sleeper.home = undefined
    this.size -= 1
    return sleeper
  }

  /** Takes a timer out; nothing happens when it is not in. */
  remove(timer: Timer): void {
    if (timer.home === undefined) return
    timer.home.remove(timer)
    timer.home = undefined
    this.size -= 1
  }

  private homeFor(deadline: number): TimerLine | TimerHeap {
    for (let index = 0; index < LINES; index += 1) {
      const line = this.lines[index]!
      if (line.last <= deadline) return line
    }
    return this.heap
  }
}
