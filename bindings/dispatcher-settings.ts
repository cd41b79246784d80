/**
 * What a dispatcher is made with. It is a file of its own so that whoever makes dispatchers need not know the dispatcher.
 */

import type { SocketAddress } from './address.js'
import type { StorageLimits } from './storage.js'

/** What a dispatcher has to know beside its port and handler. */
export interface DispatcherSettings {
  readonly workerId: number
  readonly recvAccumulatorCapacity: number
  readonly recvAccumulatorLimit: number
  /** The handler borrows what it receives, until it returns. */
  readonly borrows?: boolean
  readonly standaloneTaskCapacity: number
  readonly timerSlots: number
  /** Links of a chain of sends at most; 0 = no chains. */
  readonly chainLinksMax: number
  /** What the worker's UDP sockets are bound to. */
  readonly udpAddrs: readonly SocketAddress[]
  /** What may be in flight with memory of JavaScript's; none when left out. */
  readonly storage?: StorageLimits
  /** Somebody asked for the shutdown of the whole server. */
  requestShutdown(): void
  /** The worker's thread has ended; nothing follows. */
  onStopped(errno: number): void
}
