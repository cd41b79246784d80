/**
 * What a parse function answers. It owns the meaning of the number and may hold no state: both forms are plain numbers, so that an answer
 * costs no allocation.
 */

/** The answer of a parse function: how many bytes it consumed, or 0 for "more are needed". Make it with {@link (ParseResult:variable)}. */
export type ParseResult = number

/** Makes the two answers that a parse function can give. */
export const ParseResult = {
  /**
   * The first `bytes` of what was given are done with.
   *
   * @param bytes - a whole number from 0 to the length of what was given; 0 means the same as `ParseResult.NeedMore`
   */
  Consumed(bytes: number): ParseResult {
    return bytes
  },
  /** Nothing complete yet: call again when more bytes are there, with all of them. */
  NeedMore: 0,
} as const
