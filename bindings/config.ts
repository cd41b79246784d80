/**
 * The settings of a runtime: names, defaults, legal ranges, and the check of all of them. It owns validation; what the values do is the
 * native library's business.
 */

import { type AddressInput, parseAddress, type SocketAddress } from './address.js'
import type { DirectIoConfig } from './direct-io.js'
import { describe, invalidArgument, isArray, isInstance, RinglineError, untrusted } from './errors.js'
import { MemoryRegion } from './memory.js'
import type { NvmeConfig } from './nvme.js'

/** The provided-buffer ring that the connections of one worker receive into. */
export interface RecvBufferConfig {
  /** Buffers in the ring: a power of two, 1 … 32768. Default 256. */
  readonly ringSize: number
  /** Bytes per buffer, 1 … 2^30. Default 16384. */
  readonly bufferSize: number
  /** The buffer group's number, 0 … 65535. Default 0. */
  readonly bgid: number
}

/** How many workers there are, and on which cores they run. */
export interface WorkerConfig {
  /** Ring threads, 0 … 1024; 0 means one per available core. Default 0. */
  readonly threads: number
  /**
   * Whether worker i is pinned to core `coreOffset + i`. Pinning that fails is an error of `launch`. With `inline` delivery the threads of
   * `launch(new URL(…))` are pinned; the thread that `launch(HandlerClass)` is called on is not ringline's, and stays as it is. Default true.
   */
  readonly pinToCore: boolean
  /** The core of worker 0, 0 … 4095. Default 0. */
  readonly coreOffset: number
}

/**
 * Whose thread turns the ring of a worker. `threadsafe`: one of its own, which does the kernel's work beside JavaScript. `inline`: the
 * JavaScript thread that the handler runs on.
 */
export type Delivery = 'threadsafe' | 'inline'

/** Every setting of {@link (Config:class)}. */
export interface ConfigFields {
  /** Entries of the submission queue: a power of two, 1 … 32768; the completion queue has four times as many. Default 256. */
  readonly sqEntries: number
  /** Whether a kernel thread polls the submission queue: spends a core to save system calls. Default false. */
  readonly sqpoll: boolean
  /** Milliseconds after which an idle polling thread sleeps, 1 … 2^31−1. Default 1000. */
  readonly sqpollIdleMs: number
  /** The core of the polling thread, 0 … 4095; undefined lets the kernel choose. Needs `sqpoll`. Default undefined. */
  readonly sqpollCpu: number | undefined
  /** Where received bytes go. */
  readonly recvBuffer: RecvBufferConfig
  /**
   * Whose the chunks are that `onData` gets. `'owned'`: the handler's for ever, and they never change. `'borrowed'`: valid until `onData`
   * returns (for an async one, until its first `await`), then received into again, so that large streams stay in the cache. Sending such
   * a chunk, or a slice of it, from within the call is safe and makes no copy of 4096 bytes or more; sending it later throws
   * `ERR_RINGLINE_STALE_CHUNK`. What is read by `withData` and its like is copied out and stays valid. With the environment variable
   * `RINGLINE_POISON_BORROWED=1` each chunk is overwritten when it goes back, so that misuse shows. Default `'owned'`.
   */
  readonly receive: 'owned' | 'borrowed'
  /** The ring threads. */
  readonly worker: WorkerConfig
  /**
   * Microseconds for which a ring thread looks for work before it blocks, 0 … 1000; 0 means that it blocks at once. To wake a thread takes
   * some ten microseconds: where one answer at a time is waited for, looking saves them and costs the time on its CPU. It looks only while
   * that pays: from a wait that was shorter than this on, until a look was in vain; an idle worker sleeps. With `inline` delivery there
   * is no ring thread. Default undefined: 50 where there are more than twice as many CPUs as workers, otherwise 0.
   */
  readonly spinUs: number | undefined
  /**
   * Whose thread turns the rings. `threadsafe` gives each worker a ring thread: JavaScript pays only for the handlers, a second core
   * shares the work, and a handler that blocks does not keep bytes from arriving. `inline` has the JavaScript thread itself turn the
   * ring between its other events: the lowest latency and the least CPU time in all, on one core; with `launch(new URL(…))` a thread
   * per core in the literal sense. `inline` needs Node.js, since it is driven from libuv. Default `threadsafe`.
   */
  readonly delivery: Delivery
  /** Connections that wait to be accepted, 1 … 2^31−1. Default 1024. */
  readonly backlog: number
  /** Connections per worker, accepted and outbound together, 1 … 2^24−1. Default 16000. */
  readonly maxConnections: number
  /** Bytes of the buffer in which received pieces are joined, when a connection first needs one, 1 … 2^30. Default 4096. */
  readonly recvAccumulatorCapacity: number
  /**
   * Bytes that a connection may accumulate while its parse function keeps asking for more, 1 … 2^31−1. Beyond it the connection is
   * closed with `ERR_RINGLINE_RECEIVE_LIMIT_EXCEEDED`. Default 134217728 (128 MiB).
   */
  readonly recvAccumulatorLimit: number
  /** Send slots per worker, 1 … 2^20. Default 1024. */
  readonly sendCopyCount: number
  /** Bytes per send slot, 1 … 2^30; all slots of a worker together are at most 2^31−1 bytes. Default 16384. */
  readonly sendCopySlotSize: number
  /** While many completions are handled, what is pending is submitted at least this often, in microseconds, 0 … 2^31−1; 0 is off. Default 100. */
  readonly flushIntervalUs: number
  /**
   * The longest time between two calls of `onTick`, in microseconds, 0 … 2^31−1; 0 means only when something happened. Without an
   * `onTick` a worker sleeps until something happens. Default 1000.
   */
  readonly tickTimeoutUs: number
  /** Whether accepted and outbound sockets send small pieces at once (`TCP_NODELAY`). Default true. */
  readonly tcpNodelay: boolean
  /**
   * Whether every worker listens with a socket of its own (`SO_REUSEPORT`), and the kernel chooses the worker of a connection by a hash of
   * its addresses: less balanced than the round-robin of the default, but no connection changes its thread. Default false.
   */
  readonly reusePort: boolean
  /** Links of a chain of sends, 0 … 64, and never more than `sqEntries`; 0 disables chains. Default 16. */
  readonly maxChainLength: number
  /** Tasks of `spawn` that may run at a time per worker, 1 … 2^20. Default 256. */
  readonly standaloneTaskCapacity: number
  /** Sleeps and timeouts that may be armed at a time per worker, 1 … 65535. Default 256. */
  readonly timerSlots: number
  /** Addresses to which every worker binds a UDP socket of its own, at most 1024; port 0 lets the system choose. Default none. */
  readonly udpBind: readonly SocketAddress[]
  /** Guarded sends that may be in flight per worker, 1 … 2^20. Default 512. */
  readonly sendSlabSlots: number
  /** A guarded send of fewer bytes is copied by the kernel, 0 … 2^31−1; 0 means never. Default 4096. */
  readonly sendZcThreshold: number
  /** Memory that every worker registers with the kernel, at most 16384 regions. Default none. */
  readonly registeredRegions: readonly MemoryRegion[]
  /** Direct I/O; `{}` enables it with its defaults. Default undefined: not enabled. */
  readonly directIo: DirectIoConfig | undefined
  /** NVMe commands; `{}` enables them with their defaults. Default undefined: not enabled. */
  readonly nvme: NvmeConfig | undefined
}

const I32_MAX = 2 ** 31 - 1
/** Where there are CPUs to spare: a wait that is longer costs more than a wake-up does. */
const SPIN_US = 50
/** The largest size of a single buffer. */
const BUFFER_MAX = 2 ** 30
const CORE_MAX = 4095
const UDP_SOCKETS_MAX = 1024
const SEND_POOL_BYTES_MAX = I32_MAX

interface Range {
  min: number
  max: number
  powerOfTwo?: true
  optional?: true
}

const RANGES = {
  sqEntries: { min: 1, max: 32768, powerOfTwo: true },
  sqpollIdleMs: { min: 1, max: I32_MAX },
  sqpollCpu: { min: 0, max: CORE_MAX, optional: true },
  backlog: { min: 1, max: I32_MAX },
  maxConnections: { min: 1, max: 2 ** 24 - 1 },
  recvAccumulatorCapacity: { min: 1, max: BUFFER_MAX },
  recvAccumulatorLimit: { min: 1, max: I32_MAX },
  sendCopyCount: { min: 1, max: 2 ** 20 },
  sendCopySlotSize: { min: 1, max: BUFFER_MAX },
  flushIntervalUs: { min: 0, max: I32_MAX },
  tickTimeoutUs: { min: 0, max: I32_MAX },
  maxChainLength: { min: 0, max: 64 },
  standaloneTaskCapacity: { min: 1, max: 2 ** 20 },
  timerSlots: { min: 1, max: 65535 },
  sendSlabSlots: { min: 1, max: 2 ** 20 },
  sendZcThreshold: { min: 0, max: I32_MAX },
  spinUs: { min: 0, max: 1000, optional: true },
  'directIo.maxFiles': { min: 1, max: 65536 },
  'directIo.maxCommandsInFlight': { min: 1, max: 65536 },
  'directIo.busyPollUs': { min: 0, max: 10000 },
  'nvme.maxDevices': { min: 1, max: 65536 },
  'nvme.maxCommandsInFlight': { min: 1, max: 65536 },
  'recvBuffer.ringSize': { min: 1, max: 32768, powerOfTwo: true },
  'recvBuffer.bufferSize': { min: 1, max: BUFFER_MAX },
  'recvBuffer.bgid': { min: 0, max: 65535 },
  'worker.threads': { min: 0, max: 1024 },
  'worker.coreOffset': { min: 0, max: CORE_MAX },
} as const satisfies Record<string, Range>

/** The settings that are one of some words. */
const CHOICES: Readonly<Record<string, readonly unknown[]>> = {
  delivery: ['threadsafe', 'inline'] satisfies Delivery[],
  receive: ['owned', 'borrowed'] satisfies ConfigFields['receive'][],
}
const FLAGS = ['sqpoll', 'tcpNodelay', 'reusePort', 'worker.pinToCore'] as const

const DEFAULTS: ConfigFields = {
  sqEntries: 256,
  sqpoll: false,
  sqpollIdleMs: 1000,
  sqpollCpu: undefined,
  receive: 'owned',
  recvBuffer: { ringSize: 256, bufferSize: 16384, bgid: 0 },
  worker: { threads: 0, pinToCore: true, coreOffset: 0 },
  delivery: 'threadsafe',
  spinUs: undefined,
  backlog: 1024,
  maxConnections: 16000,
  recvAccumulatorCapacity: 4096,
  recvAccumulatorLimit: 128 * 2 ** 20,
  sendCopyCount: 1024,
  sendCopySlotSize: 16384,
  flushIntervalUs: 100,
  tickTimeoutUs: 1000,
  tcpNodelay: true,
  reusePort: false,
  maxChainLength: 16,
  standaloneTaskCapacity: 256,
  timerSlots: 256,
  udpBind: Object.freeze([]),
  sendSlabSlots: 512,
  sendZcThreshold: 4096,
  registeredRegions: Object.freeze([]),
  directIo: undefined,
  nvme: undefined,
}

const DIRECT_IO_DEFAULTS: DirectIoConfig = { maxFiles: 8, maxCommandsInFlight: 256, busyPollUs: 0 }
const NVME_DEFAULTS: NvmeConfig = { maxDevices: 4, maxCommandsInFlight: 256 }
const GROUPS: readonly string[] = ['recvBuffer', 'worker', 'directIo', 'nvme']
const REGIONS_MAX = 16384

/** Declares the fields of {@link ConfigFields} as fields of the class. */
export interface Config extends ConfigFields {}

/**
 * The settings of a runtime, checked and frozen. Make one with {@link ConfigBuilder} or from the fields that differ from the defaults.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the constructor assigns every field of the interface.
export class Config {
  /**
   * @param fields - the settings that differ from the defaults; `recvBuffer` and `worker` may be given in part
   * @throws RinglineError `ERR_RINGLINE_INVALID_CONFIG`, naming the field, the value and the legal range
   */
  constructor(fields: ConfigOptions = {}) {
    if (typeof fields !== 'object' || fields === null)
      throw invalidArgument('fields', 'an object with settings', fields)
    const merged = untrusted('fields', 'an object whose settings can be read', fields, () => merge(fields))
    validate(merged)
    Object.freeze(Object.assign(this, merged))
  }

  /** The default settings. */
  static default(): Config {
    return new Config()
  }
}

/** The settings that differ from the defaults. */
export type ConfigOptions = Partial<Omit<ConfigFields, 'recvBuffer' | 'worker' | 'udpBind' | 'directIo' | 'nvme'>> & {
  readonly udpBind?: readonly AddressInput[] | undefined
  readonly recvBuffer?: Partial<RecvBufferConfig>
  readonly worker?: Partial<WorkerConfig>
  readonly directIo?: Partial<DirectIoConfig> | undefined
  readonly nvme?: Partial<NvmeConfig> | undefined
}

function merge({ recvBuffer, worker, udpBind, directIo, nvme, ...rest }: ConfigOptions): ConfigFields {
  return {
    ...DEFAULTS,
    ...withoutUndefined(rest),
    recvBuffer: Object.freeze({ ...DEFAULTS.recvBuffer, ...group('recvBuffer', recvBuffer) }),
    worker: Object.freeze({ ...DEFAULTS.worker, ...group('worker', worker) }),
    udpBind: Object.freeze(addresses(udpBind)),
    directIo:
      directIo === undefined ? undefined : Object.freeze({ ...DIRECT_IO_DEFAULTS, ...group('directIo', directIo) }),
    nvme: nvme === undefined ? undefined : Object.freeze({ ...NVME_DEFAULTS, ...group('nvme', nvme) }),
  }
}

function withoutUndefined<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T
}

function group<T extends object>(name: string, fields: T | undefined): T | undefined {
  if (fields === undefined) return undefined
  if (typeof fields !== 'object' || fields === null) throw invalidConfig(name, fields, 'an object with settings')
  return withoutUndefined(fields)
}

function addresses(inputs: readonly AddressInput[] | undefined): SocketAddress[] {
  if (inputs === undefined) return []
  if (!isArray(inputs) || inputs.length > UDP_SOCKETS_MAX) {
    throw invalidConfig('udpBind', inputs, `an array of at most ${UDP_SOCKETS_MAX} addresses`)
  }
  return inputs.map((input, index) => Object.freeze(parseAddress(input, `udpBind[${index}]`)))
}

function validate(fields: ConfigFields): void {
  validateRegions(fields.registeredRegions)
  for (const [name, value] of settings(fields)) {
    const choices = CHOICES[name]
    if (choices !== undefined) {
      if (!choices.includes(value))
        throw invalidConfig(name, value, choices.map((choice) => `'${choice}'`).join(' or '))
    } else if (FLAGS.includes(name as never)) {
      if (typeof value !== 'boolean') throw invalidConfig(name, value, 'true or false')
    } else if (Object.hasOwn(RANGES, name)) {
      validateNumber(name, value, RANGES[name as keyof typeof RANGES])
    } else {
      throw invalidConfig(name, value, 'left out: there is no such setting')
    }
  }
  if (fields.sqpollCpu !== undefined && !fields.sqpoll) {
    throw invalidConfig('sqpollCpu', fields.sqpollCpu, 'left out unless sqpoll is true')
  }
  const pool = fields.sendCopyCount * fields.sendCopySlotSize
  if (pool > SEND_POOL_BYTES_MAX) {
    const wanted = `at most ${SEND_POOL_BYTES_MAX} bytes: lower one of the two`
    throw invalidConfig('sendCopyCount × sendCopySlotSize', pool, wanted)
  }
}

/** Every setting by its full name, but for those that are lists and are checked where they are read. */
function settings({ registeredRegions: _regions, udpBind: _addresses, ...fields }: ConfigFields): Map<string, unknown> {
  const known = new Map<string, unknown>()
  for (const [name, value] of Object.entries(fields)) {
    if (!GROUPS.includes(name)) known.set(name, value)
    else for (const [inner, innerValue] of Object.entries(value ?? {})) known.set(`${name}.${inner}`, innerValue)
  }
  return known
}

function validateRegions(regions: unknown): void {
  const legal = isArray(regions) && regions.every((region) => isInstance(region, MemoryRegion))
  if (legal && regions.length <= REGIONS_MAX) return
  throw invalidConfig('registeredRegions', regions, `an array of at most ${REGIONS_MAX} MemoryRegion objects`)
}

function validateNumber(name: string, value: unknown, range: Range): void {
  if (value === undefined && range.optional) return
  const legal = typeof value === 'number' && Number.isInteger(value) && value >= range.min && value <= range.max
  const powerOfTwo = !range.powerOfTwo || (legal && (value & (value - 1)) === 0)
  if (legal && powerOfTwo) return
  const noun = range.powerOfTwo ? 'a power of two' : 'a whole number'
  throw invalidConfig(name, value, `${noun} from ${range.min} to ${range.max}`)
}

function invalidConfig(name: string, value: unknown, wanted: string): RinglineError {
  return new RinglineError('ERR_RINGLINE_INVALID_CONFIG', `${name} must be ${wanted}; received ${describe(value)}`)
}

/** `node:os` is not loaded when Node starts, and is not needed before. */
const availableParallelism = (): number => process.getBuiltinModule('node:os').availableParallelism()

/** How many ring threads a configuration asks for: 0 means one per available core. */
export function workerCount(config: Config): number {
  return config.worker.threads === 0 ? availableParallelism() : config.worker.threads
}

/** For how many microseconds a ring thread looks for work before it blocks, on a machine with so many CPUs. */
export function spinMicroseconds(config: Config, cpus = availableParallelism()): number {
  return config.spinUs ?? (cpus > 2 * workerCount(config) ? SPIN_US : 0)
}
