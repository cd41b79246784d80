// Runs the Rust tests on the oldest supported kernel, in a guest, and the NVMe tests on its emulated drives. It owns which test programs
// go there; how a guest is made is guest/machine.mjs. Every number in the summary is read from what the programs printed in this run.

import { basename } from 'node:path'
import { GuestFailure, runInGuest } from './guest/machine.mjs'
import { runStage, StageFailure } from './stage.mjs'

/** The crates whose tests are about the kernel. */
const CRATES = ['ringline-ring', 'ringline', 'ringline-sim']

/** Bound on the guest's life, in seconds. */
const SECONDS_MAX = 240

/**
 * What the guest's tests are told by environment variables: the drives they may overwrite, and to try fewer seeds on the simulated kernel,
 * which is the same everywhere.
 */
const ENVIRONMENT = 'RINGLINE_NVME_DEVICES=/dev/ng0n2,/dev/ng0n3 SEEDS=4'

try {
  const programs = await build()
  const counts = await run(programs)
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
  console.log(`\n${counts.passed} passed, ${counts.failed} failed${skipped} on the guest's kernel`)
  if (counts.failed > 0 || counts.broken.length > 0) {
    for (const name of counts.broken) console.error(`${name} failed`)
    process.exitCode = 1
  }
} catch (error) {
  if (!(error instanceof StageFailure) && !(error instanceof GuestFailure)) throw error
  console.error(`\n${error.message}`)
  process.exitCode = 1
}

/** Builds the test programs and answers their paths. */
async function build() {
  const packages = CRATES.flatMap((name) => ['-p', name])
  const args = ['test', '--no-run', '--lib', '--tests', ...packages, '--message-format=json-render-diagnostics']
  const output = await runStage('test programs for the guest', 'cargo', args, { quiet: true })
  const messages = output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
  return messages.filter(({ profile, executable }) => profile?.test && executable).map(({ executable }) => executable)
}

async function run(programs) {
  const counts = { passed: 0, failed: 0, skipped: 0, broken: [] }
  const seen = new Set()
  const started = performance.now()
  const statuses = await runInGuest({
    files: programs.map((path) => [path, `/tests/${basename(path)}`]),
    commands: programs.map(command),
    seconds: SECONDS_MAX,
    onOutput(line, index) {
      if (!seen.has(index)) console.log(`\n── in the guest: ${basename(programs[index])}`)
      seen.add(index)
      console.log(line)
      const result = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/.exec(line)
      if (result === null) return
      counts.passed += Number(result[1])
      counts.failed += Number(result[2])
      counts.skipped += Number(result[3])
    },
  })
  counts.broken = programs.filter((_, index) => statuses[index] !== 0).map((path) => basename(path))
  console.log(`\n── in the guest: done in ${((performance.now() - started) / 1000).toFixed(1)} s`)
  return counts
}

/** The shell line for a program. Tests that need a device are ignored elsewhere, and run here. */
function command(path) {
  const name = basename(path)
  return `${ENVIRONMENT} /tests/${name}${name.includes('nvme') ? ' --include-ignored' : ''}`
}
