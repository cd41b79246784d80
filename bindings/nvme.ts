/**
 * NVMe commands past the file system and the block layer. It owns their checks; they are numbered and submitted by disk.ts.
 */

import { currentWorker } from './current.js'
import { type DiskOptions, requirePlace, waitFor, waitForOpen, withoutValue } from './direct-io.js'
import type { Facts, Outcome, Volumes } from './disk.js'
import { invalidArgument, isInstance, type RinglineError } from './errors.js'
import { inspect } from './node-util.js'
import { DEVICE_FLUSH, DEVICE_READ, DEVICE_WRITE } from './protocol.js'
import { bytesOf } from './send-data.js'
import { attempt } from './settling.js'

/** What NVMe commands may take of a worker. A worker with NVMe has a ring with entries twice as large. */
export interface NvmeConfig {
  /** Devices that a worker may have open, 1 … 65536. Default 4. */
  readonly maxDevices: number
  /** Commands that a worker may have in flight, 1 … 65536. Default 256. */
  readonly maxCommandsInFlight: number
}

/** How a device is opened. */
export interface NvmeOpenOptions {
  /** Gives up: the promise rejects with the signal's reason, and no device is left open. */
  readonly signal?: AbortSignal
}

/** What an {@link NvmeCompletion} is about. */
export const NvmeOp = { Open: 'open', Read: 'read', Write: 'write', Flush: 'flush' } as const
/** What an {@link NvmeCompletion} is about. */
export type NvmeOp = (typeof NvmeOp)[keyof typeof NvmeOp]

/** The end of a command that was submitted through `DriverCtx`, as `onNvme` gets it. */
export interface NvmeCompletion {
  /** The device; undefined when it could not be opened. */
  readonly device: NvmeDevice | undefined
  readonly op: NvmeOp
  /** The number that the call which submitted it answered. */
  readonly seq: number
  /** Bytes done; 0 for an open or flush, and when it failed. */
  readonly result: number
  /** Why it failed, a status of the device among the reasons, or undefined. */
  readonly error: RinglineError | undefined
  /** The buffer of a read or write. */
  readonly buffer: NodeJS.ArrayBufferView | undefined
}

/** A command, before it is checked. */
export interface DeviceCommand {
  readonly op: 'read' | 'write' | 'flush'
  readonly lba: number
  readonly numBlocks: number
  readonly buffer: NodeJS.ArrayBufferView | undefined
}

const KINDS = { read: DEVICE_READ, write: DEVICE_WRITE, flush: DEVICE_FLUSH } as const
/** The kernel counts blocks in 16 bits. */
const BLOCKS_MAX = 65535

/** An open NVMe namespace of one worker. It stays open until it is closed or its worker has ended. */
export class NvmeDevice {
  /** Bytes of a logical block. */
  readonly blockSize: number
  /** Number of logical blocks. */
  readonly blocks: number
  private readonly volumes: Volumes
  private readonly facts: Facts
  private readonly path: string
  private closing: Promise<void> | undefined

  private constructor(volumes: Volumes, facts: Facts, path: string) {
    this.volumes = volumes
    this.facts = facts
    this.path = path
    this.blockSize = facts.blockSize
    this.blocks = facts.size
  }

  /** Opens a device. @internal */
  static begin(volumes: Volumes, path: string, namespace: number, outcome: Outcome<NvmeDevice>): number {
    if (typeof path !== 'string' || path.includes('\0'))
      throw invalidArgument('path', 'a path without a zero byte', path)
    if (!Number.isInteger(namespace) || namespace < 1 || namespace > 2 ** 32 - 2) {
      throw invalidArgument('namespace', 'the number of a namespace, from 1 on', namespace)
    }
    const opened = (facts: Facts): void => outcome.resolve(new NvmeDevice(volumes, facts, path))
    return volumes.open(path, { ...outcome, resolve: opened }, (request) =>
      volumes.native.openDevice?.(request, path, namespace),
    )
  }

  /** Checks a command and submits it. @internal */
  begin(command: DeviceCommand, outcome: Outcome<number>): void {
    const { op, lba, numBlocks, buffer } = command
    if (this.closing !== undefined) throw this.volumes.closedError()
    const place = op === 'flush' ? undefined : requirePlace(buffer)
    if (place !== undefined) this.check(lba, numBlocks, place.length)
    const { slot, generation } = this.facts
    const view = place === undefined ? undefined : bytesOf(buffer)
    this.volumes.submit(
      { kind: KINDS[op], slot, generation, place, view, count: numBlocks, position: lba, syscall: op },
      outcome,
    )
  }

  /**
   * Reads blocks.
   *
   * @param lba - the first block
   * @param numBlocks - 1 … 65535
   * @param buffer - memory of `allocAligned` of exactly the size of the blocks
   * @returns the number of bytes
   * @throws (as a rejection) RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`; `ERR_RINGLINE_INVALID_DEVICE` when the device is closed;
   * `ERR_RINGLINE_OPERATION_LIMIT_REACHED`; {@link NvmeStatusError} with what the device answers; a system error, `EINVAL` for more blocks
   * than the device takes at a time
   */
  read(lba: number, numBlocks: number, buffer: NodeJS.ArrayBufferView, options?: DiskOptions): Promise<number> {
    return waitFor(options, (outcome) => this.begin({ op: 'read', lba, numBlocks, buffer }, outcome))
  }

  /** Writes blocks; otherwise as {@link NvmeDevice.read}. */
  write(lba: number, numBlocks: number, buffer: NodeJS.ArrayBufferView, options?: DiskOptions): Promise<number> {
    return waitFor(options, (outcome) => this.begin({ op: 'write', lba, numBlocks, buffer }, outcome))
  }

  /** Makes durable what was written. Writes that have not ended may or may not be included: await them first. */
  flush(options?: DiskOptions): Promise<void> {
    const command = { op: 'flush', lba: 0, numBlocks: 0, buffer: undefined } as const
    return waitFor(options, (outcome) => this.begin(command, withoutValue(outcome)))
  }

  /** Closes the device once what is in flight on it has ended; resolves then. */
  close(): Promise<void> {
    this.closing ??= this.volumes.close(this.facts)
    return this.closing
  }

  /** Closes the device, as {@link NvmeDevice.close} does. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** What `console.log` shows. @internal */
  [inspect.custom](): string {
    return `NvmeDevice(${this.path}${this.closing === undefined ? '' : ', closed'})`
  }

  private check(lba: number, numBlocks: number, length: number): void {
    if (!Number.isSafeInteger(lba) || lba < 0) throw invalidArgument('lba', 'the number of a block, from 0 on', lba)
    if (!Number.isInteger(numBlocks) || numBlocks < 1 || numBlocks > BLOCKS_MAX) {
      throw invalidArgument('numBlocks', `a whole number from 1 to ${BLOCKS_MAX}`, numBlocks)
    }
    const needed = numBlocks * this.blockSize
    if (length === needed) return
    const wanted = `${needed} bytes long, for ${numBlocks} blocks of ${this.blockSize} bytes`
    throw invalidArgument('buffer', wanted, length)
  }
}

/** Fails for anything but an open or closed device of this package. */
export function requireDevice(device: unknown): NvmeDevice {
  if (isInstance(device, NvmeDevice)) return device
  throw invalidArgument('device', 'an NvmeDevice, as openNvmeDevice() answers it', device)
}

/**
 * Opens the generic character device of a namespace, such as `/dev/ng0n1`, on the worker that is chosen as `connect` chooses it.
 *
 * @throws (as a rejection) the system error, such as `EACCES`; `ENOTSUP` when it is no such device, `EINVAL` when it is that of another
 * namespace; RinglineError `ERR_RINGLINE_NOT_ENABLED` without `nvme` in the configuration; `ERR_RINGLINE_DEVICE_LIMIT_REACHED` when
 * `maxDevices` are open; `ERR_RINGLINE_NO_RUNTIME`; or the signal's reason
 */
export function openNvmeDevice(path: string, namespace: number, options?: NvmeOpenOptions): Promise<NvmeDevice> {
  return attempt(() => {
    const { devices } = currentWorker('openNvmeDevice').storage
    return waitForOpen<NvmeDevice>(devices, options, (outcome) => NvmeDevice.begin(devices, path, namespace, outcome))
  })
}

/** As {@link NvmeDevice.read}. */
export function nvmeRead(
  device: NvmeDevice,
  lba: number,
  numBlocks: number,
  buffer: NodeJS.ArrayBufferView,
  options?: DiskOptions,
): Promise<number> {
  return attempt(() => requireDevice(device).read(lba, numBlocks, buffer, options))
}

/** As {@link NvmeDevice.write}. */
export function nvmeWrite(
  device: NvmeDevice,
  lba: number,
  numBlocks: number,
  buffer: NodeJS.ArrayBufferView,
  options?: DiskOptions,
): Promise<number> {
  return attempt(() => requireDevice(device).write(lba, numBlocks, buffer, options))
}

/** As {@link NvmeDevice.flush}. */
export function nvmeFlush(device: NvmeDevice, options?: DiskOptions): Promise<void> {
  return attempt(() => requireDevice(device).flush(options))
}
