/**
 * The entry point of the package: what people import. It owns the list of public names and may hold no logic of its own.
 *
 * @packageDocumentation
 */

import { loadNative } from './native/load.js'

export type { AddressInput, SocketAddress } from './address.js'
export { RinglineBuilder } from './builder.js'
export type { LaunchOptions } from './cluster.js'
export {
  type CombineOptions,
  type Either,
  type Either3,
  type First,
  join,
  join3,
  type Left,
  type Right,
  type Second,
  select,
  select3,
  type Third,
} from './combinators.js'
export {
  Config,
  type ConfigFields,
  type ConfigOptions,
  type Delivery,
  type RecvBufferConfig,
  type WorkerConfig,
} from './config.js'
export { ConfigBuilder } from './config-builder.js'
export type { ConnectOptions } from './connect.js'
export { ConnCtx } from './connection.js'
export { connect, connectWithTimeout, requestShutdown, spawn } from './current.js'
export { Deadline } from './deadline.js'
export {
  type DirectIoCompletion,
  type DirectIoConfig,
  DirectIoFile,
  DirectIoOp,
  type DirectIoOpenOptions,
  type DiskOptions,
  directIoFsync,
  directIoRead,
  directIoWrite,
  openDirectIoFile,
} from './direct-io.js'
export { DriverCtx } from './driver.js'
export {
  Elapsed,
  NvmeStatusError,
  RinglineError,
  type RinglineErrorCode,
  TimerExhausted,
  UdpSendError,
} from './errors.js'
export type {
  ConnectFuture,
  DiskIoFuture,
  GuardBox,
  Join,
  Join3,
  RecvReadyFuture,
  RegionId,
  Select,
  Select3,
  SendBuilder,
  SendFuture,
  SendGuard,
  ShutdownHandle,
  SleepFuture,
  TimeoutFuture,
  UdpRecvFuture,
  WithBytesFuture,
  WithDataFuture,
} from './futures.js'
export type { GuardedSend } from './guards.js'
export type { AsyncEventHandler, HandlerClass } from './handler.js'
export type { ParseFunction, ReceiveOptions } from './inbound.js'
export { allocAligned, allocGuard, type GuardBuffer, MemoryRegion } from './memory.js'
export type { WorkerMetrics } from './metrics.js'
export {
  type NvmeCompletion,
  type NvmeConfig,
  NvmeDevice,
  NvmeOp,
  type NvmeOpenOptions,
  nvmeFlush,
  nvmeRead,
  nvmeWrite,
  openNvmeDevice,
} from './nvme.js'
export { ParseResult } from './parse-result.js'
export type { PipeOptions } from './pipe.js'
export { ChainBuilder } from './send-chain.js'
export type { SendData } from './send-data.js'
export { AsyncSendBuilder, MAX_GUARDS, MAX_IOVECS, SendPart } from './send-parts.js'
export { type BoundAddress, Server } from './server.js'
export {
  type Cancelable,
  sleep,
  sleepUntil,
  type TimerOptions,
  timeout,
  timeoutAt,
  trySleep,
  trySleepUntil,
  tryTimeout,
  tryTimeoutAt,
} from './sleep.js'
export { TaskId } from './task-id.js'
export type { Task } from './tasks.js'
export { ConnToken } from './token.js'
export { type Datagram, UdpCtx, UdpToken } from './udp.js'
export type { WorkerUsage } from './usage.js'

/**
 * The version of the native library in use, such as `0.1.0`.
 *
 * @returns the version, in the form of Semantic Versioning
 * @throws an error with code `ERR_RINGLINE_UNSUPPORTED_PLATFORM` where there is no native library for this platform, or
 * `ERR_RINGLINE_NATIVE_LIBRARY` where there should be one but it is missing or cannot be loaded
 */
export function version(): string {
  return loadNative().version()
}
