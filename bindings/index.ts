/**
 * The entry point of the package: what people import. It owns the list of public names and may hold no logic of its own.
 *
 * @packageDocumentation
 */

import { loadNative } from './native/load.js'

/**
 * The version of the native library in use, such as `0.1.0`.
 *
 * @returns the version, in the form of Semantic Versioning
 * @throws an error with code `ERR_RINGLINE_UNSUPPORTED_PLATFORM` where there is no native library for this platform, or
 * `ERR_RINGLINE_NATIVE_LIBRARY` where there should be one but it is missing or cannot be loaded
 */
export function version(): string {
  return loadNative().version()
}
