// @ts-check
// `npm run idle`: holds many idle connections to ringline's servers, to Node's and to Bun's. Of ringline's it fails when a connection costs more than
// 1 KiB of resident memory, or 640 bytes beyond the first thousand, when a server that has nothing to do uses CPU time, or when a
// connection no longer echoes after that.
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { drawLines } from '../harness/lines.mjs'
import { ANYWHERE, startServer } from '../harness/process.mjs'
import { environment, write } from '../harness/results.mjs'
import { footerOf } from '../harness/svg.mjs'
import { mebibytes, vitals } from '../harness/vitals.mjs'
import { servers } from './servers.mjs'

const USAGE = `npm run idle -- [options]

  --connections N      beyond the first thousand (default 10000)
  --seconds S          for which an idle server's CPU time is watched (default 3)
  --write              draws what was found, and writes it down in results/`

/** The first connections have a server read code of its runtime into memory, compile its own and extend its heap, all of it once. */
const FIRST_CONNECTIONS = 1000
/** Beside ringline's own. */
const PEERS = ['node', 'bun', 'deno']
/** Where memory is looked at on the way. */
const STEPS = [10, 100, FIRST_CONNECTIONS, 10_000]
/** What is drawn: borrowed chunks make no difference to who receives nothing. */
const DRAWN = ['ringline', 'ringline-inline', 'ringline-rs', ...PEERS]
const BYTES_PER_CONNECTION_MAX = 1024
const BYTES_PER_FURTHER_CONNECTION_MAX = 640
/** One tick of the clock that `ps` and `top` show. */
const CPU_NS_MAX = 10_000_000
const CONNECTING_AT_A_TIME = 200
/** Collectors and compilers of a server that was busy a moment ago finish their work in this time. */
const SETTLE_MS = 2000

const { values: options } = parseArgs({
  options: {
    connections: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '3' },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

/** @param {import('node:net').Socket} socket */
async function echoes(socket) {
  socket.write('.')
  const [echo] = await once(socket, 'data')
  if (String(echo) !== '.') throw new Error(`a connection was answered ${JSON.stringify(String(echo))} instead of "."`)
}

/** @param {number} port @param {number} count */
async function hold(port, count) {
  const sockets = []
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(CONNECTING_AT_A_TIME, count - sockets.length) }, () =>
      connect({ port, host: '127.0.0.1', noDelay: true }),
    )
    await Promise.all(batch.map((socket) => once(socket, 'connect')))
    sockets.push(...batch)
    // Connections are accepted in order: when the last one is served, all are.
    await echoes(batch[batch.length - 1])
  }
  return sockets
}

/** @param {number} pid */
async function idleCpuNs(pid) {
  const before = vitals(pid).cpuNs
  await sleep(Number(options.seconds) * 1e3)
  return vitals(pid).cpuNs - before
}

/** Resident memory when what was busy a moment ago has finished. @param {number} pid */
async function settledBytes(pid) {
  await sleep(SETTLE_MS)
  return vitals(pid).residentBytes
}

/** Resident memory per connection. @typedef {{ server: string, cell: string, bytes: number }} Held */

/** @param {import('../harness/build.mjs').Server} server @returns {Promise<Held[]>} */
async function measure(server) {
  server.build()
  const count = Number(options.connections)
  const all = FIRST_CONNECTIONS + count
  const running = await startServer(server.command(), ANYWHERE)
  /** @type {import('node:net').Socket[]} */
  const sockets = []
  try {
    const before = vitals(running.pid).residentBytes
    /** @type {Map<number, number>} */
    const resident = new Map()
    for (const step of [...STEPS.filter((step) => step < all), all]) {
      sockets.push(...(await hold(running.port, step - sockets.length)))
      resident.set(step, await settledBytes(running.pid))
    }
    const [first, held] = [FIRST_CONNECTIONS, all].map((step) => resident.get(step) ?? Number.NaN)
    const cpuNs = await idleCpuNs(running.pid)
    for (const socket of sockets) await echoes(socket)
    const each = (held - before) / all
    const further = (held - first) / count
    console.log(`${server.title}: ${all} idle connections, each of which still echoes after that`)
    console.log(`  resident ${[before, first, held].map(mebibytes).join(' → ')} with 0, ${FIRST_CONNECTIONS}, ${all}`)
    console.log(
      `  ${each.toFixed(0)} bytes per connection, ${further.toFixed(0)} beyond the first ${FIRST_CONNECTIONS}`,
    )
    console.log(`  CPU time over ${options.seconds} s of idleness: ${(cpuNs / 1e6).toFixed(3)} ms`)
    if (isOurs(server)) judge(server, each, further, cpuNs)
    return [...resident].map(([step, bytes]) => ({
      server: server.id,
      cell: String(step),
      bytes: (bytes - before) / step,
    }))
  } finally {
    for (const socket of sockets) socket.destroy()
    await running.stop()
  }
}

/** @param {import('../harness/build.mjs').Server} server @param {number} each @param {number} further @param {number} cpuNs */
function judge({ title }, each, further, cpuNs) {
  if (each > BYTES_PER_CONNECTION_MAX)
    throw new Error(`${title}: more than ${BYTES_PER_CONNECTION_MAX} bytes per connection`)
  if (further > BYTES_PER_FURTHER_CONNECTION_MAX)
    throw new Error(`${title}: more than ${BYTES_PER_FURTHER_CONNECTION_MAX} bytes per connection beyond the first`)
  if (cpuNs >= CPU_NS_MAX) throw new Error(`${title}: an idle server uses CPU time`)
}

/** @param {import('../harness/build.mjs').Server} server */
const isOurs = ({ id }) => id.startsWith('ringline')

async function main() {
  if (options.help) return console.log(USAGE)
  const measured = servers.filter((server) => isOurs(server) || PEERS.includes(server.id))
  const held = []
  for (const server of measured) held.push(...(await measure(server)))
  if (!options.write) return
  const report = {
    environment: environment(),
    titles: Object.fromEntries(measured.map(({ id, title }) => [id, title])),
  }
  write('idle.json', `${JSON.stringify({ ...report, held }, null, 1)}\n`)
  write('idle-memory.svg', picture(held, report))
}

/** @param {Held} held */
const isDrawn = ({ server, cell }) => DRAWN.includes(server) && STEPS.includes(Number(cell))

/** @param {Held[]} held @param {{ environment: import('../harness/results.mjs').Environment, titles: Record<string, string> }} report */
const picture = (held, report) =>
  drawLines(held.filter(isDrawn), report.titles, {
    x: Number,
    xTitle: 'connections, all idle',
    xLabel: String,
    y: ({ bytes }) => bytes / 1024,
    logarithmic: true,
    title: 'Memory per idle connection',
    subtitle: 'KiB of resident memory per connection, on top of the server without any',
    footer: footerOf(report, 'one process each'),
  })

main().catch((error) => {
  console.error(`idle: ${error.message}`)
  process.exitCode = 1
})
