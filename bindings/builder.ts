/**
 * How a runtime is put together and launched. It owns the check of what it is given; starting is the cluster's business.
 */

import { types } from 'node:util'
import { type AddressInput, parseAddress, type SocketAddress } from './address.js'
import { requireHandlerClass } from './attach.js'
import { Cluster, type LaunchOptions, type NativeLibrary } from './cluster.js'
import { Config } from './config.js'
import { invalidArgument, isInstance, untrusted } from './errors.js'
import type { HandlerClass } from './handler.js'
import { LocalWorkers } from './local-workers.js'
import { loadNative } from './native/load.js'
import { Server } from './server.js'
import { requireOptions } from './signal.js'
import { ThreadWorkers } from './thread-workers.js'

/** Launches workers: a server when an address is bound, otherwise a runtime for outbound connections. */
export class RinglineBuilder<Bound extends boolean = false> {
  #config: Config
  #address: SocketAddress | undefined

  /**
   * @param config - the settings, as `new ConfigBuilder()…build()` makes them; the defaults when left out
   * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`
   */
  constructor(config: Config = Config.default()) {
    if (!isInstance(config, Config)) throw invalidArgument('config', 'a Config: make it with ConfigBuilder', config)
    this.#config = config
  }

  /**
   * The address to listen on; port 0 lets the system choose, see {@link Server.boundAddr}.
   *
   * @throws RinglineError `ERR_RINGLINE_INVALID_ADDRESS`
   */
  bind(address: AddressInput): RinglineBuilder<true> {
    this.#address = parseAddress(address)
    return this as unknown as RinglineBuilder<true>
  }

  /**
   * Binds a UDP socket on every worker, beside those of `udpBind`; the kernel spreads datagrams over the workers by their sender. May be
   * called for several addresses. With port 0 the system chooses one, the same for all workers: see {@link Server.udpAddrs}.
   *
   * @throws RinglineError `ERR_RINGLINE_INVALID_ADDRESS`
   */
  bindUdp(address: AddressInput): this {
    this.#config = new Config({ ...this.#config, udpBind: [...this.#config.udpBind, parseAddress(address)] })
    return this
  }

  /**
   * Starts the workers; accepting begins when all of them stand. May be called again, for another runtime.
   *
   * @param handler - a class with `createForWorker`: the handlers of all workers run on this thread. Or the URL of a module whose default
   * export is such a class: each worker gets a thread of its own, imports the module there and makes its own handler; that thread ends
   * with its worker.
   * @param options - what becomes of the runtime when one of its workers fails
   * @throws (as a rejection) when anything fails, and then nothing is left: RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`; what
   * `createForWorker` or `onStart` throws; system errors such as `EADDRINUSE` and `EACCES` with address and port; an error that says why
   * io_uring cannot be used here
   */
  async launch(handler: HandlerClass | URL, options: LaunchOptions = {}): Promise<Server<Bound>> {
    const module = asModule(handler)
    const handlerClass = module === undefined ? requireHandlerClass(handler, 'handler') : undefined
    const hooks = readOptions(options)
    const bound = this.#address !== undefined
    const cluster = new Cluster(loadNative() as unknown as NativeLibrary, this.#config, this.#address, hooks)
    const workers =
      module === undefined ? new LocalWorkers(cluster, handlerClass!, bound) : new ThreadWorkers(cluster, module, bound)
    await cluster.launch(workers)
    return Server.of<Bound>(cluster, workers)
  }
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
