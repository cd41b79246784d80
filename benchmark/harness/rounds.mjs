// @ts-check
// The order of a measurement: everything that is compared is up at once and gets its turns one at a time, in short rounds that each begin
// at a different place. Drift of the machine then falls on all alike, and what is compared was measured within a second or two.

/**
 * What is compared in which cells, and how one of them is measured once.
 * @typedef {import('./build.mjs').Server} Server
 * @typedef {import('./process.mjs').Place} Place
 * @typedef {import('./process.mjs').Result} Result
 * @typedef {{ id: string, title: string, rounds?: number }} Cell a headline cell takes `rounds` times as many rounds
 * @typedef {{ entry: string, server: string, cell: string, placement: string, round: number, result: Result }} Sample
 * @typedef {{ scheduler: 'batch' | 'other', rounds: number, seconds: number, warmup: number }} Plan
 */
/**
 * @template Running
 * @typedef {{ id: string, title: string, unit: string, servers: Server[], cell: (id: string) => any, cells: Cell[], placements: string[], subject: string, seconds: number,
 *   notes?: string[], pictures: import('./results.mjs').Picture[], prepare?: () => void,
 *   start: (server: Server, place: Place) => Promise<Running & { stop: () => Promise<void> }>,
 *   measure: (running: Running, cell: any, plan: Plan, place: Place) => Promise<Result> }} Family
 */

/** The name under which the subject is measured a second time, as a process of its own. */
export const TWIN = 'twin'

/** What has failed, by server and cell, in the words of its first error. @typedef {Record<string, string>} Failures */

/** @param {Failures} failures @param {string} what @param {unknown} error */
function fail(failures, what, error) {
  failures[what] ??= /** @type {Error} */ (error).message.split('\n')[0]
  process.stderr.write(`\n${what}: ${failures[what]}\n`)
}

/**
 * All rounds of one cell. What fails in one of them is left out of the cell: ratios are of pairs.
 * @param {Family<any>} family @param {{ entry: string, server: Server, running: any }[]} entries @param {Cell} cell @param {string} placement @param {Plan} plan
 * @param {Failures} failures
 */
async function measureCell(family, entries, cell, placement, plan, failures) {
  const place = placeOf(placement, plan, 'load')
  const rounds = Math.round(plan.rounds * (cell.rounds ?? 1))
  const failed = new Set()
  /** @type {Sample[]} */
  const samples = []
  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`\r${family.id}, ${placement}, ${cell.id}, round ${round + 1} of ${rounds}    `)
    for (let turn = 0; turn < entries.length; turn++) {
      const { entry, server, running } = entries[(turn + round) % entries.length]
      if (failed.has(entry)) continue
      try {
        const result = await family.measure(running, cell, plan, place)
        samples.push({ entry, server: server.id, cell: cell.id, placement, round, result })
      } catch (error) {
        failed.add(entry)
        fail(failures, `${entry}, ${cell.id}`, error)
      }
    }
  }
  return samples.filter(({ entry }) => !failed.has(entry))
}

/** @param {string} placement @param {Plan} plan @param {'server' | 'load'} role @returns {Place} */
function placeOf(placement, { scheduler }, role) {
  if (placement === 'any') return { cpu: null, scheduler }
  return { cpu: placement === 'two' && role === 'load' ? 1 : 0, scheduler }
}

/**
 * @param {Family<any>} family @param {Server[]} servers @param {Cell[]} cells @param {string} placement @param {Plan} plan
 * @param {Failures} failures what has failed is added
 */
export async function measurePlacement(family, servers, cells, placement, plan, failures) {
  const twins = servers.filter(({ id }) => id === family.subject).map((server) => ({ entry: TWIN, server }))
  const entries = [...servers.map((server) => ({ entry: server.id, server })), ...twins]
  const up = []
  const samples = []
  try {
    for (const { entry, server } of entries) {
      try {
        up.push({ entry, server, running: await family.start(server, placeOf(placement, plan, 'server')) })
      } catch (error) {
        fail(failures, entry, error)
      }
    }
    for (const cell of cells) samples.push(...(await measureCell(family, up, cell, placement, plan, failures)))
  } finally {
    await Promise.all(up.map(({ running }) => running.stop()))
    process.stderr.write('\n')
  }
  return samples
}
