// @ts-check
// Starts and ends the processes of a measurement: a server on its CPU, the load on its own, or a process that measures itself. Every
// process started here is ended here, by its own id.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

import { buildRust, rustProgram } from './build.mjs'

const START_TIMEOUT_MS = 15_000
const STOP_TIMEOUT_MS = 3_000
const TASK_TIMEOUT_MS = 120_000
const COMPLAINT_CHARS_MAX = 4000

/**
 * @typedef {{ cpu: number | null, scheduler: 'batch' | 'other' }} Place
 * @typedef {{ port: number, pid: number, stop: () => Promise<void> }} Running
 * @typedef {{ pid: number, run: (task: any) => Promise<Result>, stop: () => Promise<void> }} Worker
 * @typedef {{ requests: number, requests_per_second: number, latency_ns: { p50: number, p99: number, p999: number } | null, load_cpu_ns?: number, seconds?: number,
 *   verified_bytes?: number, lost?: number, server: { cpu_ns: number, main_thread_cpu_ns: number } | null }} Result
 * @typedef {Result & { latency_ns: { p50: number, p99: number, p999: number }, connections: number, size: number | 'random', seconds: number, verified_bytes: number, load_cpu_ns: number }} LoadResult
 */

/** Places without a CPU or a policy of their own. @type {Place} */
export const ANYWHERE = { cpu: null, scheduler: 'other' }

/**
 * Why SCHED_BATCH: with load and server on one CPU under the default policy, half of a known amount of work in the server
 * was charged to the load. Under SCHED_BATCH wake-ups do not preempt, and the same work was charged to the server alone
 * (README.md, "Whose CPU time").
 * @param {string[]} command @param {Place} place
 */
export function placed(command, { cpu, scheduler }) {
  const pinned = cpu === null ? command : ['taskset', '-c', String(cpu), ...command]
  return scheduler === 'batch' ? ['chrt', '--batch', '0', ...pinned] : pinned
}

/** A process whose lines are objects, and the first of them. @param {string[]} command @param {Place} place */
async function startLines(command, place) {
  const [file, ...args] = placed(command, place)
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (chunk) => (complaint = (complaint + chunk).slice(-COMPLAINT_CHARS_MAX)))
  // A process that has ended takes no more tasks; that it has is told by `ended`.
  child.stdin.on('error', () => {})
  const name = command.at(-1)
  /** @type {Promise<never>} */
  const ended = new Promise((_, reject) => {
    child.once('error', (error) => reject(new Error(`${name} cannot be started: ${error.message}`)))
    child.once('close', (code, signal) =>
      reject(new Error(`${name} ended (${signal ?? `exit code ${code}`})\n${complaint}`.trim())),
    )
  })
  const closed = ended.catch(() => {})
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (/** @type {number} */ timeoutMs) => {
    let timer
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${name} said nothing for ${timeoutMs} ms`)), timeoutMs)
    })
    try {
      const line = await Promise.race([lines.next().then(({ value, done }) => (done ? ended : value)), ended, late])
      return JSON.parse(line)
    } finally {
      clearTimeout(timer)
    }
  }
  const stop = async () => {
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await closed
    clearTimeout(timer)
  }
  try {
    const first = await next(START_TIMEOUT_MS)
    return {
      first,
      next,
      stop,
      write: (/** @type {object} */ task) => void child.stdin.write(`${JSON.stringify(task)}\n`),
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Resolves when the server listens. @param {string[]} command @param {Place} place @returns {Promise<Running>} */
export async function startServer(command, place) {
  const { first, stop } = await startLines(command, place)
  return { ...first, stop }
}

/** Resolves when the process takes tasks; see task.mjs. @param {string[]} command @param {Place} place @returns {Promise<Worker>} */
export async function startWorker(command, place) {
  const { first, next, write, stop } = await startLines(command, place)
  const run = (/** @type {object} */ task) => {
    write(task)
    return next(TASK_TIMEOUT_MS)
  }
  return { ...first, run, stop }
}

export const buildLoad = () => buildRust('ringline-load')

/** Runs the load to its end. Rejects with its complaint, a wrong byte for instance. @param {(string | number)[]} options @param {Place} place @returns {Promise<LoadResult>} */
export function runLoad(options, place) {
  const [file, ...args] = placed([rustProgram('ringline-load'), ...options.map(String)], place)
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let complaint = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stderr.on('data', (chunk) => (complaint += chunk))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve(JSON.parse(output)) : reject(new Error(complaint.trim() || `load ended with ${code}`)),
    )
  })
}
