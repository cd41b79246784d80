// @ts-check
// Medians, ratios of paired rounds, and their bootstrap intervals. Pure arithmetic.

const RESAMPLES = 4000
const CONFIDENCE = 0.95

/** @param {number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The same resamples in every run, so that a result file can be computed again from its raw rounds. @param {number} seed */
function randomFrom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let z = Math.imul(state ^ (state >>> 15), state | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32
  }
}

/**
 * The median of `over[i] / under[i]`, where i is one round, with its 95 % bootstrap interval.
 * @param {number[]} over @param {number[]} under @returns {{ ratio: number, low: number, high: number }}
 */
export function pairedRatio(over, under) {
  const ratios = over.map((value, round) => value / under[round])
  const random = randomFrom(ratios.length)
  const medians = Array.from({ length: RESAMPLES }, () =>
    median(ratios.map(() => ratios[Math.floor(random() * ratios.length)])),
  )
  medians.sort((a, b) => a - b)
  const tail = Math.floor(((1 - CONFIDENCE) / 2) * RESAMPLES)
  return { ratio: median(ratios), low: medians[tail], high: medians[RESAMPLES - 1 - tail] }
}
