// @ts-check
// Starts and ends the processes of a measurement: a server on its CPU, the load on its own. Every process started here
// is ended here, by its own id.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

import { loadCommand } from './servers.mjs'

const START_TIMEOUT_MS = 15_000
const STOP_TIMEOUT_MS = 3_000

/**
 * @typedef {{ cpu: number | null, scheduler: 'batch' | 'other' }} Place
 * @typedef {{ port: number, pid: number, stop: () => Promise<void> }} Running
 * @typedef {{ connections: number, size: number | 'random', pipeline: number, rate: number | null, seconds: number, requests: number,
 *   requests_per_second: number, latency_ns: Record<'mean' | 'p50' | 'p99' | 'p999' | 'max', number>, verified_bytes: number, load_cpu_ns: number,
 *   server: { cpu_ns: number, cpu_ns_of_live_threads: number, main_thread_cpu_ns: number, threads: number } | null }} LoadResult
 */

/**
 * Why SCHED_BATCH: with load and server on one CPU under the default policy, half of a known amount of work in the server
 * was charged to the load. Under SCHED_BATCH wake-ups do not preempt, and the same work was charged to the server alone
 * (README.md, "Whose CPU time").
 * @param {string[]} command @param {Place} place
 */
function placed(command, { cpu, scheduler }) {
  const pinned = cpu === null ? command : ['taskset', '-c', String(cpu), ...command]
  return scheduler === 'batch' ? ['chrt', '--batch', '0', ...pinned] : pinned
}

/** Resolves when the server listens. @param {string[]} command @param {Place} place @returns {Promise<Running>} */
export function startServer(command, place) {
  const [file, ...args] = placed(command, place)
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (chunk) => (complaint = (complaint + chunk).slice(-4000)))
  const ended = new Promise((resolve) => child.once('close', resolve))
  const stop = async () => {
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await ended
    clearTimeout(timer)
  }
  return new Promise((resolve, reject) => {
    const fail = (/** @type {string} */ why) => {
      clearTimeout(timer)
      reject(new Error(`${command.at(-1)} ${why}\n${complaint}`.trim()))
    }
    const timer = setTimeout(
      () => stop().then(() => fail(`did not listen within ${START_TIMEOUT_MS} ms`)),
      START_TIMEOUT_MS,
    )
    child.once('error', (error) => fail(`cannot be started: ${error.message}`))
    child.once('close', (code, signal) => fail(`ended before it listened (${signal ?? `exit code ${code}`})`))
    createInterface({ input: child.stdout }).once('line', (line) => {
      clearTimeout(timer)
      resolve({ ...JSON.parse(line), stop })
    })
  })
}

/** Runs the load to its end. Rejects with its complaint, a wrong byte for instance. @param {(string | number)[]} options @param {Place} place @returns {Promise<LoadResult>} */
export function runLoad(options, place) {
  const [file, ...args] = placed([loadCommand(), ...options.map(String)], place)
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
