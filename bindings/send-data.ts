/**
 * What can be sent, read without trusting it: a subclass or an own property may lie about a view's length or buffer, so only the intrinsic
 * accessors are asked. It owns that reading; it copies nothing.
 */

import { invalidArgument } from './errors.js'
import { types } from './node-util.js'

/** What the sending methods take: a string is sent as UTF-8, a view as the bytes it shows. */
export type SendData = string | NodeJS.ArrayBufferView

const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as object

function intrinsic<T>(property: string): (view: Uint8Array) => T {
  const getter = Object.getOwnPropertyDescriptor(typedArrayPrototype, property)?.get
  if (getter === undefined) throw new Error(`this JavaScript engine has no accessor for ${property} of typed arrays`)
  return Function.prototype.call.bind(getter) as (view: Uint8Array) => T
}

/** The true number of bytes of a view; 0 when its memory was detached. */
export const byteLengthOf = intrinsic<number>('byteLength')
/** The true memory of a view. */
export const bufferOf = intrinsic<ArrayBufferLike>('buffer')
/** The true place of a view in its memory. */
export const byteOffsetOf = intrinsic<number>('byteOffset')
const keysOf = Function.prototype.call.bind(Uint8Array.prototype.keys) as (view: Uint8Array) => unknown

/**
 * The bytes of a view, whichever kind it is.
 *
 * @throws RinglineError `ERR_RINGLINE_INVALID_ARGUMENT`
 */
export function bytesOf(
  data: unknown,
  name = 'data',
  wanted = 'a string, Buffer, typed array or DataView',
): Uint8Array {
  if (types.isUint8Array(data)) {
    // Another thread may grow shared memory, and a view that follows it, between measuring and copying: fix the length once.
    if (bufferOf(data) instanceof ArrayBuffer) return data
    return fixed(bufferOf(data), byteOffsetOf(data), byteLengthOf(data))
  }
  if (types.isTypedArray(data)) {
    const view = data as unknown as Uint8Array
    return fixed(bufferOf(view), byteOffsetOf(view), byteLengthOf(view))
  }
  if (types.isDataView(data)) return ofDataView(data, name)
  throw invalidArgument(name, wanted, data)
}

/** Fails when an empty view is empty because its memory is gone: sending nothing would hide the mistake. */
export function requireAttached(view: Uint8Array, name = 'data'): void {
  try {
    // Every method of typed arrays refuses a view whose memory was detached, or was shrunk to less than the view begins at.
    keysOf(view)
  } catch {
    throw invalidArgument(
      name,
      'a view of memory that is still there; this memory was transferred elsewhere or shrunk',
      view,
    )
  }
}

function ofDataView(view: DataView, name: string): Uint8Array {
  try {
    return fixed(view.buffer, view.byteOffset, view.byteLength)
  } catch (error) {
    throw Object.assign(invalidArgument(name, 'a view of memory that is still there', view), { cause: error })
  }
}

function fixed(memory: ArrayBufferLike, offset: number, length: number): Uint8Array {
  return new Uint8Array(memory, offset, length)
}
