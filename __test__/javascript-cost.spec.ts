// What a message costs on the JavaScript thread, in figures that do not depend on the machine: bytes of the heap, deoptimisations,
// places that meet objects of several shapes.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type CallSites, callSites, logFlags } from './call-sites.js'
import { ending, start } from './serving.js'

/** One Buffer is a view of 96 bytes on 64-bit V8; there is no room for a second object. */
const BYTES_PER_MESSAGE_MAX = 120
/** Young objects of some batches fit, so that few are interrupted by a collection. */
const FLAGS = ['--min-semi-space-size=16', '--max-semi-space-size=16']
const DEOPTIMISATION = /bailout \(kind: deopt/

for (const mode of ['owned', 'borrowed']) {
  test.serial(`a message allocates one view and nothing else, ${mode}`, async (t) => {
    const { code, output } = await ending(start(t, 'steady', [mode], { flags: FLAGS }))
    t.is(code, 0, output)
    const bytes = Number(/bytes per message: ([\d.]+)/.exec(output)?.[1])
    t.true(bytes > 0 && bytes <= BYTES_PER_MESSAGE_MAX, output)
  })

  test.serial(`nothing is deoptimised in the steady state, ${mode}`, async (t) => {
    const { code, output } = await ending(start(t, 'steady', [mode, 'trace']))
    t.is(code, 0, output)
    t.notRegex(output, DEOPTIMISATION)
  })

  test.serial(`no place in the dispatcher meets objects of several shapes, ${mode}`, async (t) => {
    const { transitions, polymorphic, megamorphic } = await sites(t, '/dist/', [mode])
    t.true(transitions > 100, `${transitions} transitions were seen`)
    t.deepEqual([...polymorphic, ...megamorphic], [])
  })
}

test.serial('the trace tells of a deoptimisation when there is one', async (t) => {
  const { output } = await ending(start(t, 'steady', ['trace', 'provoke']))
  t.regex(output, DEOPTIMISATION)
})

test.serial('the log of V8 tells of a place that meets objects of many shapes', async (t) => {
  const { megamorphic } = await sites(t, '/steady.js', ['provoke'])
  t.is(megamorphic.length, 1)
  t.regex(megamorphic[0]!, /^LoadIC \.x at .* of read /)
})

/** Runs the steady state and answers what places of `files` have met. */
async function sites(t: ExecutionContext, files: string, args: string[]): Promise<CallSites> {
  const folder = mkdtempSync(join(tmpdir(), 'ringline-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const log = join(folder, 'v8.log')
  const { code, output } = await ending(start(t, 'steady', args, { flags: logFlags(log) }))
  t.is(code, 0, output)
  return callSites(log, files)
}
