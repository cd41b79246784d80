// @ts-check
// `npm run bench`: builds what is compared, measures in paired and interleaved rounds, and writes the result as JSON, as a
// Markdown table and as a plot into `results/`. It decides what is measured in which order; how, is in the other files.
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { parseArgs } from 'node:util'

import { plot } from './plot.mjs'
import { runLoad, startServer } from './process.mjs'
import { markdown } from './report.mjs'
import { buildLoad, servers } from './servers.mjs'
import { summarize } from './summary.mjs'

const USAGE = `npm run bench -- [options]

  --quick              64 connections x 64 B on one CPU only, about a minute
  --servers a,b        of: ${servers.map((server) => server.id).join(', ')}
  --cells 64x64x1,...  connections x bytes x pipeline
  --placements one,two "one": server and load on the same CPU; "two": a CPU each
  --rounds N           per cell; the headline cell, 64x64x1, takes three times as many (default 5, quick 7)
  --seconds S          measured per server and round (default 0.4, quick 1)
  --warmup S           before that (default 0.2)
  --subject ID         the server the others are compared with (default ringline, or raw when ringline is not measured)
  --scheduler batch    or "other": the scheduling policy of server and load (README.md, "Whose CPU time")
  --name NAME          of the result files (default latest)`

const HEADLINE = '64x64x1'
const HEADLINE_ROUNDS = 3

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    servers: { type: 'string', default: servers.map((server) => server.id).join() },
    cells: { type: 'string' },
    placements: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    warmup: { type: 'string', default: '0.2' },
    subject: { type: 'string' },
    scheduler: { type: 'string', default: 'batch' },
    name: { type: 'string', default: 'latest' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

/** @typedef {{ id: string, connections: number, size: number, pipeline: number }} Cell */
/** @typedef {{ entry: string, server: string, cell: string, placement: string, round: number, result: import('./process.mjs').LoadResult }} Sample */

/** @param {string} id @returns {Cell} */
function cell(id) {
  const [connections, size, pipeline] = id.split('x').map(Number)
  if (![connections, size, pipeline].every((value) => Number.isInteger(value) && value > 0)) {
    throw new Error(`--cells ${id}: must be CONNECTIONSxBYTESxPIPELINE, as in ${HEADLINE}`)
  }
  return { id, connections, size, pipeline }
}

/** @param {string} name @param {string} value */
function positive(name, value) {
  if (!(Number(value) > 0)) throw new Error(`--${name} ${value}: must be a number above 0`)
  return Number(value)
}

function plan() {
  const all = [1, 64, 512].flatMap((connections) =>
    [64, 4096].flatMap((size) => [1, 16].map((pipeline) => [connections, size, pipeline].join('x'))),
  )
  const ids = options.cells?.split(',') ?? (options.quick ? [HEADLINE] : all)
  const placements = (options.placements ?? (options.quick ? 'one' : 'one,two')).split(',')
  for (const placement of placements)
    if (!['one', 'two'].includes(placement)) throw new Error(`--placements ${placement}: must be one or two`)
  if (placements.includes('two') && cpus().length < 2) throw new Error('--placements two: needs two CPUs, there is one')
  if (options.scheduler !== 'batch' && options.scheduler !== 'other')
    throw new Error(`--scheduler ${options.scheduler}: must be batch or other`)
  const scheduler = /** @type {'batch' | 'other'} */ (options.scheduler)
  return {
    cells: ids.map(cell),
    placements,
    scheduler,
    rounds: positive('rounds', options.rounds ?? (options.quick ? '7' : '5')),
    seconds: positive('seconds', options.seconds ?? (options.quick ? '1' : '0.4')),
    warmup: positive('warmup', options.warmup),
  }
}

/** Builds the chosen servers. One that cannot be built is reported and left out of the run. */
function build() {
  buildLoad()
  const missing = /** @type {Record<string, string>} */ ({})
  const built = options.servers.split(',').flatMap((id) => {
    const server = servers.find((candidate) => candidate.id === id)
    if (!server) throw new Error(`--servers ${id}: unknown; there are ${servers.map((known) => known.id).join(', ')}`)
    try {
      server.build()
      return [server]
    } catch (error) {
      missing[id] = /** @type {Error} */ (error).message.split('\n')[0]
      console.error(`${server.title} cannot be built here and is NOT measured`)
      return []
    }
  })
  if (built.length === 0) throw new Error('no server could be built')
  return { built, missing }
}

/** @param {import('./process.mjs').Running} running @param {Cell} cell @param {ReturnType<typeof plan>} planned @param {import('./process.mjs').Place} place */
function measure(running, { connections, size, pipeline }, { seconds, warmup }, place) {
  const load = [
    '--addr',
    `127.0.0.1:${running.port}`,
    '--pid',
    running.pid,
    '--connections',
    connections,
    '--size',
    size,
  ]
  return runLoad([...load, '--pipeline', pipeline, '--duration', seconds, '--warmup', warmup], place)
}

/**
 * All servers stay up during a placement, so that compilers are warm; only one at a time has load. Each round visits them
 * all, from a different start, so that drift of the machine falls on all alike.
 * @param {ReturnType<typeof plan>} planned @param {{ id: string, server: import('./servers.mjs').Server }[]} entries @param {string} placement
 */
async function measurePlacement(planned, entries, placement) {
  const serverPlace = { cpu: 0, scheduler: planned.scheduler }
  const loadPlace = { cpu: placement === 'one' ? 0 : 1, scheduler: planned.scheduler }
  /** @type {Sample[]} */
  const samples = []
  /** @type {Map<string, import('./process.mjs').Running>} */
  const running = new Map()
  try {
    for (const { id, server } of entries) running.set(id, await startServer(server.command(), serverPlace))
    for (const cell of planned.cells) {
      const rounds = planned.rounds * (cell.id === HEADLINE && !options.quick ? HEADLINE_ROUNDS : 1)
      for (let round = 0; round < rounds; round++) {
        process.stderr.write(
          `\r${placement === 'one' ? 'one CPU' : 'two CPUs'}, ${cell.id}, round ${round + 1} of ${rounds}   `,
        )
        for (let turn = 0; turn < entries.length; turn++) {
          const { id, server } = entries[(turn + round) % entries.length]
          const process = /** @type {import('./process.mjs').Running} */ (running.get(id))
          const result = await measure(process, cell, planned, loadPlace)
          samples.push({ entry: id, server: server.id, cell: cell.id, placement, round, result })
        }
      }
    }
  } finally {
    await Promise.all([...running.values()].map((server) => server.stop()))
    process.stderr.write('\n')
  }
  return samples
}

/** One line per run, so that a file of hundreds of them stays readable. @param {{ samples: Sample[] }} result */
function json({ samples, ...rest }) {
  const lines = samples.map((sample) => `  ${JSON.stringify(sample)}`)
  return `${JSON.stringify(rest, null, 1).slice(0, -2)},\n "samples": [\n${lines.join(',\n')}\n ]\n}\n`
}

async function main() {
  if (options.help) return console.log(USAGE)
  const planned = plan()
  const { built, missing } = build()
  const subjectId = options.subject ?? (built.some((server) => server.id === 'ringline') ? 'ringline' : built[0].id)
  const subject = built.find((server) => server.id === subjectId)
  if (!subject) throw new Error(`--subject ${subjectId}: is not among the servers measured`)
  // The subject runs twice, as two processes: what differs between them is the noise of this run.
  const entries = [...built.map((server) => ({ id: server.id, server })), { id: 'twin', server: subject }]
  const samples = []
  for (const placement of planned.placements) samples.push(...(await measurePlacement(planned, entries, placement)))

  const environment = {
    date: new Date().toISOString().slice(0, 10),
    kernel: release(),
    cpu: `${cpus()[0].model.trim()}, ${cpus().length} CPUs`,
    versions: Object.fromEntries(built.flatMap((server) => (server.version ? [[server.id, server.version()]] : []))),
  }
  const titles = Object.fromEntries(built.map((server) => [server.id, server.title]))
  const result = {
    environment,
    plan: planned,
    subject: subjectId,
    titles,
    missing,
    summary: summarize(samples, subjectId),
    samples,
  }
  mkdirSync(new URL('results/', import.meta.url), { recursive: true })
  const write = (/** @type {string} */ extension, /** @type {string} */ text) =>
    writeFileSync(new URL(`results/${options.name}${extension}`, import.meta.url), text)
  const table = markdown(result)
  write('.json', json(result))
  write('.md', table)
  for (const placement of planned.placements) write(`-${placement}-cpu.svg`, plot(result, placement))
  const headline = result.summary.filter((row) => row.cell === HEADLINE && row.placement === 'one')
  if (headline.length > 0) write('-headline.svg', plot({ ...result, summary: headline }, 'one'))
  console.log(table)
}

main().catch((error) => {
  console.error(`benchmark: ${error.message}`)
  process.exitCode = 1
})
