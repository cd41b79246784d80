/**
 * What a worker thread of `launch(new URL(…))` does first: imports the user's module and joins its handler with the ring thread of this
 * worker. It runs in that thread only.
 */

import { type MessagePort, workerData } from 'node:worker_threads'
import { attachWorker, requireHandlerClass } from './attach.js'
import type { NativeLibrary } from './cluster.js'
import { Config } from './config.js'
import { addRuntime } from './current.js'
import { loadNative } from './native/load.js'
import { toRecord } from './runtime-errors.js'
import type { ThreadData, ThreadReport, ThreadRequest } from './thread-workers.js'

/** Makes this thread a worker, or says why it cannot be one. */
export async function joinThread(): Promise<void> {
  const { ringline, port } = workerData as { ringline: ThreadData; port: MessagePort }
  // The user's module gets to see the same object, and has nothing to say there.
  Reflect.deleteProperty(workerData, 'port')
  try {
    await start(ringline, port)
  } catch (error) {
    tell(port, { kind: 'failed', error: toRecord(error) })
  }
}

async function start(data: ThreadData, port: MessagePort): Promise<void> {
  const { cluster, worker, bound } = data
  const module = (await import(data.module)) as { default?: unknown }
  const handlerClass = requireHandlerClass(module.default, `the default export of ${data.module}`)
  const native = loadNative() as unknown as NativeLibrary
  const dispatcher = await attachWorker({
    native,
    cluster,
    worker,
    bound,
    ownThread: true,
    config: new Config(data.config),
    handlerClass,
    requestShutdown: () => native.shutdownCluster(cluster),
    onStopped: (failure) => tell(port, { kind: 'stopped', error: failure && toRecord(failure) }),
  })
  port.on('message', (request: ThreadRequest) => {
    if (request === 'notify') dispatcher.notify()
  })
  // The ring keeps this thread alive; listening must not.
  port.unref()
  addRuntime([dispatcher])
  dispatcher.reference(true)
  dispatcher.doorbell()
  dispatcher.start()
  tell(port, { kind: 'ready' })
}

function tell(port: MessagePort, report: ThreadReport): void {
  port.postMessage(report)
}
