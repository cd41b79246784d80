/**
 * What one worker has in flight with memory of JavaScript's: guarded sends, files, devices. It takes their records and calls the handler
 * for operations that were begun through `DriverCtx`; everything else is in the files of these three.
 */

import type {
  DirectIoCompletion,
  DirectIoConfig,
  DirectIoFile,
  DirectIoOpenOptions,
  FileOperation,
} from './direct-io.js'
import { DirectIoFile as File } from './direct-io.js'
import { type Facts, type Outcome, type VolumeKind, Volumes } from './disk.js'
import type { Dispatcher } from './dispatcher.js'
import { fromRecord, NvmeStatusError, type RinglineError } from './errors.js'
import { Guards } from './guards.js'
import { loadNative } from './native/load.js'
import { type DeviceCommand, type NvmeCompletion, type NvmeConfig, NvmeDevice } from './nvme.js'
import * as words from './protocol.js'

/** What a worker may have in flight; a worker without limits has none of it. */
export interface StorageLimits {
  readonly sendSlabSlots: number
  readonly directIo: DirectIoConfig | undefined
  readonly nvme: NvmeConfig | undefined
}

const FILES: VolumeKind = {
  noun: 'file',
  close: words.FILE_CLOSE,
  invalidCode: 'ERR_RINGLINE_INVALID_FILE',
  limitCode: 'ERR_RINGLINE_FILE_LIMIT_REACHED',
  setting: 'directIo',
  limitSetting: 'directIo.maxFiles',
  openErrors: { ENOTSUP: 'the file system takes no direct I/O (O_DIRECT)' },
}
const DEVICES: VolumeKind = {
  noun: 'device',
  close: words.DEVICE_CLOSE,
  invalidCode: 'ERR_RINGLINE_INVALID_DEVICE',
  limitCode: 'ERR_RINGLINE_DEVICE_LIMIT_REACHED',
  setting: 'nvme',
  limitSetting: 'nvme.maxDevices',
  openErrors: {
    EACCES: 'permission denied: it takes the right to read and write the device, and before Linux 6.2 CAP_SYS_ADMIN',
    EINVAL: 'the device belongs to another namespace than was asked for',
    ENOTSUP:
      'not the generic character device of an NVMe namespace, as /dev/ng0n1 is, or one with metadata apart from its data',
  },
}

/** Whether a completion record is for {@link Storage.take}. */
export function isStorage(kind: number): boolean {
  return kind >= words.GUARD_RELEASED && kind <= words.DEVICE_CLOSED
}

/** The storage of one worker. */
export class Storage {
  readonly guards: Guards
  readonly files: Volumes
  readonly devices: Volumes
  private readonly dispatcher: Dispatcher
  private nextSeq = 1

  constructor(dispatcher: Dispatcher, limits: StorageLimits | undefined) {
    this.dispatcher = dispatcher
    this.guards = new Guards(limits?.sendSlabSlots ?? 0)
    this.files = new Volumes(dispatcher, FILES, limits?.directIo?.maxCommandsInFlight ?? 0)
    this.devices = new Volumes(dispatcher, DEVICES, limits?.nvme?.maxCommandsInFlight ?? 0)
  }

  /** Handles a record. */
  take(at: number): void {
    const record = this.dispatcher.port.completions
    const slot = record[at + 1]!
    const generation = record[at + 2]!
    const a = record[at + 3]!
    const [b, c, d, e] = [record[at + 4]!, record[at + 5]!, record[at + 6]!, record[at + 7]!]
    switch (record[at]) {
      case words.GUARD_RELEASED:
        this.guards.released(a)
        break
      case words.FILE_OPENED:
        this.files.opened(factsOf(slot, generation, b, c, d, e), a)
        break
      case words.FILE_OPEN_FAILED:
        this.files.openFailed(a, b, c)
        break
      case words.FILE_DONE:
        this.files.done(a, b, c, d)
        break
      case words.FILE_CLOSED:
        this.files.closed(slot, generation)
        break
      case words.DEVICE_OPENED:
        this.devices.opened(factsOf(slot, generation, b, c, d, e), a)
        break
      case words.DEVICE_OPEN_FAILED:
        this.devices.openFailed(a, b, c)
        break
      case words.COMMAND_DONE:
        this.devices.done(a, b, c, d, e === 0 ? undefined : new NvmeStatusError(loadNative().nvmeStatus(e)))
        break
      case words.DEVICE_CLOSED:
        this.devices.closed(slot, generation)
        break
    }
  }

  /** The worker has ended. */
  stop(): void {
    this.guards.stop()
    this.files.stop()
    this.devices.stop()
  }

  /** Opens a file for the handler. */
  openFile(path: string, options: DirectIoOpenOptions): number {
    return this.begin<DirectIoFile>(
      (outcome) => void File.begin(this.files, path, options, outcome),
      (seq, error, file) => this.tellFile({ file, op: 'open', seq, result: 0, error, buffer: undefined }),
    )
  }

  /** Begins an operation on a file for the handler. */
  onFile(file: DirectIoFile, operation: FileOperation): number {
    const { op, buffer } = operation
    return this.begin<number>(
      (outcome) => file.begin(operation, outcome),
      (seq, error, result = 0) => this.tellFile({ file, op, seq, result, error, buffer }),
    )
  }

  /** Opens a device for the handler. */
  openDevice(path: string, namespace: number): number {
    return this.begin<NvmeDevice>(
      (outcome) => void NvmeDevice.begin(this.devices, path, namespace, outcome),
      (seq, error, device) => this.tellDevice({ device, op: 'open', seq, result: 0, error, buffer: undefined }),
    )
  }

  /** Submits a command for the handler. */
  onDevice(device: NvmeDevice, command: DeviceCommand): number {
    const { op, buffer } = command
    return this.begin<number>(
      (outcome) => device.begin(command, outcome),
      (seq, error, result = 0) => this.tellDevice({ device, op, seq, result, error, buffer }),
    )
  }

  /** Begins something whose end the handler is told; answers its number. */
  private begin<T>(
    begin: (outcome: Outcome<T>) => void,
    tell: (seq: number, error: RinglineError | undefined, value: T | undefined) => void,
  ): number {
    const seq = this.nextSeq
    this.nextSeq += 1
    begin({
      promise: undefined,
      resolve: (value) => tell(seq, undefined, value),
      reject: (error) => tell(seq, fromRecord(error, 'ERR_RINGLINE_INVALID_ARGUMENT'), undefined),
    })
    return seq
  }

  private tellFile(completion: DirectIoCompletion): void {
    this.dispatcher.callStorage((handler, driver) => handler.onDirectIo?.(driver, completion))
  }

  private tellDevice(completion: NvmeCompletion): void {
    this.dispatcher.callStorage((handler, driver) => handler.onNvme?.(driver, completion))
  }
}

function factsOf(slot: number, generation: number, block: number, alignment: number, low: number, high: number): Facts {
  const size = (high >>> 0) * 2 ** 32 + (low >>> 0)
  return { slot, generation, blockSize: block, memoryAlignment: alignment, size }
}
