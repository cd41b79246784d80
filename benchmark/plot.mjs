// @ts-check
// The result as a picture: for every cell a group of bars, the server's CPU time per request, split into its main thread
// (JavaScript, where there is any) and its other threads. Hand-written SVG that reads well on light and on dark ground.
import { cellTitle, placementTitle } from './report.mjs'
import { grouped } from './summary.mjs'

const COLUMNS_MAX = 3
const PANEL = { width: 424, left: 152, right: 70, top: 34, bar: 14, gap: 7, bottom: 20 }
/** Of a picture with a single panel. */
const WIDTH_ALONE = 640
const HEADER = 62
const FOOTER = 24

// Mid tones only: they hold their contrast on white and on black, with or without style support in the viewer.
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #768390 }
  .title { font-size: 16px; font-weight: 600 }
  .cell { font-weight: 600 }
  .js { fill: #bf8700 }
  .native { fill: #2f81f7 }
  .axis { stroke: #768390; stroke-width: 1 }`

const escapeText = (/** @type {string} */ text) => text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`)
const microseconds = (/** @type {number} */ ns) => `${(ns / 1e3).toFixed(2)} µs`

/** @typedef {import('./summary.mjs').Row} Row */

/** @param {Row[]} rows @param {Record<string, string>} titles @param {{ x: number, y: number, width: number }} at @param {Set<string>} javascript */
function panel(rows, titles, { x, y, width }, javascript) {
  const longest = Math.max(...rows.map((row) => row.cpuNs))
  const scale = (width - PANEL.left - PANEL.right) / longest
  const bars = rows.map((row, index) => {
    const top = PANEL.top + index * (PANEL.bar + PANEL.gap)
    const js = javascript.has(row.server) ? Math.min(row.mainThreadNs, row.cpuNs) * scale : 0
    const all = row.cpuNs * scale
    const baseline = top + PANEL.bar - 3
    return [
      `<text x="${PANEL.left - 8}" y="${baseline}" text-anchor="end">${escapeText(titles[row.server])}</text>`,
      `<rect class="js" x="${PANEL.left}" y="${top}" width="${js.toFixed(1)}" height="${PANEL.bar}"/>`,
      `<rect class="native" x="${(PANEL.left + js).toFixed(1)}" y="${top}" width="${(all - js).toFixed(1)}" height="${PANEL.bar}"/>`,
      `<text x="${(PANEL.left + all + 6).toFixed(1)}" y="${baseline}">${microseconds(row.cpuNs)}</text>`,
    ].join('')
  })
  const bottom = PANEL.top + rows.length * (PANEL.bar + PANEL.gap)
  const axis = `<line class="axis" x1="${PANEL.left}" x2="${PANEL.left}" y1="${PANEL.top - 4}" y2="${bottom}"/>`
  return `<g transform="translate(${x} ${y})"><text class="cell" x="${PANEL.left - 8}" y="20">${escapeText(cellTitle(rows[0].cell))}</text>${axis}${bars.join('')}</g>`
}

/** @param {import('./report.mjs').Result} result @param {string} placement */
export function plot({ environment, titles, summary }, placement) {
  const shown = summary.filter((row) => row.placement === placement && row.entry !== 'twin')
  const groups = [...grouped(shown, (row) => row.cell).values()]
  const javascript = new Set(['ringline', 'node', 'bun', 'deno'])
  const columns = Math.min(COLUMNS_MAX, groups.length)
  const width = columns === 1 ? WIDTH_ALONE : PANEL.width
  const height = PANEL.top + Math.max(...groups.map((rows) => rows.length)) * (PANEL.bar + PANEL.gap) + PANEL.bottom
  // A column per number of connections: cells come ordered by it.
  const perColumn = Math.ceil(groups.length / columns)
  const panels = groups.map((rows, index) =>
    panel(
      rows,
      titles,
      { x: Math.floor(index / perColumn) * width, y: HEADER + (index % perColumn) * height, width },
      javascript,
    ),
  )
  const size = { width: columns * width, height: HEADER + perColumn * height + FOOTER }
  const key = [
    ['js', 'JavaScript thread'],
    ['native', 'other threads'],
  ].map(
    ([name, text], index) =>
      `<rect class="${name}" x="${16 + index * 150}" y="40" width="12" height="12"/><text x="${34 + index * 150}" y="50">${text}</text>`,
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" width="${size.width}" height="${size.height}" role="img">
<title>Server CPU time per echoed request</title>
<style>${STYLE}
</style>
<text class="title" x="16" y="24">Server CPU time per echoed request</text>
${key.join('')}<text x="${34 + 300}" y="50">${escapeText(placementTitle(placement))}</text>
<text x="16" y="${size.height - 8}">${escapeText(`Linux ${environment.kernel.split('-')[0]}, ${environment.date}; median of the rounds; less is better`)}</text>
${panels.join('\n')}
</svg>
`
}
