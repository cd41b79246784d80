// @ts-check
// The direct I/O measurement: random reads of 4 KiB from one file, past the page cache, at depths 1 and 32.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'

import { bars } from '../harness/bars.mjs'
import { firstLine, here, nodeVersion, ringlineServer } from '../harness/build.mjs'
import { startWorker } from '../harness/process.mjs'
import { startFio } from './fio.mjs'

const FILE_BYTES = 1 << 30
const directory = here('../.cache')
const file = `${directory}/disk-benchmark.bin`

/** @param {number} depth */
const cell = (depth) => ({ id: String(depth), title: `depth ${depth}`, depth })

/**
 * Random bytes, not a hole: a file system reads nothing for a hole. Read once past the page cache, because a virtual disk's
 * first read of a block comes from further away than the next ones, and would be on the account of whoever comes first.
 */
function prepare() {
  const blocks = FILE_BYTES / (1 << 20)
  if (!existsSync(file)) {
    mkdirSync(directory, { recursive: true })
    execFileSync('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', `count=${blocks}`, 'conv=fsync'], { stdio: 'ignore' })
  }
  execFileSync('dd', [`if=${file}`, 'of=/dev/null', 'bs=1M', 'iflag=direct'], { stdio: 'ignore' })
}

const ringline = ringlineServer('disk/peers/ringline.mjs')

/** @param {string} id @param {string} title @param {number} threads */
const nodeFs = (id, title, threads) => ({
  id,
  title,
  mainThreadIsJs: true,
  build: () => {},
  command: () => ['env', `UV_THREADPOOL_SIZE=${threads}`, process.execPath, here('disk/peers/node-fs.mjs'), file],
  version: nodeVersion,
})

/** @param {string} id @param {string} title */
const fio = (id, title) => ({
  id,
  title,
  mainThreadIsJs: false,
  build: () => void firstLine(['fio', '--version']),
  command: () => ['fio', file],
  version: () => firstLine(['fio', '--version']),
})

/** What else fio is told, by server. @type {Record<string, string[]>} */
const FIO_OPTIONS = { fio: [], 'fio-fixed': ['--fixedbufs', '--registerfiles'] }

/** @type {import('../harness/rounds.mjs').Family<import('../harness/process.mjs').Worker>} */
export const disk = {
  id: 'disk',
  title: 'Direct I/O, random reads of 4 KiB',
  unit: 'read',
  subject: 'ringline',
  placements: ['any', 'one'],
  seconds: 0.7,
  servers: [
    ringline('ringline', 'ringline (TypeScript)', file),
    ringline('ringline-inline', 'ringline (TypeScript), inline', file, '--inline'),
    ringline('ringline-busy', 'ringline (TypeScript), inline, busy polling', file, '--inline', '--busy-poll'),
    fio('fio', 'fio, io_uring engine'),
    fio('fio-fixed', 'fio, io_uring engine, fixedbufs and registerfiles'),
    nodeFs('node', 'Node fs', 4),
    nodeFs('node-32', 'Node fs, 32 threads', 32),
  ],
  cell: (id) => cell(Number(id)),
  cells: [1, 32].map(cell),
  notes: [
    'One file of 1 GiB of random bytes, opened with O_DIRECT. Node reads with `fs.read` and its 4 threads, and once more with `UV_THREADPOOL_SIZE=32`. ' +
      'ringline and the second fio use registered files and fixed buffers, the first fio neither; all have O_DIRECT, the same file and the same CPUs. ' +
      "fio's CPU time is what it reports of itself, and its start is not part of it. Busy polling is `directIo.busyPollUs` of 100. On `ext4` on a virtual disk, whose host decides how fast it is.",
  ],
  pictures: [{ name: 'cpu', draw: (report) => bars(report, { placement: 'any' }) }],
  prepare,
  start: (server, place) =>
    server.id in FIO_OPTIONS ? startFio(file, place, FIO_OPTIONS[server.id]) : startWorker(server.command(), place),
  measure: (worker, { depth }, { seconds }) => worker.run({ depth, seconds }),
}
