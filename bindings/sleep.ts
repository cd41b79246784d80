/**
 * Waiting for time to pass, and bounding how long something may take. The timers are those of the worker whose handler is being called,
 * chosen as `connect` chooses it.
 */

import { currentWorker } from './current.js'
import { type Deadline, requireDeadline, requireDuration } from './deadline.js'
import { Elapsed, invalidArgument } from './errors.js'
import { giveBack } from './made-for.js'
import { attempt, markHandled, rejectQuietly, settleable } from './settling.js'
import { isAborted, onAbort, reasonOf, signalOf } from './signal.js'
import type { Resolve } from './sleeper.js'
import type { Timers } from './timers.js'

/** Options of sleeps and timeouts. */
export interface TimerOptions {
  /** Gives up: the promise rejects with the signal's reason, and the timer is free again. */
  readonly signal?: AbortSignal
}

/** Something that may be given up: it does so when the signal is aborted. */
export type Cancelable<T> = (signal: AbortSignal) => T | PromiseLike<T>

/**
 * Resolves after so many milliseconds, or slightly later, never earlier. Fractions are honoured: the resolution is that of the kernel's
 * clock, not the whole milliseconds of `setTimeout`.
 *
 * @param ms - 0 or more, up to 104 days
 * @throws (as a rejection) {@link TimerExhausted} when `timerSlots` timers are armed on the worker; RinglineError
 * `ERR_RINGLINE_INVALID_ARGUMENT`, `ERR_RINGLINE_NO_RUNTIME`, `ERR_RINGLINE_WORKER_STOPPED` when the worker ends meanwhile; or the signal's
 * reason
 */
export function sleep(ms: number, options?: TimerOptions): Promise<void> {
  return attempt(() => trySleep(ms, options))
}

/** As {@link sleep}, until a deadline. One that has passed is met as soon as the worker comes by. */
export function sleepUntil(deadline: Deadline, options?: TimerOptions): Promise<void> {
  return attempt(() => trySleepUntil(deadline, options))
}

/**
 * As {@link sleep}, but takes the timer before it returns.
 *
 * @throws TimerExhausted at once when `timerSlots` timers are armed on the worker; RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`,
 * `ERR_RINGLINE_NO_RUNTIME`
 */
export function trySleep(ms: number, options?: TimerOptions): Promise<void> {
  return rest(currentWorker('sleep').timers, performance.now() + requireDuration(ms), signalOf(options))
}

/** As {@link trySleep}, until a deadline. */
export function trySleepUntil(deadline: Deadline, options?: TimerOptions): Promise<void> {
  return rest(currentWorker('sleepUntil').timers, requireDeadline(deadline), signalOf(options))
}

/**
 * Runs a task and waits for it, but no longer than so many milliseconds. The task is started at once and looked at first: when it is done
 * by the time the timer comes up, its result counts. One that comes later is lost; a connection or file among them that was made with the
 * task's signal is closed.
 *
 * @param ms - 0 or more, fractions allowed, up to 104 days
 * @param task - gets a signal that is aborted when time is up, or when the signal of `options` is
 * @returns what the task answers
 * @throws (as a rejection) {@link Elapsed} when time is up; what the task throws; the errors of {@link sleep}
 */
export function timeout<T>(ms: number, task: Cancelable<T>, options?: TimerOptions): Promise<T> {
  return attempt(() => tryTimeout(ms, task, options))
}

/** As {@link timeout}, with a deadline. */
export function timeoutAt<T>(deadline: Deadline, task: Cancelable<T>, options?: TimerOptions): Promise<T> {
  return attempt(() => tryTimeoutAt(deadline, task, options))
}

/**
 * As {@link timeout}, but takes the timer before it returns and before the task is started.
 *
 * @throws TimerExhausted at once when `timerSlots` timers are armed on the worker; RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`,
 * `ERR_RINGLINE_NO_RUNTIME`
 */
export function tryTimeout<T>(ms: number, task: Cancelable<T>, options?: TimerOptions): Promise<T> {
  return limit(currentWorker('timeout').timers, performance.now() + requireDuration(ms), task, signalOf(options))
}

/** As {@link tryTimeout}, with a deadline. */
export function tryTimeoutAt<T>(deadline: Deadline, task: Cancelable<T>, options?: TimerOptions): Promise<T> {
  return limit(currentWorker('timeoutAt').timers, requireDeadline(deadline), task, signalOf(options))
}

// What resolves a promise, handed out of its constructor without a closure per promise.
let resolveMade: Resolve
const handOut = (resolve: Resolve): void => {
  resolveMade = resolve
}

function rest(timers: Timers, deadline: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal !== undefined) return restUnless(signal, timers, deadline)
  const promise = new Promise<void>(handOut)
  timers.rest(deadline, promise, resolveMade)
  return promise
}

function restUnless(signal: AbortSignal, timers: Timers, deadline: number): Promise<void> {
  if (isAborted(signal)) return Promise.reject(reasonOf(signal))
  const slept = settleable<void>()
  const due = (): void => {
    forget()
    slept.resolve()
  }
  const stopped = (error: Error): void => {
    forget()
    rejectQuietly(slept, error)
  }
  const timer = timers.arm(deadline, due, stopped)
  const forget = onAbort(signal, (reason) => {
    timers.cancel(timer)
    slept.reject(reason)
  })
  return slept.promise
}

function limit<T>(timers: Timers, deadline: number, task: Cancelable<T>, signal: AbortSignal | undefined): Promise<T> {
  if (typeof task !== 'function') throw invalidArgument('task', 'a function that takes an AbortSignal', task)
  if (isAborted(signal)) return Promise.reject(reasonOf(signal))
  const { promise, resolve, reject } = settleable<T>()
  const controller = new AbortController()
  const giveUp = (reason: unknown): void => {
    finish()
    reject(reason)
    controller.abort(reason)
  }
  const finish = (): void => {
    timers.cancel(timer)
    unlisten()
  }
  const stopped = (error: Error): void => {
    markHandled(promise)
    giveUp(error)
  }
  const timer = timers.arm(deadline, () => giveUp(new Elapsed()), stopped)
  const unlisten = onAbort(signal, giveUp)
  // An async function, so that a throw of the task is a rejection like any other.
  const run = async (): Promise<T> => await task(controller.signal)
  run().then(
    (result) => {
      finish()
      if (controller.signal.aborted) giveBack(controller.signal, result)
      else resolve(result)
    },
    (error: unknown) => {
      finish()
      reject(error)
    },
  )
  return promise
}
