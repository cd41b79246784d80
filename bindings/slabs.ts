/**
 * The slabs of received memory that a worker is using: slab number to ArrayBuffer, and back. It owns that table; whose bytes lie where in a
 * slab is the worker's business, and how long a slab lives is decided by who still holds a view of it.
 */

import { FastBuffer, type NativePort } from './port.js'

/** The slabs of one worker. */
export class Slabs {
  private readonly native: NativePort
  private readonly memory: (ArrayBuffer | undefined)[] = []
  private readonly numbers = new WeakMap<ArrayBufferLike, number>()

  constructor(native: NativePort) {
    this.native = native
  }

  /** A view of received bytes. */
  view(slab: number, offset: number, length: number): Buffer {
    const memory = this.memory[slab] ?? this.wrap(slab)
    try {
      return new FastBuffer(memory, offset, length)
    } catch {
      // Somebody has detached the slab, which others' bytes lie in too: they are still there, only not in this ArrayBuffer.
      const copy = this.native.copySlab(slab, offset, length)
      return ArrayBuffer.isView(copy)
        ? new FastBuffer(copy.buffer, copy.byteOffset, copy.byteLength)
        : new FastBuffer(copy, 0, copy.byteLength)
    }
  }

  /**
   * The number of the slab that this memory is, if it is one. It stays valid when the slab is retired: the worker uses the number for other
   * memory only after this ArrayBuffer was collected.
   */
  numberOf(memory: ArrayBufferLike): number | undefined {
    return this.numbers.get(memory)
  }

  /** No more bytes will come in this slab: from here on only its chunks keep it alive. */
  retire(slab: number): void {
    this.memory[slab] = undefined
  }

  private wrap(slab: number): ArrayBuffer {
    // Handing one chunk to another thread would take everyone else's bytes in the slab along. Node refuses that by itself for external
    // memory. Marking it once more must not be done: since Node 24 the mark sets a detach key, and Node, which detaches external memory
    // without one at its exit, then aborts the process.
    const memory = this.native.wrapSlab(slab)
    this.memory[slab] = memory
    this.numbers.set(memory, slab)
    return memory
  }
}
