/**
 * Points in time of the monotonic clock. It owns the unit: milliseconds of `performance.now()`, fractions included.
 */

import { invalidArgument, isInstance } from './errors.js'
import { inspect } from './node-util.js'

/** The longest duration, in milliseconds: 2^53 − 1 nanoseconds, which are 104 days. */
export const DURATION_MAX_MS = Number.MAX_SAFE_INTEGER / 1e6

/**
 * A point in time that no change of the system's clock moves. Deadlines are ordered: `a < b` says that `a` comes first.
 */
export class Deadline {
  private readonly at: number

  private constructor(at: number) {
    this.at = at
  }

  /** This moment. */
  static now(): Deadline {
    return new Deadline(performance.now())
  }

  /**
   * So many milliseconds from now.
   *
   * @param ms - 0 or more, fractions allowed, up to 104 days
   * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`
   */
  static after(ms: number): Deadline {
    return new Deadline(performance.now() + requireDuration(ms))
  }

  /** Milliseconds that are left, fractions included; 0 when the deadline has passed. */
  remaining(): number {
    return Math.max(0, this.at - performance.now())
  }

  /** The deadline on the clock of `performance.now()`, in milliseconds: what comparisons compare. */
  valueOf(): number {
    return this.at
  }

  /** What `console.log` shows. @internal */
  [inspect.custom](): string {
    return `Deadline(in ${this.remaining()} ms)`
  }
}

/** A duration that a timer can be armed for. */
export function requireDuration(ms: unknown): number {
  if (typeof ms === 'number' && ms >= 0 && ms <= DURATION_MAX_MS) return ms
  throw invalidArgument('ms', `a number of milliseconds from 0 to ${Math.floor(DURATION_MAX_MS)}`, ms)
}

/** A deadline, as the clock of `performance.now()` has it. */
export function requireDeadline(deadline: unknown): number {
  if (isInstance(deadline, Deadline)) return deadline.valueOf()
  throw invalidArgument('deadline', 'a Deadline: make it with Deadline.after(ms)', deadline)
}
