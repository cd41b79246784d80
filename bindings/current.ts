/**
 * Which worker a call belongs to that names none: the functions `connect`, `spawn` and their like. It owns that choice and nothing else.
 */

import type { AddressInput } from './address.js'
import type { ConnectOptions } from './connect.js'
import type { ConnCtx } from './connection.js'
import type { Dispatcher } from './dispatcher.js'
import { RinglineError } from './errors.js'
import { attempt } from './settling.js'
import type { TaskId } from './task-id.js'
import type { Task } from './tasks.js'

/** The dispatcher whose handler is being called, if one is. */
let current: Dispatcher | undefined
/** The running workers of this thread, one list per launched runtime, the newest last. */
const runtimes: Dispatcher[][] = []
let turn = 0

/** A dispatcher is about to call its handler; answers whose turn it was before. */
export function enter(dispatcher: Dispatcher): Dispatcher | undefined {
  const outer = current
  current = dispatcher
  return outer
}

/** The handler was called. */
export function leave(outer: Dispatcher | undefined): void {
  current = outer
}

/** A runtime was launched on this thread; its list may still grow. */
export function addRuntime(dispatchers: Dispatcher[]): void {
  runtimes.push(dispatchers)
}

/** A runtime has ended. */
export function removeRuntime(dispatchers: Dispatcher[]): void {
  const index = runtimes.indexOf(dispatchers)
  if (index >= 0) runtimes.splice(index, 1)
}

/** The worker whose handler is running; elsewhere the workers of the runtime launched last, in turn. */
export function currentWorker(wanted: string): Dispatcher {
  if (current !== undefined && !current.isStopped) return current
  const workers = runtimes[runtimes.length - 1] ?? []
  for (let looked = 0; looked < workers.length; looked += 1) {
    turn = (turn + 1) % workers.length
    const picked = workers[turn]!
    if (!picked.isStopped) return picked
  }
  const message = `${wanted}() needs a running worker in this thread: launch one first, without bind() if no server is wanted`
  throw new RinglineError('ERR_RINGLINE_NO_RUNTIME', message)
}

/**
 * Makes a TCP connection, on the worker whose handler is being called; called elsewhere, on the workers of the runtime that was launched
 * last in this thread, in turn. The connection belongs to whoever awaits this promise; when the handler has `onData` and nobody has asked
 * for the connection's bytes by then, they go there.
 *
 * @param address - an IP address and a port; names are not looked up
 * @param options - a signal that gives up
 * @throws (as a rejection) the system error, such as `ECONNREFUSED`; RinglineError `ERR_RINGLINE_INVALID_ADDRESS`,
 * `ERR_RINGLINE_CONNECTION_LIMIT_REACHED` when `maxConnections` are open, `ERR_RINGLINE_NO_RUNTIME`,
 * `ERR_RINGLINE_WORKER_STOPPED` when the worker ends meanwhile, or the signal's reason
 */
export function connect(address: AddressInput, options?: ConnectOptions): Promise<ConnCtx> {
  return attempt(() => currentWorker('connect').connector.connect(address, 0, options))
}

/**
 * As {@link connect}, with a limit of time.
 *
 * @param timeoutMs - milliseconds, above 0, fractions allowed
 * @throws (as a rejection) the errors of {@link connect}; a system error `ETIMEDOUT` when time is up
 */
export function connectWithTimeout(
  address: AddressInput,
  timeoutMs: number,
  options?: ConnectOptions,
): Promise<ConnCtx> {
  return attempt(() => currentWorker('connectWithTimeout').connector.connectWithTimeout(address, timeoutMs, options))
}

/**
 * Starts a task on a worker, chosen as {@link connect} chooses it. The task is a function of a signal, which is aborted by
 * {@link TaskId.cancel} and when the worker stops; what it throws is reported to the handler's `onError`.
 *
 * @throws RinglineError `ERR_RINGLINE_TASK_LIMIT_REACHED` when `standaloneTaskCapacity` tasks are running; `ERR_RINGLINE_NO_RUNTIME`
 */
export function spawn(task: Task): TaskId {
  return currentWorker('spawn').tasks.spawn(task)
}

/**
 * Asks the runtime of the worker that is chosen as {@link connect} chooses it to shut down. Returns at once; `server.closed` tells when
 * it is done.
 *
 * @throws RinglineError `ERR_RINGLINE_NO_RUNTIME`
 */
export function requestShutdown(): void {
  currentWorker('requestShutdown').requestShutdown()
}
