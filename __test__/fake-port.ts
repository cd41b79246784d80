// The worker's side of the memory in common, played by a test: it posts completion records, reads submission records, frees slots and
// counts doorbells. It owns no socket and no clock, so every test of the dispatcher on it is deterministic.

import { setImmediate as nextImmediate } from 'node:timers/promises'
import { Dispatcher } from '../dist/dispatcher.js'
import type { DispatcherSettings } from '../dist/dispatcher-settings.js'
import type { AsyncEventHandler } from '../dist/handler.js'
import type { NativePort } from '../dist/port.js'
import * as words from '../dist/protocol.js'

// What a test gives to this dispatcher, or gets from it, has to come from the modules that it is made of: 'ringline' is the bundle of them.
export { UdpSendError } from '../dist/errors.js'
export { allocAligned } from '../dist/memory.js'

/** A submission record that the fake worker has taken. */
export interface Submission {
  kind: number
  slot: number
  generation: number
  values: number[]
  /** What a SEND_SLOT or SEND_CHUNK names, copied when it was taken. */
  bytes: Buffer
}

export interface FakeOptions extends Partial<DispatcherSettings> {
  slots?: number
  slotSize?: number
}

const SLAB_BYTES = 65536

export class FakePort implements NativePort {
  readonly control = new ArrayBuffer(words.CONTROL_WORDS * 4)
  readonly completions = new ArrayBuffer(words.COMPLETION_RING_RECORDS * words.RECORD_WORDS * 4)
  readonly submissions = new ArrayBuffer(words.SUBMISSION_RING_RECORDS * words.RECORD_WORDS * 4)
  readonly freeSlots: ArrayBuffer
  readonly sendMemory: ArrayBuffer
  readonly sentBytes = new ArrayBuffer(1024 * 4)
  readonly sendSlots: number
  readonly sendSlotSize: number
  readonly sendSlotStride: number

  readonly dispatcher: Dispatcher
  rings = 0
  submits = 0
  refs = 0
  stops = 0
  copies = 0
  stoppedWith: number | undefined
  shutdownRequests = 0
  readonly connects: { request: number; ip: string; port: number; timeoutMs: number }[] = []
  readonly canceled: number[] = []

  private readonly words = new Int32Array(this.control)
  private readonly records = new Int32Array(this.completions)
  private readonly commands = new Int32Array(this.submissions)
  private readonly slabs: ArrayBuffer[] = []
  private readonly copiesOfSlabs: Buffer[] = []
  private filled = 0

  constructor(handler: AsyncEventHandler, options: FakeOptions = {}) {
    const { slots = 64, slotSize = 1024, ...settings } = options
    this.sendSlots = slots
    this.sendSlotSize = slotSize
    this.sendSlotStride = slotSize + 64
    this.sendMemory = new ArrayBuffer(slots * this.sendSlotStride)
    this.freeSlots = new ArrayBuffer(2 ** Math.ceil(Math.log2(slots)) * 4)
    this.dispatcher = new Dispatcher(this, handler, {
      workerId: 0,
      recvAccumulatorCapacity: 4096,
      recvAccumulatorLimit: 2 ** 20,
      standaloneTaskCapacity: 4,
      timerSlots: 4,
      chainLinksMax: 4,
      udpAddrs: [],
      requestShutdown: () => {
        this.shutdownRequests += 1
      },
      onStopped: (errno) => {
        this.stoppedWith = errno
      },
      ...settings,
    })
    this.dispatcher.doorbell()
  }

  ring(): void {
    this.rings += 1
  }
  submit(): void {
    this.submits += 1
  }
  ref(): void {
    this.refs += 1
  }
  unref(): void {
    this.refs -= 1
  }
  stop(): void {
    this.stops += 1
  }
  wakeEnvironment(): void {}

  metrics(): never {
    throw new Error('a stand-in has no worker that could have done anything')
  }

  notify(): void {
    this.post(words.NOTIFY)
  }
  connect(request: number, ip: string, port: number, timeoutMs: number): void {
    this.connects.push({ request, ip, port, timeoutMs })
  }
  cancelConnect(request: number): void {
    this.canceled.push(request)
  }
  wrapSlab(slab: number): ArrayBuffer {
    const memory = this.slabs[slab]
    if (memory === undefined) throw new Error(`no slab ${slab}`)
    return memory
  }
  slabGeneration(slab: number): number {
    return slab + 1
  }
  copySlab(slab: number, offset: number, length: number): Buffer {
    this.copies += 1
    return Buffer.from(this.copiesOfSlabs[slab]!.subarray(offset, offset + length))
  }

  /** Writes one completion record and publishes it; the doorbell is the test's to ring. */
  post(kind: number, slot = 0, generation = 0, a = 0, b = 0, c = 0, d = 0, e = 0): void {
    const tail = this.words[words.COMPLETION_TAIL]!
    if (((tail - this.words[words.COMPLETION_HEAD]!) | 0) >= words.COMPLETION_RING_RECORDS)
      throw new Error('completion ring is full')
    const at = (tail & (words.COMPLETION_RING_RECORDS - 1)) * words.RECORD_WORDS
    this.records.set([kind, slot, generation, a, b, c, d, e], at)
    Atomics.store(this.words, words.COMPLETION_TAIL, (tail + 1) | 0)
  }

  /** Posts the records of an accepted connection from 10.0.0.<slot>:4000. */
  accept(slot: number, generation = 1): void {
    this.post(words.ADDRESS, slot, generation, (4 << 8) | (4000 << 16), Buffer.from([10, 0, 0, slot]).readInt32LE(0))
    this.post(words.ADDRESS, slot, generation, 1 | (4 << 8) | (80 << 16), Buffer.from([127, 0, 0, 1]).readInt32LE(0))
    this.post(words.ACCEPTED, slot, generation, new Int32Array(this.sentBytes)[slot]!)
  }

  /** Posts received bytes, in the current slab, or in a new one when it is full or `fresh`. */
  data(slot: number, bytes: Buffer | string, generation = 1, fresh = false): void {
    const data = Buffer.from(bytes as string)
    if (this.slabs.length === 0 || fresh || this.filled + data.length > SLAB_BYTES) {
      if (this.slabs.length > 0) this.post(words.SLAB_RETIRED, 0, 0, this.slabs.length - 1)
      this.slabs.push(new ArrayBuffer(SLAB_BYTES))
      this.copiesOfSlabs.push(Buffer.alloc(SLAB_BYTES))
      this.filled = 0
    }
    const slab = this.slabs.length - 1
    const memory = this.slabs[slab]!
    if (memory.byteLength > 0) data.copy(Buffer.from(memory), this.filled)
    data.copy(this.copiesOfSlabs[slab]!, this.filled)
    this.post(words.DATA, slot, generation, slab, this.filled, data.length, this.slabGeneration(slab))
    this.filled += data.length
  }

  /** Rings the doorbell if JavaScript sleeps, as the worker would; answers whether it did. */
  wake(): boolean {
    if (Atomics.exchange(this.words, words.JS_ASLEEP, 0) !== 1) return false
    this.dispatcher.doorbell()
    return true
  }

  /** Posts nothing more: rings, and lets promises and immediates run. */
  async settle(): Promise<void> {
    this.wake()
    for (let turn = 0; turn < 5; turn += 1) await nextImmediate()
  }

  /** Takes the published submission records. */
  take(limit = Number.POSITIVE_INFINITY): Submission[] {
    const taken: Submission[] = []
    let head = this.words[words.SUBMISSION_HEAD]!
    const tail = Atomics.load(this.words, words.SUBMISSION_TAIL)
    for (; head !== tail && taken.length < limit; head = (head + 1) | 0) {
      const at = (head & (words.SUBMISSION_RING_RECORDS - 1)) * words.RECORD_WORDS
      const [kind = 0, slot = 0, generation = 0, ...values] = this.commands.slice(at, at + words.RECORD_WORDS)
      taken.push({ kind, slot, generation, values, bytes: this.named(kind, values) })
    }
    Atomics.store(this.words, words.SUBMISSION_HEAD, head)
    return taken
  }

  /** Lets the kernel take a send: counts its bytes, frees its slot, posts SENT when it is watched. */
  complete(submission: Submission): void {
    const sent = new Int32Array(this.sentBytes)
    sent[submission.slot] = (sent[submission.slot]! + submission.bytes.length) | 0
    const isSlot = submission.kind === words.SEND_SLOT
    if (isSlot) this.free(submission.values[0]!)
    const flags = submission.values[isSlot ? 2 : 3]!
    if ((flags & words.WATCH) !== 0) this.post(words.SENT, submission.slot, submission.generation)
  }

  /** Takes and completes everything; answers the bytes sent per slot. */
  completeAll(): Map<number, Buffer> {
    const sent = new Map<number, Buffer>()
    for (const submission of this.take()) {
      if (submission.kind !== words.SEND_SLOT && submission.kind !== words.SEND_CHUNK) continue
      sent.set(submission.slot, Buffer.concat([sent.get(submission.slot) ?? Buffer.alloc(0), submission.bytes]))
      this.complete(submission)
    }
    return sent
  }

  /** A control word. */
  word(index: number): number {
    return this.words[index]!
  }

  /** Sets a control word. */
  setWord(index: number, value: number): void {
    this.words[index] = value
  }

  /** The slab that is being filled. */
  get slab(): ArrayBuffer {
    return this.slabs.at(-1)!
  }

  private free(slot: number): void {
    const free = new Int32Array(this.freeSlots)
    const tail = this.words[words.FREE_TAIL]!
    free[tail & (free.length - 1)] = slot
    Atomics.store(this.words, words.FREE_TAIL, (tail + 1) | 0)
  }

  private named(kind: number, values: number[]): Buffer {
    const [a = 0, b = 0, c = 0] = values
    if (kind === words.SEND_SLOT) return Buffer.from(Buffer.from(this.sendMemory, a * this.sendSlotStride, b))
    if (kind === words.SEND_CHUNK) return Buffer.from(Buffer.from(this.slabs[a]!, b, c))
    return Buffer.alloc(0)
  }
}
