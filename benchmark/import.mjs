// @ts-check
// `npm run import`: how long importing the package takes, and how long an empty package takes in its place: as the first import of a process,
// which has Node's loader and its search for packages to start with, and behind another package. Each import has a process of its own, in
// turn; what is printed are medians.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { median } from './harness/statistics.mjs'

const ROUNDS = 31

/** A folder in which ringline and two empty packages are installed. */
function install() {
  const folder = mkdtempSync(join(tmpdir(), 'ringline-import-'))
  for (const name of ['empty', 'other']) {
    const place = join(folder, 'node_modules', name)
    mkdirSync(place, { recursive: true })
    writeFileSync(join(place, 'package.json'), JSON.stringify({ name, type: 'module', exports: './index.js' }))
    writeFileSync(join(place, 'index.js'), 'export const nothing = 1\n')
  }
  const root = join(import.meta.dirname, '..')
  const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const published = ['package.json', ...files.map((/** @type {string} */ file) => file.replace('/*.js', ''))]
  // As npm would have it, without a link that would have to be followed.
  for (const file of published)
    cpSync(join(root, file), join(folder, 'node_modules', 'ringline', file), { recursive: true })
  return folder
}

/** Milliseconds that the last of these imports takes. @param {string} cwd @param {string[]} packages */
function importMs(cwd, packages) {
  const program = `let began = 0
    for (const name of ${JSON.stringify(packages)}) {
      began = performance.now()
      await import(name)
    }
    console.log(performance.now() - began)`
  return Number(execFileSync(process.execPath, ['--input-type=module', '--eval', program], { cwd }))
}

const cases = [['empty'], ['ringline'], ['other', 'empty'], ['other', 'ringline']].map((packages) => ({
  packages,
  times: /** @type {number[]} */ ([]),
}))
const folder = install()
try {
  for (let round = 0; round < ROUNDS; round += 1)
    for (const { packages, times } of cases) times.push(importMs(folder, packages))
} finally {
  rmSync(folder, { recursive: true })
}
for (const { packages, times } of cases) console.log(`${packages.join(', then ')}: ${median(times).toFixed(2)} ms`)
