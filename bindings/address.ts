/**
 * Socket addresses: parsing what people write, and showing what records carry. It owns the text forms and does no look-up of names.
 */

import { describe, RinglineError } from './errors.js'

/** An IP address and a port. */
export interface SocketAddress {
  /** The address, such as `127.0.0.1` or `::1`. */
  readonly address: string
  /** The port, 0 … 65535. */
  readonly port: number
  /** The family, as in Node's `net`. */
  readonly family: 'IPv4' | 'IPv6'
}

/**
 * Where to bind or connect: `'127.0.0.1:7878'`, `'[::1]:7878'`, or an object with `address` and `port`. Names are not looked up.
 */
export type AddressInput = string | { readonly address: string; readonly port: number }

const PORT_MAX = 65535
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/
const IPV4_AND_PORT = /^([^:[\]]+):(\d{1,5})$/
const IPV6_AND_PORT = /^\[([^\]]*)\]:(\d{1,5})$/
const REMEDY = 'write "127.0.0.1:7878", "[::1]:7878" or { address: "127.0.0.1", port: 7878 }'

/**
 * Reads an address.
 *
 * @throws RinglineError `ERR_RINGLINE_INVALID_ADDRESS`, naming the argument, the value and the forms that are understood
 */
export function parseAddress(input: unknown, name = 'address'): SocketAddress {
  if (typeof input === 'string') {
    const match = IPV4_AND_PORT.exec(input) ?? IPV6_AND_PORT.exec(input)
    if (match === null) throw invalidAddress(name, input, REMEDY)
    return checkedAddress(name, input, match[1], Number(match[2]))
  }
  if (typeof input === 'object' && input !== null) {
    const read = (): [unknown, unknown] => {
      const { address, port } = input as { address?: unknown; port?: unknown }
      return [address, port]
    }
    return checkedAddress(name, input, ...readAddress(name, input, read))
  }
  throw invalidAddress(name, input, REMEDY)
}

function readAddress(name: string, input: unknown, read: () => [unknown, unknown]): [unknown, unknown] {
  try {
    return read()
  } catch (cause) {
    throw Object.assign(invalidAddress(name, input, REMEDY), { cause })
  }
}

function checkedAddress(name: string, input: unknown, address: unknown, port: unknown): SocketAddress {
  if (typeof address !== 'string') throw invalidAddress(name, input, REMEDY)
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 0 || port > PORT_MAX) {
    throw invalidAddress(name, input, `the port must be a whole number from 0 to ${PORT_MAX}`)
  }
  if (IPV4.test(address)) return { address, port, family: 'IPv4' }
  const words = parseIpv6(address)
  if (words !== undefined) return { address: formatIpv6(words), port, family: 'IPv6' }
  const named = /^[a-z][a-z0-9.-]*$/i.test(address)
  throw invalidAddress(
    name,
    input,
    named ? 'names are not looked up: use node:dns first, and pass the IP address' : REMEDY,
  )
}

function invalidAddress(name: string, input: unknown, remedy: string): RinglineError {
  return new RinglineError(
    'ERR_RINGLINE_INVALID_ADDRESS',
    `"${name}" is not a socket address: ${describe(input)}; ${remedy}`,
  )
}

/** The eight 16-bit groups of an IPv6 address, or undefined when it is none. */
function parseIpv6(text: string): number[] | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head, tail] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const before = groups(head ?? [], tail === undefined)
  const after = tail === undefined ? [] : groups(tail, true)
  if (before === undefined || after === undefined) return undefined
  const missing = 8 - before.length - after.length
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined
  return [...before, ...new Array<number>(missing).fill(0), ...after]
}

/** Reads groups; the last one of an address may be in IPv4's form. */
function groups(parts: string[], atEnd: boolean): number[] | undefined {
  const read: number[] = []
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      read.push(Number.parseInt(part, 16))
    } else if (atEnd && index === parts.length - 1 && IPV4.test(part)) {
      const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number)
      read.push((a << 8) | b, (c << 8) | d)
    } else {
      return undefined
    }
  }
  return read
}

/** The text of an IPv6 address as RFC 5952 wants it: the longest run of zero groups (two or more) is left out. */
function formatIpv6(words: readonly number[]): string {
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) {
    const [high = 0, low = 0] = words.slice(6)
    return `::ffff:${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
  }
  let start = -1
  let length = 1
  for (let from = 0; from < 8; from += 1) {
    let to = from
    while (to < 8 && words[to] === 0) to += 1
    if (to - from > length) {
      start = from
      length = to - from
    }
  }
  const hex = words.map((word) => word.toString(16))
  if (start < 0) return hex.join(':')
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`
}

/** The bytes of a 32-bit word as they lie in memory. */
function bytesOf(word: number): [number, number, number, number] {
  return [word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24]
}

/**
 * An address as a record carries it: the family (4 or 6) in bits 8 … 15 and the port in bits 16 … 31 of the first word, then the bytes of
 * the address in network order, in one word (IPv4) or four (IPv6). Kept like this because few programs ever ask for it.
 */
export type AddressWords = readonly number[]

/** The words of an address, of which the family decides how many count. */
export function addressWords(meta: number, a: number, b: number, c: number, d: number): AddressWords {
  return ((meta >>> 8) & 255) === 4 ? [meta, a] : [meta, a, b, c, d]
}

/** The words of an address that was parsed. */
export function addressToWords({ address, port, family }: SocketAddress): AddressWords {
  if (family === 'IPv4') return [(4 << 8) | (port << 16), wordOf(address.split('.').map(Number))]
  const words = parseIpv6(address) ?? []
  const bytes = words.flatMap((group) => [group >> 8, group & 255])
  return [(6 << 8) | (port << 16), ...[0, 4, 8, 12].map((at) => wordOf(bytes.slice(at, at + 4)))]
}

/** The word that lies in memory as these bytes. */
function wordOf([a = 0, b = 0, c = 0, d = 0]: readonly number[]): number {
  return a | (b << 8) | (c << 16) | (d << 24)
}

/** Shows an address as people know it. */
export function addressFromWords(words: AddressWords): SocketAddress {
  const [meta = 0, ...address] = words
  const port = meta >>> 16
  if (((meta >>> 8) & 255) === 4) return { address: bytesOf(address[0] ?? 0).join('.'), port, family: 'IPv4' }
  const groups = address.flatMap((word) => {
    const [first, second, third, fourth] = bytesOf(word)
    return [(first << 8) | second, (third << 8) | fourth]
  })
  return { address: formatIpv6(groups), port, family: 'IPv6' }
}
