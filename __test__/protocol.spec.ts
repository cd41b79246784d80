// Both sides of the memory in common go by the same numbers.

import test from 'ava'
import { loadNative } from '../dist/native/load.js'
import * as words from '../dist/protocol.js'

test('every constant of the native library is known here by the same name and value, and no other', (t) => {
  const native = loadNative() as unknown as { protocol(): Record<string, number> }
  t.deepEqual({ ...words }, native.protocol() as typeof words)
})
