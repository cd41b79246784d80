/**
 * Every error class of this package, and the errors that are made in many places, so that codes stay stable and messages name the value and the
 * remedy. It may not decide when something is an error.
 */

import { inspect } from './node-util.js'

/** The codes of errors that do not come from the operating system. They are stable: a message may change, a code does not. */
export type RinglineErrorCode =
  | 'ERR_RINGLINE_BLOCKED_BY_SECCOMP'
  | 'ERR_RINGLINE_BUFFER_REGISTRATION'
  | 'ERR_RINGLINE_CANCELED'
  | 'ERR_RINGLINE_CHAIN_TOO_LONG'
  | 'ERR_RINGLINE_COMPLETIONS_LOST'
  | 'ERR_RINGLINE_CONNECTION_LIMIT_REACHED'
  | 'ERR_RINGLINE_DEVICE_LIMIT_REACHED'
  | 'ERR_RINGLINE_DIFFERENT_WORKER'
  | 'ERR_RINGLINE_DISABLED_BY_SYSCTL'
  | 'ERR_RINGLINE_ELAPSED'
  | 'ERR_RINGLINE_EXTERNAL_MEMORY'
  | 'ERR_RINGLINE_FILE_LIMIT_REACHED'
  | 'ERR_RINGLINE_GUARD_LIMIT_REACHED'
  | 'ERR_RINGLINE_HANDLER_FAILED'
  | 'ERR_RINGLINE_INLINE_UNAVAILABLE'
  | 'ERR_RINGLINE_INVALID_ADDRESS'
  | 'ERR_RINGLINE_INVALID_ARGUMENT'
  | 'ERR_RINGLINE_INVALID_CONFIG'
  | 'ERR_RINGLINE_INVALID_CONNECTION'
  | 'ERR_RINGLINE_INVALID_DEVICE'
  | 'ERR_RINGLINE_INVALID_FILE'
  | 'ERR_RINGLINE_INVALID_PARSE_RESULT'
  | 'ERR_RINGLINE_IO_URING_UNAVAILABLE'
  | 'ERR_RINGLINE_KERNEL_TOO_OLD'
  | 'ERR_RINGLINE_MISALIGNED'
  | 'ERR_RINGLINE_NATIVE_LIBRARY'
  | 'ERR_RINGLINE_NODE_API'
  | 'ERR_RINGLINE_NOT_ENABLED'
  | 'ERR_RINGLINE_NO_RUNTIME'
  | 'ERR_RINGLINE_NVME_STATUS'
  | 'ERR_RINGLINE_OPERATION_LIMIT_REACHED'
  | 'ERR_RINGLINE_OUT_OF_MEMORY'
  | 'ERR_RINGLINE_PIN_FAILED'
  | 'ERR_RINGLINE_PIPE_BUSY'
  | 'ERR_RINGLINE_READ_ONLY_FILE'
  | 'ERR_RINGLINE_RECEIVE_BUSY'
  | 'ERR_RINGLINE_RECEIVE_LIMIT_EXCEEDED'
  | 'ERR_RINGLINE_RESOURCE_LIMIT'
  | 'ERR_RINGLINE_RING_SETUP'
  | 'ERR_RINGLINE_SEND_IN_FLIGHT'
  | 'ERR_RINGLINE_SEND_POOL_EXHAUSTED'
  | 'ERR_RINGLINE_STALE_CHUNK'
  | 'ERR_RINGLINE_SUBMISSION_QUEUE_FULL'
  | 'ERR_RINGLINE_TASK_LIMIT_REACHED'
  | 'ERR_RINGLINE_TIMER_EXHAUSTED'
  | 'ERR_RINGLINE_TOO_MANY_PARTS'
  | 'ERR_RINGLINE_UNSUPPORTED_PLATFORM'
  | 'ERR_RINGLINE_WORKER_FAILED'
  | 'ERR_RINGLINE_WORKER_STOPPED'
  | 'ERR_RINGLINE_WRITE_AFTER_SHUTDOWN'

/**
 * An error of this package. `code` is an `ERR_RINGLINE_…` code (see {@link RinglineErrorCode}), or, for an error of the operating system, its name such as `ECONNREFUSED`; then `errno`, `syscall` and, where they
 * make sense, `address` and `port` are there too, as Node's own errors have them.
 */
export class RinglineError extends Error {
  /** What went wrong, for programs. */
  readonly code: string
  /** The negative error number, for errors of the operating system. */
  declare readonly errno?: number
  /** The operation that failed, for errors of the operating system. */
  declare readonly syscall?: string
  /** The address it was about. */
  declare readonly address?: string
  /** The port it was about. */
  declare readonly port?: number
  /** The path it was about. */
  declare readonly path?: string

  /**
   * @param code - what went wrong, for programs
   * @param message - what went wrong, for people
   * @param options - the cause, if there is one
   */
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }

  static {
    // On the prototype, as with Error itself, so that printing an error does not list it as a property.
    Object.defineProperty(RinglineError.prototype, 'name', {
      value: 'RinglineError',
      writable: true,
      configurable: true,
    })
  }
}

/** Time was up: what a timeout rejects with. */
export class Elapsed extends RinglineError {
  /** @internal */
  constructor() {
    super('ERR_RINGLINE_ELAPSED', 'the task was not done when its time was up')
  }
}

/** As many timers are armed on the worker as it has slots for. */
export class TimerExhausted extends RinglineError {
  /** @internal */
  constructor(slots: number) {
    super('ERR_RINGLINE_TIMER_EXHAUSTED', `${slots} timers are armed already: wait for one, or raise timerSlots`)
  }
}

/**
 * Why a datagram was not queued. Its `code` is one of
 *
 * - `ERR_RINGLINE_SEND_POOL_EXHAUSTED`: no send slot is free; try again later, or raise `sendCopyCount`
 * - `ERR_RINGLINE_SEND_IN_FLIGHT`: 1024 datagrams of the socket are on their way out
 * - `ERR_RINGLINE_SUBMISSION_QUEUE_FULL`: the worker does not keep up with what it is given
 * - `EMSGSIZE`: it is longer than 65,507 bytes
 */
export class UdpSendError extends RinglineError {}

/** What an NVMe device has answered to a command instead of success. Its `code` is `ERR_RINGLINE_NVME_STATUS`; the message has it in words. */
export class NvmeStatusError extends RinglineError {
  /** The status code (SC), 0 … 255. */
  readonly statusCode: number
  /** The status code type (SCT): 0 generic, 1 command specific, 2 media and data integrity, 3 path related, 7 vendor specific. */
  readonly statusCodeType: number
  /** Whether the device says that the same command would fail again (DNR). */
  readonly doNotRetry: boolean

  /** @internal */
  constructor(status: { code: number; codeType: number; doNotRetry: boolean; text: string }) {
    super('ERR_RINGLINE_NVME_STATUS', status.text)
    this.statusCode = status.code
    this.statusCodeType = status.codeType
    this.doNotRetry = status.doNotRetry
  }
}

/** The shape in which native code throws, and in which errors cross threads. */
export interface ErrorRecord {
  code?: unknown
  message?: unknown
  stack?: unknown
  errno?: unknown
  syscall?: unknown
  address?: unknown
  port?: unknown
}

/** Turns what native code threw, or what came from another thread, into a {@link RinglineError}; anything else is kept as the cause. */
export function fromRecord(thrown: unknown, fallback: RinglineErrorCode): RinglineError {
  if (thrown instanceof RinglineError) return thrown
  const record: ErrorRecord = typeof thrown === 'object' && thrown !== null ? thrown : {}
  const message = typeof record.message === 'string' ? record.message : inspect(thrown)
  const code = typeof record.code === 'string' && /^E[A-Z0-9_]+$/.test(record.code) ? record.code : fallback
  const error = new RinglineError(code, message, causeOf(thrown, message, record.stack))
  const details: Record<string, unknown> = {}
  for (const key of ['errno', 'syscall', 'address', 'port'] as const) {
    if (record[key] !== undefined) details[key] = record[key]
  }
  return Object.assign(error, details)
}

/** What a record stands for. Of an error of another thread its stack is all that tells where it was thrown. */
function causeOf(thrown: unknown, message: string, stack: unknown): ErrorOptions | undefined {
  if (thrown instanceof Error) return { cause: thrown }
  return typeof stack === 'string' ? { cause: Object.assign(new Error(message), { stack }) } : undefined
}

/** Nothing more can be opened; the native library says the same with numbers where it can. */
export function outOfDescriptors(what: string, cause: unknown): RinglineError {
  const message =
    `${what}: the process has as many file descriptors open as it may (RLIMIT_NOFILE); close some, or raise the limit with ` +
    '`ulimit -n`, with LimitNOFILE= in a systemd unit or with --ulimit nofile= for a container'
  return new RinglineError('ERR_RINGLINE_RESOURCE_LIMIT', message, { cause })
}

/** An argument of the wrong type or value: names the argument, what was wanted and what came. */
export function invalidArgument(name: string, wanted: string, value: unknown): RinglineError {
  return new RinglineError('ERR_RINGLINE_INVALID_ARGUMENT', `"${name}" must be ${wanted}; received ${describe(value)}`)
}

/** Reads a value of the user's, whose getters and traps may throw: that is then an invalid argument. */
export function untrusted<T>(name: string, wanted: string, value: unknown, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof RinglineError) throw cause
    throw Object.assign(invalidArgument(name, wanted, value), { cause })
  }
}

/** As `instanceof`, of a value whose prototype may be a trap. */
export function isInstance<T>(value: unknown, type: { readonly prototype: T }): value is T {
  try {
    return value instanceof (type as unknown as new () => T)
  } catch {
    return false
  }
}

/** As `Array.isArray`, of a value that may be a proxy that was revoked. */
export function isArray(value: unknown): value is unknown[] {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}

/** An operation on a connection that has ended or belongs to someone else by now. */
export function invalidConnection(what: string): RinglineError {
  return new RinglineError('ERR_RINGLINE_INVALID_CONNECTION', what)
}

/** A value in a message: short, whatever it is, and never running code of the value. */
export function describe(value: unknown): string {
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`
  if (value === undefined || value === null) return String(value)
  const text = inspect(value, {
    depth: 0,
    breakLength: Number.POSITIVE_INFINITY,
    customInspect: false,
    maxStringLength: 80,
    maxArrayLength: 4,
  })
  return `${typeof value === 'object' ? '' : `${typeof value} `}${text.length > 120 ? `${text.slice(0, 120)}…` : text}`
}
