/**
 * When V8 collects received memory. Only V8 knows what of it nobody needs any more, and it looks too late by itself: external memory is
 * noticed at 64 MiB, and stays when a burst is over. It owns the occasions that V8 is given; it collects nothing itself.
 */

/** So much received memory since the last collection at rest is worth another one. */
const BURST_BYTES = 32 * 1024 * 1024
/** A burst is over when no slab was used for this long, or for up to twice as long. */
const REST_MS = 2000
/** More than V8 lets external memory grow before it collects all generations. */
const PRESSURE_BYTES = 128 * 1024 * 1024

/** The occasions for one worker's memory. */
export class Collector {
  private received = 0
  private busy = false
  private timer: NodeJS.Timeout | undefined

  private readonly look = (): void => {
    if (this.busy) {
      this.busy = false
      this.timer?.refresh()
      return
    }
    this.timer = undefined
    this.received = 0
    collectAll()
  }

  /** V8 was given an ArrayBuffer over so much received memory. */
  given(bytes: number): void {
    collectYoung()
    this.busy = true
    this.received += bytes
    if (this.received >= BURST_BYTES) this.timer ??= setTimeout(this.look, REST_MS).unref()
  }
}

/**
 * An occasion to collect the young generation. V8 looks at how many bytes young ArrayBuffers hold, and collects it from 32 MiB on, only when
 * it allocates the memory of one itself. Otherwise external memory is collected with all generations, which costs ten times as much.
 */
function collectYoung(): void {
  new ArrayBuffer(1)
}

/** An occasion to collect everything, step by step: memory that is never touched, and so takes none, counts as external. */
function collectAll(): void {
  try {
    Buffer.allocUnsafeSlow(PRESSURE_BYTES)
  } catch {
    // Without address space for it there is pressure enough.
  }
}
