/**
 * What a worker has done since it started. The counters are the native library's; here they have their names and meanings.
 */

import type { Dispatcher } from './dispatcher.js'

/**
 * What a worker has done since it started: counts, for dashboards and for figures per request. They are as they were when the worker last
 * looked for something to tell; each is exact up to 2^53.
 */
export interface WorkerMetrics {
  /** Calls into the kernel to submit and wait (io_uring_enter). */
  readonly enters: number
  /** Completions of the ring. */
  readonly completions: number
  /** Times that the worker was woken by another thread: by JavaScript's, by another worker's, or to stop. */
  readonly doorbells: number
  /** Times that JavaScript was called, each time for all that there was to tell. */
  readonly batches: number
  /** Pieces of received bytes. */
  readonly chunks: number
  /** Bytes received by connections. */
  readonly bytesReceived: number
  /** Sends submitted to the kernel; what is queued on a connection in one turn goes out as one. */
  readonly sends: number
  /** Those of them that were zero-copy sends. */
  readonly zeroCopySends: number
  /** Zero-copy sends that the kernel copied all the same; their connections go back to plain sends. */
  readonly zeroCopyCopied: number
  /** Bytes of connections that the kernel took. */
  readonly bytesSent: number
  /** Receives that ended for want of buffers. */
  readonly bufferShortages: number
  /** Connections accepted. */
  readonly accepted: number
  /** Accepted connections that were closed at once because every slot was taken. */
  readonly refused: number
  /** Accepts that failed. */
  readonly acceptErrors: number
  /** Datagrams received. */
  readonly datagramsReceived: number
  /** Datagrams that the kernel took. */
  readonly datagramsSent: number
  /** Datagrams that could not be sent, and receives that failed. */
  readonly datagramErrors: number
  /** Reads and writes of files from and into memory that is registered with the ring. */
  readonly fixedTransfers: number
  /** Completions for a past owner of a slot. */
  readonly staleCompletions: number
}

/** What a worker has done. */
export function metricsOf(dispatcher: Dispatcher): WorkerMetrics {
  return dispatcher.port.native.metrics()
}
