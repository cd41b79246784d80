// @ts-check
// A picture of how CPU time changes with a quantity: one line per server over a logarithmic scale.
import { placementTitle } from './report.mjs'
import { TWIN } from './rounds.mjs'
import { grouped } from './summary.mjs'
import { colourOf, footerOf, svg, text } from './svg.mjs'

const SIZE = { width: 920, height: 460 }
const AREA = { left: 70, right: 250, top: 66, bottom: 64 }
const LABEL_HEIGHT = 15
const TICKS = 5

/** @typedef {import('./summary.mjs').Row} Row */

/** A round number of about a part of `max`. @param {number} max @param {number} parts */
function step(max, parts) {
  const rough = max / parts
  const power = 10 ** Math.floor(Math.log10(rough))
  return [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough) ?? rough
}

/** Labels beside the ends of the lines, moved apart, the last one no lower than `bottom`. @param {{ y: number, name: string, colour: string }[]} ends @param {number} bottom */
function spread(ends, bottom) {
  const sorted = ends.toSorted((a, b) => a.y - b.y)
  for (let index = 1; index < sorted.length; index++)
    sorted[index].y = Math.max(sorted[index].y, sorted[index - 1].y + LABEL_HEIGHT)
  for (let index = sorted.length - 1, most = bottom; index >= 0; index--, most -= LABEL_HEIGHT)
    sorted[index].y = Math.min(sorted[index].y, most)
  return sorted
}

/**
 * @param {import('./report.mjs').Report} report
 * @param {Omit<Shown<Row>, 'title' | 'subtitle' | 'footer'> & { placement: string, yTitle: string }} shown
 */
export function lines(report, { placement, yTitle, y, ...shown }) {
  const rows = report.summary.filter(
    (row) => row.placement === placement && row.entry !== TWIN && Number.isFinite(y(row)),
  )
  const subtitle = `${yTitle}; ${placementTitle(placement)}`
  return rows.length === 0
    ? undefined
    : drawLines(rows, report.titles, { ...shown, y, title: report.title, subtitle, footer: footerOf(report) })
}

/**
 * What is drawn of a row, and what is said about all.
 * @template Point
 * @typedef {{ x: (cell: string) => number, xTitle: string, xLabel: (cell: string) => string, y: (row: Point) => number, logarithmic: boolean,
 *   title: string, subtitle: string, footer: string }} Shown
 */

/**
 * One line per server through its points.
 * @template {{ server: string, cell: string }} Point
 * @param {Point[]} rows @param {Record<string, string>} titles @param {Shown<Point>} shown
 */
export function drawLines(rows, titles, { x, xTitle, xLabel, y, logarithmic, title, subtitle, footer }) {
  const [xs, ys] = [rows.map((row) => Math.log2(x(row.cell))), rows.map(y)]
  const [xMin, xMax] = [Math.min(...xs), Math.max(...xs)]
  const area = {
    x: AREA.left,
    y: AREA.top,
    width: SIZE.width - AREA.left - AREA.right,
    height: SIZE.height - AREA.top - AREA.bottom,
  }
  const scale = logarithmic ? Math.log2 : (/** @type {number} */ value) => value
  const [yMin, yMax] = [
    logarithmic ? scale(Math.min(...ys)) - 0.2 : 0,
    scale(Math.max(...ys)) + (logarithmic ? 0.2 : 0),
  ]
  const xAt = (/** @type {string} */ cell) => area.x + ((Math.log2(x(cell)) - xMin) / (xMax - xMin || 1)) * area.width
  const yAt = (/** @type {number} */ value) =>
    area.y + area.height - ((scale(value) - yMin) / (yMax - yMin || 1)) * area.height

  const values = logarithmic
    ? Array.from({ length: 24 }, (_, index) => 2 ** (index - 8)).filter(
        (value) => scale(value) > yMin && scale(value) < yMax,
      )
    : Array.from({ length: TICKS + 2 }, (_, index) => index * step(yMax, TICKS)).filter((value) => value <= yMax)
  const grid = values.map((value) => {
    const at = yAt(value).toFixed(1)
    return `<line class="grid" x1="${area.x}" x2="${area.x + area.width}" y1="${at}" y2="${at}"/>${text(area.x - 8, Number(at) + 4, String(Number(value.toPrecision(3))), 'text-anchor="end"')}`
  })
  const cells = [...new Set(rows.map((row) => row.cell))]
  const columns = cells.map((cell) => text(xAt(cell), area.y + area.height + 18, xLabel(cell), 'text-anchor="middle"'))
  const inOrder = rows.toSorted((a, b) => x(a.cell) - x(b.cell))
  const series = [...grouped(inOrder, (row) => row.server)]
  const drawn = series.map(([server, points], index) => {
    const colour = colourOf(server, index)
    const at = points.map((row) => `${xAt(row.cell).toFixed(1)},${yAt(y(row)).toFixed(1)}`)
    const dots = at.map(
      (place) => `<circle cx="${place.split(',')[0]}" cy="${place.split(',')[1]}" r="3" fill="${colour}"/>`,
    )
    return `<polyline points="${at.join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>${dots.join('')}`
  })
  const ends = series.map(([server, points], index) => ({
    y: yAt(y(points[points.length - 1])) + 4,
    name: titles[server],
    colour: colourOf(server, index),
  }))
  const labels = spread(ends, area.y + area.height).map(({ y: at, name, colour }) =>
    text(area.x + area.width + 12, at, name, `style="fill:${colour}"`),
  )
  return svg({
    ...SIZE,
    title,
    subtitle,
    footer,
    body: [
      ...grid,
      ...columns,
      text(area.x + area.width / 2, area.y + area.height + 38, xTitle, 'text-anchor="middle"'),
      ...drawn,
      ...labels,
    ],
  })
}
