// @ts-check
// The TCP measurements: the same echo in different cells, against different servers.
import { bars } from '../harness/bars.mjs'
import { lines } from '../harness/lines.mjs'
import { buildLoad, runLoad, startServer } from '../harness/process.mjs'
import { chosen, proxies } from './servers.mjs'

/** @typedef {import('../harness/build.mjs').Server} Server */
/** @typedef {import('../harness/process.mjs').Running} Running */
/** @typedef {import('../harness/rounds.mjs').Family<Running>} Family */
/** @typedef {import('../harness/summary.mjs').Row} Row */
/** @typedef {{ id: string, title: string, rounds?: number, connections: number, size: number, pipeline: number }} Cell */

const HEADLINE = '64x64x1'
const HEADLINE_ROUNDS = 3
const KIB = 1024

/** @param {number} size */
export const bytesTitle = (size) =>
  size >= KIB * KIB ? `${size / KIB / KIB} MiB` : size >= KIB && size % KIB === 0 ? `${size / KIB} KiB` : `${size} B`

/** CONNECTIONSxBYTESxPIPELINE. @param {string} id @returns {Cell} */
export function cell(id) {
  const [connections, size, pipeline] = id.split('x').map(Number)
  if (![connections, size, pipeline].every((value) => Number.isInteger(value) && value > 0))
    throw new Error(`--cells ${id}: must be CONNECTIONSxBYTESxPIPELINE, as in ${HEADLINE}`)
  const grouping = `${connections} ${connections === 1 ? 'connection' : 'connections'} × ${bytesTitle(size)}`
  const title = pipeline === 1 ? grouping : `${grouping}, ${pipeline} pipelined`
  return { id, title, connections, size, pipeline, ...(id === HEADLINE ? { rounds: HEADLINE_ROUNDS } : {}) }
}

/** @param {Running} running @param {Cell} cell @param {import('../harness/rounds.mjs').Plan} plan @param {import('../harness/process.mjs').Place} place */
function measure({ port, pid }, { connections, size, pipeline }, { seconds, warmup }, place) {
  const load = ['--addr', `127.0.0.1:${port}`, '--pid', pid, '--connections', connections, '--size', size]
  return runLoad([...load, '--pipeline', pipeline, '--duration', seconds, '--warmup', warmup], place)
}

/** What every measurement of an echo has. */
export const echo = {
  unit: 'request',
  subject: 'ringline',
  placements: ['one'],
  seconds: 0.4,
  cell,
  prepare: buildLoad,
  start: (/** @type {Server} */ server, /** @type {import('../harness/process.mjs').Place} */ place) =>
    startServer(server.command(), place),
  measure,
}

const cells = (/** @type {number[]} */ connections, /** @type {number[]} */ sizes, /** @type {number[]} */ pipelines) =>
  connections.flatMap((count) =>
    sizes.flatMap((size) => pipelines.map((pipeline) => cell([count, size, pipeline].join('x')))),
  )

const microseconds = (/** @type {Row} */ row) => row.cpuNs / 1e3
const part = (/** @type {string} */ id, /** @type {number} */ index) => Number(id.split('x')[index])

/** A proxy with an upstream of its own, which echoes. @param {Server} proxy @param {import('../harness/process.mjs').Place} place */
async function startProxy(proxy, place) {
  const [upstreamServer] = chosen(['epoll'])
  const upstream = await startServer(upstreamServer.command(), place)
  try {
    const running = await startServer([...proxy.command(), String(upstream.port)], place)
    return { ...running, stop: async () => void (await Promise.all([running.stop(), upstream.stop()])) }
  } catch (error) {
    await upstream.stop()
    throw error
  }
}

/** @param {Server} server @returns {Server} */
const forMany = (server) =>
  ['ringline', 'ringline-inline'].includes(server.id)
    ? { ...server, command: () => [...server.command(), '--many-connections'] }
    : server

/** What ringline in TypeScript is measured beside. */
const BESIDE = ['ringline-rs', 'raw', 'epoll', 'node', 'bun']

/** @type {Family[]} */
export const tcpFamilies = [
  {
    ...echo,
    id: 'tcp',
    title: 'TCP echo, JavaScript runtimes',
    servers: chosen(['ringline', 'ringline-inline', 'ringline-borrowed-inline', ...BESIDE, 'deno']),
    cells: [...cells([1, 64, 512], [64, 4096], [1, 16]), ...cells([1, 64, 512], [65_536, 1_048_576], [1])],
    placements: ['one', 'two'],
    pictures: [
      { name: 'headline', draw: (report) => bars(report, { placement: 'one', cells: [HEADLINE] }) },
      { name: 'one-cpu', draw: (report) => bars(report, { placement: 'one' }) },
      { name: 'two-cpus', draw: (report) => bars(report, { placement: 'two' }) },
    ],
  },
  {
    ...echo,
    id: 'rust',
    title: 'TCP echo, Rust runtimes',
    subject: 'ringline-rs',
    servers: chosen(['ringline-rs', 'raw', 'epoll', 'tokio', 'monoio', 'compio', 'published']),
    cells: [...cells([1, 64, 512], [64, 4096, 16_384, 65_536, 1_048_576], [1]), ...cells([1, 64, 512], [64], [16])],
    pictures: [{ name: 'one-cpu', draw: (report) => bars(report, { placement: 'one' }) }],
  },
  {
    ...echo,
    id: 'sizes',
    title: 'TCP echo by message size, 16 connections',
    servers: chosen(['ringline', 'ringline-inline', 'ringline-borrowed', 'ringline-borrowed-inline', ...BESIDE]),
    cells: cells([16], [1, 64, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576], [1]),
    pictures: [
      {
        name: 'one-cpu',
        draw: (report) =>
          lines(report, {
            placement: 'one',
            x: (id) => part(id, 1),
            xTitle: 'bytes per message',
            xLabel: (id) => bytesTitle(part(id, 1)),
            y: microseconds,
            yTitle: 'µs of CPU time per echo, all threads of the server',
            logarithmic: true,
          }),
      },
    ],
  },
  {
    ...echo,
    id: 'proxy',
    title: 'TCP proxy before an echo server, by message size, 16 connections',
    subject: 'ringline-proxy',
    servers: proxies,
    cells: cells([16], [64, 1024, 16_384, 65_536, 262_144], [1]),
    prepare: () => {
      buildLoad()
      for (const server of chosen(['epoll'])) server.build()
    },
    start: startProxy,
    pictures: [{ name: 'one-cpu', draw: (report) => bars(report, { placement: 'one' }) }],
  },
  {
    ...echo,
    id: 'scale',
    title: 'TCP echo by number of connections, 64 B',
    servers: chosen(['ringline', 'ringline-inline', 'ringline-rs', 'raw', 'epoll', 'node', 'bun']).map(forMany),
    cells: cells([10, 100, 1000, 10_000], [64], [1]),
    seconds: 0.6,
    pictures: [
      {
        name: 'one-cpu',
        draw: (report) =>
          lines(report, {
            placement: 'one',
            x: (id) => part(id, 0),
            xTitle: 'connections, one request of each in flight',
            xLabel: (id) => String(part(id, 0)),
            y: microseconds,
            yTitle: 'µs of CPU time per echo, all threads of the server',
            logarithmic: false,
          }),
      },
    ],
  },
]
