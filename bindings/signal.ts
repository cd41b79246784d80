/**
 * The signals by which callers give up, read without trusting them: only what Node itself defines is asked of them, so that nothing of the
 * user's runs where a throw would lose records. It owns the check of an options argument; what giving up means is decided where it is used.
 */

import { invalidArgument, untrusted } from './errors.js'

/** What Node defines of signals. */
interface Intrinsics {
  readonly aborted: (signal: AbortSignal) => boolean
  readonly reason: (signal: AbortSignal) => unknown
  readonly addEventListener: typeof EventTarget.prototype.addEventListener
  readonly removeEventListener: typeof EventTarget.prototype.removeEventListener
}

let known: Intrinsics | undefined

/** Looked up for the first signal: Node loads its signals when they are named, which importing the package should not wait for. */
function intrinsics(): Intrinsics {
  if (known !== undefined) return known
  const { addEventListener, removeEventListener } = EventTarget.prototype
  const [aborted, reason] = [accessor<boolean>('aborted'), accessor<unknown>('reason')]
  known = { aborted, reason, addEventListener, removeEventListener }
  return known
}

function accessor<T>(property: 'aborted' | 'reason'): (signal: AbortSignal) => T {
  const getter = Object.getOwnPropertyDescriptor(AbortSignal.prototype, property)?.get
  if (getter === undefined) throw new Error(`this JavaScript engine has no accessor for ${property} of signals`)
  return Function.prototype.call.bind(getter) as (signal: AbortSignal) => T
}

const nothing = (): void => {}

/**
 * The signal of an options argument.
 *
 * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT` when the options are no object, or the signal is no AbortSignal
 */
export function signalOf(options: unknown): AbortSignal | undefined {
  if (options === undefined) return undefined
  requireOptions(options)
  const signal: unknown = untrusted('options', 'an object that can be read', options, () => options.signal)
  if (signal === undefined) return undefined
  const { aborted } = intrinsics()
  try {
    aborted(signal as AbortSignal)
  } catch {
    throw invalidArgument('options.signal', 'an AbortSignal, or left out', signal)
  }
  return signal as AbortSignal
}

/** Fails when an options argument is no object. */
export function requireOptions(options: unknown): asserts options is { readonly signal?: unknown } {
  if (typeof options !== 'object' || options === null)
    throw invalidArgument('options', 'an object, or left out', options)
}

/** Whether the caller has given up already. */
export function isAborted(signal: AbortSignal | undefined): signal is AbortSignal {
  return signal !== undefined && intrinsics().aborted(signal)
}

/** Why the caller has given up. */
export function reasonOf(signal: AbortSignal): unknown {
  return intrinsics().reason(signal)
}

/** Calls `abort` when the caller gives up; answers what ends the listening. */
export function onAbort(signal: AbortSignal | undefined, abort: (reason: unknown) => void): () => void {
  if (signal === undefined) return nothing
  const { addEventListener, removeEventListener, reason } = intrinsics()
  const listener = (): void => abort(reason(signal))
  addEventListener.call(signal, 'abort', listener, { once: true })
  return () => removeEventListener.call(signal, 'abort', listener)
}
