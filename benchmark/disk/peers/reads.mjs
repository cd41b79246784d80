// @ts-check
// Random reads: a number of readers, each of which reads one block after the other at places of its own choice. What reads
// is given; this only counts.
import { counted, latency } from '../../harness/task.mjs'

export const BLOCK_BYTES = 4096

/** Xorshift, so that every peer pays the same for its random places. @param {number} seed */
function places(seed, /** @type {number} */ blocks) {
  let state = seed * 2654435761 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return ((state >>> 0) % blocks) * BLOCK_BYTES
  }
}

/**
 * @param {{ depth: number, seconds: number }} task @param {number} blocks of the file
 * @param {(reader: number, position: number) => Promise<number>} read fills the buffer of a reader
 */
export async function readAtRandom({ depth, seconds }, blocks, read) {
  /** @type {number[]} */
  const latencies = []
  const began = performance.now()
  const end = began + seconds * 1e3
  const reader = async (/** @type {number} */ id) => {
    const place = places(Math.floor(Math.random() * 2 ** 31) + id, blocks)
    for (let now = performance.now(); now < end; ) {
      const bytes = await read(id, place())
      if (bytes !== BLOCK_BYTES) throw new Error(`a read answered ${bytes} bytes`)
      const then = now
      now = performance.now()
      latencies.push((now - then) * 1e6)
    }
  }
  await Promise.all(Array.from({ length: depth }, (_, id) => reader(id)))
  return { ...counted(latencies.length, began), latency_ns: latency(latencies) }
}
