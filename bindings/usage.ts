/**
 * What a worker has in use, counted when it is asked for. It owns the list of what is counted; the counts are where the things are.
 */

import type { Dispatcher } from './dispatcher.js'

/** What a worker has in use: for dashboards, and for tests that nothing leaks. */
export interface WorkerUsage {
  /** Connections, those that are being closed included. */
  readonly connections: number
  /** Attempts to connect whose outcome is not known. */
  readonly connects: number
  /** Send slots with bytes that the kernel has not taken. */
  readonly sendSlots: number
  /** Guards that are queued, or whose memory the kernel may still read. */
  readonly guards: number
  /** Datagrams that wait for `recvFrom`. */
  readonly datagrams: number
  /** Armed sleeps and timeouts. */
  readonly timers: number
  /** Tasks of `spawn`. */
  readonly spawnedTasks: number
  /** Operations on files and NVMe devices, those that open one included. */
  readonly diskOperations: number
}

/** Counts what a worker has in use. */
export function usageOf(dispatcher: Dispatcher): WorkerUsage {
  const { connections, connector, outbound, datagrams, timers, tasks, storage } = dispatcher
  const { guards, files, devices } = storage
  return {
    connections,
    connects: connector.pending,
    sendSlots: outbound.pool.slots - outbound.pool.harvest(),
    guards: guards.limit - guards.left,
    datagrams: datagrams.sockets.reduce((sum, udp) => sum + udp.waiting, 0),
    timers: timers.pending,
    spawnedTasks: tasks.pending,
    diskOperations: files.pending + devices.pending,
  }
}
