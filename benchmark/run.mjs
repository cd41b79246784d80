// @ts-check
// `npm run bench`: builds what is compared, measures families in paired and interleaved rounds, and writes the results into `results/`.
// What is measured stands in the folders of the families; how, in `harness/`.
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'

import { disk } from './disk/family.mjs'
import { writeResult } from './harness/results.mjs'
import { measurePlacement } from './harness/rounds.mjs'
import { tcpFamilies } from './tcp/families.mjs'
import { armedFamilies } from './timers/armed.mjs'
import { rustTimers, timers } from './timers/family.mjs'
import { rustUdp, udp } from './udp/family.mjs'

const families = [...tcpFamilies, udp, rustUdp, timers, rustTimers, ...armedFamilies, disk]
const QUICK = { families: ['tcp'], cells: '64x64x1', placements: 'one', rounds: '7' }

const USAGE = `npm run bench -- [families] [options]

  families             of: ${families.map(({ id }) => id).join(', ')} (default all)
  --quick              TCP, 64 connections x 64 B on one CPU, about a minute
  --servers a,b        of those of the family
  --cells a,b          of the form of the family's own: CONNECTIONSxBYTESxPIPELINE for tcp, rust, sizes, scale and both udp
                       (there with a j behind it: sent joined),
                       SLEEPERSxMILLISECONDS for both timers, a depth for disk
  --placements a,b     "one": everything on CPU 0; "two": server on CPU 0, load on CPU 1; "any": wherever it likes
  --rounds N           per cell (default 5, quick 7); a headline cell takes more
  --seconds S          measured per server and round (default by family, 0.4 to 0.7)
  --warmup S           before that (default 0.2)
  --scheduler batch    or "other": the scheduling policy (README.md, "Whose CPU time")
  --add                keep the other cells and placements of the last run in the result files
  --name NAME          of the result files of a single family (default the family's)`

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    servers: { type: 'string' },
    cells: { type: 'string' },
    placements: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    warmup: { type: 'string', default: '0.2' },
    scheduler: { type: 'string', default: 'batch' },
    add: { type: 'boolean', default: false },
    name: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

/** @param {string} name @param {string | number} value */
function positive(name, value) {
  if (!(Number(value) > 0)) throw new Error(`--${name} ${value}: must be a number above 0`)
  return Number(value)
}

/** @param {string[]} placements */
function checkPlacements(placements) {
  for (const placement of placements)
    if (!['one', 'two', 'any'].includes(placement))
      throw new Error(`--placements ${placement}: must be one, two or any`)
  if (placements.includes('two') && cpus().length < 2) throw new Error('--placements two: needs two CPUs, there is one')
  return placements
}

/** Builds the servers. One that cannot be built is reported and left out. @param {import('./harness/build.mjs').Server[]} servers @param {Record<string, string>} failures */
const built = (servers, failures) =>
  servers.filter((server) => {
    try {
      server.build()
      return true
    } catch (error) {
      failures[server.id] = /** @type {Error} */ (error).message.split('\n')[0]
      console.error(`${server.title} cannot be built here and is NOT measured`)
      return false
    }
  })

/** @param {import('./harness/rounds.mjs').Family<any>} family */
async function measureFamily(family) {
  const ids = options.servers?.split(',') ?? family.servers.map(({ id }) => id)
  const unknown = ids.find((id) => !family.servers.some((server) => server.id === id))
  if (unknown)
    throw new Error(`--servers ${unknown}: ${family.id} has ${family.servers.map(({ id }) => id).join(', ')}`)
  const cellIds = options.cells ?? (options.quick ? QUICK.cells : undefined)
  const cells = cellIds?.split(',').map(family.cell) ?? family.cells
  const placements = options.placements ?? (options.quick ? QUICK.placements : undefined)
  const { scheduler } = options
  if (scheduler !== 'batch' && scheduler !== 'other')
    throw new Error(`--scheduler ${scheduler}: must be batch or other`)
  const plan = {
    scheduler: /** @type {'batch' | 'other'} */ (scheduler),
    rounds: positive('rounds', options.rounds ?? (options.quick ? QUICK.rounds : 5)),
    seconds: positive('seconds', options.seconds ?? family.seconds),
    warmup: positive('warmup', options.warmup),
  }
  const failures = /** @type {Record<string, string>} */ ({})
  family.prepare?.()
  const servers = built(
    family.servers.filter(({ id }) => ids.includes(id)),
    failures,
  )
  const subject = servers.some(({ id }) => id === family.subject) ? family.subject : servers[0]?.id
  if (subject === undefined) throw new Error(`nothing of ${family.id} could be built`)
  const compared = { ...family, subject }
  const samples = []
  for (const placement of checkPlacements(placements?.split(',') ?? family.placements))
    samples.push(...(await measurePlacement(compared, servers, cells, placement, plan, failures)))
  const name = options.name ?? family.id
  console.log(writeResult({ family: compared, servers, cells, plan, samples, failures }, name, options.add))
}

async function main() {
  if (options.help) return console.log(USAGE)
  const ids = positionals.length > 0 ? positionals : options.quick ? QUICK.families : families.map(({ id }) => id)
  if (options.name && ids.length > 1) throw new Error(`--name ${options.name}: names the result of a single family`)
  for (const id of ids) {
    const family = families.find((known) => known.id === id)
    if (!family) throw new Error(`${id}: no family; there are ${families.map((known) => known.id).join(', ')}`)
    await measureFamily(family)
  }
}

main().catch((error) => {
  console.error(`benchmark: ${error.message}`)
  process.exitCode = 1
})
