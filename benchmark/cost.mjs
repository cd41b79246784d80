// @ts-check
// `npm run cost`: what one echoed message costs the Rust core, counted and not timed, so that it is the same on a busy machine. It
// runs benchmark/cost under callgrind and compares with benchmark/results/cost.json: it fails when a message takes more user instructions
// or allocates more bytes than is written there, or the only connection more than one system call. `npm run cost -- --write` writes down what it has counted instead.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target')
const committed = fileURLToPath(new URL('results/cost.json', import.meta.url))
/** By how much a figure may exceed what is committed: compilers differ. */
const TOLERANCE = 1.05
/** Both figures are flat in the number of connections, and 1,000,000 armed timers are not noticed. */
const CONNECTIONS_FACTOR_MAX = 1.15
const TIMERS_FACTOR_MAX = 1.02
/** With one connection, which waits for each message. */
const ENTERS_MAX = 1.1
/** What is not one allocation per message: a table may grow once. How many timers come due at a time depends on the clock, and so does that table. */
const BYTES_SLACK = 0.5
const TIMERS_BYTES_SLACK = 4
const TIMEOUT_MS = 300_000

/** @typedef {{ scenario: string, connections: number, instructions: number, bytes: number, enters: number, completions: number, doorbells: number }} Cost */

/** Builds with the profile of `cargo bench`: as released, but with symbols. */
function build() {
  execFileSync('cargo', ['build', '--quiet', '--profile', 'bench', '-p', 'ringline-cost'], {
    cwd: root,
    stdio: 'inherit',
  })
}

/** @returns {Cost[]} per message */
function count() {
  const folder = mkdtempSync(join(tmpdir(), 'ringline-cost-'))
  try {
    const files = join(folder, 'callgrind')
    const output = execFileSync(
      'valgrind',
      [
        '--tool=callgrind',
        '--quiet',
        `--callgrind-out-file=${files}`,
        '--toggle-collect=ringline_cost_aside',
        '--collect-atstart=yes',
        '--dump-before=ringline_cost_mark',
        join(target, 'release/ringline-cost'),
      ],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], timeout: TIMEOUT_MS },
    )
    return output
      .trim()
      .split('\n')
      .map((line, index) => perMessage(JSON.parse(line), instructions(`${files}.${2 * index + 2}`)))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** @param {string} file */
function instructions(file) {
  const totals = /^totals: (\d+)/m.exec(readFileSync(file, 'utf8'))
  if (totals === null) throw new Error(`${file} has no totals`)
  return Number(totals[1])
}

/** @param {{ scenario: string, connections: number, messages: number, allocated_bytes: number, enters: number, completions: number, doorbells: number }} counted
 * @param {number} instructions @returns {Cost} */
function perMessage({ scenario, connections, messages, ...counted }, instructions) {
  const each = (/** @type {number} */ count, digits = 3) => Number((count / messages).toFixed(digits))
  return {
    scenario,
    connections,
    instructions: each(instructions, 1),
    bytes: each(counted.allocated_bytes),
    enters: each(counted.enters),
    completions: each(counted.completions),
    doorbells: each(counted.doorbells),
  }
}

/** What is wrong, in words. @param {Cost[]} costs @param {Cost[]} before */
function* complaints(costs, before) {
  for (const now of costs) {
    const title = titled(now)
    const then = before.find(
      ({ scenario, connections }) => scenario === now.scenario && connections === now.connections,
    )
    if (then === undefined) {
      yield `${title}: no figure is committed`
      continue
    }
    if (now.instructions > then.instructions * TOLERANCE)
      yield `${title}: ${now.instructions} instructions per message, ${then.instructions} are committed`
    const slack = /tim(er|eout)s/.test(now.scenario) ? TIMERS_BYTES_SLACK : BYTES_SLACK
    if (now.bytes > then.bytes * TOLERANCE + slack)
      yield `${title}: ${now.bytes} bytes allocated per message, ${then.bytes} are committed`
    if (now.connections === 1 && now.enters > ENTERS_MAX)
      yield `${title}: ${now.enters} calls of io_uring_enter per message, ${ENTERS_MAX} are allowed`
  }
  yield* uneven(
    costs.filter(({ scenario, connections }) => scenario === 'tasks' && connections >= 10),
    CONNECTIONS_FACTOR_MAX,
  )
  yield* uneven(
    costs.filter(({ scenario }) => /^driver(, .* timers)?$/.test(scenario)),
    TIMERS_FACTOR_MAX,
  )
}

/** @param {Cost[]} costs @param {number} factor */
function* uneven(costs, factor) {
  const counts = costs.map(({ instructions }) => instructions)
  if (Math.max(...counts) > Math.min(...counts) * factor)
    yield `${costs.map(titled).join(' / ')}: ${counts.join(' / ')} instructions per message differ by more than ${factor}`
}

/** @param {Cost} cost */
const titled = ({ scenario, connections }) => `${scenario}, ${connections} connections`

/** @param {Cost[]} costs */
function print(costs) {
  for (const cost of costs) {
    const { instructions, bytes, enters, completions, doorbells } = cost
    console.log(
      `${titled(cost).padEnd(58)} ${instructions.toFixed(1).padStart(7)} instructions, ${bytes} bytes, ${enters} enters, ` +
        `${completions} completions, ${doorbells} doorbells`,
    )
  }
}

function main() {
  const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } })
  const machine = process.arch
  const all = existsSync(committed) ? JSON.parse(readFileSync(committed, 'utf8')) : {}
  if (!values.write && all[machine] === undefined)
    return console.log(`cost: no figures are committed for ${machine}; npm run cost -- --write`)
  build()
  const costs = count()
  print(costs)
  if (values.write) return writeFileSync(committed, `${JSON.stringify({ ...all, [machine]: costs }, null, 2)}\n`)
  const wrong = [...complaints(costs, all[machine])]
  if (wrong.length > 0) throw new Error(`${wrong.join('\n')}\nIf that is as it should be: npm run cost -- --write`)
}

try {
  main()
} catch (error) {
  console.error(`cost: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
}
