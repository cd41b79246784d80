/**
 * The workers of a cluster that have a thread of their own each: one `worker_threads` Worker per ring thread, whose module exports the
 * handler class. It owns those threads; what happens in them is in worker-entry.ts.
 */

import type { MessagePort, Worker } from 'node:worker_threads'
import type { Cluster, Workers } from './cluster.js'
import type { Config } from './config.js'
import { describe, type ErrorRecord, fromRecord, outOfDescriptors, RinglineError } from './errors.js'

/** What a worker thread is told when it starts. */
export interface ThreadData {
  readonly cluster: number
  readonly worker: number
  readonly bound: boolean
  readonly module: string
  readonly config: object
}

/** The module of Node that makes threads. */
type Threads = typeof import('node:worker_threads')

/** What the main thread asks of a worker thread. */
export type ThreadRequest = 'notify'

/** What a worker thread says. */
export type ThreadReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  | { readonly kind: 'stopped'; readonly error: ErrorRecord | undefined }

/** Workers with a thread of their own. */
export class ThreadWorkers implements Workers {
  private readonly cluster: Cluster
  private readonly module: URL
  private readonly bound: boolean
  private readonly threads: { readonly thread: Worker; readonly port: MessagePort }[] = []

  constructor(cluster: Cluster, module: URL, bound: boolean) {
    this.cluster = cluster
    this.module = module
    this.bound = bound
  }

  async start(): Promise<void> {
    // Loaded here, so that importing the package does not pay for it.
    const threads = await import('node:worker_threads')
    const ready: Promise<void>[] = []
    for (let worker = 0; worker < this.cluster.size; worker += 1) ready.push(this.startThread(threads, worker))
    // A thread that is terminated while it reads its modules leaves their files open: each may first say what became of it.
    await Promise.allSettled(ready)
    await Promise.all(ready)
  }

  async destroy(): Promise<void> {
    await Promise.all(this.threads.map(({ thread }) => thread.terminate()))
  }

  /** Each thread does so by itself at the end of its turn; nothing of this one is queued. */
  publish(): void {}

  notify(): void {
    for (const { port } of this.threads) port.postMessage('notify' satisfies ThreadRequest)
  }

  reference(on: boolean): void {
    for (const { thread } of this.threads) {
      if (on) thread.ref()
      else thread.unref()
    }
  }

  private startThread(threads: Threads, worker: number): Promise<void> {
    const { cluster, module, bound } = this
    const { port1: port, port2: itsPort } = new threads.MessageChannel()
    const data: ThreadData = {
      cluster: cluster.id,
      worker,
      bound,
      module: module.href,
      config: cloneable(cluster.config),
    }
    const thread = new threads.Worker(new URL('./worker-entry.js', import.meta.url), {
      name: `ringline worker ${worker}`,
      // The port is where it says what becomes of it. What its module says to `parentPort` is the module's own affair.
      workerData: { ringline: data, port: itsPort },
      transferList: [itsPort],
    })
    this.threads.push({ thread, port })
    return new Promise((resolve, reject) => {
      let failure: Error | undefined
      let isReady = false
      let inOrder = false
      const hear = (report: ThreadReport): void => {
        if (report.kind === 'ready') {
          isReady = true
          resolve()
          return
        }
        if (report.error !== undefined) failure ??= fromRecord(report.error, 'ERR_RINGLINE_WORKER_STOPPED')
        inOrder = report.kind === 'stopped'
        // What else the module has open must not keep a worker without a ring alive.
        void thread.terminate()
      }
      // The thread keeps the process alive, or does not.
      port.on('message', hear).unref()
      thread.on('error', (error) => {
        failure ??= died(worker, error)
      })
      thread.once('exit', () => {
        // What it has said last may not have been heard.
        for (let said = threads.receiveMessageOnPort(port); said; said = threads.receiveMessageOnPort(port))
          hear(said.message)
        port.close()
        if (!inOrder) failure ??= died(worker, undefined)
        if (!isReady && lacksDescriptors(failure)) failure = outOfDescriptors('a worker could not start', failure)
        reject(failure)
        cluster.stopped(worker, failure)
      })
    })
  }
}

function died(worker: number, cause: unknown): RinglineError {
  const why = cause === undefined ? '' : `: ${cause instanceof Error ? cause.message : describe(cause)}`
  return new RinglineError('ERR_RINGLINE_WORKER_STOPPED', `the thread of worker ${worker} has ended early${why}`, {
    cause,
  })
}

/** Whether a thread could not open what it needs: of its event loop, of its modules, or of the handler's. */
function lacksDescriptors(failure: unknown): boolean {
  if (!(failure instanceof Error)) return false
  const { code, cause } = failure as NodeJS.ErrnoException
  // Of a thread without an event loop Node has only words.
  const noLoop = code === 'ERR_WORKER_INIT_FAILED' && failure.message.endsWith('EMFILE')
  return noLoop || code === 'EMFILE' || lacksDescriptors(cause)
}

/** The settings without the regions, which stay with this thread: workers find them registered. */
function cloneable(config: Config): object {
  return { ...config, registeredRegions: [] }
}
