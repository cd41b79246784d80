// @ts-check
// From single runs to what is reported: per placement, cell and server the medians over the rounds, and the paired ratios
// of the subject to every other server.
import { median, pairedRatio } from './statistics.mjs'

/** @typedef {import('./rounds.mjs').Sample} Sample */
/** @typedef {ReturnType<typeof pairedRatio>} Ratio */
/**
 * @typedef {{ placement: string, cell: string, entry: string, server: string, rounds: number, seconds: number, requestsPerSecond: number, p50Us: number, p99Us: number, p999Us: number,
 *   cpuNs: number, mainThreadNs: number, loadCpuNs: number, serverBusy: number, loadBusy: number, lost: number, cpuRatio: Ratio | null, mainThreadRatio: Ratio | null, requestsRatio: Ratio | null }} Row
 */

const measures = {
  requestsPerSecond: (/** @type {Sample} */ { result }) => result.requests_per_second,
  p50Us: (/** @type {Sample} */ { result }) => (result.latency_ns?.p50 ?? Number.NaN) / 1e3,
  p99Us: (/** @type {Sample} */ { result }) => (result.latency_ns?.p99 ?? Number.NaN) / 1e3,
  p999Us: (/** @type {Sample} */ { result }) => (result.latency_ns?.p999 ?? Number.NaN) / 1e3,
  cpuNs: (/** @type {Sample} */ { result }) => (result.server?.cpu_ns ?? Number.NaN) / result.requests,
  mainThreadNs: (/** @type {Sample} */ { result }) =>
    (result.server?.main_thread_cpu_ns ?? Number.NaN) / result.requests,
  loadCpuNs: (/** @type {Sample} */ { result }) => (result.load_cpu_ns ?? Number.NaN) / result.requests,
  // How long a round was, where the load says so.
  seconds: (/** @type {Sample} */ { result }) => result.seconds ?? Number.NaN,
  // Parts of one CPU's time.
  serverBusy: (/** @type {Sample} */ { result }) => (result.server?.cpu_ns ?? Number.NaN) / 1e9 / (result.seconds ?? 0),
  loadBusy: (/** @type {Sample} */ { result }) => (result.load_cpu_ns ?? Number.NaN) / 1e9 / (result.seconds ?? 0),
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

/** The ratios of one measure, in the rounds that both have. @param {Sample[]} over @param {Sample[]} under @param {(sample: Sample) => number} of */
function ratioOf(over, under, of) {
  const byRound = new Map(over.map((sample) => [sample.round, sample]))
  const pairs = under.flatMap((sample) => {
    const subject = byRound.get(sample.round)
    return subject ? [[of(subject), of(sample)]] : []
  })
  if (pairs.length === 0 || pairs.flat().some((value) => !Number.isFinite(value))) return null
  return pairedRatio(
    pairs.map(([subject]) => subject),
    pairs.map(([, other]) => other),
  )
}

/** @param {Sample[]} samples @param {string} subject @returns {Row[]} */
export function summarize(samples, subject) {
  const groups = grouped(samples, ({ placement, cell, entry }) => [placement, cell, entry].join(' '))
  return [...groups.values()].map((own) => {
    const { placement, cell, entry, server } = own[0]
    const subjects = groups.get([placement, cell, subject].join(' ')) ?? []
    const ratio = (/** @type {keyof typeof measures} */ name) =>
      entry === subject ? null : ratioOf(subjects, own, measures[name])
    const medians = Object.fromEntries(Object.entries(measures).map(([name, of]) => [name, median(own.map(of))]))
    const ratios = {
      cpuRatio: ratio('cpuNs'),
      mainThreadRatio: ratio('mainThreadNs'),
      requestsRatio: ratio('requestsPerSecond'),
    }
    const lost = own.reduce((sum, { result }) => sum + (result.lost ?? 0), 0)
    return /** @type {Row} */ ({ placement, cell, entry, server, rounds: own.length, lost, ...medians, ...ratios })
  })
}
