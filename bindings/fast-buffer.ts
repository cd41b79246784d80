/**
 * Buffers over memory that is known to be good.
 */

type Place = [memory: ArrayBufferLike, offset: number, length: number]

/** The class that Buffer itself makes its instances with. */
const FastBuffer = Buffer[Symbol.species as never] as new (...place: Place) => Buffer

/**
 * A Buffer over given memory, without the checks of Buffer.from. Constructed in this way V8 goes straight to what makes typed arrays, past
 * the constructors of the class: three calls less.
 */
export function bufferOver(...place: Place): Buffer {
  return Reflect.construct(Uint8Array, place, FastBuffer) as Buffer
}
