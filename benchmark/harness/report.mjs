// @ts-check
// The result of a family as a Markdown page: one table per placement and cell. It computes nothing.
import { TWIN } from './rounds.mjs'
import { grouped } from './summary.mjs'

/** @typedef {import('./summary.mjs').Row} Row */
/**
 * What a run of a family leaves.
 * @typedef {{ family: string, title: string, unit: string, notes: string[], environment: { date: string, kernel: string, cpu: string },
 *   versions: Record<string, string>, plan: import('./rounds.mjs').Plan, subject: string, titles: Record<string, string>, cells: Record<string, string>,
 *   javascript: string[], failures: Record<string, string>, summary: Row[] }} Report
 */

const number = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const micro = (/** @type {number} */ value) =>
  Number.isFinite(value) ? (Math.abs(value) < 10 ? value.toFixed(2) : number.format(value)) : ''
const nano = (/** @type {number} */ value) => (Number.isFinite(value) ? number.format(value) : '')
const percent = (/** @type {number} */ value) => (Number.isFinite(value) ? `${number.format(100 * value)} %` : '')
/** Nothing is said against a main thread that did nothing. */
export const ratio = (/** @type {Row['cpuRatio']} */ value) =>
  value === null || !Number.isFinite(value.ratio)
    ? ''
    : `${value.ratio.toFixed(2)} (${value.low.toFixed(2)} – ${value.high.toFixed(2)})`

const PLACEMENTS = /** @type {Record<string, string>} */ ({
  one: 'everything on one CPU',
  two: 'server and load on a CPU each',
  any: 'on whichever CPU',
})
export const placementTitle = (/** @type {string} */ placement) => PLACEMENTS[placement]

/** @param {Report} report @param {Row[]} rows */
function table({ subject, titles, unit, javascript }, rows) {
  const columns = /** @type {[string, (row: Row) => string][]} */ ([
    [
      '',
      (row) =>
        row.entry === TWIN
          ? `_A/A: ${titles[subject]} again_`
          : row.entry === subject
            ? `**${titles[row.server]}**`
            : titles[row.server],
    ],
    [`${unit}s/s`, (row) => number.format(row.requestsPerSecond)],
    ['p50 µs', (row) => micro(row.p50Us)],
    ['p99 µs', (row) => micro(row.p99Us)],
    ['p99.9 µs', (row) => micro(row.p999Us)],
    [`CPU ns/${unit}`, (row) => nano(row.cpuNs)],
    ['on the JS thread', (row) => (javascript.includes(row.server) ? nano(row.mainThreadNs) : '')],
    ['load', (row) => nano(row.loadCpuNs)],
    // With a CPU each, who is at its limit says what was measured.
    ['server busy', (row) => (row.placement === 'two' ? percent(row.serverBusy) : '')],
    ['load busy', (row) => (row.placement === 'two' ? percent(row.loadBusy) : '')],
    ['lost', (row) => number.format(row.lost)],
    [`CPU: ${titles[subject]} ÷ this`, (row) => ratio(row.cpuRatio)],
    ['JS thread: ÷ this', (row) => (javascript.includes(row.server) ? ratio(row.mainThreadRatio) : '')],
    [`${unit}s/s: ÷ this`, (row) => ratio(row.requestsRatio)],
  ])
  // A column that nothing stands in is left out.
  const used = columns.filter(([name, of]) =>
    rows.some((row) => of(row) !== '' && !(name === 'lost' && row.lost === 0 && !rows.some(({ lost }) => lost > 0))),
  )
  const align = used.map((_, column) => (column === 0 ? '---' : '---:'))
  const lines = rows.map((row) => used.map(([, of]) => of(row)))
  return [used.map(([name]) => name), align, ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** @param {Report} report @param {string[]} pictures names of files beside the page */
export function markdown(report, pictures) {
  const { title, notes, environment, versions, plan, subject, titles, cells, failures, summary } = report
  const said = Object.entries(versions).map(([id, version]) => `${titles[id]} ${version}`)
  const parts = [
    `# ${title}`,
    `${[environment.date, `Linux ${environment.kernel}`, environment.cpu, ...said].join('; ')}. Policy SCHED_${plan.scheduler.toUpperCase()}; ` +
      'rounds interleaved; medians. Ratios are medians of the paired rounds with their 95 % bootstrap interval; ' +
      `the A/A row is the subject (${titles[subject]}) against a second process of itself, and says what this run can resolve.`,
    ...notes,
  ]
  for (const picture of pictures) parts.push(`![${title}](${picture})`)
  for (const [what, why] of Object.entries(failures))
    parts.push(`Not measured: ${what} (${why.replace(/\/\S*\//g, '')}).`)
  for (const rows of grouped(summary, ({ placement, cell }) => `${placement} ${cell}`).values()) {
    const [{ placement, cell, rounds, seconds }] = rows
    parts.push(
      `## ${cells[cell]}: ${placementTitle(placement)}`,
      `${rounds} ${rounds === 1 ? 'round' : 'rounds'} of ${Number((seconds || plan.seconds).toFixed(1))} s per entry.`,
      table(report, rows),
    )
  }
  return `${parts.join('\n\n')}\n`
}
