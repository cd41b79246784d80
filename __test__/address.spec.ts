// Socket addresses as people write them, and the errors for those that are none.

import { inspect } from 'node:util'
import test from 'ava'
import { addressFromWords, addressWords, parseAddress } from '../dist/address.js'

test('addresses are read in every form that is documented', (t) => {
  t.deepEqual(parseAddress('127.0.0.1:7878'), { address: '127.0.0.1', port: 7878, family: 'IPv4' })
  t.deepEqual(parseAddress('0.0.0.0:0'), { address: '0.0.0.0', port: 0, family: 'IPv4' })
  t.deepEqual(parseAddress('[::1]:65535'), { address: '::1', port: 65535, family: 'IPv6' })
  t.deepEqual(parseAddress('[2001:DB8:0:0:1:0:0:1]:1'), { address: '2001:db8::1:0:0:1', port: 1, family: 'IPv6' })
  t.deepEqual(parseAddress('[::ffff:10.0.0.1]:1'), { address: '::ffff:10.0.0.1', port: 1, family: 'IPv6' })
  t.deepEqual(parseAddress({ address: '::', port: 80 }), { address: '::', port: 80, family: 'IPv6' })
  t.deepEqual(parseAddress('[1:2:3:4:5:6:7:8]:1').address, '1:2:3:4:5:6:7:8')
})

const wrong: [unknown, RegExp][] = [
  ['', /write "127\.0\.0\.1:7878"/],
  ['127.0.0.1', /write "127/],
  [':7878', /write "127/],
  ['localhost:7878', /names are not looked up: use node:dns first/],
  ['example.com:80', /names are not looked up/],
  ['256.0.0.1:80', /write/],
  ['1.2.3:80', /write/],
  ['01.2.3.4:80', /write/],
  ['127.0.0.1:65536', /port must be a whole number from 0 to 65535/],
  ['127.0.0.1:99999', /port must be/],
  ['127.0.0.1:-1', /write/],
  ['127.0.0.1:http', /write/],
  ['::1:80', /write/],
  ['[::1]', /write/],
  ['[fe80::1%eth0]:80', /write/],
  ['[1:2:3:4:5:6:7:8:9]:1', /write/],
  ['[1::2::3]:1', /write/],
  ['[12345::]:1', /write/],
  [7878, /received|number 7878/],
  [null, /null/],
  [undefined, /undefined/],
  [{ port: 80 }, /write/],
  [{ address: '127.0.0.1' }, /port must be/],
  [{ address: '127.0.0.1', port: '80' }, /port must be/],
  [{ address: '127.0.0.1', port: 1.5 }, /port must be/],
]

for (const [input, message] of wrong) {
  test(`refused: ${inspect(input)}`, (t) => {
    const error = t.throws(() => parseAddress(input), { code: 'ERR_RINGLINE_INVALID_ADDRESS', message })
    t.regex(error?.message ?? '', /^"address" is not a socket address: /)
  })
}

test('the words of a record are shown as they were written', (t) => {
  const words = (hex: string) => {
    const bytes = Buffer.from(hex, 'hex')
    return [0, 4, 8, 12].map((at) => (at < bytes.length ? bytes.readInt32LE(at) : 0)) as [
      number,
      number,
      number,
      number,
    ]
  }
  const shown = (family: number, hex: string) =>
    addressFromWords(addressWords((family << 8) | (443 << 16), ...words(hex)))
  t.deepEqual(shown(4, 'c0a801fe'), { address: '192.168.1.254', port: 443, family: 'IPv4' })
  t.deepEqual(shown(6, '00000000000000000000000000000000').address, '::')
  t.deepEqual(shown(6, 'fe800000000000000000000000000001').address, 'fe80::1')
  t.deepEqual(shown(6, '00010000000000000000000000000000').address, '1::')
  t.deepEqual(shown(6, '20010db8000100010001000100010001').address, '2001:db8:1:1:1:1:1:1')
})
