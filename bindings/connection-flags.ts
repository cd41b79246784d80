/**
 * The bits that say what a connection is doing. Each is set and cleared by the file that owns the matter: closing and ending by
 * dispatcher.ts, receiving by inbound.ts, sending by outbound.ts and pipe.ts.
 */

/** This side made the connection. */
export const OUTBOUND = 1
/** The peer's FIN was seen. */
export const ENDED = 2
/** `close()` was called, or the connection failed: nothing is sent or delivered any more. */
export const CLOSING = 4
/** The worker has ended the connection: its slot belongs to someone else, or soon will. */
export const CLOSED = 8
export const WRITE_SHUT = 16
/** The worker was asked to stop receiving. */
export const PAUSED = 32
/** Bytes accumulate until they are asked for, instead of going to `onData`. */
export const PULLED = 64
/** A promise of `onData` is not settled yet: what arrives has to wait. */
export const BUSY = 128
/** `bufferedAmount` has exceeded the high-water mark: `onDrain` is due when it is back at 0. */
export const DRAIN_DUE = 256
/** A send was refused: `onDrain` is due when there is room. */
export const REFUSED = 512
/** `onEnd` was called. */
export const END_TOLD = 1024
/** `onClose` was called. */
export const CLOSE_TOLD = 2048
/** A pipe sends on it. */
export const PIPED = 4096

/** While any of these is set, sends are refused. */
export const SENDS_REFUSED = CLOSED | CLOSING | WRITE_SHUT | PIPED
