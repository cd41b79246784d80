/**
 * The timers of one worker: their deadlines lie in this thread, and the worker knows the nearest alone. It owns how many there are and when this
 * thread looks for what is due; what happens when a timer comes up is in sleep.ts.
 *
 * A timer costs no record then, in neither direction, and one look fires everything that is due.
 */

import { RinglineError, TimerExhausted } from './errors.js'
import type { Port } from './port.js'
import { TIMER, TIMER_CANCEL } from './protocol.js'
import { type Resolve, Sleep, type Sleeper, Timer } from './sleeper.js'
import { TimerQueue } from './timer-queue.js'

const NS_PER_MS = 1e6
const WORD = 2 ** 32
/** After some timers have come up, the next ones may wait this long, so that one wake-up serves many: the slack that Linux gives timed waits. */
const SLACK_MS = 0.05
/** Timers that come up before other events get their turn. */
export const FIRED_MAX = 1024

/** What timers need of their dispatcher. */
export interface TimerHost {
  readonly port: Port
  /** Whether the worker keeps the process alive. */
  readonly referenced: boolean
  /** Runs something that calls handlers. */
  runBatch(run: () => void): void
}

/** The timers of one worker. */
export class Timers {
  private readonly host: TimerHost
  private readonly slots: number
  private readonly queue = new TimerQueue()
  /** When this thread looks next: what the worker was asked for; at once, while a look is queued here. */
  private looksAt = Number.POSITIVE_INFINITY
  /** The number of the request to the worker. */
  private wakeNumber = 0
  /** The clock as it was at the last look. */
  private lookedAt = 0
  private isStopped = false

  private readonly fire = (): void => this.fireDue()
  private readonly fireInBatch = (): void => this.host.runBatch(this.fire)
  private readonly lookAhead = (): void => this.planNext()

  constructor(host: TimerHost, slots: number) {
    this.host = host
    this.slots = slots
  }

  /** Armed timers. */
  get pending(): number {
    return this.queue.size
  }

  /**
   * Arms a timer; it comes up at the deadline (of `performance.now()`) or later, never earlier.
   *
   * @throws TimerExhausted when all slots are taken
   */
  arm(deadline: number, due: () => void, stopped: (error: Error) => void): Timer {
    const timer = new Timer(due, stopped)
    this.add(timer, deadline)
    return timer
  }

  /** Arms a timer that nobody will disarm and that resolves a promise; with a rejected one when the worker ends. */
  rest(deadline: number, promise: Promise<void>, resolve: Resolve): void {
    this.add(new Sleep(promise, resolve), deadline)
  }

  /**
   * Disarms a timer that has not come up; nobody hears of it. The worker wakes this thread all the same: once for nothing costs less than
   * telling it, as the timers of calls that end in time are armed and disarmed one after the other.
   */
  cancel(timer: Timer): void {
    this.queue.remove(timer)
  }

  /** The worker wakes this thread, as it was asked to; it may have been asked for something else meanwhile, or what was due may be gone. */
  wake(number: number): void {
    if (number >>> 0 === this.wakeNumber) this.fireDue()
  }

  /** The worker has ended: nothing will come up. */
  stop(): void {
    this.isStopped = true
    const shift = (): Sleeper | undefined => this.queue.shiftDue(Number.POSITIVE_INFINITY)
    for (let sleeper = shift(); sleeper !== undefined; sleeper = shift()) {
      if (sleeper instanceof Timer) sleeper.stopped(workerStopped())
      else sleeper.stop(workerStopped())
    }
  }

  private add(sleeper: Sleeper, deadline: number): void {
    if (this.isStopped) throw workerStopped()
    if (this.queue.size >= this.slots) throw new TimerExhausted(this.slots)
    this.queue.push(sleeper, deadline, this.lookedAt)
    if (deadline < this.looksAt) this.askToWake(deadline, performance.now())
  }

  private fireDue(): void {
    if (this.isStopped) return
    this.looksAt = Number.NEGATIVE_INFINITY
    const now = performance.now()
    this.lookedAt = now
    try {
      for (let fired = 0; fired < FIRED_MAX; fired += 1) {
        const sleeper = this.queue.shiftDue(now)
        if (sleeper === undefined) break
        if (sleeper instanceof Timer) sleeper.due()
        else sleeper.resolve()
      }
    } finally {
      // Whoever has waited goes on first, and may arm the next timer.
      queueMicrotask(this.lookAhead)
    }
  }

  /** Decides when to look again: when other events had their turn, if timers have come up meanwhile, or when the worker says so. */
  private planNext(): void {
    this.looksAt = Number.POSITIVE_INFINITY
    const { first } = this.queue
    if (first === Number.POSITIVE_INFINITY || this.isStopped) return
    const now = performance.now()
    // An immediate would keep a process alive that may end.
    if (first <= now && this.host.referenced) {
      this.looksAt = Number.NEGATIVE_INFINITY
      setImmediate(this.fireInBatch)
    } else {
      this.askToWake(Math.max(first, now + SLACK_MS), now)
    }
  }

  private askToWake(deadline: number, now: number): void {
    const { port } = this.host
    if (this.looksAt !== Number.POSITIVE_INFINITY) port.submit(TIMER_CANCEL, 0, 0, this.wakeNumber, 0, 0, 0)
    this.looksAt = deadline
    this.lookedAt = now
    this.wakeNumber = (this.wakeNumber + 1) >>> 0
    // The worker counts from when it reads the record, which is after this moment.
    const delay = Math.max(0, Math.ceil((deadline - now) * NS_PER_MS))
    port.submit(TIMER, 0, 0, this.wakeNumber, delay % WORD, Math.floor(delay / WORD), 0)
  }
}

function workerStopped(): RinglineError {
  return new RinglineError('ERR_RINGLINE_WORKER_STOPPED', 'no timer comes up any more: the worker has stopped')
}
