// @ts-check
// The UDP measurement: one socket that echoes what several sockets send.
import { bars } from '../harness/bars.mjs'
import {
  buildRust,
  bun,
  bunVersion,
  compileC,
  here,
  installRuntimes,
  nodeVersion,
  program,
  ringlineServer,
  rustPeers,
  rustProgram,
} from '../harness/build.mjs'
import { buildLoad, runLoad, startServer } from '../harness/process.mjs'
import { cell as connectionsCell } from '../tcp/families.mjs'

/**
 * SOCKETSxBYTESxPIPELINE, and `j` behind it when what a socket sends leaves joined.
 * @typedef {import('../tcp/families.mjs').Cell & { joined: boolean }} Cell
 * @param {string} id @returns {Cell}
 */
function cell(id) {
  const joined = id.endsWith('j')
  const made = connectionsCell(joined ? id.slice(0, -1) : id)
  const title = made.title.replace('connection', 'socket').replace('pipelined', 'in flight on each')
  return { ...made, id, title: joined ? `${title}, sent joined` : title, joined }
}

const ringline = ringlineServer('bin/udp/peers/ringline.js')

/** @type {import('../harness/build.mjs').Server} */
const mmsg = {
  id: 'mmsg',
  title: 'recvmmsg in C',
  mainThreadIsJs: false,
  build: () => compileC('udp/peers/mmsg-echo'),
  command: () => [program('mmsg-echo')],
}

/** @type {import('../harness/rounds.mjs').Family<import('../harness/process.mjs').Running>} */
export const udp = {
  id: 'udp',
  title: 'UDP echo',
  unit: 'datagram',
  subject: 'ringline',
  placements: ['one', 'two'],
  seconds: 0.4,
  servers: [
    ringline('ringline', 'ringline (TypeScript)'),
    ringline('ringline-inline', 'ringline (TypeScript), inline', '--inline'),
    mmsg,
    {
      id: 'node',
      title: 'Node dgram',
      mainThreadIsJs: true,
      build: () => {},
      command: () => [process.execPath, here('udp/peers/node-dgram.mjs')],
      version: nodeVersion,
    },
    {
      id: 'bun',
      title: 'Bun.udpSocket',
      mainThreadIsJs: true,
      build: installRuntimes,
      command: () => [...bun(), here('udp/peers/bun-udp.ts')],
      version: bunVersion,
    },
  ],
  cell,
  cells: [
    '16x64x4',
    '1x64x1',
    '64x64x1',
    '1x64x64',
    '16x64x16',
    '16x1200x16',
    '16x64x4j',
    '16x64x16j',
    '16x1200x16j',
  ].map(cell),
  notes: [
    'The load moves up to 64 datagrams per system call and verifies each byte; "lost" counts datagrams that did not come back within 200 ms. "Sent joined": what a socket has to send leaves as few sends, which the kernel cuts into datagrams (UDP_SEGMENT), so that the load costs less; answers are received one by one in every cell.',
  ],
  pictures: [{ name: 'one-cpu', draw: (report) => bars(report, { placement: 'one' }) }],
  prepare: buildLoad,
  start: (server, place) => startServer(server.command(), place),
  measure: ({ port, pid }, { connections, size, pipeline, joined }, { seconds, warmup }, place) => {
    const load = [
      '--udp',
      ...(joined ? ['--joined'] : []),
      '--addr',
      `127.0.0.1:${port}`,
      '--pid',
      pid,
      '--connections',
      connections,
      '--size',
      size,
    ]
    return runLoad([...load, '--pipeline', pipeline, '--duration', seconds, '--warmup', warmup], place)
  },
}

/** @type {import('../harness/rounds.mjs').Family<import('../harness/process.mjs').Running>} */
export const rustUdp = {
  ...udp,
  id: 'rust-udp',
  title: 'UDP echo, Rust runtimes',
  subject: 'ringline-rs',
  placements: ['one'],
  servers: [
    {
      id: 'ringline-rs',
      title: 'ringline (Rust)',
      mainThreadIsJs: false,
      build: () => buildRust('ringline-udp-echo'),
      command: () => [rustProgram('ringline-udp-echo')],
    },
    mmsg,
    ...rustPeers('udp', ['tokio', 'monoio', 'compio', 'published']),
  ],
  cells: ['16x64x4', '1x64x1', '64x64x1', '16x64x16', '16x1200x16'].map(cell),
}
