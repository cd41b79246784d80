/**
 * The chainable way to make a {@link (Config:class)}. It only collects: {@link ConfigBuilder.build} lets `Config` do the checking.
 */

import type { AddressInput } from './address.js'
import {
  Config,
  type ConfigFields,
  type ConfigOptions,
  type Delivery,
  type RecvBufferConfig,
  type WorkerConfig,
} from './config.js'
import type { DirectIoConfig } from './direct-io.js'
import type { MemoryRegion } from './memory.js'
import type { NvmeConfig } from './nvme.js'

type Mutable<T> = { -readonly [K in keyof T]?: T[K] | undefined }

/**
 * Collects settings; every setter answers the builder itself, and nothing is checked before {@link ConfigBuilder.build}. Each setter is
 * described at the field of {@link ConfigFields} with its name.
 */
export class ConfigBuilder {
  readonly #fields: Mutable<Omit<ConfigOptions, 'recvBuffer' | 'worker' | 'udpBind'>> = {}
  #udpBind: readonly AddressInput[] | undefined
  #recvBuffer: Partial<RecvBufferConfig> = {}
  #worker: Partial<WorkerConfig> = {}

  /** Entries of the submission queue: a power of two, 1 … 32768. */
  sqEntries(count: number): this {
    this.#fields.sqEntries = count
    return this
  }

  /** Whether a kernel thread polls the submission queue. */
  sqpoll(value: boolean): this {
    this.#fields.sqpoll = value
    return this
  }

  /** Milliseconds after which an idle polling thread sleeps. */
  sqpollIdleMs(milliseconds: number): this {
    this.#fields.sqpollIdleMs = milliseconds
    return this
  }

  /** The core of the polling thread; undefined lets the kernel choose. */
  sqpollCpu(core: number | undefined): this {
    this.#fields.sqpollCpu = core
    return this
  }

  /** Whose thread turns the rings: one of their own (`threadsafe`), or the one that the handlers run on (`inline`). */
  delivery(delivery: Delivery): this {
    this.#fields.delivery = delivery
    return this
  }

  /** Connections that wait to be accepted. */
  backlog(count: number): this {
    this.#fields.backlog = count
    return this
  }

  /** Connections per worker, accepted and outbound together, 1 … 2^24−1. */
  maxConnections(count: number): this {
    this.#fields.maxConnections = count
    return this
  }

  /** Bytes of the buffer in which received pieces are first joined. */
  recvAccumulatorCapacity(bytes: number): this {
    this.#fields.recvAccumulatorCapacity = bytes
    return this
  }

  /** Whether `onData` owns the chunks it gets, or borrows them until it returns. */
  receive(mode: 'owned' | 'borrowed'): this {
    this.#fields.receive = mode
    return this
  }

  /** Bytes that a connection may accumulate while more are asked for. */
  recvAccumulatorLimit(bytes: number): this {
    this.#fields.recvAccumulatorLimit = bytes
    return this
  }

  /** Send slots per worker. */
  sendCopyCount(count: number): this {
    this.#fields.sendCopyCount = count
    return this
  }

  /** Bytes per send slot. */
  sendCopySlotSize(bytes: number): this {
    this.#fields.sendCopySlotSize = bytes
    return this
  }

  /** How often pending operations are submitted while many completions are handled, in microseconds. */
  flushIntervalUs(microseconds: number): this {
    this.#fields.flushIntervalUs = microseconds
    return this
  }

  /** For how many microseconds a ring thread looks for work before it blocks; undefined lets the number of CPUs decide. */
  spinUs(microseconds: number | undefined): this {
    this.#fields.spinUs = microseconds
    return this
  }

  /** The longest time between two calls of `onTick`, in microseconds. */
  tickTimeoutUs(microseconds: number): this {
    this.#fields.tickTimeoutUs = microseconds
    return this
  }

  /** Whether sockets send small pieces at once. */
  tcpNodelay(value: boolean): this {
    this.#fields.tcpNodelay = value
    return this
  }

  /** Whether every worker listens with a socket of its own, among which the kernel chooses. */
  reusePort(value: boolean): this {
    this.#fields.reusePort = value
    return this
  }

  /** Links of a chain of sends; 0 disables chains. */
  maxChainLength(count: number): this {
    this.#fields.maxChainLength = count
    return this
  }

  /** Tasks of `spawn` that may run at a time per worker. */
  standaloneTaskCapacity(count: number): this {
    this.#fields.standaloneTaskCapacity = count
    return this
  }

  /** Sleeps and timeouts that may be armed at a time per worker. */
  timerSlots(count: number): this {
    this.#fields.timerSlots = count
    return this
  }

  /** Addresses to which every worker binds a UDP socket of its own. */
  udpBind(addresses: readonly AddressInput[]): this {
    this.#udpBind = addresses
    return this
  }

  /** Guarded sends that may be in flight per worker. */
  sendSlabSlots(count: number): this {
    this.#fields.sendSlabSlots = count
    return this
  }

  /** Bytes below which a guarded send is copied by the kernel; 0 means never. */
  sendZcThreshold(bytes: number): this {
    this.#fields.sendZcThreshold = bytes
    return this
  }

  /** Memory that every worker registers with the kernel. */
  registeredRegions(regions: readonly MemoryRegion[]): this {
    this.#fields.registeredRegions = regions
    return this
  }

  /** Enables direct I/O; what is left out has its default. */
  directIo(fields: Partial<DirectIoConfig> = {}): this {
    this.#fields.directIo = fields
    return this
  }

  /** Enables NVMe commands; what is left out has its default. */
  nvme(fields: Partial<NvmeConfig> = {}): this {
    this.#fields.nvme = fields
    return this
  }

  /** The provided-buffer ring; what is left out keeps its value. */
  recvBuffer(fields: Partial<RecvBufferConfig>): this {
    this.#recvBuffer = { ...this.#recvBuffer, ...fields }
    return this
  }

  /** The ring threads; what is left out keeps its value. */
  worker(fields: Partial<WorkerConfig>): this {
    this.#worker = { ...this.#worker, ...fields }
    return this
  }

  /** Short for `worker({ threads })`: how many ring threads, 0 for one per available core. */
  workers(threads: number): this {
    return this.worker({ threads })
  }

  /** Short for `worker({ pinToCore })`: whether worker i is pinned to core `coreOffset + i`. */
  pinToCore(value: boolean): this {
    return this.worker({ pinToCore: value })
  }

  /** Short for `worker({ coreOffset })`: the core of worker 0. */
  coreOffset(core: number): this {
    return this.worker({ coreOffset: core })
  }

  /**
   * Checks everything.
   *
   * @throws RinglineError `ERR_RINGLINE_INVALID_CONFIG`, naming the field, the value and the legal range
   */
  build(): Config {
    return new Config({
      ...this.#fields,
      udpBind: this.#udpBind,
      recvBuffer: this.#recvBuffer,
      worker: this.#worker,
    } as ConfigOptions)
  }
}
