// @ts-check
// The result as a Markdown page: one table per placement and cell. It computes nothing.
import { grouped } from './summary.mjs'

/** @typedef {import('./summary.mjs').Row} Row */
/**
 * @typedef {{ environment: { date: string, kernel: string, cpu: string, versions: Record<string, string> }, plan: { scheduler: string, seconds: number },
 *   subject: string, titles: Record<string, string>, missing: Record<string, string>, summary: Row[] }} Result
 */

const number = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const micro = (/** @type {number} */ value) => (value < 10 ? value.toFixed(1) : number.format(value))
const nano = (/** @type {number} */ value) => number.format(value)
/** Nothing is said against a main thread that did nothing. */
const ratio = (/** @type {Row['cpuRatio']} */ value) =>
  value === null || !Number.isFinite(value.ratio)
    ? ''
    : `${value.ratio.toFixed(3)} (${value.low.toFixed(3)} – ${value.high.toFixed(3)})`

export const placementTitle = (/** @type {string} */ placement) =>
  placement === 'one' ? 'server and load on one CPU' : 'server and load on a CPU each'

/** @param {string} id */
export function cellTitle(id) {
  const [connections, size, pipeline] = id.split('x').map(Number)
  const bytes = size % 1024 === 0 ? `${size / 1024} KiB` : `${size} B`
  return `${connections} ${connections === 1 ? 'connection' : 'connections'} × ${bytes}${pipeline === 1 ? '' : `, ${pipeline} pipelined`}`
}

/** @param {Result} result @param {Row[]} rows */
function table({ subject, titles }, rows) {
  const head = ['Server', 'requests/s', 'p50 µs', 'p99 µs', 'p99.9 µs', 'CPU ns/request', 'main thread', 'load']
  const heading = [...head, 'CPU: subject ÷ this', 'main thread: subject ÷ this', 'requests/s: subject ÷ this']
  const lines = rows.map((row) => {
    const title = row.entry === 'twin' ? `*A/A: ${titles[subject]} again*` : titles[row.server]
    const name = row.entry === subject ? `**${title}**` : title
    const latencies = [row.p50Us, row.p99Us, row.p999Us].map(micro)
    const cpu = [row.cpuNs, row.mainThreadNs, row.loadCpuNs].map(nano)
    return [
      name,
      number.format(row.requestsPerSecond),
      ...latencies,
      ...cpu,
      ratio(row.cpuRatio),
      ratio(row.mainThreadRatio),
      ratio(row.requestsRatio),
    ]
  })
  const align = heading.map((_, column) => (column === 0 ? '---' : '---:'))
  return [heading, align, ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** @param {Result} result */
export function markdown(result) {
  const { environment, plan, subject, titles, missing, summary } = result
  const versions = Object.entries(environment.versions).map(([id, version]) => `${titles[id]} ${version}`)
  const parts = [
    '# Echo benchmark',
    `${environment.date}; Linux ${environment.kernel}; ${environment.cpu}; ${versions.join('; ')}. Policy SCHED_${plan.scheduler.toUpperCase()}; ` +
      `${plan.seconds} s per server and round, rounds interleaved; medians. Ratios are medians of the paired rounds with their 95 % bootstrap interval; ` +
      `the A/A row is the subject (${titles[subject]}) against a second process of itself, and says what this run can resolve.`,
  ]
  for (const [id, why] of Object.entries(missing))
    parts.push(`Not measured, because it could not be built: ${id} (${why.replace(/\/\S*\//g, '')}).`)
  for (const rows of grouped(summary, ({ placement, cell }) => `${placement} ${cell}`).values()) {
    const [{ placement, cell, rounds }] = rows
    parts.push(`## ${cellTitle(cell)}: ${placementTitle(placement)}`, `${rounds} rounds.`, table(result, rows))
  }
  return `${parts.join('\n\n')}\n`
}
