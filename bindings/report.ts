/**
 * Where errors of user code go that nobody awaits: to the handler's `onError`, or to the process as a warning. It decides nothing about
 * connections.
 */

import type { ConnCtx } from './connection.js'
import { describe, RinglineError } from './errors.js'
import type { AsyncEventHandler } from './handler.js'

/**
 * Reports what a handler has thrown or rejected with.
 *
 * @returns the error: what was thrown, or an error that describes it when it was something else
 */
export function reportFailure(handler: AsyncEventHandler, thrown: unknown, conn: ConnCtx | undefined): Error {
  const error = asError(thrown)
  if (handler.onError === undefined) {
    warn(error)
    return error
  }
  try {
    handler.onError(error, conn)
  } catch (second) {
    warn(error)
    warn(asError(second))
  }
  return error
}

/** What was thrown may be anything, a proxy whose traps throw included; none of it may keep the rest of a batch from its handlers. */
export function asError(thrown: unknown): Error {
  try {
    if (thrown instanceof Error) return thrown
  } catch {
    // A trap for the prototype has thrown: then it is described like anything else that is no error.
  }
  return notAnError(thrown)
}

function notAnError(thrown: unknown): Error {
  return new RinglineError('ERR_RINGLINE_HANDLER_FAILED', `a handler has thrown ${describe(thrown)}`, { cause: thrown })
}

function warn(error: Error): void {
  const { message, stack } = textsOf(error)
  process.emitWarning(`A handler has failed: ${message}`, {
    type: 'RinglineWarning',
    code: 'ERR_RINGLINE_HANDLER_FAILED',
    detail: stack,
  })
}

/** The texts of an error whose accessors may throw, or answer something else than text. */
function textsOf(error: Error): { message: string; stack: string } {
  try {
    const message = String(error.message)
    return { message, stack: String(error.stack ?? message) }
  } catch {
    const message = describe(error)
    return { message, stack: message }
  }
}
