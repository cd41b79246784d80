// Runs one shell line in the guest: `node scripts/guest.mjs [--copy here=there]… [--seconds n] -- line`. Prints what it prints and ends
// with its exit status. It owns the reading of the command line; the guest is guest/machine.mjs.

import { parseArgs } from 'node:util'
import { GuestFailure, runInGuest } from './guest/machine.mjs'

const { values, positionals } = parseArgs({
  options: { copy: { type: 'string', multiple: true, default: [] }, seconds: { type: 'string', default: '120' } },
  allowPositionals: true,
})
if (positionals.length === 0 || !(Number(values.seconds) > 0)) {
  console.error('usage: node scripts/guest.mjs [--copy path=path-in-guest]… [--seconds n] -- shell line')
  process.exit(2)
}
const files = values.copy.map((pair) => {
  const [from, to = from] = pair.split('=')
  return [from, to]
})
try {
  const [status] = await runInGuest({ files, commands: [positionals.join(' ')], seconds: Number(values.seconds) })
  process.exitCode = status
} catch (error) {
  if (!(error instanceof GuestFailure)) throw error
  console.error(error.message)
  process.exitCode = 1
}
