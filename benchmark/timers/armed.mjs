// @ts-check
// What armed timers cost an echo that has nothing to do with them: the same server without and with them. A million of them are armed
// on the driver; the API allows 65,535 per worker, which are armed from TypeScript.
import { bars } from '../harness/bars.mjs'
import { buildRust, buildTypeScript, here, rustProgram } from '../harness/build.mjs'
import { echo } from '../tcp/families.mjs'

const number = new Intl.NumberFormat('en')

/** @param {number} armed @returns {import('../harness/build.mjs').Server} */
const driver = (armed) => ({
  id: `driver-${armed}`,
  title: `driver, ${number.format(armed)} timers`,
  mainThreadIsJs: false,
  build: () => buildRust('ringline-armed-echo'),
  command: () => [rustProgram('ringline-armed-echo'), String(armed)],
})

/** @param {number} armed @returns {import('../harness/build.mjs').Server} */
const typescript = (armed) => ({
  id: `typescript-${armed}`,
  title: `TypeScript, ${number.format(armed)} timers`,
  mainThreadIsJs: true,
  build: buildTypeScript,
  command: () => [process.execPath, here('bin/timers/peers/armed-echo.js'), String(armed)],
})

/** @param {string} id @param {string} title @param {string} subject @param {import('../harness/build.mjs').Server[]} servers */
const family = (id, title, subject, servers) => ({
  ...echo,
  id,
  title,
  subject,
  servers,
  cells: [{ ...echo.cell('64x64x1'), rounds: 3 }],
  pictures: [
    {
      name: 'cpu',
      draw: (/** @type {import('../harness/report.mjs').Report} */ report) => bars(report, { placement: 'one' }),
    },
  ],
})

export const armedFamilies = [
  family('armed-driver', 'TCP echo with armed timers, on the driver', 'driver-1000000', [driver(1_000_000), driver(0)]),
  family('armed-ts', 'TCP echo with armed timers, in TypeScript', 'typescript-65535', [
    typescript(65_535),
    typescript(0),
  ]),
]
