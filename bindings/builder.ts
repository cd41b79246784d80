/**
 * How a runtime is put together. It owns the check of its settings; starting, and all that runs from then on, is in launch.ts.
 */

import { type AddressInput, parseAddress, type SocketAddress } from './address.js'
import type { LaunchOptions } from './cluster.js'
import { Config } from './config.js'
import { invalidArgument, isInstance, outOfDescriptors } from './errors.js'
import type { HandlerClass } from './handler.js'
import type { Server } from './server.js'

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
   * `createForWorker` or `onStart` throws (from a thread of a worker's own: its message and code, and as cause its stack); system errors such as
   * `EADDRINUSE` and `EACCES` with address and port; an error that says why io_uring cannot be used here; `ERR_RINGLINE_WORKER_STOPPED` when an
   * address is bound and a shutdown is asked for before the workers accept
   */
  async launch(handler: HandlerClass | URL, options: LaunchOptions = {}): Promise<Server<Bound>> {
    const [config, address] = [this.#config, this.#address]
    const { launch } = await loadLaunch()
    return await launch<Bound>(config, address, handler, options)
  }
}

/** How often reading launch.js has failed. */
let failures = 0

/**
 * What launching takes, read when it is wanted: importing the package does not pay for it. A module that could not be read stays so under
 * its name, but the process may have been out of descriptors for a moment only: it gets another name then.
 */
async function loadLaunch(): Promise<typeof import('./launch.js')> {
  const before = failures
  try {
    return await (before === 0 ? import('./launch.js') : import(`${new URL('./launch.js', import.meta.url)}?${before}`))
  } catch (cause) {
    failures = before + 1
    const { code } = cause as NodeJS.ErrnoException
    throw code === 'EMFILE' || code === 'ENFILE'
      ? outOfDescriptors('what launching takes could not be loaded', cause)
      : cause
  }
}
