/**
 * The workers of a cluster whose handlers all run on this thread. It owns their dispatchers.
 */

import { attachWorker } from './attach.js'
import type { Cluster, Workers } from './cluster.js'
import { addRuntime, removeRuntime } from './current.js'
import type { Dispatcher } from './dispatcher.js'
import type { HandlerClass } from './handler.js'

/** Workers on this thread. */
export class LocalWorkers implements Workers {
  private readonly cluster: Cluster
  private readonly handlerClass: HandlerClass
  private readonly bound: boolean
  private readonly dispatchers: Dispatcher[] = []

  constructor(cluster: Cluster, handlerClass: HandlerClass, bound: boolean) {
    this.cluster = cluster
    this.handlerClass = handlerClass
    this.bound = bound
  }

  async start(): Promise<void> {
    addRuntime(this.dispatchers)
    for (let worker = 0; worker < this.cluster.size; worker += 1) this.dispatchers.push(await this.attach(worker))
    for (const dispatcher of this.dispatchers) {
      dispatcher.reference(true)
      dispatcher.doorbell()
      dispatcher.start()
    }
  }

  async destroy(): Promise<void> {
    removeRuntime(this.dispatchers)
    for (const dispatcher of this.dispatchers) dispatcher.destroy()
  }

  publish(): void {
    for (const dispatcher of this.dispatchers) dispatcher.port.publish()
  }

  notify(): void {
    for (const dispatcher of this.dispatchers) dispatcher.notify()
  }

  reference(on: boolean): void {
    for (const dispatcher of this.dispatchers) dispatcher.reference(on)
  }

  private attach(worker: number): Promise<Dispatcher> {
    const { cluster, handlerClass, bound } = this
    return attachWorker({
      native: cluster.native,
      cluster: cluster.id,
      worker,
      bound,
      ownThread: false,
      config: cluster.config,
      handlerClass,
      requestShutdown: () => cluster.shutdown(),
      onStopped: (failure) => {
        if (this.dispatchers.every((dispatcher) => dispatcher.isStopped)) removeRuntime(this.dispatchers)
        cluster.stopped(worker, failure)
      },
    })
  }
}
