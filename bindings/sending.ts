/**
 * Sends that wait for the kernel to take what was queued, in one line per connection. It owns that line and the promises in it.
 */

/** A promise and its two functions. */
export interface Pending {
  promise: Promise<number>
  resolve: (bytes: number) => void
  reject: (error: Error) => void
}

/** A promise that resolves when the kernel has taken everything up to a position of the connection's byte stream. */
interface Watched extends Pending {
  end: number
  total: number
}

/** What of a connection's sending is not settled; most connections never need one. */
export class Sending {
  /** Waiting sends and commands. */
  waiting = 0
  waitingBytes = 0
  /** Free slots that the refused send would have needed. */
  neededSlots = 0
  private watched: Watched[] = []

  /** A promise for the moment when the kernel has taken everything up to `end`. */
  watch(end: number, total: number, pending: Pending = makePending()): Promise<number> {
    this.watched.push({ ...pending, end, total })
    return pending.promise
  }

  /** Settles the promises for everything up to this position. */
  settleUntil(sent: number): void {
    let settled = 0
    while (settled < this.watched.length && ((sent - this.watched[settled]!.end) | 0) >= 0) {
      const { resolve, total } = this.watched[settled]!
      resolve(total)
      settled += 1
    }
    if (settled > 0) this.watched.splice(0, settled)
  }

  /** The connection has ended: nothing more will be taken. */
  fail(error: Error): void {
    const watched = this.watched
    this.watched = []
    for (const pending of watched) rejectQuietly(pending, error)
  }
}

/** A promise that is settled by hand. */
export function makePending(): Pending {
  const pending = {} as Pending
  pending.promise = new Promise<number>((resolve, reject) => {
    pending.resolve = resolve
    pending.reject = reject
  })
  return pending
}

/** Rejects a promise that nobody has to look at: a connection that ends while data is sent is not a mistake of the program. */
export function rejectQuietly(pending: Pending, error: Error): void {
  pending.promise.catch(() => {})
  pending.reject(error)
}
