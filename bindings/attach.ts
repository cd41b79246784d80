/**
 * Brings one worker up on the thread that will own it: makes its handler, attaches the native worker, joins both with a dispatcher.
 */

import { checked, type NativeLibrary, udpAddresses } from './cluster.js'
import { type Config, spinMicroseconds } from './config.js'
import { Dispatcher } from './dispatcher.js'
import { invalidArgument, RinglineError, untrusted } from './errors.js'
import type { AsyncEventHandler, HandlerClass } from './handler.js'
import { systemError } from './runtime-errors.js'

/** What attaching needs to know. */
export interface AttachSettings {
  readonly native: NativeLibrary
  readonly cluster: number
  readonly worker: number
  readonly bound: boolean
  /** Whether this thread was started for the worker. */
  readonly ownThread: boolean
  readonly config: Config
  readonly handlerClass: HandlerClass
  requestShutdown(): void
  /** The worker has ended; its ring thread, if it had one, was joined. */
  onStopped(failure: Error | undefined): void
}

/** Makes the handler and the ring, with its thread unless this one turns it; the worker does not accept yet. */
export async function attachWorker(settings: AttachSettings): Promise<Dispatcher> {
  const { native, cluster, worker, config } = settings
  if (config.delivery === 'inline') requireLibuv(process.versions)
  const handler = await makeHandler(settings)
  let dispatcher: Dispatcher | undefined
  const doorbell = (): void => dispatcher?.doorbell()
  const options = {
    tick: typeof handler.onTick === 'function',
    borrows: config.receive === 'borrowed',
    inline: config.delivery === 'inline',
    ownThread: settings.ownThread,
    spinUs: spinMicroseconds(config),
  }
  const port = checked(() => native.attachWorker(cluster, worker, options, doorbell))
  dispatcher = new Dispatcher(port, handler, {
    workerId: worker,
    recvAccumulatorCapacity: config.recvAccumulatorCapacity,
    recvAccumulatorLimit: config.recvAccumulatorLimit,
    borrows: options.borrows,
    standaloneTaskCapacity: config.standaloneTaskCapacity,
    timerSlots: config.timerSlots,
    // A chain must fit into the submission queue as a whole.
    chainLinksMax: Math.min(config.maxChainLength, config.sqEntries),
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
  const wanted = 'a class with a static method createForWorker(workerId), which makes the handler of a worker'
  const isObject = typeof value === 'function' || (typeof value === 'object' && value !== null)
  const { createForWorker } = isObject ? untrusted(name, wanted, value, () => pick(value, ['createForWorker'])) : {}
  if (typeof createForWorker === 'function') return value as HandlerClass
  throw invalidArgument(name, wanted, value)
}

/** The methods of a handler; any of them may be missing. */
const METHODS = [
  'onStart',
  'onAccept',
  'onData',
  'onDrain',
  'onEnd',
  'onClose',
  'onUdpBind',
  'onDatagram',
  'onTick',
  'onNotify',
  'onDirectIo',
  'onNvme',
  'onError',
] as const satisfies readonly (keyof AsyncEventHandler)[]

/** Reads properties of an object, its prototypes' included. */
function pick<K extends string>(object: object, names: readonly K[]): Partial<Record<K, unknown>> {
  return Object.fromEntries(names.map((name) => [name, (object as Record<K, unknown>)[name]])) as Record<K, unknown>
}

/** Refuses a host of which is known that it has the names of libuv's functions only: calling one would end the process. */
export function requireLibuv(versions: Readonly<Record<string, string | undefined>>): void {
  const bun = versions['bun']
  if (bun === undefined) return
  const message = `inline delivery needs the event loop of Node.js, which Bun ${bun} does not have; use delivery 'threadsafe'`
  throw new RinglineError('ERR_RINGLINE_INLINE_UNAVAILABLE', message)
}

async function makeHandler(settings: AttachSettings): Promise<AsyncEventHandler> {
  const handler: unknown = await settings.handlerClass.createForWorker(settings.worker)
  if (typeof handler !== 'object' || handler === null) {
    throw invalidArgument('createForWorker()', 'a function that answers a handler object', handler)
  }
  const wanted = 'a function that answers a handler whose methods can be read'
  const methods = untrusted('createForWorker()', wanted, handler, () => pick(handler, METHODS))
  for (const [name, method] of Object.entries(methods)) {
    if (method !== undefined && typeof method !== 'function')
      throw invalidArgument(name, 'a method of the handler', method)
  }
  const { onAccept, onData, onUdpBind, onDatagram } = methods
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
