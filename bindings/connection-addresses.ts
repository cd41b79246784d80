/**
 * The addresses of the connection that the worker is about to tell of: their records come before its own. It owns what was read of them.
 */

import { type AddressWords, addressWords } from './address.js'

const NO_ADDRESS: AddressWords = [4 << 8, 0]
/** In an ADDRESS record: the peer's, not this side's. */
const PEER = 0

/** The addresses read last. */
export class ConnectionAddresses {
  peer: AddressWords = NO_ADDRESS
  local: AddressWords = NO_ADDRESS

  /** Reads the ADDRESS record at an index. */
  keep(completions: Int32Array, at: number): void {
    const meta = completions[at + 3]! & ~255
    const [b, c, d, e] = [completions[at + 4]!, completions[at + 5]!, completions[at + 6]!, completions[at + 7]!]
    const address = addressWords(meta, b, c, d, e)
    if ((completions[at + 3]! & 255) === PEER) this.peer = address
    // Every accepted connection has the same local address as a rule: one array then serves all of them.
    else if (!address.every((word, index) => word === this.local[index])) this.local = address
  }
}
