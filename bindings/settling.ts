/**
 * Promises that are settled by hand, and rejections that nobody has to look at. It owns what a dropped promise may do: a program that ends its
 * server, or whose peer goes, has made no mistake, so what it has started and dropped must not end it as an unhandled rejection.
 *
 * Only the promise itself counts as handled then. Who awaits it, or has derived another one from it, gets the rejection as ever.
 */

/** A promise and its two functions. */
export interface Settleable<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (reason: unknown) => void
}

// A promise's two functions, handed out of its constructor without a closure per promise.
let resolveMade: (value: never) => void
let rejectMade: (reason: unknown) => void
const handOut = (resolve: (value: never) => void, reject: (reason: unknown) => void): void => {
  resolveMade = resolve
  rejectMade = reject
}

/** A promise that is settled by hand. */
export function settleable<T>(): Settleable<T> {
  const promise = new Promise<T>(handOut as (resolve: (value: T) => void, reject: (reason: unknown) => void) => void)
  return { promise, resolve: resolveMade as (value: T) => void, reject: rejectMade }
}

/** Keeps the rejection of a promise from ending the process when nobody looks at it. */
export function markHandled(promise: Promise<unknown>): void {
  promise.catch(() => {})
}

/** Rejects a promise that nobody has to look at. */
export function rejectQuietly(pending: Pick<Settleable<unknown>, 'promise' | 'reject'>, error: Error): void {
  markHandled(pending.promise)
  pending.reject(error)
}

/** A rejection that nobody has to look at. */
export function rejectedQuietly(error: Error): Promise<never> {
  const promise = Promise.reject(error)
  markHandled(promise)
  return promise
}

/** What a call answers; what it throws, as a rejection. */
export function attempt<T>(call: () => Promise<T>): Promise<T> {
  try {
    return call()
  } catch (error) {
    return Promise.reject(error)
  }
}
