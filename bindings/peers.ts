/**
 * The addresses that datagrams come from and go to, in the form of records and in that of people. It owns a small cache of both, so that
 * traffic with the same peers makes no strings; what is not in it is worked out anew.
 */

import {
  type AddressInput,
  type AddressWords,
  addressFromWords,
  addressToWords,
  parseAddress,
  type SocketAddress,
} from './address.js'

/** Peers remembered by what records say of them, a power of two; each has one place, where another may replace it. */
const RECENT_PEERS = 1024
/** Peers remembered by their text. */
const TEXTS_MAX = 1024

/** A peer of datagrams. */
export interface Peer {
  /** The address as users get it. It is shared by all datagrams of the peer, and therefore frozen. */
  readonly address: SocketAddress
  /** The address as records carry it; see {@link AddressWords}. */
  readonly words: AddressWords
  /** The zone of a link-local IPv6 address, as a number; 0 = none. */
  readonly scope: number
}

/** The peers of one worker's UDP sockets. */
export class Peers {
  private readonly recent: (Peer | undefined)[] = new Array<Peer | undefined>(RECENT_PEERS).fill(undefined)
  private readonly byAddress = new WeakMap<object, Peer>()
  private readonly byText = new Map<string, Peer>()

  /** The peer at an IPv4 address. */
  ipv4(meta: number, word: number): Peer {
    const place = hash(meta ^ Math.imul(word, 0x9e3779b1))
    const found = this.recent[place]
    if (found !== undefined && found.words[0] === meta && found.words[1] === word) return found
    return this.remember(place, [meta, word], 0)
  }

  /** The peer at an IPv6 address. */
  ipv6(meta: number, scope: number, a: number, b: number, c: number, d: number): Peer {
    const mixed = Math.imul(Math.imul(Math.imul(a, 31) + b, 31) + c, 31) + d
    const place = hash(meta ^ Math.imul(mixed, 0x9e3779b1))
    const found = this.recent[place]
    if (found !== undefined && found.scope === scope) {
      const { words } = found
      if (words[0] === meta && words[1] === a && words[2] === b && words[3] === c && words[4] === d) return found
    }
    return this.remember(place, [meta, a, b, c, d], scope)
  }

  /**
   * The peer at an address that a user has given.
   *
   * @throws RinglineError `ERR_RINGLINE_INVALID_ADDRESS`
   */
  at(input: AddressInput): Peer {
    if (typeof input !== 'string') {
      // Objects of users may change from call to call; those made here cannot.
      return this.byAddress.get(input) ?? made(addressToWords(parseAddress(input)), 0)
    }
    const known = this.byText.get(input)
    if (known !== undefined) return known
    const peer = made(addressToWords(parseAddress(input)), 0)
    if (this.byText.size >= TEXTS_MAX) this.byText.clear()
    this.byText.set(input, peer)
    return peer
  }

  private remember(place: number, words: AddressWords, scope: number): Peer {
    const peer = made(words, scope)
    this.recent[place] = peer
    this.byAddress.set(peer.address, peer)
    return peer
  }
}

function made(words: AddressWords, scope: number): Peer {
  return { address: Object.freeze(addressFromWords(words)), words, scope }
}

function hash(mixed: number): number {
  return (Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b) >>> 16) & (RECENT_PEERS - 1)
}
