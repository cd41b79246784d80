// The one test command: formats, lints, types, Rust tests, native build, JavaScript tests, and tests on the oldest kernel, in an order that
// fails early. It owns the order and the summary. Every number in the summary is read from what the test runners printed in this very run.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { add, countAva, countCargo, countGuest, inWords } from './counts.mjs'
import { missing } from './guest/tools.mjs'
import { avaWith, NODE_VERSIONS, nodeOf } from './node-versions.mjs'
import { installIfNeeded, root, runStage, StageFailure } from './stage.mjs'

/** What napi-rs writes from crates/node; committed, so that types can be checked without a Rust build. */
const GENERATED = ['bindings/native/binding.cjs', 'bindings/native/binding.d.cts']

/** The JavaScript tests that run on every release line of Node. */
const CORE_SPECS = ['lifetime', 'connections', 'guards', 'server', 'rest'].map((name) => `dist-test/${name}.spec.js`)

const counts = { passed: 0, failed: 0, skipped: 0 }

/** What could not be run on this machine. */
const notRun = []

try {
  await installIfNeeded()
  await runStage('format of TypeScript', 'biome', ['format'])
  await runStage('format of Rust', 'cargo', ['fmt', '--all', '--', '--check'])
  await runStage('lint of TypeScript', 'biome', ['check', '--formatter-enabled=false', '--error-on-warnings'])
  await runStage('types and code', 'npm', ['run', '--silent', 'build:ts'])
  await runStage('index.d.ts', 'node', ['scripts/types.mjs', '--check'])
  await runStage('types of the tests', 'tsc', ['-p', 'tsconfig.test.json'])
  await runStage('types of the examples', 'tsc', ['-p', 'tsconfig.examples.json'])
  await runStage('lint of Rust', 'cargo', [
    'clippy',
    '--locked',
    '--workspace',
    '--all-targets',
    '--',
    '-D',
    'warnings',
  ])
  await runStage('lint of the tests of NVMe', 'cargo', [
    'clippy',
    '--locked',
    '-p',
    'ringline',
    '--test',
    'nvme_devices',
    '--',
    '-D',
    'warnings',
  ])
  await runTests('Rust tests', 'cargo', ['test', '--workspace', '--no-fail-fast'], countCargo)
  await countCost()
  const before = generated()
  await runStage('native build', 'npm', ['run', '--silent', 'build:native'])
  requireUnchanged(before)
  await runTests('JavaScript tests', 'ava', [], countAva)
  await runTests('JavaScript tests, inline', 'ava', ['--config', 'ava.inline.config.js'], countAva)
  await testOnOtherNodes()
  await testInGuest()
  summarize()
} catch (error) {
  if (!(error instanceof StageFailure)) throw error
  console.error(`\n${error.message}`)
  console.error('Stopped there; later stages did not run.')
  // A stage that fails without counting tests (format, lint, build) is a failure all the same.
  counts.failed = Math.max(counts.failed, 1)
  summarize()
  process.exitCode = 1
}

/** Runs the Rust tests and the package on the oldest supported kernel, where there is an emulator for it. */
async function testInGuest() {
  const lacking = missing()
  if (lacking.length === 0) return runTests('tests on Linux 6.1', 'node', ['scripts/test-guest.mjs'], countGuest)
  console.log(`\n── tests on Linux 6.1: not run\n${lacking.join('\n')}`)
  notRun.push('the tests on Linux 6.1 and of NVMe, in QEMU')
}

/**
 * Runs the tests of lifetimes, memory and connections on the other release lines of Node, of which each treats memory that is not V8's in
 * its own way. `npm run test:node` runs all of them.
 */
async function testOnOtherNodes() {
  for (const version of NODE_VERSIONS) {
    if (process.versions.node.startsWith(`${version}.`)) continue
    const stage = `JavaScript tests on Node ${version}`
    let node
    try {
      node = await nodeOf(version)
    } catch (error) {
      if (!(error instanceof StageFailure)) throw error
      console.log(`\n── ${stage}: not run (${error.message})`)
      notRun.push(`the ${stage}`)
      continue
    }
    const [command, args, env] = avaWith(node, CORE_SPECS)
    await runTests(stage, command, args, countAva, { env: { ...env, RINGLINE_TEST_ROUNDS: '20' } })
  }
}

/** Compares what a message costs with what is committed, where there is a tool that counts instructions. */
async function countCost() {
  const stage = 'cost of a message'
  if (spawnSync('valgrind', ['--version'], { stdio: 'ignore' }).status === 0)
    return runStage(stage, 'node', ['benchmark/cost.mjs'])
  console.log(`\n── ${stage}: not run (install valgrind)`)
  notRun.push(`the ${stage}`)
}

/** Runs a test runner and adds up what it counted, whether it passed or failed. */
async function runTests(stage, command, args, count, options = {}) {
  try {
    const seen = count(await runStage(stage, command, args, options))
    add(counts, seen)
    if (seen.passed + seen.failed === 0)
      throw new StageFailure(stage, [command, ...args].join(' '), 'success, but without one test run', '')
  } catch (error) {
    if (error instanceof StageFailure) add(counts, count(error.output))
    throw error
  }
}

function generated() {
  return GENERATED.map((path) => readFileSync(`${root}${path}`, 'utf8'))
}

function requireUnchanged(before) {
  const changed = GENERATED.filter((_, index) => generated()[index] !== before[index])
  if (changed.length === 0) return
  throw new StageFailure(
    'native build',
    'npm run build:native',
    `other text in ${changed.join(' and ')}: commit it`,
    '',
  )
}

/** The closing line is read by machines: it stands alone and has this form. */
function summarize() {
  for (const what of notRun) console.log(`\nNot run on this machine: ${what}.`)
  console.log(`\n${inWords(counts)}`)
}
