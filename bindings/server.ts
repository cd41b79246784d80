/**
 * A launched runtime as its user sees it. It owns nothing but the way to its cluster.
 */

import type { SocketAddress } from './address.js'
import type { Cluster, Workers } from './cluster.js'
import { inspect } from './node-util.js'

/** An address where one was bound. */
export type BoundAddress<Bound extends boolean> = Bound extends true ? SocketAddress : SocketAddress | undefined

/**
 * A running server, or a runtime for connections of its own when nothing was bound. It runs until {@link Server.shutdown}, whether or not
 * anybody keeps this object, and keeps the process alive unless {@link Server.unref} was called.
 */
export class Server<Bound extends boolean = boolean> {
  readonly #cluster: Cluster
  readonly #workers: Workers

  /**
   * Settles when every worker has ended: resolves after a shutdown, rejects when a worker has failed. The others are then shut down, unless
   * {@link LaunchOptions.onWorkerError} has decided otherwise.
   * Left unhandled, that rejection ends the process, as an unhandled rejection does.
   */
  readonly closed: Promise<void>

  private constructor(cluster: Cluster, workers: Workers) {
    this.#cluster = cluster
    this.#workers = workers
    this.closed = cluster.closed
  }

  /** @internal */
  static of<Bound extends boolean>(cluster: Cluster, workers: Workers): Server<Bound> {
    return new Server<Bound>(cluster, workers)
  }

  /** Where the server listens, with the port that the system chose when it was bound to port 0; undefined when nothing was bound. */
  get boundAddr(): BoundAddress<Bound> {
    return this.#cluster.boundAddr as BoundAddress<Bound>
  }

  /** What the UDP sockets of every worker are bound to, in the order in which they were asked for, with the ports that were chosen. */
  get udpAddrs(): readonly SocketAddress[] {
    return this.#cluster.udpAddrs
  }

  /** How many workers there are. */
  get workers(): number {
    return this.#cluster.size
  }

  /**
   * Stops accepting, closes every connection with a FIN behind what was sent, and ends the workers. May be called any number of times. Workers
   * take two seconds at most, and drop what a peer has not taken by then; a zero-copy send to such a peer takes two more, for the kernel to
   * let go of its memory.
   *
   * Promises of sleeps, connects, sends and the like that are pending then reject, most of them with `ERR_RINGLINE_WORKER_STOPPED`. That
   * reaches whoever awaits them; one that was dropped does not end the process. A handler's method or a `spawn`ed task that gives up for it
   * is not reported either. An async function of your own that awaits one and is dropped itself rejects as any other: spawn it, or catch.
   *
   * @returns what {@link Server.closed} is
   */
  shutdown(): Promise<void> {
    this.#cluster.shutdown()
    return this.closed
  }

  /** Calls `onNotify` of every worker's handler, soon; calls in between may be answered by one. */
  notify(): void {
    this.#workers.notify()
  }

  /** Keeps the process alive while the server runs, which is so at the start. */
  ref(): this {
    this.#workers.reference(true)
    return this
  }

  /** Lets the process exit although the server runs. */
  unref(): this {
    this.#workers.reference(false)
    return this
  }

  /** Shuts down, as {@link Server.shutdown} does. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown()
  }

  /** What `console.log` shows. @internal */
  [inspect.custom](_depth: number, options: object, print: typeof inspect): string {
    return `Server ${print({ boundAddr: this.#cluster.boundAddr, workers: this.workers }, { ...options, depth: 1 })}`
  }
}
