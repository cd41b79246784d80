/**
 * What was made for somebody who has a signal to give up with: connections, files, devices. When the signal comes a moment too late, the
 * thing stands and nobody will ever have it: whoever has lost the result gives it back here. It owns who was meant to have what.
 */

/** What can be given back. */
interface Made {
  close(): unknown
}

const signals = new WeakMap<object, AbortSignal>()

/** Notes for whom something was made. */
export function madeFor(signal: AbortSignal | undefined, made: Made): void {
  if (signal !== undefined) signals.set(made, signal)
}

/** The result of a task was lost. If it was made for the signal of that task, it is closed; anything else is somebody else's, too. */
export function giveBack(signal: AbortSignal, result: unknown): void {
  if (typeof result !== 'object' || result === null || signals.get(result) !== signal) return
  ;(result as Made).close()
}
