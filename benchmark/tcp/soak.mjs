// @ts-check
// `npm run soak`: many connections send messages of 1 B to 4 MiB for a minute, to the TypeScript server and to the Rust one, both
// slowing down a client that does not read. It fails when a byte is wrong, lost or out of order, or when a server does
// not get back to the descriptors and threads it began with.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { ANYWHERE, buildLoad, runLoad, startServer } from '../harness/process.mjs'
import { mebibytes, vitals, vitalsOnce } from '../harness/vitals.mjs'
import { servers } from './servers.mjs'

const USAGE = `npm run soak -- [options]

  --seconds S          of load per server (default 60)
  --connections N      default 512
  --seed N             of the random message sizes (default 1)
  --servers a,b        of: ringline, ringline-rs (default both)`

const RELEASE_TIMEOUT_MS = 10_000
/** Memory that a server has not needed for some seconds goes back to the system; so long is it left alone. */
const REST_MS = 10_000
const SAMPLE_MS = 250
const number = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    connections: { type: 'string', default: '512' },
    seed: { type: 'string', default: '1' },
    servers: { type: 'string', default: 'ringline,ringline-rs' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

/** Resolves to the most resident memory seen until `until` is settled. @param {number} pid @param {Promise<unknown>} until */
async function peakResidentBytes(pid, until) {
  let running = true
  const ended = until.then(
    () => (running = false),
    () => (running = false),
  )
  let peak = 0
  while (running) {
    peak = Math.max(peak, vitals(pid).residentBytes)
    await Promise.race([sleep(SAMPLE_MS), ended])
  }
  return peak
}

/** @param {import('../harness/build.mjs').Server} server */
async function soak(server) {
  server.build()
  const running = await startServer([...server.command(), '--wait-for-sends'], ANYWHERE)
  try {
    const before = vitals(running.pid)
    const load = runLoad(
      ['--addr', `127.0.0.1:${running.port}`, '--pid', running.pid, '--verify-random', '--warmup', 0].concat([
        '--connections',
        options.connections,
        '--duration',
        options.seconds,
        '--seed',
        options.seed,
      ]),
      ANYWHERE,
    )
    const peak = await peakResidentBytes(running.pid, load)
    const result = await load
    const isBack = (/** @type {import('../harness/vitals.mjs').Vitals} */ now) =>
      now.descriptors === before.descriptors && now.threads === before.threads
    const after = await vitalsOnce(running.pid, isBack, RELEASE_TIMEOUT_MS)
    await sleep(REST_MS)
    const atRest = vitals(running.pid).residentBytes
    const change = (/** @type {'descriptors' | 'threads'} */ what) => `${what} ${before[what]} → ${after[what]}`
    console.log(`${server.title}: ${result.connections} connections, ${result.seconds.toFixed(0)} s`)
    console.log(
      `  ${number.format(result.requests)} messages, ${number.format(result.verified_bytes)} bytes verified, none wrong, lost or out of order`,
    )
    console.log(
      `  resident ${[before.residentBytes, peak, atRest].map(mebibytes).join(' → ')} (start → peak → after ${REST_MS / 1e3} s of rest); ${change('descriptors')}; ${change('threads')}`,
    )
    if (!isBack(after)) throw new Error(`${server.title} kept descriptors or threads for ${RELEASE_TIMEOUT_MS / 1e3} s`)
  } finally {
    await running.stop()
  }
}

async function main() {
  if (options.help) return console.log(USAGE)
  buildLoad()
  for (const id of options.servers.split(',')) {
    const server = servers.find((known) => known.id === id && id.startsWith('ringline'))
    if (!server) throw new Error(`--servers ${id}: must be ringline or ringline-rs`)
    await soak(server)
  }
}

main().catch((error) => {
  console.error(`soak: ${error.message}`)
  process.exitCode = 1
})
