/**
 * The shape of what users write: the handler of a worker, and the class that makes it. Types only.
 */

import type { SocketAddress } from './address.js'
import type { ConnCtx } from './connection.js'
import type { DirectIoCompletion } from './direct-io.js'
import type { DriverCtx } from './driver.js'
import type { NvmeCompletion } from './nvme.js'
import type { UdpCtx } from './udp.js'

/**
 * What a worker calls. There is one handler object per worker; every method is optional and called on that object.
 *
 * A handler with `onData` gets each received chunk directly, the fast way. Without it bytes accumulate, to be taken with
 * `conn.withData`, `conn.withBytes`, `conn.tryWithData` or `for await (const chunk of conn)`.
 *
 * A throw or a rejection in a method that is about a connection closes that connection with the error, which `onClose` then gets; it is
 * reported to `onError`, and disturbs nothing else.
 */
export interface AsyncEventHandler {
  /**
   * Once, when the worker stands and before it accepts. `launch` does not wait for a promise answered here (it may run as long as the
   * server); a throw makes `launch` fail, a rejection is reported to `onError`. Work that must be done before the first connection
   * belongs into `createForWorker`, which is waited for.
   */
  onStart?(driver: DriverCtx): unknown
  /**
   * A connection was accepted. When the handler has no `onData`, a promise answered here is the connection's task: the connection is
   * closed when it is fulfilled, after what was sent is out. A handler with `onData`, or a method that answers no promise, keeps the
   * connection open until `conn.close()`.
   */
  onAccept?(conn: ConnCtx): unknown
  /**
   * Bytes were received. The chunk is the user's for ever: it never changes and may be kept. Whoever keeps it, or a slice of it, keeps
   * the slab of received memory alive that it is a view of: 64 KiB, and 512 KiB while large pieces arrive; a small part that is kept for
   * long is better copied (`Buffer.from(slice)`). With `receive: 'borrowed'` the chunk is valid until this method returns. When a promise
   * is answered, the next chunk of this connection is delivered after it is settled, and receiving pauses when more than 256 KiB wait.
   */
  onData?(conn: ConnCtx, chunk: Buffer): unknown
  /**
   * What was sent is out: called exactly once after one or more refused sends, when there is room again, and exactly once when
   * `conn.bufferedAmount` is back at 0 after it had exceeded 64 KiB.
   */
  onDrain?(conn: ConnCtx): unknown
  /**
   * The peer has sent its FIN and every byte before it was delivered; sending is still possible, until `conn.close()`. A handler with
   * `onData` but no `onEnd` closes the connection here, after what was sent is out.
   */
  onEnd?(conn: ConnCtx): unknown
  /**
   * The connection has ended, for whatever reason: exactly once for each accepted or connected connection.
   *
   * @param error - why, when it did not end in good order: a system error such as `ECONNRESET`, or what a handler threw
   */
  onClose?(conn: ConnCtx, error?: Error): unknown
  /**
   * Once for each UDP socket of the worker, after `onStart` and before it accepts. A promise answered here is the socket's task: nobody
   * waits for it, and a rejection is reported to `onError`.
   */
  onUdpBind?(udp: UdpCtx): unknown
  /**
   * A datagram was received on a socket of which nobody has called `recvFrom`. It never changes and may be kept. UDP knows no
   * back-pressure: a promise answered here holds nothing back.
   *
   * @param address - who sent it; all datagrams of a peer may share this frozen object, and `udp.sendTo` takes it without parsing
   */
  onDatagram?(udp: UdpCtx, data: Buffer, address: SocketAddress): unknown
  /** At the end of a turn of the event loop, at least once per `tickTimeoutUs`. */
  onTick?(driver: DriverCtx): unknown
  /** `server.notify()` was called; several calls may be answered by one. */
  onNotify?(driver: DriverCtx): unknown
  /** An operation on a file that was begun through `driver` has ended. */
  onDirectIo?(driver: DriverCtx, completion: DirectIoCompletion): unknown
  /** A command to an NVMe device that was submitted through `driver` has ended. */
  onNvme?(driver: DriverCtx, completion: NvmeCompletion): unknown
  /**
   * Something of the handler threw or rejected. Without this method it is reported by `process.emitWarning`, with code
   * `ERR_RINGLINE_HANDLER_FAILED`.
   *
   * @param conn - the connection it was about, if it was about one
   */
  onError?(error: Error, conn?: ConnCtx): void
}

/** A class that makes handlers: what `launch` takes, and what the module of `launch(new URL(…))` exports as default. */
export interface HandlerClass {
  /**
   * Makes the handler of one worker. A promise is waited for; a throw or a rejection makes `launch` fail.
   *
   * @param workerId - 0 … workers − 1
   */
  createForWorker(workerId: number): AsyncEventHandler | Promise<AsyncEventHandler>
}

/** Whether what a handler returned is a promise, of whatever kind. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
