/**
 * Several tasks at once: all of them, or the first. It owns who wins and who is told to give up; each task is a function of a signal, so
 * that what has lost can really end.
 */

import { invalidArgument, RinglineError } from './errors.js'
import { giveBack } from './made-for.js'
import { isAborted, onAbort, reasonOf, signalOf } from './signal.js'
import type { Cancelable } from './sleep.js'

/** Options of {@link join}, {@link select} and their like. */
export interface CombineOptions {
  /** Gives up: every branch's signal is aborted, and the promise rejects with this signal's reason. */
  readonly signal?: AbortSignal
}

/** The first branch of a {@link select} was ready first. */
export interface Left<A> {
  readonly kind: 'left'
  readonly value: A
  /** The value. */
  intoInner(): A
}

/** The second branch of a {@link select} was ready first. */
export interface Right<B> {
  readonly kind: 'right'
  readonly value: B
  /** The value. */
  intoInner(): B
}

/** What {@link select} resolves to: `kind` says which branch won. `intoInner()` is the value, whichever it was. */
export type Either<A, B> = Left<A> | Right<B>

/** The first branch of a {@link select3} was ready first. */
export interface First<A> {
  readonly kind: 'first'
  readonly value: A
  /** The value. */
  intoInner(): A
}

/** The second branch of a {@link select3} was ready first. */
export interface Second<B> {
  readonly kind: 'second'
  readonly value: B
  /** The value. */
  intoInner(): B
}

/** The third branch of a {@link select3} was ready first. */
export interface Third<C> {
  readonly kind: 'third'
  readonly value: C
  /** The value. */
  intoInner(): C
}

/** What {@link select3} resolves to: `kind` says which branch won. `intoInner()` is the value, whichever it was. */
export type Either3<A, B, C> = First<A> | Second<B> | Third<C>

/**
 * Runs two tasks at once and waits for both. They are started in order.
 *
 * @returns both results
 * @throws (as a rejection) what the first one to fail throws; the other's signal is then aborted
 */
export async function join<A, B>(a: Cancelable<A>, b: Cancelable<B>, options?: CombineOptions): Promise<[A, B]> {
  return (await joinAll([a, b], options)) as [A, B]
}

/** As {@link join}, for three. */
export async function join3<A, B, C>(
  a: Cancelable<A>,
  b: Cancelable<B>,
  c: Cancelable<C>,
  options?: CombineOptions,
): Promise<[A, B, C]> {
  return (await joinAll([a, b, c], options)) as [A, B, C]
}

/**
 * Runs two tasks at once and waits for the first to be ready. They are started in order; when both are ready at the same time, `a` wins.
 * The loser's signal is aborted, and what it answers all the same is closed if it is a connection or file that was made with that signal; when `a` is ready without waiting, `b` is not even started.
 *
 * @throws (as a rejection) what the branch that was ready first throws
 */
export async function select<A, B>(
  a: Cancelable<A>,
  b: Cancelable<B>,
  options?: CombineOptions,
): Promise<Either<A, B>> {
  const [index, value] = await race([a, b], options)
  return outcome(index === 0 ? 'left' : 'right', value) as Either<A, B>
}

/** As {@link select}, for three: `a` wins over `b`, and `b` over `c`. */
export async function select3<A, B, C>(
  a: Cancelable<A>,
  b: Cancelable<B>,
  c: Cancelable<C>,
  options?: CombineOptions,
): Promise<Either3<A, B, C>> {
  const [index, value] = await race([a, b, c], options)
  return outcome((['first', 'second', 'third'] as const)[index]!, value) as Either3<A, B, C>
}

const prototype = {
  intoInner(this: { value: unknown }): unknown {
    return this.value
  },
}

function outcome(kind: string, value: unknown): unknown {
  return Object.assign(Object.create(prototype) as object, { kind, value })
}

/** Branches under way. */
class Branches {
  private readonly controllers: (AbortController | undefined)[] = []
  /** What has become ready, and the signal it was made with, until it is known who gets it. */
  private readonly values: [AbortSignal, unknown][] = []
  private over = false

  /** Starts a branch; `settled` may be called before this returns, when it is ready without waiting. */
  start(branch: Cancelable<unknown>, settled: (failed: boolean, value: unknown) => void): void {
    const controller = new AbortController()
    const index = this.controllers.push(controller) - 1
    const end = (failed: boolean, value: unknown): void => {
      this.controllers[index] = undefined
      if (this.over) giveBack(controller.signal, value)
      else this.values.push([controller.signal, value])
      settled(failed, value)
    }
    try {
      const result = branch(controller.signal)
      if (isThenable(result)) Promise.resolve(result).then(end.bind(undefined, false), end.bind(undefined, true))
      else end(false, result)
    } catch (error) {
      end(true, error)
    }
  }

  /** Tells every branch that is still under way to give up, and gives back what is not among the values that somebody gets. */
  end(reason: unknown, taken: readonly unknown[]): void {
    this.over = true
    for (const controller of this.controllers) controller?.abort(reason)
    for (const [signal, value] of this.values) if (!taken.includes(value)) giveBack(signal, value)
  }
}

function joinAll(tasks: readonly Cancelable<unknown>[], options: CombineOptions | undefined): Promise<unknown[]> {
  return combine(tasks, options, (branches, resolve, reject, isOver) => {
    const results: unknown[] = []
    let left = tasks.length
    for (const [index, task] of tasks.entries()) {
      if (isOver()) return
      branches.start(task, (failed, value) => {
        if (failed) return reject(value, lost('another branch of the join has failed'))
        results[index] = value
        left -= 1
        if (left === 0) resolve(results)
      })
    }
  })
}

function race(tasks: readonly Cancelable<unknown>[], options: CombineOptions | undefined): Promise<[number, unknown]> {
  return combine<[number, unknown]>(tasks, options, (branches, resolve, reject, isOver) => {
    const ready: { failed: boolean; value: unknown }[] = []
    let deciding = false
    const decide = (): void => {
      if (isOver()) return
      const winner = tasks.findIndex((_, index) => ready[index] !== undefined)
      const { failed, value } = ready[winner]!
      const reason = lost('another branch of the select was ready first')
      if (failed) reject(value, reason)
      else resolve([winner, value], reason)
    }
    let starting = true
    for (const [index, task] of tasks.entries()) {
      branches.start(task, (failed, value) => {
        ready[index] = { failed, value }
        if (starting || index === 0) return decide()
        // What became ready together is told one after the other: a branch that goes first may be next in line.
        if (!deciding) queueMicrotask(decide)
        deciding = true
      })
      if (isOver()) return
    }
    starting = false
  })
}

/** The frame of every combinator: one promise, the branches, and a signal from outside. */
function combine<T extends readonly unknown[]>(
  tasks: readonly Cancelable<unknown>[],
  options: CombineOptions | undefined,
  run: (
    branches: Branches,
    resolve: (values: T, reason?: unknown) => void,
    reject: (error: unknown, reason: unknown) => void,
    isOver: () => boolean,
  ) => void,
): Promise<T> {
  return new Promise<T>((fulfil, fail) => {
    for (const task of tasks) {
      if (typeof task !== 'function') throw invalidArgument('branch', 'a function that takes an AbortSignal', task)
    }
    const signal = signalOf(options)
    if (isAborted(signal)) throw reasonOf(signal)
    const branches = new Branches()
    let over = false
    const finish = (settle: () => void, reason: unknown, taken: readonly unknown[]): void => {
      if (over) return
      over = true
      unlisten()
      settle()
      branches.end(reason, taken)
    }
    const unlisten = onAbort(signal, (reason) => finish(() => fail(reason), reason, []))
    run(
      branches,
      (values, reason) => finish(() => fulfil(values), reason, values),
      (error, reason) => finish(() => fail(error), reason, []),
      () => over,
    )
  })
}

function lost(why: string): RinglineError {
  return new RinglineError('ERR_RINGLINE_CANCELED', why)
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
