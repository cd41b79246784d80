/**
 * Buffers over memory that is known to be good.
 */

/** Buffers over given memory, without the checks of Buffer.from: the class that Buffer itself makes its instances with. */
export const FastBuffer = Buffer[Symbol.species as never] as new (
  memory: ArrayBufferLike,
  offset: number,
  length: number,
) => Buffer
