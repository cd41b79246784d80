/**
 * The send slots of one worker that are free: memory that JavaScript writes and the kernel reads. It owns which slots are free; a slot that
 * was handed out is the worker's until it comes back through the ring of freed slots.
 *
 * The slot freed last is used next, so that small messages keep using the same few cache lines.
 */

import { bufferOver } from './fast-buffer.js'
import type { Port } from './port.js'
import { FREE_HEAD, FREE_TAIL, WANTS_SLOTS } from './protocol.js'

/** Strings up to this many characters are written by a loop: calling into Node costs more than that. */
const SHORT_STRING_CHARS = 24

/** As a method of the memory it would be looked up by a call of V8's each time. */
const copyInto = Function.prototype.call.bind(Uint8Array.prototype.set) as (
  target: Uint8Array,
  source: Uint8Array,
  offset: number,
) => void

/** The send slots of one worker. */
export class SendPool {
  /** Bytes that fit into one slot. */
  readonly slotSize: number
  readonly slots: number

  private readonly port: Port
  private readonly memory: Buffer
  private readonly stride: number
  private readonly freed: Int32Array
  private readonly freedMask: number
  private freedHead: number
  /** The free slots, a stack. */
  private readonly free: Int32Array
  private freeCount: number

  constructor(port: Port) {
    const { native } = port
    this.port = port
    this.slots = native.sendSlots
    this.slotSize = native.sendSlotSize
    this.stride = native.sendSlotStride
    this.memory = bufferOver(native.sendMemory, 0, native.sendMemory.byteLength)
    this.freed = new Int32Array(native.freeSlots)
    this.freedMask = this.freed.length - 1
    this.freedHead = port.control[FREE_HEAD]!
    this.free = new Int32Array(this.slots)
    for (let slot = 0; slot < this.slots; slot += 1) this.free[slot] = this.slots - 1 - slot
    this.freeCount = this.slots
  }

  /** Bytes of all slots together. */
  get bytes(): number {
    return this.slots * this.slotSize
  }

  /** Free slots, counting those that have come back meanwhile when fewer than `wanted` are known. */
  available(wanted: number): number {
    return this.freeCount >= wanted ? this.freeCount : this.harvest()
  }

  /** Takes back the slots that the worker has freed; answers how many are free. */
  harvest(): number {
    const tail = Atomics.load(this.port.control, FREE_TAIL)
    if (tail === this.freedHead) return this.freeCount
    while (this.freedHead !== tail) {
      this.free[this.freeCount] = this.freed[this.freedHead & this.freedMask]!
      this.freeCount += 1
      this.freedHead = (this.freedHead + 1) | 0
    }
    Atomics.store(this.port.control, FREE_HEAD, tail)
    return this.freeCount
  }

  /** True when slots have come back that were not harvested yet. */
  get hasFreed(): boolean {
    return Atomics.load(this.port.control, FREE_TAIL) !== this.freedHead
  }

  /** Asks the worker to ring the doorbell when it frees slots. What it has freed before is seen by {@link SendPool.hasFreed}. */
  askForSlots(): void {
    Atomics.store(this.port.control, WANTS_SLOTS, 1)
  }

  /** Takes a slot; there must be one. */
  takeSlot(): number {
    this.freeCount -= 1
    return this.free[this.freeCount]!
  }

  /** Writes bytes into a slot, from `offset` on. */
  write(slot: number, offset: number, bytes: Uint8Array): void {
    copyInto(this.memory, bytes, slot * this.stride + offset)
  }

  /** Writes a string into a slot as UTF-8, from `offset` on; the slot must have room for three bytes per character, or for all bytes. */
  writeString(slot: number, offset: number, text: string): number {
    const at = slot * this.stride + offset
    const length = text.length
    if (length <= SHORT_STRING_CHARS) {
      const memory = this.memory
      let index = 0
      for (; index < length; index += 1) {
        const char = text.charCodeAt(index)
        if (char > 127) break
        memory[at + index] = char
      }
      if (index === length) return length
    }
    return this.memory.write(text, at, this.slotSize - offset, 'utf8')
  }
}
