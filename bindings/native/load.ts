// Loads the native library on first use and says clearly why it cannot be loaded. Importing the package must work everywhere (types,
// tools and tests on macOS and Windows), so nothing here runs at import, and this file may not be imported for anything but loading.
//
// The search itself is in binding.cjs, which napi-rs generates: a library built in this folder first, then the prebuilt package for
// this platform, processor and C library.

import { outOfDescriptors, RinglineError } from '../errors.js'

/** What the native library exports. */
export type NativeBinding = typeof import('../../bindings/native/binding.cjs')

/** The C library a Linux machine runs programs with; other systems have none that matters here. */
export type CLibrary = 'gnu' | 'musl' | undefined

/** The machine a native library is wanted for, in Node's words. */
export interface Machine {
  platform: string
  arch: string
  libc: CLibrary
}

/** The processors that prebuilt libraries exist for. */
const ARCHITECTURES: readonly string[] = ['x64', 'arm64']

/** All places that a compiled copy of this file may lie in, `dist/bundle`, `dist/native` and `bindings/native`, are two levels below the root. */
const GENERATED_LOADER = '../../bindings/native/binding.cjs'

let loaded: NativeBinding | undefined

/**
 * The native library, loaded once per environment. What could not be loaded is looked for again the next time: a process may be out of
 * descriptors for a moment.
 *
 * @throws what {@link nativeLoadError} describes; `ERR_RINGLINE_RESOURCE_LIMIT` while the process is out of descriptors
 */
export function loadNative(): NativeBinding {
  if (loaded !== undefined) return loaded
  try {
    loaded = process.getBuiltinModule('node:module').createRequire(import.meta.url)(GENERATED_LOADER) as NativeBinding
    return loaded
  } catch (cause) {
    if (isOutOfDescriptors()) throw outOfDescriptors('the native library could not be loaded', cause)
    throw nativeLoadError({ platform: process.platform, arch: process.arch, libc: currentCLibrary() }, cause)
  }
}

/** Whether the process can open nothing at the moment. */
function isOutOfDescriptors(): boolean {
  const { closeSync, openSync } = process.getBuiltinModule('node:fs')
  try {
    closeSync(openSync('/dev/null', 'r'))
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EMFILE'
  }
}

/**
 * The error for a machine whose native library could not be loaded: what the machine is, what was looked for, what to do.
 *
 * Its `code` is `ERR_RINGLINE_UNSUPPORTED_PLATFORM` where no library can exist, and `ERR_RINGLINE_NATIVE_LIBRARY` where one should.
 */
export function nativeLoadError(machine: Machine, cause: unknown): RinglineError {
  const here = [machine.platform, machine.arch, machine.libc].filter((part) => part !== undefined).join('-')
  if (machine.platform !== 'linux') {
    const message =
      `ringline cannot run on ${here}: it needs io_uring, which only Linux has (kernel 6.1 or newer). ` +
      'Importing the package and using its types works here; to run it, use a Linux machine, virtual machine or container.'
    return new RinglineError('ERR_RINGLINE_UNSUPPORTED_PLATFORM', message, { cause })
  }
  const wanted = `ringline.${here}.node in bindings/native and the package @ringline/binding-${here}`
  if (!ARCHITECTURES.includes(machine.arch)) {
    const message =
      `ringline has no prebuilt library for ${here}: looked for ${wanted}; prebuilt ones exist for ${ARCHITECTURES.join(' and ')}. ` +
      'Build it from a clone of the repository with `npm run build`, which needs Rust and a C compiler.'
    return new RinglineError('ERR_RINGLINE_UNSUPPORTED_PLATFORM', message, { cause })
  }
  const message =
    `The native library of ringline for ${here} could not be loaded: looked for ${wanted}. ` +
    'Install again without `--omit=optional` and on the machine that runs it, ' +
    'or build it from a clone of the repository with `npm run build`; the cause says what each attempt met.'
  return new RinglineError('ERR_RINGLINE_NATIVE_LIBRARY', message, { cause })
}

/** Asked only after a failure: the report takes milliseconds to make. */
function currentCLibrary(): CLibrary {
  if (process.platform !== 'linux') return undefined
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return report.header?.glibcVersionRuntime === undefined ? 'musl' : 'gnu'
}
