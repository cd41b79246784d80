// Where the native library cannot be loaded, importing still works and the error names the machine, what was looked for and the remedy.

import test from 'ava'
import { nativeLoadError } from '../dist/native/load.js'

test('a system without io_uring is named, and so is what to use instead', (t) => {
  for (const platform of ['darwin', 'win32']) {
    const error = nativeLoadError({ platform, arch: 'arm64', libc: undefined }, undefined)
    t.is(error.code, 'ERR_RINGLINE_UNSUPPORTED_PLATFORM')
    t.is(error.name, 'RinglineError')
    t.regex(error.message, new RegExp(`${platform}-arm64`))
    t.regex(error.message, /only Linux has/)
    t.regex(error.message, /container/)
  }
})

test('a processor without a prebuilt library is told which ones have one', (t) => {
  const error = nativeLoadError({ platform: 'linux', arch: 'riscv64', libc: 'gnu' }, undefined)
  t.is(error.code, 'ERR_RINGLINE_UNSUPPORTED_PLATFORM')
  t.regex(error.message, /linux-riscv64-gnu/)
  t.regex(error.message, /x64 and arm64/)
})

test('a missing library on a supported machine is another error, and keeps its cause', (t) => {
  const cause = new Error('Cannot find native binding')
  const error = nativeLoadError({ platform: 'linux', arch: 'x64', libc: 'musl' }, cause)
  t.is(error.code, 'ERR_RINGLINE_NATIVE_LIBRARY')
  t.is(error.cause, cause)
  t.regex(error.message, /@ringline\/binding-linux-x64-musl/)
  t.regex(error.message, /--omit=optional/)
})
