/**
 * Where errors of user code go that nobody awaits: to the handler's `onError`, or to the process as a warning. It decides nothing about
 * connections.
 */

import { inspect } from 'node:util'
import type { ConnCtx } from './connection.js'
import { RinglineError } from './errors.js'
import type { AsyncEventHandler } from './handler.js'

/**
 * Reports what a handler has thrown or rejected with.
 *
 * @returns the error: what was thrown, or an error that describes it when it was something else
 */
export function reportFailure(handler: AsyncEventHandler, thrown: unknown, conn: ConnCtx | undefined): Error {
  const error = thrown instanceof Error ? thrown : notAnError(thrown)
  if (handler.onError === undefined) {
    warn(error)
    return error
  }
  try {
    handler.onError(error, conn)
  } catch (second) {
    warn(error)
    warn(second instanceof Error ? second : notAnError(second))
  }
  return error
}

function notAnError(thrown: unknown): Error {
  return new RinglineError('ERR_RINGLINE_HANDLER_FAILED', `a handler has thrown ${inspect(thrown)}`, { cause: thrown })
}

function warn(error: Error): void {
  process.emitWarning(`A handler has failed: ${error.message}`, {
    type: 'RinglineWarning',
    code: 'ERR_RINGLINE_HANDLER_FAILED',
    detail: error.stack ?? String(error),
  })
}
