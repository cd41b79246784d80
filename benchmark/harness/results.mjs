// @ts-check
// What a run leaves in `results/`: per family every single run as JSON, a page with tables, and pictures, under names that stay.
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'

import { markdown } from './report.mjs'
import { summarize } from './summary.mjs'

const folder = new URL('../results/', import.meta.url)

/** @typedef {{ name: string, draw: (report: import('./report.mjs').Report) => string | undefined }} Picture */

/** One line per run, so that a file of hundreds of them stays readable. @param {object} report @param {object[]} samples */
function json(report, samples) {
  const lines = samples.map((sample) => `  ${JSON.stringify(sample)}`)
  return `${JSON.stringify(report, null, 1).slice(0, -2)},\n "samples": [\n${lines.join(',\n')}\n ]\n}\n`
}

/**
 * Writes the result of a family and answers its page.
 * @param {import('./rounds.mjs').Family<any>} family @param {import('./build.mjs').Server[]} servers @param {import('./rounds.mjs').Cell[]} cells
 * @param {import('./rounds.mjs').Plan} plan @param {import('./rounds.mjs').Sample[]} samples @param {Record<string, string>} failures @param {string} name
 */
export function writeResult(family, servers, cells, plan, samples, failures, name) {
  const report = {
    family: family.id,
    title: family.title,
    unit: family.unit,
    notes: family.notes ?? [],
    environment: {
      date: new Date().toISOString().slice(0, 10),
      kernel: release(),
      cpu: `${cpus()[0].model.trim()}, ${cpus().length} CPUs`,
    },
    versions: Object.fromEntries(servers.flatMap((server) => (server.version ? [[server.id, server.version()]] : []))),
    plan,
    subject: family.subject,
    titles: Object.fromEntries(servers.map((server) => [server.id, server.title])),
    cells: Object.fromEntries(cells.map(({ id, title }) => [id, title])),
    javascript: servers.filter((server) => server.mainThreadIsJs).map(({ id }) => id),
    failures,
    summary: summarize(samples, family.subject),
  }
  mkdirSync(folder, { recursive: true })
  const write = (/** @type {string} */ file, /** @type {string} */ content) =>
    writeFileSync(new URL(file, folder), content)
  const pictures = family.pictures.flatMap((picture) => {
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
