/**
 * Brings one worker up on the thread that will own it: makes its handler, attaches the native worker, joins both with a dispatcher.
 */

import { checked, type NativeLibrary, udpAddresses } from './cluster.js'
import type { Config } from './config.js'
import { Dispatcher } from './dispatcher.js'
import { invalidArgument, systemError } from './errors.js'
import type { AsyncEventHandler, HandlerClass } from './handler.js'

/** What attaching needs to know. */
export interface AttachSettings {
  readonly native: NativeLibrary
  readonly cluster: number
  readonly worker: number
  readonly bound: boolean
  readonly config: Config
  readonly handlerClass: HandlerClass
  requestShutdown(): void
  /** The ring thread has ended and was joined. */
  onStopped(failure: Error | undefined): void
}

/** Makes the handler and starts the ring thread; the worker does not accept yet. */
export async function attachWorker(settings: AttachSettings): Promise<Dispatcher> {
  const { native, cluster, worker, config } = settings
  const handler = await makeHandler(settings)
  let dispatcher: Dispatcher | undefined
  const doorbell = (): void => dispatcher?.doorbell()
  const tick = typeof handler.onTick === 'function'
  const port = checked(() => native.attachWorker(cluster, worker, { tick }, doorbell))
  dispatcher = new Dispatcher(port, handler, {
    workerId: worker,
    recvAccumulatorCapacity: config.recvAccumulatorCapacity,
    recvAccumulatorLimit: config.recvAccumulatorLimit,
    standaloneTaskCapacity: config.standaloneTaskCapacity,
    timerSlots: config.timerSlots,
    udpAddrs: udpAddresses(native, cluster),
    storage: config,
    requestShutdown: settings.requestShutdown,
    onStopped(errno) {
      port.unref()
      port.stop()
      settings.onStopped(errno === 0 ? undefined : systemError(errno, 'io_uring_enter'))
    },
  })
  return dispatcher
}

/** The class that makes handlers, checked. */
export function requireHandlerClass(value: unknown, name: string): HandlerClass {
  const made =
    (typeof value === 'function' || (typeof value === 'object' && value !== null)) && 'createForWorker' in value
  if (made && typeof value.createForWorker === 'function') return value as HandlerClass
  throw invalidArgument(
    name,
    'a class with a static method createForWorker(workerId), which makes the handler of a worker',
    value,
  )
}

async function makeHandler(settings: AttachSettings): Promise<AsyncEventHandler> {
  const handler: unknown = await settings.handlerClass.createForWorker(settings.worker)
  if (typeof handler !== 'object' || handler === null) {
    throw invalidArgument('createForWorker()', 'a function that answers a handler object', handler)
  }
  const { onAccept, onData, onUdpBind, onDatagram } = handler as AsyncEventHandler
  if (settings.bound && onAccept === undefined && onData === undefined) {
    throw invalidArgument(
      'createForWorker()',
      'a function that answers a handler with onAccept or onData, since the server is bound',
      handler,
    )
  }
  if (settings.config.udpBind.length > 0 && onUdpBind === undefined && onDatagram === undefined) {
    throw invalidArgument(
      'createForWorker()',
      'a function that answers a handler with onUdpBind or onDatagram, since UDP addresses are bound',
      handler,
    )
  }
  return handler
}
