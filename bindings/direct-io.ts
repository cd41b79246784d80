/**
 * Direct I/O: files that are read and written past the page cache, on a worker's ring. It owns the checks that the kernel would answer
 * with a bare EINVAL; operations are numbered and submitted by disk.ts.
 */

import { currentWorker } from './current.js'
import type { Facts, Outcome, Volumes } from './disk.js'
import { invalidArgument, isInstance, RinglineError, untrusted } from './errors.js'
import { madeFor } from './made-for.js'
import { type Place, placeOf } from './memory.js'
import { inspect } from './node-util.js'
import { FILE_FSYNC, FILE_READ, FILE_WRITE } from './protocol.js'
import { bytesOf } from './send-data.js'
import { attempt, settleable } from './settling.js'
import { isAborted, onAbort, reasonOf, requireOptions, signalOf } from './signal.js'

/** What direct I/O may take of a worker. */
export interface DirectIoConfig {
  /** Files that a worker may have open, 1 … 65536. Default 8. */
  readonly maxFiles: number
  /** Operations that a worker may have in flight, 1 … 65536. Default 256. */
  readonly maxCommandsInFlight: number
  /**
   * How many microseconds a worker with one to four operations in flight looks for their end before it sleeps, 0 … 10000. Default 0: it
   * sleeps at once. Above the time that the disk takes, it spares the time to fall asleep and to be woken, and costs that CPU time; the
   * worker needs a CPU of its own then. With inline delivery, that of the JavaScript thread.
   */
  readonly busyPollUs: number
}

/** How a file is opened. */
export interface DirectIoOpenOptions {
  /** For reading alone. Default false. */
  readonly readOnly?: boolean
  /** Makes the file when there is none, readable and writable for its owner. Default false. */
  readonly create?: boolean
  /** Gives up: the promise rejects with the signal's reason, and no file is left open. */
  readonly signal?: AbortSignal
}

/** Options of reads, writes and fsyncs. */
export interface DiskOptions {
  /**
   * Stops waiting: the promise rejects with the signal's reason. The operation itself goes on, and the buffer must not be used before
   * the file was closed.
   */
  readonly signal?: AbortSignal
}

/** What a {@link DirectIoCompletion} is about. */
export const DirectIoOp = { Open: 'open', Read: 'read', Write: 'write', Fsync: 'fsync' } as const
/** What a {@link DirectIoCompletion} is about. */
export type DirectIoOp = (typeof DirectIoOp)[keyof typeof DirectIoOp]

/** The end of an operation that was begun through `DriverCtx`, as `onDirectIo` gets it. */
export interface DirectIoCompletion {
  /** The file; undefined when it could not be opened. */
  readonly file: DirectIoFile | undefined
  readonly op: DirectIoOp
  /** The number that the call which began it answered. */
  readonly seq: number
  /** Bytes done; 0 for an open or fsync, and when it failed. */
  readonly result: number
  /** Why it failed, or undefined. */
  readonly error: RinglineError | undefined
  /** The buffer of a read or write. */
  readonly buffer: NodeJS.ArrayBufferView | undefined
}

/** An operation on a file, before it is checked. */
export interface FileOperation {
  readonly op: 'read' | 'write' | 'fsync'
  readonly offset: number
  readonly buffer: NodeJS.ArrayBufferView | undefined
}

const KINDS = { read: FILE_READ, write: FILE_WRITE, fsync: FILE_FSYNC } as const

/**
 * An open file of one worker. It stays open until it is closed or its worker has ended.
 *
 * Buffers are those of `allocAligned`. Many operations may be in flight on a file, and they end in any order.
 */
export class DirectIoFile {
  /** What lengths and positions must be multiples of, in bytes. */
  readonly blockSize: number
  /** What addresses of buffers must be multiples of, in bytes. */
  readonly memoryAlignment: number
  /** The size of the file when it was opened, in bytes. */
  readonly sizeAtOpen: number
  /** @internal */
  readonly volumes: Volumes
  private readonly facts: Facts
  private readonly path: string
  private readonly readOnly: boolean
  private closing: Promise<void> | undefined

  private constructor(volumes: Volumes, facts: Facts, path: string, readOnly: boolean) {
    this.volumes = volumes
    this.facts = facts
    this.path = path
    this.readOnly = readOnly
    this.blockSize = facts.blockSize
    this.memoryAlignment = facts.memoryAlignment
    this.sizeAtOpen = facts.size
  }

  /** Opens a file; answers the number by which that can be given up. @internal */
  static begin(volumes: Volumes, path: string, options: DirectIoOpenOptions, outcome: Outcome<DirectIoFile>): number {
    requireOptions(options)
    const { readOnly = false, create = false } = untrusted('options', 'an object that can be read', options, () => ({
      readOnly: options.readOnly,
      create: options.create,
    }))
    for (const [name, value] of Object.entries({ readOnly, create })) {
      if (typeof value !== 'boolean') throw invalidArgument(`options.${name}`, 'true or false, or left out', value)
    }
    if (typeof path !== 'string' || path.includes('\0'))
      throw invalidArgument('path', 'a path without a zero byte', path)
    const opened = (facts: Facts): void => outcome.resolve(new DirectIoFile(volumes, facts, path, readOnly))
    return volumes.open(path, { ...outcome, resolve: opened }, (request) =>
      volumes.native.openFile?.(request, path, readOnly, create),
    )
  }

  /** Checks an operation and submits it. @internal */
  begin(operation: FileOperation, outcome: Outcome<number>): void {
    const { op, offset, buffer } = operation
    if (this.closing !== undefined) throw this.volumes.closedError()
    const { slot, generation } = this.facts
    const place = op === 'fsync' ? undefined : this.check(op, offset, buffer)
    const view = place === undefined ? undefined : bytesOf(buffer)
    const count = place?.length ?? 0
    this.volumes.submit(
      { kind: KINDS[op], slot, generation, place, view, count, position: offset, syscall: op },
      outcome,
    )
  }

  /**
   * Fills a buffer from a position of the file on.
   *
   * @param offset - bytes, a multiple of `blockSize`
   * @param buffer - memory of `allocAligned` whose length is a multiple of `blockSize`
   * @returns the number of bytes, fewer at the end of the file
   * @throws (as a rejection) RinglineError `ERR_RINGLINE_MISALIGNED`, naming the number that is not aligned;
   * `ERR_RINGLINE_INVALID_ARGUMENT` for ordinary memory; `ERR_RINGLINE_INVALID_FILE` when the file is closed;
   * `ERR_RINGLINE_OPERATION_LIMIT_REACHED` when `maxCommandsInFlight` operations are in flight; a system error such as `EIO`
   */
  read(offset: number, buffer: NodeJS.ArrayBufferView, options?: DiskOptions): Promise<number> {
    return waitFor(options, (outcome) => this.begin({ op: 'read', offset, buffer }, outcome))
  }

  /**
   * Writes a buffer to a position of the file.
   *
   * @returns the number of bytes
   * @throws (as a rejection) the errors of {@link DirectIoFile.read}; `ERR_RINGLINE_READ_ONLY_FILE`
   */
  write(offset: number, buffer: NodeJS.ArrayBufferView, options?: DiskOptions): Promise<number> {
    return waitFor(options, (outcome) => this.begin({ op: 'write', offset, buffer }, outcome))
  }

  /**
   * Makes durable what was written. Writes that have not ended may or may not be included: await them first.
   *
   * @throws (as a rejection) a system error; `ERR_RINGLINE_INVALID_FILE`; `ERR_RINGLINE_OPERATION_LIMIT_REACHED`
   */
  fsync(options?: DiskOptions): Promise<void> {
    const operation = { op: 'fsync', offset: 0, buffer: undefined } as const
    return waitFor(options, (outcome) => this.begin(operation, withoutValue(outcome)))
  }

  /** Closes the file once what is in flight on it has ended; resolves then. The second time it does nothing more. */
  close(): Promise<void> {
    this.closing ??= this.volumes.close(this.facts)
    return this.closing
  }

  /** Closes the file, as {@link DirectIoFile.close} does. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** What `console.log` shows. @internal */
  [inspect.custom](): string {
    return `DirectIoFile(${this.path}${this.closing === undefined ? '' : ', closed'})`
  }

  private check(op: string, offset: number, buffer: unknown): Place {
    if (op === 'write' && this.readOnly) {
      throw new RinglineError('ERR_RINGLINE_READ_ONLY_FILE', `'${this.path}' was opened for reading alone`)
    }
    const place = requirePlace(buffer)
    if (!Number.isSafeInteger(offset) || offset < 0) throw invalidArgument('offset', 'a whole number of bytes', offset)
    requireAligned('the address of the buffer (its place in its memory)', place.offset, this.memoryAlignment)
    requireAligned('the length of the buffer', place.length, this.blockSize)
    requireAligned('the offset', offset, this.blockSize)
    return place
  }
}

/** Fails for anything but an open or closed file of this package. */
export function requireFile(file: unknown): DirectIoFile {
  if (isInstance(file, DirectIoFile)) return file
  throw invalidArgument('file', 'a DirectIoFile, as openDirectIoFile() answers it', file)
}

/** The memory of a buffer, or the error that says which memory is wanted. */
export function requirePlace(buffer: unknown): Place {
  const place = placeOf(buffer, 'buffer')
  if (place !== undefined) return place
  const wanted = 'memory of allocAligned(), since the device reads and writes it itself; this is ordinary memory'
  throw invalidArgument('buffer', wanted, buffer)
}

function requireAligned(what: string, value: number, blockSize: number): void {
  if (value % blockSize === 0) return
  const message = `${what}, ${value}, is not a multiple of the file's logical block size, ${blockSize}`
  throw new RinglineError('ERR_RINGLINE_MISALIGNED', message)
}

/** The promise of something that is begun now, and that a signal may stop waiting for: then `giveUp` is called. */
export function waitFor<T>(
  options: { readonly signal?: AbortSignal } | undefined,
  begin: (outcome: Outcome<T>) => unknown,
  giveUp?: () => void,
): Promise<T> {
  return attempt(() => {
    const signal = signalOf(options)
    const settle = settleable<T>()
    if (signal === undefined) {
      begin(settle)
      return settle.promise
    }
    if (isAborted(signal)) throw reasonOf(signal)
    begin({
      promise: settle.promise,
      resolve(value) {
        unlisten()
        settle.resolve(value)
      },
      reject(error) {
        unlisten()
        settle.reject(error)
      },
    })
    const unlisten = onAbort(signal, (reason) => {
      giveUp?.()
      settle.reject(reason)
    })
    return settle.promise
  })
}

/** The outcome of what answers nothing but that it is done. */
export function withoutValue({ promise, resolve, reject }: Outcome<void>): Outcome<number> {
  return { promise, resolve: () => resolve(), reject }
}

/** The promise of a file or device that is being opened, and that a signal may give up. */
export function waitForOpen<T extends { close(): unknown }>(
  volumes: Volumes,
  options: { readonly signal?: AbortSignal } | undefined,
  begin: (outcome: Outcome<T>) => number,
): Promise<T> {
  const signal = signalOf(options)
  let request = 0
  const beginFor = ({ promise, resolve, reject }: Outcome<T>): void => {
    const opened = (made: T): void => {
      madeFor(signal, made)
      resolve(made)
    }
    request = begin({ promise, resolve: opened, reject })
  }
  return waitFor(options, beginFor, () => volumes.cancelOpen(request))
}

/**
 * Opens a file for direct I/O, on the worker that is chosen as `connect` chooses it.
 *
 * @param path - of an existing file, unless `create` is set
 * @throws (as a rejection) the system error, such as `ENOENT`, or `ENOTSUP` where the file system takes no direct I/O; RinglineError
 * `ERR_RINGLINE_NOT_ENABLED` without `directIo` in the configuration; `ERR_RINGLINE_FILE_LIMIT_REACHED` when `maxFiles` are open;
 * `ERR_RINGLINE_NO_RUNTIME`; or the signal's reason
 */
export function openDirectIoFile(path: string, options?: DirectIoOpenOptions): Promise<DirectIoFile> {
  return attempt(() => {
    const { files } = currentWorker('openDirectIoFile').storage
    return waitForOpen<DirectIoFile>(files, options, (outcome) =>
      DirectIoFile.begin(files, path, options ?? {}, outcome),
    )
  })
}

/** As {@link DirectIoFile.read}. */
export function directIoRead(
  file: DirectIoFile,
  offset: number,
  buffer: NodeJS.ArrayBufferView,
  options?: DiskOptions,
): Promise<number> {
  return attempt(() => requireFile(file).read(offset, buffer, options))
}

/** As {@link DirectIoFile.write}. */
export function directIoWrite(
  file: DirectIoFile,
  offset: number,
  buffer: NodeJS.ArrayBufferView,
  options?: DiskOptions,
): Promise<number> {
  return attempt(() => requireFile(file).write(offset, buffer, options))
}

/** As {@link DirectIoFile.fsync}. */
export function directIoFsync(file: DirectIoFile, options?: DiskOptions): Promise<void> {
  return attempt(() => requireFile(file).fsync(options))
}
