/**
 * The addresses of the connection that the worker is about to tell of: their records come before its own. It owns what was read of them.
 */

import { type AddressWords, addressWords } from './address.js'

/** In an ADDRESS record: the peer's, not this side's. */
const PEER = 0

/** The addresses read last. */
export class ConnectionAddresses {
  /** The first word of the peer's address. */
  peerMeta = 4 << 8
  /** The other words of the peer's address. There is one for each connection, so IPv4's single word stands by itself: an array would take 64 bytes. */
  peerRest: number | readonly number[] = 0
  local: AddressWords = [4 << 8, 0]

  /** Reads the ADDRESS record at an index. */
  keep(completions: Int32Array, at: number): void {
    const meta = completions[at + 3]! & ~255
    if ((completions[at + 3]! & 255) !== PEER) {
      this.keepLocal(completions, at, meta)
      return
    }
    this.peerMeta = meta
    const isIpv4 = ((meta >>> 8) & 255) === 4
    this.peerRest = isIpv4 ? completions[at + 4]! : Array.from(completions.subarray(at + 4, at + 8))
  }

  /** Every accepted connection has the same local address as a rule: one array then serves all of them. */
  private keepLocal(completions: Int32Array, at: number, meta: number): void {
    const { local } = this
    let isSame = local[0] === meta
    for (let word = 1; isSame && word < local.length; word += 1) isSame = local[word] === completions[at + 3 + word]
    if (isSame) return
    this.local = addressWords(
      meta,
      completions[at + 4]!,
      completions[at + 5]!,
      completions[at + 6]!,
      completions[at + 7]!,
    )
  }
}
