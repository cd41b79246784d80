/**
 * The slabs of received memory that a worker is using: slab number to ArrayBuffer, and back to its name. It owns that table; whose bytes lie where in a
 * slab is the worker's business, and how long a slab lives is decided by who still holds a view of it.
 */

import { Collector } from './collector.js'
import { bufferOver } from './fast-buffer.js'
import type { Loan } from './loan.js'
import type { NativePort } from './port.js'
import { SLAB_GENERATION_SHIFT } from './protocol.js'

/** A slab in one of its uses. */
export interface SlabName {
  readonly slab: number
  /** The generation, where SEND_CHUNK has it: above the flags. The worker refuses a name whose memory is in a later use. */
  readonly use: number
}

/** The slabs of one worker. */
export class Slabs {
  private readonly native: NativePort
  /** The number of the first slab. */
  private readonly base: number
  private readonly memory: (ArrayBuffer | undefined)[] = []
  private readonly names = new WeakMap<ArrayBufferLike, SlabName>()
  private readonly loan: Loan | undefined
  private readonly collector = new Collector()

  /** Slabs from number `base` on; with a loan, their memory is lent and not owned. */
  constructor(native: NativePort, base: number, loan: Loan | undefined) {
    this.native = native
    this.base = base
    this.loan = loan
  }

  /** A view of received bytes; none when somebody has detached the slab, which others' bytes lie in too. */
  view(slab: number, offset: number, length: number): Buffer | undefined {
    const memory = this.memoryOf(slab)
    try {
      return bufferOver(memory, offset, length)
    } catch {
      return undefined
    }
  }

  /** The memory of a slab that is not retired. */
  memoryOf(slab: number): ArrayBuffer {
    return this.memory[slab - this.base] ?? this.wrap(slab)
  }

  /** Received bytes of a slab that was detached: they are still there, only not in its ArrayBuffer. */
  copy(slab: number, offset: number, length: number): Buffer {
    const copy = this.native.copySlab(slab, offset, length)
    return ArrayBuffer.isView(copy)
      ? bufferOver(copy.buffer, copy.byteOffset, copy.byteLength)
      : bufferOver(copy, 0, copy.byteLength)
  }

  /** Which slab this memory is, if it is one and owned. The name stays valid when the slab is retired. */
  nameOf(memory: ArrayBufferLike): SlabName | undefined {
    return this.names.get(memory)
  }

  /** No more bytes will come in this slab: from here on only its chunks keep it alive. */
  retire(slab: number): void {
    this.memory[slab - this.base] = undefined
  }

  private wrap(slab: number): ArrayBuffer {
    // Handing one chunk to another thread would take everyone else's bytes in the slab along. Node refuses that by itself for external
    // memory. Marking it once more must not be done: since Node 24 the mark sets a detach key, and Node, which detaches external memory
    // without one at its exit, then aborts the process.
    const memory = this.native.wrapSlab(slab)
    this.memory[slab - this.base] = memory
    // Lent memory is in another use each time it is lent, and never collected.
    if (this.loan !== undefined) {
      this.loan.lendFrom(memory)
    } else {
      this.names.set(memory, { slab, use: this.native.slabGeneration(slab) << SLAB_GENERATION_SHIFT })
      this.collector.given(memory.byteLength)
    }
    return memory
  }
}
