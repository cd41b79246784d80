/**
 * The workers of one launch, as the native library knows them, and the one promise that tells their end. It owns the order of starting and
 * stopping; what a worker is (an object on this thread, or a thread of its own) is in local-workers.ts and thread-workers.ts.
 */

import type { SocketAddress } from './address.js'
import { type Config, workerCount } from './config.js'
import type { NativePort } from './port.js'
import { asError } from './report.js'
import { fromNative } from './runtime-errors.js'

/** Where a started cluster listens, as the native library says it. */
export interface NativeAddress {
  readonly ip: string
  readonly port: number
  readonly family: number
}

/** How a worker is attached. */
export interface AttachOptions {
  /** Whether the handler wants ticks. */
  readonly tick: boolean
  /** Whether the handler gives back what it receives when it returns. */
  readonly borrows: boolean
  /** Whether the calling thread turns the ring itself. */
  readonly inline: boolean
  /** Whether the calling thread is the worker's alone, so that it may be pinned to its core. */
  readonly ownThread: boolean
}

/** The functions of the native library that launching needs. */
export interface NativeLibrary {
  createCluster(config: object, bind: { ip: string; port: number } | null): number
  attachWorker(cluster: number, worker: number, options: AttachOptions, doorbell: () => void): NativePort
  startCluster(cluster: number): NativeAddress | null
  shutdownCluster(cluster: number): void
  destroyCluster(cluster: number): void
  /** What the UDP sockets of every worker are bound to. */
  udpAddresses(cluster: number): NativeAddress[]
}

/** The workers of a cluster, however they run. */
export interface Workers {
  /** Resolves when every worker stands; rejects with the first failure. */
  start(): Promise<void>
  /** Stops everything at once, whatever state it is in, after a failed start. */
  destroy(): Promise<void>
  /** Shows the workers of this thread what was queued for them by now. */
  publish(): void
  notify(): void
  reference(on: boolean): void
}

/** What workers tell their cluster. */
export interface WorkerEvents {
  /** A worker has ended, in good order or not. */
  stopped(worker: number, failure: Error | undefined): void
}

/** What happens in a launched runtime, as far as its user has a say in it. */
export interface LaunchOptions {
  /**
   * A worker has failed: its thread has died, or its ring. Its connections are gone. Decides what becomes of the other workers:
   *
   * - `'shutdown'`: they are shut down, and `server.closed` rejects with the error. This is what happens without this method, too, and when it
   *   throws: then `closed` rejects with what it threw.
   * - `'continue'`: they go on without it. If it was the one that accepts, another one does so from now on; the port was open all the time.
   *   When no worker is left, `server.closed` rejects with the last error.
   *
   * Failures while the server starts are rejections of `launch`, and those amid a shutdown rejections of `closed`; neither comes here.
   *
   * @param worker - 0 … workers − 1
   */
  onWorkerError?(error: Error, worker: number): 'continue' | 'shutdown'
}

/** The workers of one launch. */
export class Cluster implements WorkerEvents {
  readonly id: number
  readonly native: NativeLibrary
  readonly config: Config
  readonly size: number
  /** Settles when every worker has ended: rejected when one has failed. */
  readonly closed: Promise<void>
  boundAddr: SocketAddress | undefined = undefined
  readonly udpAddrs: readonly SocketAddress[]

  private readonly options: LaunchOptions
  private shuttingDown = false
  private launched = false
  /** Workers that have ended before the launch was complete: the launch fails by them, not `closed`. */
  private readonly endedEarly: { worker: number; failure: Error | undefined }[] = []
  private workers: Workers | undefined = undefined
  private readonly running: Set<number>
  private failure: Error | undefined = undefined
  private settle!: (failure: Error | undefined) => void

  constructor(native: NativeLibrary, config: Config, bind: SocketAddress | undefined, options: LaunchOptions) {
    this.options = options
    this.native = native
    this.config = config
    this.size = workerCount(config)
    this.running = new Set(Array.from({ length: this.size }, (_, worker) => worker))
    const udpBind = config.udpBind.map(({ address, port }) => ({ ip: address, port }))
    const registeredRegions = config.registeredRegions.map((region) => region.memory.id)
    const resolved = { ...config, udpBind, registeredRegions, worker: { ...config.worker, threads: this.size } }
    this.id = checked(() =>
      native.createCluster(resolved, bind === undefined ? null : { ip: bind.address, port: bind.port }),
    )
    this.udpAddrs = Object.freeze(udpAddresses(native, this.id))
    this.closed = new Promise((resolve, reject) => {
      this.settle = (failure) => (failure === undefined ? resolve() : reject(failure))
    })
  }

  /** Brings every worker up, then starts accepting; when anything fails, nothing is left. */
  async launch(workers: Workers): Promise<void> {
    this.workers = workers
    try {
      await workers.start()
      const failed = this.endedEarly.find(({ failure }) => failure !== undefined)
      if (failed !== undefined) throw failed.failure
      this.startAccepting()
    } catch (error) {
      await workers.destroy()
      this.native.destroyCluster(this.id)
      throw error
    }
    this.launched = true
    for (const { worker, failure } of this.endedEarly) this.stopped(worker, failure)
  }

  /** Asks every worker to end, after what was sent by now; the second time does nothing. */
  shutdown(): void {
    if (this.shuttingDown) return
    this.shuttingDown = true
    this.workers?.publish()
    this.native.shutdownCluster(this.id)
  }

  stopped(worker: number, failure: Error | undefined): void {
    if (!this.launched) {
      this.endedEarly.push({ worker, failure })
      return
    }
    if (!this.running.delete(worker)) return
    const goOn = failure !== undefined && !this.shuttingDown && this.goesOn(failure, worker)
    if (this.running.size > 0) {
      if (goOn) return
      this.failure ??= failure
      this.shutdown()
      return
    }
    this.failure ??= failure
    this.shuttingDown = true
    this.native.destroyCluster(this.id)
    this.settle(this.failure)
  }

  /** Whether the other workers go on without one that has failed. */
  private goesOn(failure: Error, worker: number): boolean {
    try {
      return this.options.onWorkerError?.(failure, worker) === 'continue'
    } catch (thrown) {
      this.failure ??= asError(thrown)
      return false
    }
  }

  private startAccepting(): void {
    const bound = checked(() => this.native.startCluster(this.id))
    if (bound === null) return
    this.boundAddr = addressOf(bound)
  }
}

/** What the UDP sockets of a cluster are bound to. */
export function udpAddresses(native: NativeLibrary, cluster: number): SocketAddress[] {
  return native.udpAddresses(cluster).map(addressOf)
}

function addressOf({ ip, port, family }: NativeAddress): SocketAddress {
  return { address: ip, port, family: family === 6 ? 'IPv6' : 'IPv4' }
}

/** Calls into the native library; its errors become those of this package. */
export function checked<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw fromNative(error, 'ERR_RINGLINE_WORKER_STOPPED')
  }
}
