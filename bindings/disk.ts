/**
 * Files and NVMe devices of one worker: what is being opened, what is open, what is in flight on them. It owns the numbers of the
 * operations; what may be asked of a file or a device is checked in direct-io.ts and nvme.ts.
 *
 * A number belongs to one operation until the record of its end has come, whatever became of who asked for it. That is why results are
 * never swapped.
 */

import type { Dispatcher } from './dispatcher.js'
import { fromRecord, RinglineError, type RinglineErrorCode } from './errors.js'
import type { Place } from './memory.js'
import type { NativePort } from './port.js'
import {
  REFUSED_MISALIGNED,
  REFUSED_NOT_ENABLED,
  REFUSED_NOT_OPEN,
  REFUSED_TOO_MANY_OPEN,
  REFUSED_TOO_MANY_OPERATIONS,
} from './protocol.js'
import { systemError } from './runtime-errors.js'
import { markHandled } from './settling.js'

/** Fewer operations than this go to the worker at the end of the turn, like everything else. */
const AHEAD_MIN = 4

/** What distinguishes files from devices. */
export interface VolumeKind {
  readonly noun: 'file' | 'device'
  /** The kind of the record that closes one. */
  readonly close: number
  readonly invalidCode: RinglineErrorCode
  readonly limitCode: RinglineErrorCode
  /** The setting without which there are none. */
  readonly setting: string
  readonly limitSetting: string
  /** What an errno of an open means here, where that is more than the system's own words. */
  readonly openErrors: Readonly<Record<string, string>>
}

/** What a worker told of a file or device when it was opened. */
export interface Facts {
  readonly slot: number
  readonly generation: number
  readonly blockSize: number
  readonly memoryAlignment: number
  /** Bytes of a file, blocks of a device. */
  readonly size: number
}

/** Where an operation reports. Exactly one of the two is called, once. */
export interface Outcome<T> {
  /** What a caller was given to await, if one was. */
  readonly promise: Promise<unknown> | undefined
  resolve(value: T): void
  reject(error: unknown): void
}

interface Opening extends Outcome<Facts> {
  path: string
}

interface Operation {
  readonly outcome: Outcome<number>
  /** It keeps the memory that the worker reads or fills. */
  readonly command: Command
}

/** An operation as it is submitted. */
export interface Command {
  readonly kind: number
  readonly slot: number
  readonly generation: number
  readonly place: Place | undefined
  /** The view that the place was found by, kept until the operation has ended. */
  readonly view: Uint8Array | undefined
  /** The word after the place: a length in bytes or blocks. */
  readonly count: number
  /** The position in the file, or the first block. */
  readonly position: number
  /** What the operation is called in a system error. */
  readonly syscall: string
}

/** The files, or the devices, of one worker. */
export class Volumes {
  readonly kind: VolumeKind
  private readonly dispatcher: Dispatcher
  private readonly operationsMax: number
  private readonly openings = new Map<number, Opening>()
  private nextRequest = 1
  /** By number; undefined for a number that is free. */
  private readonly operations: (Operation | undefined)[] = []
  private readonly freeNumbers: number[] = []
  private inFlight = 0
  /** Who waits for a file or device to be closed, by slot and generation. */
  private readonly closing = new Map<string, () => void>()

  constructor(dispatcher: Dispatcher, kind: VolumeKind, operationsMax: number) {
    this.dispatcher = dispatcher
    this.kind = kind
    this.operationsMax = operationsMax
  }

  /** The native side of the worker. */
  get native(): NativePort {
    return this.dispatcher.port.native
  }

  /** Operations that have not ended, those that open something included. */
  get pending(): number {
    return this.openings.size + this.inFlight
  }

  /** True when the worker has ended. */
  get isStopped(): boolean {
    return this.dispatcher.isStopped
  }

  /** Begins to open something; answers the number by which it can be given up. */
  open(path: string, outcome: Outcome<Facts>, ask: (request: number) => void): number {
    if (this.isStopped) throw this.stoppedError()
    if (this.operationsMax === 0) throw this.notEnabled()
    const request = this.nextRequest
    this.nextRequest = (this.nextRequest + 1) & 0x7fffffff
    try {
      ask(request)
    } catch (error) {
      throw fromRecord(error, 'ERR_RINGLINE_INVALID_ARGUMENT')
    }
    this.openings.set(request, { ...outcome, path })
    return request
  }

  /** Nobody wants it any more. When it is open already, it is closed as soon as that is known. */
  cancelOpen(request: number): void {
    if (this.openings.delete(request) && !this.isStopped) this.dispatcher.port.native.cancelOpen?.(request)
  }

  /** Submits an operation. */
  submit(command: Command, outcome: Outcome<number>): void {
    if (this.isStopped) throw this.stoppedError()
    if (this.inFlight >= this.operationsMax) throw this.tooMany()
    const number = this.freeNumbers.pop() ?? this.operations.length
    this.operations[number] = { outcome, command }
    this.inFlight += 1
    const { port } = this.dispatcher
    const { kind, slot, generation, place, count, position } = command
    const low = position | 0
    const high = Math.floor(position / 2 ** 32) | 0
    port.submit(kind, slot | (number << 16), generation, place?.memory.id ?? 0, place?.offset ?? 0, count, low, high)
    // A disk that has nothing to do must not wait until everybody has been answered. The limit doubles each time.
    const { unpublished } = port
    if (unpublished >= AHEAD_MIN && 2 * unpublished >= this.inFlight) port.submitAhead()
  }

  /** Closes a file or device when what is in flight on it has ended. */
  close(facts: Facts): Promise<void> {
    if (this.isStopped) return Promise.resolve()
    this.dispatcher.port.submit(this.kind.close, facts.slot, facts.generation, 0, 0, 0, 0)
    return new Promise((resolve) => this.closing.set(`${facts.slot}:${facts.generation}`, resolve))
  }

  /** Something is open. */
  opened(facts: Facts, request: number): void {
    const opening = this.openings.get(request)
    this.openings.delete(request)
    if (opening === undefined) void this.close(facts)
    else opening.resolve(facts)
  }

  /** Something could not be opened. */
  openFailed(request: number, errno: number, refused: number): void {
    const opening = this.openings.get(request)
    this.openings.delete(request)
    opening?.reject(this.openError(opening.path, errno, refused))
  }

  /** An operation has ended. */
  done(number: number, bytes: number, errno: number, refused: number, failure?: RinglineError): void {
    const operation = this.operations[number]
    if (operation === undefined) return
    this.operations[number] = undefined
    this.freeNumbers.push(number)
    this.inFlight -= 1
    const { outcome, command } = operation
    if (errno === 0) outcome.resolve(bytes)
    else if (failure !== undefined) outcome.reject(failure)
    else outcome.reject(refused === 0 ? systemError(errno, command.syscall) : this.refusedError(refused))
  }

  /** A file or device is closed. */
  closed(slot: number, generation: number): void {
    const key = `${slot}:${generation}`
    this.closing.get(key)?.()
    this.closing.delete(key)
  }

  /** The worker has ended: nothing more will be told. */
  stop(): void {
    const pending = [...this.openings.values(), ...this.operations.map((operation) => operation?.outcome)]
    this.openings.clear()
    this.operations.length = 0
    this.inFlight = 0
    for (const outcome of pending) {
      if (outcome?.promise !== undefined) markHandled(outcome.promise)
      outcome?.reject(this.stoppedError())
    }
    for (const resolve of this.closing.values()) resolve()
    this.closing.clear()
  }

  /** The error for something that was closed. */
  closedError(): RinglineError {
    return new RinglineError(this.kind.invalidCode, `the ${this.kind.noun} is closed`)
  }

  private openError(path: string, errno: number, refused: number): RinglineError {
    if (refused === REFUSED_NOT_ENABLED) return this.notEnabled()
    if (refused === REFUSED_TOO_MANY_OPEN) {
      const message = `${this.kind.limitSetting} ${this.kind.noun}s of this worker are open; close one, or raise that setting`
      return new RinglineError(this.kind.limitCode, message)
    }
    const error = systemError(errno, 'open', { path })
    const text = this.kind.openErrors[error.code]
    if (text === undefined) return error
    const details = { errno: -errno, syscall: 'open', path }
    return Object.assign(new RinglineError(error.code, `open ${error.code}: ${text} '${path}'`), details)
  }

  /** What was checked here before and was refused all the same: the worker knows better. */
  private refusedError(refused: number): RinglineError {
    if (refused === REFUSED_NOT_OPEN) return this.closedError()
    if (refused === REFUSED_TOO_MANY_OPERATIONS) return this.tooMany()
    if (refused === REFUSED_MISALIGNED) {
      const message = 'the address, length or position is not a multiple of the block size; see blockSize'
      return new RinglineError('ERR_RINGLINE_MISALIGNED', message)
    }
    return new RinglineError('ERR_RINGLINE_INVALID_ARGUMENT', `the worker refused the operation (reason ${refused})`)
  }

  private notEnabled(): RinglineError {
    const { setting, noun } = this.kind
    const message = `this worker was launched without ${noun}s: set ${setting} in its configuration`
    return new RinglineError('ERR_RINGLINE_NOT_ENABLED', message)
  }

  private tooMany(): RinglineError {
    const { setting } = this.kind
    const message = `${this.operationsMax} operations of this worker are in flight; wait for one, or raise ${setting}.maxCommandsInFlight`
    return new RinglineError('ERR_RINGLINE_OPERATION_LIMIT_REACHED', message)
  }

  private stoppedError(): RinglineError {
    return new RinglineError('ERR_RINGLINE_WORKER_STOPPED', `the worker of this ${this.kind.noun} has ended`)
  }
}
