/**
 * What launching takes, and with it everything that runs in a launched runtime. It is read at the first launch, so nothing that can be named
 * before may be here; it owns the order in which a launch comes about.
 */

import type { SocketAddress } from './address.js'
import { requireHandlerClass } from './attach.js'
import { Cluster, type LaunchOptions, type NativeLibrary } from './cluster.js'
import type { Config } from './config.js'
import { invalidArgument, isInstance, untrusted } from './errors.js'
import { LocalWorkers } from './local-workers.js'
import { loadNative } from './native/load.js'
import { types } from './node-util.js'
import { Server } from './server.js'
import { requireOptions } from './signal.js'
import { ThreadWorkers } from './thread-workers.js'

export { joinThread } from './thread.js'

/** Starts the workers of a runtime; see {@link RinglineBuilder.launch}. */
export async function launch<Bound extends boolean>(
  config: Config,
  address: SocketAddress | undefined,
  handler: unknown,
  options: LaunchOptions,
): Promise<Server<Bound>> {
  const module = asModule(handler)
  const handlerClass = module === undefined ? requireHandlerClass(handler, 'handler') : undefined
  const hooks = readOptions(options)
  const bound = address !== undefined
  const cluster = new Cluster(loadNative() as unknown as NativeLibrary, config, address, hooks)
  const workers =
    module === undefined ? new LocalWorkers(cluster, handlerClass!, bound) : new ThreadWorkers(cluster, module, bound)
  await cluster.launch(workers)
  return Server.of<Bound>(cluster, workers)
}

/** The options of a launch, read once. */
function readOptions(options: LaunchOptions): LaunchOptions {
  requireOptions(options)
  const onWorkerError = untrusted('options', 'an object that can be read', options, () => options.onWorkerError)
  if (onWorkerError === undefined) return {}
  if (typeof onWorkerError === 'function') return { onWorkerError: onWorkerError.bind(options) }
  throw invalidArgument('options.onWorkerError', "a function that answers 'continue' or 'shutdown'", onWorkerError)
}

function asModule(handler: unknown): URL | undefined {
  if (isInstance(handler, URL)) return handler
  if (typeof handler === 'string' || types.isModuleNamespaceObject(handler)) {
    throw invalidArgument(
      'handler',
      'a class, or a URL object such as new URL("./handler.js", import.meta.url)',
      handler,
    )
  }
  return undefined
}
