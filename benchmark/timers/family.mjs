// @ts-check
// The timer measurement: what a sleep costs from its making to its end, and how much longer than asked it takes.
import { bars } from '../harness/bars.mjs'
import { bun, bunVersion, here, installRuntimes, nodeVersion, ringlineVersion } from '../harness/build.mjs'
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
  ],
  cell,
  cells: ['1000x1', '10000x10', '1x0.2', '1x1'].map(cell),
  notes: [
    'A sleeper sleeps again as soon as it wakes. The percentiles are not of the time slept but of the overshoot: how much longer a sleep took than was asked. ' +
      "Node's and Bun's timers know whole milliseconds only, so that 0.2 ms become 1 ms or more.",
  ],
  pictures: [{ name: 'cpu', draw: (report) => bars(report, { placement: 'one' }) }],
  start: (server, place) => startWorker(server.command(), place),
  measure: (worker, { sleepers, ms }, { seconds }) => worker.run({ sleepers, ms, seconds }),
}
