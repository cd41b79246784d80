/**
 * Sends that wait for the kernel to take what was queued, in one line per connection. It owns that line and the promises in it.
 */

import { rejectQuietly, type Settleable, settleable } from './settling.js'

/** A promise that resolves when the kernel has taken everything up to a position of the connection's byte stream. */
interface Watched extends Settleable<number> {
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
  watch(end: number, total: number, pending: Settleable<number> = settleable()): Promise<number> {
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
