// @ts-check
// What a run leaves in `results/`: per family every single run as JSON, a page with tables, and pictures, under names that stay.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'

import { markdown } from './report.mjs'
import { summarize } from './summary.mjs'

const folder = new URL('../results/', import.meta.url)

/** @typedef {import('./rounds.mjs').Sample} Sample */
/** @typedef {{ name: string, draw: (report: import('./report.mjs').Report) => string | undefined }} Picture */

/** One line per run, so that a file of hundreds of them stays readable. @param {object} report @param {object[]} samples */
function json(report, samples) {
  const lines = samples.map((sample) => `  ${JSON.stringify(sample)}`)
  return `${JSON.stringify(report, null, 1).slice(0, -2)},\n "samples": [\n${lines.join(',\n')}\n ]\n}\n`
}

/**
 * What was measured of a family.
 * @typedef {{ family: import('./rounds.mjs').Family<any>, servers: import('./build.mjs').Server[], cells: import('./rounds.mjs').Cell[],
 *   plan: import('./rounds.mjs').Plan, samples: Sample[], failures: import('./rounds.mjs').Failures }} Measured
 */

/** @typedef {ReturnType<typeof environment>} Environment */
/** When and on what this is measured. */
export const environment = () => ({
  date: new Date().toISOString().slice(0, 10),
  kernel: release(),
  cpu: `${cpus()[0].model.trim()}, ${cpus().length} CPUs`,
})

/** Writes a file of results. @param {string} file @param {string} content */
export function write(file, content) {
  mkdirSync(folder, { recursive: true })
  writeFileSync(new URL(file, folder), content)
}

/** @param {Measured} measured */
function reportOf({ family, servers, cells, plan, failures }) {
  return {
    family: family.id,
    title: family.title,
    unit: family.unit,
    notes: family.notes ?? [],
    environment: environment(),
    versions: Object.fromEntries(servers.flatMap((server) => (server.version ? [[server.id, server.version()]] : []))),
    plan,
    subject: family.subject,
    titles: Object.fromEntries(servers.map((server) => [server.id, server.title])),
    cells: Object.fromEntries(cells.map(({ id, title }) => [id, title])),
    javascript: servers.filter((server) => server.mainThreadIsJs).map(({ id }) => id),
    failures,
  }
}

/**
 * Joins a run and the one before it, of which only the cells and placements are kept that were not measured anew.
 * @param {string} name @param {ReturnType<typeof reportOf>} report @param {Sample[]} samples
 */
function joined(name, report, samples) {
  const file = new URL(`${name}.json`, folder)
  if (!existsSync(file)) return { report, samples }
  const before = JSON.parse(readFileSync(file, 'utf8'))
  const key = (/** @type {Sample} */ { placement, cell }) => `${placement} ${cell}`
  const anew = new Set(samples.map(key))
  const kept = before.samples.filter((/** @type {Sample} */ sample) => !anew.has(key(sample)))
  const both = {
    ...report,
    versions: { ...before.versions, ...report.versions },
    titles: { ...before.titles, ...report.titles },
    cells: { ...before.cells, ...report.cells },
    failures: { ...before.failures, ...report.failures },
    javascript: [...new Set([...before.javascript, ...report.javascript])],
  }
  const order = Object.keys(both.cells)
  const inOrder = [...kept, ...samples].toSorted(
    (a, b) => a.placement.localeCompare(b.placement) || order.indexOf(a.cell) - order.indexOf(b.cell),
  )
  return { report: both, samples: inOrder }
}

/**
 * Writes the result of a family and answers its page.
 * @param {Measured} measured @param {string} name of the files @param {boolean} add whether what they have of other cells stays
 */
export function writeResult(measured, name, add) {
  const alone = { report: reportOf(measured), samples: measured.samples }
  const { report: told, samples } = add ? joined(name, alone.report, alone.samples) : alone
  const report = { ...told, summary: summarize(samples, told.subject) }
  const pictures = measured.family.pictures.flatMap((picture) => {
    const drawn = picture.draw(report)
    if (drawn === undefined) return []
    write(`${name}-${picture.name}.svg`, drawn)
    return [`${name}-${picture.name}.svg`]
  })
  const page = markdown(report, pictures)
  write(`${name}.json`, json(report, samples))
  write(`${name}.md`, page)
  return page
}
