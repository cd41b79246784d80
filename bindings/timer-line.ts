/**
 * Sleepers in the order of their deadlines, each of which came behind the last one. It owns their places in that line.
 */

import { type Sleeper, Timer } from './sleeper.js'

/** A power of two. */
const CAPACITY_MIN = 64

/** Sleepers whose deadlines come in order; what is taken out from between leaves a gap. */
export class TimerLine {
  /** By place, which goes round; undefined where one was taken out. */
  private sleepers: (Sleeper | undefined)[] = new Array(CAPACITY_MIN).fill(undefined)
  private deadlines = new Float64Array(CAPACITY_MIN)
  private head = 0
  /** Places in use, gaps included; neither the first nor the last of them is a gap. */
  private length = 0
  private gaps = 0
  /** The nearest deadline; infinite when there is none. */
  first = Number.POSITIVE_INFINITY
  /** The furthest one. */
  last = Number.NEGATIVE_INFINITY

  /** Puts one behind the last one, whose deadline is no later. */
  push(sleeper: Sleeper, deadline: number): void {
    if (this.length === this.sleepers.length) this.move(2 * this.length)
    const place = (this.head + this.length) & (this.sleepers.length - 1)
    this.sleepers[place] = sleeper
    this.deadlines[place] = deadline
    if (sleeper instanceof Timer) sleeper.place = place
    if (this.length === 0) this.first = deadline
    this.last = deadline
    this.length += 1
  }

  /** Takes the nearest one; there must be one. */
  shift(): Sleeper {
    const first = this.sleepers[this.head]!
    this.sleepers[this.head] = undefined
    this.dropFirst()
    while (this.gaps > 0 && this.sleepers[this.head] === undefined) this.dropFirstGap()
    this.note()
    return first
  }

  remove(timer: Timer): void {
    this.sleepers[timer.place] = undefined
    this.gaps += 1
    while (this.gaps > 0 && this.sleepers[this.head] === undefined) this.dropFirstGap()
    while (this.gaps > 0 && this.sleepers[this.lastPlace] === undefined) {
      this.length -= 1
      this.gaps -= 1
    }
    if (this.gaps > CAPACITY_MIN && 2 * this.gaps > this.length) this.move(this.sleepers.length)
    this.note()
  }

  private get lastPlace(): number {
    return (this.head + this.length - 1) & (this.sleepers.length - 1)
  }

  private dropFirst(): void {
    this.head = (this.head + 1) & (this.sleepers.length - 1)
    this.length -= 1
  }

  private dropFirstGap(): void {
    this.dropFirst()
    this.gaps -= 1
  }

  private note(): void {
    this.first = this.length === 0 ? Number.POSITIVE_INFINITY : this.deadlines[this.head]!
    this.last = this.length === 0 ? Number.NEGATIVE_INFINITY : this.deadlines[this.lastPlace]!
  }

  /** Moves the sleepers to memory for so many, without gaps. */
  private move(capacity: number): void {
    const sleepers = new Array<Sleeper | undefined>(capacity).fill(undefined)
    const deadlines = new Float64Array(capacity)
    let length = 0
    for (let index = 0; index < this.length; index += 1) {
      const place = (this.head + index) & (this.sleepers.length - 1)
      const sleeper = this.sleepers[place]
      if (sleeper === undefined) continue
      sleepers[length] = sleeper
      deadlines[length] = this.deadlines[place]!
      if (sleeper instanceof Timer) sleeper.place = length
      length += 1
    }
    this.sleepers = sleepers
    this.deadlines = deadlines
    this.head = 0
    this.length = length
    this.gaps = 0
  }
}
