// @ts-check
// From single runs to what is reported: per placement, cell and server the medians over the rounds, and the paired ratios
// of the subject to every other server.
import { median, pairedRatio } from './statistics.mjs'

/** @typedef {import('./run.mjs').Sample} Sample */
/** @typedef {ReturnType<typeof pairedRatio>} Ratio */
/**
 * @typedef {{ placement: string, cell: string, entry: string, server: string, rounds: number, requestsPerSecond: number, p50Us: number, p99Us: number, p999Us: number,
 *   cpuNs: number, mainThreadNs: number, loadCpuNs: number, cpuRatio: Ratio | null, mainThreadRatio: Ratio | null, requestsRatio: Ratio | null }} Row
 */

const measures = {
  requestsPerSecond: (/** @type {Sample} */ { result }) => result.requests_per_second,
  p50Us: (/** @type {Sample} */ { result }) => result.latency_ns.p50 / 1e3,
  p99Us: (/** @type {Sample} */ { result }) => result.latency_ns.p99 / 1e3,
  p999Us: (/** @type {Sample} */ { result }) => result.latency_ns.p999 / 1e3,
  cpuNs: (/** @type {Sample} */ { result }) => (result.server?.cpu_ns ?? Number.NaN) / result.requests,
  mainThreadNs: (/** @type {Sample} */ { result }) =>
    (result.server?.main_thread_cpu_ns ?? Number.NaN) / result.requests,
  loadCpuNs: (/** @type {Sample} */ { result }) => result.load_cpu_ns / result.requests,
}

/**
 * The values by their key, in the order of first appearance.
 * @template T @param {T[]} values @param {(value: T) => string} key @returns {Map<string, T[]>}
 */
export function grouped(values, key) {
  /** @type {Map<string, T[]>} */
  const groups = new Map()
  for (const value of values) {
    const group = groups.get(key(value))
    if (group) group.push(value)
    else groups.set(key(value), [value])
  }
  return groups
}

/** @param {Sample[]} samples @param {string} subject @returns {Row[]} */
export function summarize(samples, subject) {
  const groups = grouped(samples, ({ placement, cell, entry }) => [placement, cell, entry].join(' '))
  return [...groups.values()].map((own) => {
    const { placement, cell, entry, server } = own[0]
    const subjects = /** @type {Sample[]} */ (groups.get([placement, cell, subject].join(' ')))
    const ratio = (/** @type {keyof typeof measures} */ name) =>
      entry === subject ? null : pairedRatio(subjects.map(measures[name]), own.map(measures[name]))
    const medians = Object.fromEntries(Object.entries(measures).map(([name, of]) => [name, median(own.map(of))]))
    const ratios = {
      cpuRatio: ratio('cpuNs'),
      mainThreadRatio: ratio('mainThreadNs'),
      requestsRatio: ratio('requestsPerSecond'),
    }
    return /** @type {Row} */ ({ placement, cell, entry, server, rounds: own.length, ...medians, ...ratios })
  })
}
