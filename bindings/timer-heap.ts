/**
 * Sleepers in a heap: none is due before the one at half its place. It owns their places in it.
 */

import { type Sleeper, Timer } from './sleeper.js'

const CAPACITY_MIN = 64

/** Sleepers whose deadlines come in any order. */
export class TimerHeap {
  private readonly heap: Sleeper[] = []
  /** By place. */
  private deadlines = new Float64Array(CAPACITY_MIN)

  /** The nearest deadline; infinite when there is none. */
  get first(): number {
    return this.heap.length === 0 ? Number.POSITIVE_INFINITY : this.deadlines[0]!
  }

  push(sleeper: Sleeper, deadline: number): void {
    const place = this.heap.length
    if (place === this.deadlines.length) this.grow()
    this.heap.push(sleeper)
    this.rise(place, sleeper, deadline)
  }

  /** Takes the nearest one; there must be one. */
  shift(): Sleeper {
    const first = this.heap[0]!
    this.fill(0)
    return first
  }

  remove(timer: Timer): void {
    this.fill(timer.place)
  }

  /** Puts the last one where one was taken out. */
  private fill(place: number): void {
    const { heap, deadlines } = this
    const last = heap.pop()!
    if (place === heap.length) return
    const deadline = deadlines[heap.length]!
    if (place > 0 && deadline < deadlines[(place - 1) >> 1]!) this.rise(place, last, deadline)
    else this.sink(place, last, deadline)
  }

  private grow(): void {
    const more = new Float64Array(2 * this.deadlines.length)
    more.set(this.deadlines)
    this.deadlines = more
  }

  /** Puts one where no later one is before it, from a place that is free on. */
  private rise(from: number, sleeper: Sleeper, deadline: number): void {
    const { heap, deadlines } = this
    let place = from
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (deadlines[parent]! <= deadline) break
      this.put(place, heap[parent]!, deadlines[parent]!)
      place = parent
    }
    this.put(place, sleeper, deadline)
  }

  /** Puts one where no earlier one is behind it, from a place that is free on. */
  private sink(from: number, sleeper: Sleeper, deadline: number): void {
    const { heap, deadlines } = this
    let place = from
    for (let child = 2 * place + 1; child < heap.length; child = 2 * place + 1) {
      if (child + 1 < heap.length && deadlines[child + 1]! < deadlines[child]!) child += 1
      if (deadlines[child]! >= deadline) break
      this.put(place, heap[child]!, deadlines[child]!)
      place = child
    }
    this.put(place, sleeper, deadline)
  }

  private put(place: number, sleeper: Sleeper, deadline: number): void {
    this.heap[place] = sleeper
    this.deadlines[place] = deadline
    if (sleeper instanceof Timer) sleeper.place = place
  }
}
