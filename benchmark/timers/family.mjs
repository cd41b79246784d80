// @ts-check
// The timer measurement: what a sleep costs from its making to its end, and how much longer than asked it takes.
import { bars } from '../harness/bars.mjs'
import {
  bun,
  bunVersion,
  deno,
  denoVersion,
  here,
  installRuntimes,
  nodeVersion,
  ringlineVersion,
  rustPeer,
  rustPeers,
} from '../harness/build.mjs'
import { startWorker } from '../harness/process.mjs'

/** SLEEPERSxMILLISECONDS. @param {string} id */
function cell(id) {
  const [sleepers, ms] = id.split('x').map(Number)
  return { id, title: `${sleepers} ${sleepers === 1 ? 'sleeper' : 'sleepers'}, ${ms} ms each`, sleepers, ms }
}

/** @type {import('../harness/rounds.mjs').Family<import('../harness/process.mjs').Worker>} */
export const timers = {
  id: 'timers',
  title: 'Sleeps',
  unit: 'sleep',
  subject: 'ringline',
  placements: ['one', 'any'],
  seconds: 0.5,
  servers: [
    {
      id: 'ringline',
      title: 'ringline (TypeScript)',
      mainThreadIsJs: true,
      build: () => {},
      command: () => [process.execPath, here('timers/peers/ringline.mjs')],
      version: ringlineVersion,
    },
    {
      id: 'node',
      title: 'Node timers/promises',
      mainThreadIsJs: true,
      build: () => {},
      command: () => [process.execPath, here('timers/peers/promises.mjs')],
      version: nodeVersion,
    },
    {
      id: 'bun',
      title: 'Bun timers/promises',
      mainThreadIsJs: true,
      build: installRuntimes,
      command: () => [...bun(), here('timers/peers/promises.mjs')],
      version: bunVersion,
    },
    {
      id: 'deno',
      title: 'Deno timers/promises',
      mainThreadIsJs: true,
      build: installRuntimes,
      command: () => [...deno(), 'run', '--allow-all', here('timers/peers/promises.mjs')],
      version: denoVersion,
    },
  ],
  cell,
  cells: ['1000x1', '10000x10', '1x0.2', '1x1'].map(cell),
  notes: [
    'A sleeper sleeps again as soon as it wakes. The percentiles are not of the time slept but of the overshoot: how much longer a sleep took than was asked. ' +
      'The timers of Node, Bun and Deno know whole milliseconds only, so that 0.2 ms become 1 ms or more.',
  ],
  pictures: [{ name: 'cpu', draw: (report) => bars(report, { placement: 'one' }) }],
  start: (server, place) => startWorker(server.command(), place),
  measure: (worker, { sleepers, ms }, { seconds }) => worker.run({ sleepers, ms, seconds }),
}

/** @type {import('../harness/rounds.mjs').Family<import('../harness/process.mjs').Worker>} */
export const rustTimers = {
  ...timers,
  id: 'rust-timers',
  title: 'Sleeps, Rust runtimes',
  subject: 'ringline-rs',
  servers: [
    rustPeer('ringline-rs', 'ringline (Rust)', 'ringline-sleeps'),
    ...rustPeers('sleeps', ['tokio', 'monoio', 'compio']),
  ],
  notes: [
    'A sleeper sleeps again as soon as it wakes. The percentiles are not of the time slept but of the overshoot: how much longer a sleep took than was asked. ' +
      'Those that know whole milliseconds only make 1 ms or more of 0.2 ms.',
  ],
}
