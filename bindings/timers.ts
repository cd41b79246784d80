/**
 * The timers of one worker: deadlines in a heap of this thread, of which the worker knows the nearest alone. It owns how many there are; what
 * happens when one comes up is in sleep.ts.
 *
 * A timer costs no record then, in neither direction, and one wake-up fires everything that is due.
 */

import { RinglineError, TimerExhausted } from './errors.js'
import type { Port } from './port.js'
import { TIMER, TIMER_CANCEL } from './protocol.js'

const NS_PER_MS = 1e6
const WORD = 2 ** 32
/** After some timers have come up, the next ones may wait this long, so that one wake-up serves many: the slack that Linux gives timed waits. */
const SLACK_MS = 0.05
const CAPACITY_MIN = 64

/** An armed timer. */
export class Timer {
  /** Its place in the heap; -1 when it is not armed. */
  place = -1
  /** Called when it has come up. */
  readonly due: () => void
  /** Called when it will not come up. */
  readonly stopped: (error: Error) => void

  constructor(due: () => void, stopped: (error: Error) => void) {
    this.due = due
    this.stopped = stopped
  }
}

/** The timers of one worker. */
export class Timers {
  private readonly port: Port
  private readonly slots: number
  /** The heap: no timer is due before the one at half its place. */
  private readonly heap: Timer[] = []
  /** By place. */
  private deadlines = new Float64Array(CAPACITY_MIN)
  /** What the worker was asked to wake this thread at, and the number of that request. */
  private wakeAt = Number.POSITIVE_INFINITY
  private wakeNumber = 0
  private isStopped = false

  constructor(port: Port, slots: number) {
    this.port = port
    this.slots = slots
  }

  /** Armed timers. */
  get pending(): number {
    return this.heap.length
  }

  /**
   * Arms a timer; it comes up at the deadline (of `performance.now()`) or later, never earlier.
   *
   * @throws TimerExhausted when all slots are taken
   */
  arm(deadline: number, due: () => void, stopped: (error: Error) => void): Timer {
    if (this.isStopped) throw workerStopped()
    const place = this.heap.length
    if (place >= this.slots) throw new TimerExhausted(this.slots)
    if (place === this.deadlines.length) this.grow()
    const timer = new Timer(due, stopped)
    this.heap.push(timer)
    this.rise(place, timer, deadline)
    if (deadline < this.wakeAt) this.askToWake(deadline)
    return timer
  }

  /**
   * Disarms a timer that has not come up; nobody hears of it. The worker wakes this thread all the same: once for nothing costs less than
   * telling it, as the timers of calls that end in time are armed and disarmed one after the other.
   */
  cancel(timer: Timer): void {
    if (timer.place >= 0) this.remove(timer.place)
  }

  /** The worker wakes this thread, as it was asked to; it may have been asked for something else meanwhile, or what was due may be gone. */
  wake(number: number): void {
    if (number >>> 0 !== this.wakeNumber) return
    this.wakeAt = Number.POSITIVE_INFINITY
    const now = performance.now()
    while (this.heap.length > 0 && this.deadlines[0]! <= now) this.remove(0).due()
    // A callback may have armed a timer, and asked for it.
    if (this.heap.length === 0) return
    const next = Math.max(this.deadlines[0]!, now + SLACK_MS)
    if (next < this.wakeAt) this.askToWake(next)
  }

  /** The worker has ended: nothing will come up. */
  stop(): void {
    this.isStopped = true
    for (const timer of this.heap.splice(0)) {
      timer.place = -1
      timer.stopped(workerStopped())
    }
  }

  private askToWake(deadline: number): void {
    if (this.wakeAt !== Number.POSITIVE_INFINITY) this.port.submit(TIMER_CANCEL, 0, 0, this.wakeNumber, 0, 0, 0)
    this.wakeAt = deadline
    this.wakeNumber = (this.wakeNumber + 1) >>> 0
    // The worker counts from when it reads the record, which is after this moment.
    const delay = Math.max(0, Math.ceil((deadline - performance.now()) * NS_PER_MS))
    this.port.submit(TIMER, 0, 0, this.wakeNumber, delay % WORD, Math.floor(delay / WORD), 0)
  }

  private grow(): void {
    const more = new Float64Array(2 * this.deadlines.length)
    more.set(this.deadlines)
    this.deadlines = more
  }

  /** Takes a timer out of the heap. */
  private remove(place: number): Timer {
    const { heap, deadlines } = this
    const removed = heap[place]!
    removed.place = -1
    const last = heap.pop()!
    if (last === removed) return removed
    const deadline = deadlines[heap.length]!
    if (place > 0 && deadline < deadlines[(place - 1) >> 1]!) this.rise(place, last, deadline)
    else this.sink(place, last, deadline)
    return removed
  }

  /** Puts a timer where no later one is before it, from a place that is free on. */
  private rise(from: number, timer: Timer, deadline: number): void {
    const { heap, deadlines } = this
    let place = from
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (deadlines[parent]! <= deadline) break
      this.put(place, heap[parent]!, deadlines[parent]!)
      place = parent
    }
    this.put(place, timer, deadline)
  }

  /** Puts a timer where no earlier one is behind it, from a place that is free on. */
  private sink(from: number, timer: Timer, deadline: number): void {
    const { heap, deadlines } = this
    let place = from
    for (let child = 2 * place + 1; child < heap.length; child = 2 * place + 1) {
      if (child + 1 < heap.length && deadlines[child + 1]! < deadlines[child]!) child += 1
      if (deadlines[child]! >= deadline) break
      this.put(place, heap[child]!, deadlines[child]!)
      place = child
    }
    this.put(place, timer, deadline)
  }

  private put(place: number, timer: Timer, deadline: number): void {
    this.heap[place] = timer
    this.deadlines[place] = deadline
    timer.place = place
  }
}

function workerStopped(): RinglineError {
  return new RinglineError('ERR_RINGLINE_WORKER_STOPPED', 'no timer comes up any more: the worker has stopped')
}
