// @ts-check
// Sleepers, each of which sleeps again and again. A single one notes its overshoots, how much longer each sleep took than was asked;
// many only count, so that next to nothing but sleeping is measured.
import { counted, latency } from '../../harness/task.mjs'

/** @param {{ sleepers: number, ms: number, seconds: number }} task @param {(ms: number) => Promise<unknown>} sleep */
export async function sleepFor({ sleepers, ms, seconds }, sleep) {
  const began = performance.now()
  let over = false
  setTimeout(() => {
    over = true
  }, seconds * 1e3)
  if (sleepers === 1) return await overshoots(ms, sleep, () => over)
  let count = 0
  const sleeper = async () => {
    for (; !over; count += 1) await sleep(ms)
  }
  await Promise.all(Array.from({ length: sleepers }, sleeper))
  return { ...counted(count, began), latency_ns: null }
}

/** @param {number} ms @param {(ms: number) => Promise<unknown>} sleep @param {() => boolean} isOver */
async function overshoots(ms, sleep, isOver) {
  const noted = []
  const began = performance.now()
  for (let now = began; !isOver(); ) {
    await sleep(ms)
    const then = now
    now = performance.now()
    noted.push((now - then - ms) * 1e6)
  }
  return { ...counted(noted.length, began), latency_ns: latency(noted) }
}
