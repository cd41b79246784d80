// @ts-check
// `npm start`, after the build: starts the TypeScript echo server, puts real load on it for a few seconds with every byte
// verified, and shows what came out. It measures nothing that is to be compared; that is `npm run bench`.
import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import { parseArgs } from 'node:util'

import { ANYWHERE, buildLoad, runLoad, startServer } from '../harness/process.mjs'
import { servers } from './servers.mjs'

const { values: options } = parseArgs({
  options: {
    server: { type: 'string', default: 'ringline' },
    connections: { type: 'string', default: '64' },
    size: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '3' },
  },
})

const KERNEL_MIN = [6, 1]
const colour = process.stdout.isTTY && !process.env.NO_COLOR
const bold = (/** @type {string} */ text) => (colour ? `\x1b[1m${text}\x1b[22m` : text)
const quiet = (/** @type {string} */ text) => (colour ? `\x1b[2m${text}\x1b[22m` : text)
const number = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const us = (/** @type {number} */ ns) => `${ns < 10_000 ? (ns / 1e3).toFixed(2) : number.format(ns / 1e3)} µs`

/** What on this machine keeps io_uring from working, as far as it can be told from outside; undefined when nothing does. */
function obstacle() {
  if (process.platform !== 'linux') return `io_uring is a part of Linux; this is ${process.platform}.`
  const [major, minor] = release().split('.').map(Number)
  if (major < KERNEL_MIN[0] || (major === KERNEL_MIN[0] && minor < KERNEL_MIN[1])) {
    return `Linux ${KERNEL_MIN.join('.')} or newer is needed; this is ${release()}.`
  }
  try {
    const disabled = Number(readFileSync('/proc/sys/kernel/io_uring_disabled', 'utf8'))
    if (disabled === 2)
      return 'io_uring is switched off: kernel.io_uring_disabled is 2. `sysctl kernel.io_uring_disabled=0` allows it.'
    if (disabled === 1 && process.getuid?.() !== 0) {
      return 'io_uring is allowed to one group only: kernel.io_uring_disabled is 1. Join kernel.io_uring_group, or set it to 0.'
    }
  } catch {
    // Kernels before 6.6 have no such switch.
  }
  return undefined
}

/** @param {string} name @param {string} value */
const line = (name, value) => console.log(`  ${quiet(name.padEnd(14))}${value}`)

/** @param {import('../harness/process.mjs').LoadResult} result @param {import('../harness/build.mjs').Server} server */
function show(result, server) {
  const { p50, p99, p999 } = result.latency_ns
  line('requests/s', bold(number.format(result.requests_per_second)))
  line('latency', `p50 ${us(p50)}   p99 ${us(p99)}   p99.9 ${us(p999)}`)
  if (result.server) {
    const all = result.server.cpu_ns / result.requests
    const js = result.server.main_thread_cpu_ns / result.requests
    const split = server.mainThreadIsJs ? `   ${bold(us(js))} of it on the JavaScript thread` : ''
    line('CPU/request', `${bold(us(all))} in the server, all threads${split}`)
  }
  line('verified', `${number.format(result.verified_bytes)} bytes, none wrong, lost or out of order`)
}

async function main() {
  const why = obstacle()
  if (why) throw new Error(why)
  const server = servers.find(({ id }) => id === options.server)
  if (!server)
    throw new Error(`--server ${options.server}: unknown; there are ${servers.map(({ id }) => id).join(', ')}`)
  buildLoad()
  server.build()
  const running = await startServer(server.command(), ANYWHERE)
  try {
    console.log(`\n  ${bold(server.title)} echo server on 127.0.0.1:${running.port}`)
    console.log(
      `  ${quiet(`${options.connections} connections × ${options.size} B for ${options.seconds} s, every byte verified`)}\n`,
    )
    const load = ['--addr', `127.0.0.1:${running.port}`, '--pid', running.pid, '--connections', options.connections]
    show(await runLoad([...load, '--size', options.size, '--duration', options.seconds], ANYWHERE), server)
    console.log()
  } finally {
    await running.stop()
  }
}

main().catch((error) => {
  const blocked = /io_uring/.test(error.message) && /not permitted|EPERM|ENOSYS|not implemented/i.test(error.message)
  const hint = blocked
    ? '\nA container usually forbids io_uring by its seccomp profile; README.md tells how to allow its three calls.'
    : ''
  console.error(`\nringline: ${error.message}${hint}`)
  process.exitCode = 1
})
