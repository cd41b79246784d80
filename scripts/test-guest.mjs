// Runs the suites of guest/suites.mjs on the oldest supported kernel, in a guest. It owns what is shown of them and the summary; how a
// guest is made is guest/machine.mjs. With arguments it runs the suites whose names contain one of them. Every number in the summary is read from what the programs printed in this run.

import { add, IN_GUEST, inWords } from './counts.mjs'
import { GuestFailure, runInGuest } from './guest/machine.mjs'
import { packageSuite, rustSuites } from './guest/suites.mjs'
import { StageFailure } from './stage.mjs'

/** Bound on the guest's life, in seconds: several times what it takes on two cores that have nothing else to do. */
const SECONDS_MAX = 900

try {
  const wanted = process.argv.slice(2)
  const isWanted = ({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part))
  const suites = [...(await rustSuites()), packageSuite()].filter(isWanted)
  if (suites.length === 0) throw new GuestFailure(`no suite has a name with ${wanted.join(' or ')} in it`)
  const results = await run(suites)
  // An emulated processor is slow and its time uneven, more so beside others: what has failed gets a second guest for itself, and has failed
  // when it fails again.
  const again = suites.filter((_, index) => results[index].hasFailed)
  if (again.length > 0) {
    const names = again.map(({ name }) => name).join(', ')
    console.error(`\n── ${names} failed ${IN_GUEST}, and gets a second guest`)
    for (const result of await run(again)) results[suites.findIndex(({ name }) => name === result.name)] = result
  }
  const counts = { passed: 0, failed: 0, skipped: 0 }
  for (const result of results) add(counts, result.counts)
  const broken = results.filter(({ hasFailed }) => hasFailed)
  for (const { name } of broken) console.error(`${name} failed twice ${IN_GUEST}`)
  // A program that was killed, or crashed, has not printed its failure.
  counts.failed = Math.max(counts.failed, broken.length)
  console.log(`\n${inWords(counts)} ${IN_GUEST}`)
  if (counts.failed > 0) process.exitCode = 1
} catch (error) {
  if (!(error instanceof StageFailure) && !(error instanceof GuestFailure)) throw error
  console.error(`\n${error.message}`)
  process.exitCode = 1
}

/** Runs the suites one after the other in a guest; answers what each of them counted, and whether it failed. */
async function run(suites) {
  const outputs = suites.map(() => '')
  let current = -1
  const started = performance.now()
  const statuses = await runInGuest({
    files: suites.flatMap(({ files }) => files),
    commands: suites.map(({ command }) => command),
    seconds: SECONDS_MAX,
    onOutput(line, index) {
      if (index !== current) console.log(`\n── in the guest: ${suites[index].name}`)
      current = index
      console.log(line)
      outputs[index] += `${line}\n`
    },
  })
  console.log(`\n── in the guest: done in ${((performance.now() - started) / 1000).toFixed(1)} s`)
  return suites.map(({ name, count }, index) => ({
    name,
    counts: count(outputs[index]),
    hasFailed: statuses[index] !== 0,
  }))
}
