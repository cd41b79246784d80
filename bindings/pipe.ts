/**
 * Pipes between two connections of a worker, as this side sees them: it makes them, sends what was received before they flow, and settles
 * their promises. The bytes themselves stay with the worker.
 */

import { ConnCtx } from './connection.js'
import { CLOSED, CLOSING, PIPED, SENDS_REFUSED, WRITE_SHUT } from './connection-flags.js'
import type { Dispatcher } from './dispatcher.js'
import { invalidArgument, invalidConnection, isInstance, RinglineError } from './errors.js'
import * as words from './protocol.js'
import { systemError } from './runtime-errors.js'
import { markHandled, settleable } from './settling.js'
import { isAborted, onAbort, reasonOf, signalOf } from './signal.js'

/** Options of {@link ConnCtx.pipe}. */
export interface PipeOptions {
  /** Stops the pipe: the promise rejects with the signal's reason, and no byte is lost. */
  readonly signal?: AbortSignal
}

/** What the receiving side of a piped connection needs to know of its pipe. */
export interface Piping {
  /** Takes bytes that were received before the pipe flows. */
  pass(chunk: Buffer): void
  /** Stops the pipe. */
  stop(reason: unknown): void
}

/** Numbers of pipes are counted modulo this. */
const KEYS = 2 ** 31

/** One pipe that has not ended. */
class Pipe implements Piping {
  readonly key: number
  readonly from: ConnCtx
  readonly to: ConnCtx
  private readonly done = settleable<number>()
  private moved = 0
  private stopped: { reason: unknown } | undefined = undefined
  private unlisten: (() => void) | undefined = undefined

  constructor(key: number, from: ConnCtx, to: ConnCtx, signal: AbortSignal | undefined) {
    this.key = key
    this.from = from
    this.to = to
    // That a connection breaks is not a mistake of the program, which may have more than one way to hear of it.
    markHandled(this.promise)
    this.unlisten = onAbort(signal, (reason) => this.stop(reason))
  }

  get promise(): Promise<number> {
    return this.done.promise
  }

  pass(chunk: Buffer): void {
    this.moved += chunk.length
    this.to.dispatcher.outbound.forward(this.to, chunk)
  }

  stop(reason: unknown): void {
    if (this.stopped !== undefined) return
    this.stopped = { reason }
    const { dispatcher, slot, generation } = this.to
    dispatcher.port.submit(words.PIPE_STOP, slot, generation, this.key, 0, 0, 0)
  }

  /** Settles the promise with what the worker tells: how it ended, and the bytes that it has moved by itself. */
  end(how: number, errno: number, moved: number): void {
    this.moved += moved
    if (how === words.PIPE_FINISHED) this.settle(undefined)
    else if (how === words.PIPE_STOPPED) this.settle(this.stopped ?? { reason: undefined })
    else if (how === words.PIPE_SOURCE_FAILED)
      this.settle({ reason: failure(this.from, errno, 'read', 'its source was closed') })
    else this.settle({ reason: failure(this.to, errno, 'write', 'its target was closed, or shut down for writing') })
  }

  /** Settles the promise: with the bytes moved, or the reason why not all were. */
  settle(failed: { reason: unknown } | undefined): void {
    this.unlisten?.()
    if (failed === undefined) this.done.resolve(this.moved)
    else this.done.reject(failed.reason)
  }
}

/** The pipes of one worker. */
export class Pipes {
  private readonly dispatcher: Dispatcher
  private readonly active = new Map<number, Pipe>()
  private nextKey = 0

  constructor(dispatcher: Dispatcher) {
    this.dispatcher = dispatcher
  }

  /** See ConnCtx.pipe. */
  pipe(from: ConnCtx, to: ConnCtx, options: PipeOptions | undefined): Promise<number> {
    try {
      this.check(from, to)
      const signal = signalOf(options)
      if (isAborted(signal)) throw reasonOf(signal)
      const inbound = from.pull()
      inbound.requireFree()
      const key = this.nextKey
      const pipe = new Pipe(key, from, to, signal)
      inbound.beginPipe(pipe)
      this.nextKey = (key + 1) % KEYS
      this.active.set(key, pipe)
      to.flags |= PIPED
      this.dispatcher.port.submit(words.PIPE, from.slot, from.generation, to.slot, to.generation, key, 0)
      return pipe.promise
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** The worker keeps what arrives from now on: once what arrived before is out, the pipe may flow. */
  held(key: number): void {
    const pipe = this.active.get(key)
    if (pipe !== undefined) this.dispatcher.outbound.afterSends(pipe.to, words.PIPE_START, key)
  }

  /** A pipe has ended. */
  ended(at: number): void {
    const { completions } = this.dispatcher.port
    const key = completions[at + 3]!
    const pipe = this.active.get(key)
    if (pipe === undefined) return
    this.active.delete(key)
    const [how, errno, low, high] = [4, 5, 6, 7].map((word) => completions[at + word]!) as [
      number,
      number,
      number,
      number,
    ]
    const { from, to } = pipe
    // Only now are bytes that the worker has queued by itself counted here, as those are that it has sent.
    to.queued = (to.queued + low) | 0
    to.flags &= ~PIPED
    if (how === words.PIPE_FINISHED) to.flags |= WRITE_SHUT
    from.inbound?.endPipe()
    pipe.end(how, errno, (low >>> 0) + (high >>> 0) * 2 ** 32)
  }

  /** The worker has ended. */
  stop(): void {
    const reason = new RinglineError('ERR_RINGLINE_WORKER_STOPPED', 'the pipe has ended: the worker has stopped')
    for (const pipe of this.active.values()) pipe.settle({ reason })
    this.active.clear()
  }

  private check(from: ConnCtx, to: ConnCtx): void {
    if (!isInstance(to, ConnCtx)) throw invalidArgument('to', 'a connection', to)
    if (to.dispatcher !== this.dispatcher) {
      const message = `nothing was piped: the connections belong to workers ${from.dispatcher.workerId} and ${to.dispatcher.workerId}; make the other one with conn.connect(), which stays on the worker of conn`
      throw new RinglineError('ERR_RINGLINE_DIFFERENT_WORKER', message)
    }
    if ((from.flags & (CLOSED | CLOSING)) !== 0) throw invalidConnection('nothing was piped: the source was closed')
    if ((to.flags & SENDS_REFUSED) !== 0) throw this.dispatcher.outbound.unsendable(to)
  }
}

/** Why a pipe has ended by one of its connections, which may have failed before the worker had read of the pipe. */
function failure(conn: ConnCtx, errno: number, syscall: string, closed: string): Error {
  if (errno !== 0) return systemError(errno, syscall)
  return conn.error ?? invalidConnection(`the pipe has ended early: ${closed}`)
}
