// @ts-check
// A picture of CPU time: for every cell a group of bars, each split into the thread that runs JavaScript and all others.
import { placementTitle } from './report.mjs'
import { TWIN } from './rounds.mjs'
import { grouped } from './summary.mjs'
import { footerOf, svg, text } from './svg.mjs'

const COLUMNS_MAX = 3
const PANEL = { width: 424, left: 176, right: 70, top: 34, bar: 14, gap: 7, bottom: 20 }
/** Of a picture with a single panel. */
const WIDTH_ALONE = 640
const HEADER = 86
const FOOTER = 24
const JS = '#bf8700'
const NATIVE = '#2f81f7'

const microseconds = (/** @type {number} */ ns) => `${(ns / 1e3).toFixed(2)} µs`

/** @typedef {import('./summary.mjs').Row} Row */
/** @typedef {import('./report.mjs').Report} Report */

/** @param {Report} report @param {Row[]} rows @param {{ x: number, y: number, width: number }} at */
function panel({ titles, cells, javascript }, rows, { x, y, width }) {
  const scale = (width - PANEL.left - PANEL.right) / Math.max(...rows.map((row) => row.cpuNs))
  const bars = rows.map((row, index) => {
    const top = PANEL.top + index * (PANEL.bar + PANEL.gap)
    const js = javascript.includes(row.server) ? Math.min(row.mainThreadNs, row.cpuNs) * scale : 0
    const all = row.cpuNs * scale
    const bar = (/** @type {number} */ from, /** @type {number} */ to, /** @type {string} */ colour) =>
      `<rect x="${(PANEL.left + from).toFixed(1)}" y="${top}" width="${(to - from).toFixed(1)}" height="${PANEL.bar}" fill="${colour}"/>`
    return [
      text(PANEL.left - 8, top + PANEL.bar - 3, titles[row.server], 'text-anchor="end"'),
      bar(0, js, JS),
      bar(js, all, NATIVE),
      text(PANEL.left + all + 6, top + PANEL.bar - 3, microseconds(row.cpuNs)),
    ].join('')
  })
  const bottom = PANEL.top + rows.length * (PANEL.bar + PANEL.gap)
  const axis = `<line class="axis" x1="${PANEL.left}" x2="${PANEL.left}" y1="${PANEL.top - 4}" y2="${bottom}"/>`
  const heading = text(PANEL.left - 8, 20, cells[rows[0].cell], 'class="strong"')
  return `<g transform="translate(${x} ${y})">${heading}${axis}${bars.join('')}</g>`
}

/** @param {Report} report @param {{ placement: string, cells?: string[] }} shown */
export function bars(report, { placement, cells }) {
  const rows = report.summary.filter(
    (row) =>
      row.placement === placement &&
      row.entry !== TWIN &&
      Number.isFinite(row.cpuNs) &&
      (!cells || cells.includes(row.cell)),
  )
  if (rows.length === 0) return undefined
  const groups = [...grouped(rows, (row) => row.cell).values()]
  const columns = Math.min(COLUMNS_MAX, groups.length)
  const width = columns === 1 ? WIDTH_ALONE : PANEL.width
  const height = PANEL.top + Math.max(...groups.map((group) => group.length)) * (PANEL.bar + PANEL.gap) + PANEL.bottom
  const perColumn = Math.ceil(groups.length / columns)
  const panels = groups.map((group, index) =>
    panel(report, group, { x: Math.floor(index / perColumn) * width, y: HEADER + (index % perColumn) * height, width }),
  )
  const key = [
    [JS, 'JavaScript thread'],
    [NATIVE, 'other threads'],
  ].map(
    ([colour, name], index) =>
      `<rect x="${16 + index * 150}" y="58" width="12" height="12" fill="${colour}"/>${text(34 + index * 150, 68, name)}`,
  )
  return svg({
    width: columns * width,
    height: HEADER + perColumn * height + FOOTER,
    title: `CPU time per ${report.unit}`,
    subtitle: `${report.title}, ${placementTitle(placement)}`,
    footer: footerOf(report),
    body: [...key, ...panels],
  })
}
