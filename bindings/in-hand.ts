/**
 * The chunk that a handler is being called with. Most chunks are sent from within that call, and whole; where this one lies is known, so
 * that nothing has to be asked of it. It owns that knowledge, of one chunk at a time.
 *
 * Each batch has one of its own: a new chunk in an old object would have to be noted for V8's collector, in a new one it has not.
 */

import { SLAB_GENERATION_SHIFT } from './protocol.js'
import type { SlabName, Slabs } from './slabs.js'

/** A chunk and its place, while its handler runs. */
export class InHand implements SlabName {
  /** Undefined when no handler runs, and when its chunk is a copy, which is its user's for ever. */
  chunk: Buffer | undefined = undefined
  slab = 0
  use = 0
  offset = 0
  length = 0

  /** The chunk that a DATA record names; the handler is called with it. */
  take(slabs: Slabs, record: Int32Array, at: number): Buffer {
    const slab = record[at + 3]!
    const offset = record[at + 4]!
    const length = record[at + 5]!
    const chunk = slabs.view(slab, offset, length)
    if (chunk === undefined) return slabs.copy(slab, offset, length)
    this.chunk = chunk
    this.slab = slab
    this.use = record[at + 6]! << SLAB_GENERATION_SHIFT
    this.offset = offset
    this.length = length
    return chunk
  }

  /** The handler has returned. */
  drop(): void {
    this.chunk = undefined
  }
}
