// What a message costs on the JavaScript thread, in figures that do not depend on the machine: bytes of the heap, deoptimisations.

import test from 'ava'
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
}

test.serial('the trace tells of a deoptimisation when there is one', async (t) => {
  const { output } = await ending(start(t, 'steady', ['trace', 'provoke']))
  t.regex(output, DEOPTIMISATION)
})
