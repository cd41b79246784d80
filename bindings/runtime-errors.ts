/**
 * Errors as a running runtime meets them: those of the operating system, and what comes from native code or goes to another thread. Apart from
 * errors.ts, because importing the package takes none of it.
 */

import { type ErrorRecord, fromRecord, RinglineError, type RinglineErrorCode } from './errors.js'
import { getSystemErrorMap, inspect, types } from './node-util.js'

/** What a system error is about, beside its number. */
export interface SystemErrorDetails {
  address?: string
  port?: number
  path?: string
}

/** What Linux calls a ring that has lost completions; no other call here answers it, and Node has no name for it. */
const EBADR = 53

/**
 * An error of the operating system in Node's own shape, or, of a ring that has lost completions, `ERR_RINGLINE_COMPLETIONS_LOST`.
 *
 * @param errno - the positive error number
 * @param syscall - the operation that failed, such as `connect`
 */
export function systemError(errno: number, syscall: string, details: SystemErrorDetails = {}): RinglineError {
  if (errno === EBADR) return completionsLost()
  const [code, text] = getSystemErrorMap().get(-errno) ?? [`E${errno}`, 'unknown error']
  const path = details.path === undefined ? '' : ` '${details.path}'`
  const where =
    details.address === undefined ? path : ` ${details.address}${details.port === undefined ? '' : `:${details.port}`}`
  const error = new RinglineError(code, `${syscall} ${code}: ${text}${where}`)
  return Object.assign(error, { errno: -errno, syscall, ...details })
}

function completionsLost(): RinglineError {
  const message =
    'the kernel had no memory for a completion and lost it (EBADR), so the worker has ended with its connections; give the system more memory, or the ring more entries (sqEntries)'
  return new RinglineError('ERR_RINGLINE_COMPLETIONS_LOST', message)
}

/** Turns what native code threw into a {@link RinglineError}; a failed system call is told in Node's own words. */
export function fromNative(thrown: unknown, fallback: RinglineErrorCode): RinglineError {
  const error = fromRecord(thrown, fallback)
  const { errno, syscall, address, port } = error
  if (errno === undefined || syscall === undefined) return error
  return systemError(-errno, syscall, address === undefined || port === undefined ? {} : { address, port })
}

/** What of an error can be sent to another thread: structured cloning would lose its code. */
export function toRecord(error: unknown): ErrorRecord {
  if (!(error instanceof Error)) return { message: inspect(error) }
  const { code, errno, syscall, address, port } = error as ErrorRecord
  const record: ErrorRecord = { message: error.message, stack: error.stack }
  for (const [key, value] of Object.entries({ code, errno, syscall, address, port })) {
    if (typeof value === 'string' || typeof value === 'number') record[key as keyof ErrorRecord] = value
  }
  return record
}

/** True for what {@link invalidConnection} makes; asked of anything that was thrown, whose prototype may be a trap. */
export function isInvalidConnection(thrown: unknown): thrown is Error {
  return types.isNativeError(thrown) && (thrown as ErrorRecord).code === 'ERR_RINGLINE_INVALID_CONNECTION'
}

/** Whether this tells that something was given up, or not begun, because its worker has ended. */
export function isWorkerEnd(thrown: unknown): thrown is Error {
  if (!types.isNativeError(thrown)) return false
  const { code } = thrown as ErrorRecord
  return code === 'ERR_RINGLINE_WORKER_STOPPED' || code === 'ERR_RINGLINE_NO_RUNTIME'
}
