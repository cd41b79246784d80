/**
 * Names for what the asynchronous calls answer. In Rust each call has a future type of its own; here all of them are promises, and these
 * names say which. Types only: they add nothing to the promise that a call returns.
 */

import type { Either, Either3 } from './combinators.js'
import type { ConnCtx } from './connection.js'
import type { GuardBuffer, MemoryRegion } from './memory.js'
import type { AsyncSendBuilder } from './send-parts.js'
import type { Server } from './server.js'
import type { Datagram } from './udp.js'

/** What {@link connect} and {@link connectWithTimeout} answer: the connection, when it is made. */
export type ConnectFuture = Promise<ConnCtx>

/** What {@link ConnCtx.send} answers: the number of bytes, when the kernel has taken all of them. */
export type SendFuture = Promise<number>

/** What {@link ConnCtx.withData} answers: the number of bytes consumed, 0 at the end of the stream. */
export type WithDataFuture = Promise<number>

/** What {@link ConnCtx.withBytes} answers: the number of bytes consumed, 0 at the end of the stream. */
export type WithBytesFuture = Promise<number>

/** What {@link ConnCtx.recvReady} answers: it resolves when there are bytes to take, or when the stream has ended. */
export type RecvReadyFuture = Promise<void>

/** What {@link UdpCtx.recvFrom} answers: one datagram and who sent it. */
export type UdpRecvFuture = Promise<Datagram>

/** What reads and writes of files and NVMe devices answer: the number of bytes done. */
export type DiskIoFuture = Promise<number>

/** What {@link sleep} and {@link sleepUntil} answer, and their `try` forms. */
export type SleepFuture = Promise<void>

/** What {@link timeout} and {@link timeoutAt} answer, and their `try` forms: what the task answers, or a rejection with {@link Elapsed}. */
export type TimeoutFuture<T> = Promise<T>

/** What {@link (join:function)} answers: both results, in the order of the branches. */
export type Join<A, B> = Promise<[A, B]>

/** What {@link (join3:function)} answers: all three results, in the order of the branches. */
export type Join3<A, B, C> = Promise<[A, B, C]>

/** What {@link (select:function)} answers: the branch that was ready first. */
export type Select<A, B> = Promise<Either<A, B>>

/** What {@link (select3:function)} answers: the branch that was ready first. */
export type Select3<A, B, C> = Promise<Either3<A, B, C>>

/** What `launch` answers is the handle that shuts the runtime down: another name of {@link Server}. */
export type ShutdownHandle<Bound extends boolean = boolean> = Server<Bound>

/** The builder of a send in parts, as {@link DriverCtx.sendParts} answers it: the same as for the sends of tasks. */
export type SendBuilder = AsyncSendBuilder

/** Memory that can be sent from where it lies, and which the kernel keeps until it has let go of it: another name of {@link GuardBuffer}. */
export type SendGuard = GuardBuffer

/** A guard of whatever kind. JavaScript's objects need no box for that: another name of {@link GuardBuffer}. */
export type GuardBox = GuardBuffer

/** What names a registered region. A region is its own name here, so that a wrong one cannot be given. */
export type RegionId = MemoryRegion
