// @ts-check
// What runs inside a process that measures itself: it takes tasks as lines of JSON on standard input and answers each
// with a line of JSON, the CPU time that it took included. It must run on Node and on Bun, and imports nothing of the harness.
import { readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

/** CPU time of a thread in nanoseconds. @param {string} thread */
const schedstat = (thread) => Number(readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8').split(' ')[0])

/** CPU time in nanoseconds: of all living threads, and of the one that runs JavaScript. */
function cpuNs() {
  let all = 0
  for (const thread of readdirSync('/proc/self/task')) {
    try {
      all += schedstat(thread)
    } catch {
      // The thread has ended meanwhile.
    }
  }
  return { all, main: schedstat(String(process.pid)) }
}

/** The value below which a part of the values lies. @param {Float64Array} sorted @param {number} part */
const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]

/** @param {number[]} values in nanoseconds */
export function latency(values) {
  const sorted = Float64Array.from(values).sort()
  return { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), p999: quantile(sorted, 0.999) }
}

/** How many operations there were, and how many per second. @param {number} requests @param {number} began of `performance.now()` */
export const counted = (requests, began) => ({
  requests,
  requests_per_second: requests / ((performance.now() - began) / 1e3),
})

/**
 * Carries out tasks until standard input ends.
 * @template T @param {(task: T) => Promise<{ requests: number, requests_per_second: number, latency_ns: ReturnType<typeof latency> | null }>} run
 */
export async function serveTasks(run) {
  console.log(JSON.stringify({ pid: process.pid }))
  for await (const line of createInterface({ input: process.stdin })) {
    const before = cpuNs()
    const result = await run(JSON.parse(line))
    const after = cpuNs()
    const server = { cpu_ns: after.all - before.all, main_thread_cpu_ns: after.main - before.main }
    console.log(JSON.stringify({ ...result, server }))
  }
  process.exit(0)
}
