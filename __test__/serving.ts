// What the end-to-end tests share: launching a server that ends with its test, and clients of Node's own `net`.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { ExecutionContext } from 'ava'
import {
  type AsyncEventHandler,
  type ConfigBuilder,
  type ConnCtx,
  RinglineBuilder,
  type Server,
  type WorkerUsage,
} from 'ringline'
import { testConfig } from './delivery.js'

/** What an idle worker has in use. */
export const IDLE = {
  connections: 0,
  sendSlots: 0,
  guards: 0,
  timers: 0,
  spawnedTasks: 0,
  connects: 0,
  diskOperations: 0,
} satisfies Partial<WorkerUsage>

export { testConfig }

/** A handler class whose handlers are all this object. */
export function handlerClass(handler: AsyncEventHandler): { createForWorker(): AsyncEventHandler } {
  return { createForWorker: () => handler }
}

/** A server on a port of its own, shut down when the test ends. */
export async function serve(
  t: ExecutionContext,
  handler: AsyncEventHandler,
  config: ConfigBuilder = testConfig(),
): Promise<Server<true>> {
  const server = await new RinglineBuilder(config.build()).bind('127.0.0.1:0').launch(handlerClass(handler))
  t.teardown(() => server.shutdown())
  return server
}

/** A connected socket that is destroyed when the test ends. */
export async function dial(t: ExecutionContext, server: Server<true>): Promise<Socket> {
  const socket = connect({ host: server.boundAddr.address, port: server.boundAddr.port, allowHalfOpen: true })
  t.teardown(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

/** A server whose one connection a test takes into its own hands. */
export async function accepted(
  t: ExecutionContext,
  config = testConfig(),
  handler: AsyncEventHandler = {},
): Promise<{ conn: ConnCtx; socket: Socket; server: Server<true> }> {
  const conns: ConnCtx[] = []
  const take = (conn: ConnCtx): void => void conns.push(conn)
  const server = await serve(t, { onAccept: take, onData: () => {}, onEnd: () => {}, ...handler }, config)
  const socket = await dial(t, server)
  await until(() => conns.length === 1)
  return { conn: conns[0]!, socket, server }
}

/** Reads until the peer's FIN; writing stays possible. */
export function readAll(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    if (socket.readableEnded) resolve(Buffer.alloc(0))
    socket.on('data', (chunk: Buffer) => void chunks.push(chunk))
    socket.once('end', () => resolve(Buffer.concat(chunks)))
    socket.once('error', reject)
    socket.resume()
  })
}

/** Reads exactly so many bytes. What comes later waits in the socket: without a listener it would be lost. */
export function readBytes(socket: Socket, count: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const take = (chunk: Buffer): void => {
      chunks.push(chunk)
      length += chunk.length
      if (length < count) return
      stop()
      const all = Buffer.concat(chunks)
      if (length > count) socket.unshift(all.subarray(count))
      resolve(all.subarray(0, count))
    }
    const fail = (error?: Error): void => {
      stop()
      reject(error ?? new Error(`closed after ${length} of ${count} bytes`))
    }
    const closed = (): void => fail()
    const stop = (): void => {
      socket.pause().off('data', take).off('error', fail).off('close', closed)
    }
    socket.on('data', take).once('error', fail).once('close', closed).resume()
  })
}

/** Waits until a condition holds; a test that hangs here is ended by the runner, which names it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2))
}

/** Descriptors and threads of this process. */
export interface Holdings {
  descriptors: number
  threads: number
}

/** What this process holds now. */
export function holdings(): Holdings {
  return { descriptors: readdirSync('/proc/self/fd').length, threads: readdirSync('/proc/self/task').length }
}

/** Waits until this process holds no more than before, collecting garbage meanwhile. */
export async function untilReleased(before: Holdings): Promise<void> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  await until(() => {
    const now = holdings()
    if (now.descriptors <= before.descriptors && now.threads <= before.threads) return true
    collect()
    return false
  })
}

/** The result of a process. */
export interface Ending {
  code: number | null
  signal: NodeJS.Signals | null
  output: string
  milliseconds: number
}

/** Starts a compiled program of `__test__/fixtures`; it is killed when the test ends, should it still run. */
export function start(
  t: ExecutionContext,
  fixture: string,
  args: string[] = [],
  options: { uid?: number; flags?: string[]; env?: NodeJS.ProcessEnv } = {},
): ChildProcess {
  const path = fileURLToPath(new URL(`./fixtures/${fixture}.js`, import.meta.url))
  const { flags = [], ...rest } = options
  const child = spawn(process.execPath, [...flags, path, ...args], { stdio: ['pipe', 'pipe', 'pipe'], ...rest })
  t.teardown(() => void child.kill('SIGKILL'))
  return child
}

/** Waits for the end of a process and answers everything it wrote. */
export async function ending(child: ChildProcess): Promise<Ending> {
  const started = performance.now()
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      output += String(chunk)
    })
  }
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code, signal, output, milliseconds: performance.now() - started }
}
