// @ts-check
// What a process holds, read from /proc: resident memory, descriptors, threads, CPU time. It only looks.
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 50

/** @typedef {{ residentBytes: number, descriptors: number, threads: number, cpuNs: number }} Vitals */

/** @param {number} pid @returns {number} */
function residentBytes(pid) {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kibibytes) * 1024
}

/** CPU time of all living threads, from the scheduler. @param {number} pid */
function cpuNs(pid) {
  const threads = readdirSync(`/proc/${pid}/task`)
  const used = threads.map((id) => Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ')[0]))
  return used.reduce((sum, ns) => sum + ns, 0)
}

/** @param {number} pid @returns {Vitals} */
export function vitals(pid) {
  return {
    residentBytes: residentBytes(pid),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: readdirSync(`/proc/${pid}/task`).length,
    cpuNs: cpuNs(pid),
  }
}

/** The first vitals of which `holds` is true, or the last ones when the time is up. @param {number} pid @param {(now: Vitals) => boolean} holds @param {number} timeoutMs */
export async function vitalsOnce(pid, holds, timeoutMs) {
  const end = Date.now() + timeoutMs
  for (;;) {
    const now = vitals(pid)
    if (holds(now) || Date.now() > end) return now
    await sleep(POLL_MS)
  }
}

/** @param {number} bytes */
export const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`
