/**
 * The words of the memory that a ring thread and its JavaScript environment have in common: where the control words lie, what the
 * records of the two rings say. It owns these numbers and nothing else; the native library has the same ones, and a test compares them.
 *
 * Every word is a little-endian 32-bit integer. Indices are free-running counters that are masked on use.
 */

/** Words per record of either ring. */
export const RECORD_WORDS = 8
/** Records of the completion ring (worker → JavaScript), a power of two. */
export const COMPLETION_RING_RECORDS = 4096
/** Records of the submission ring (JavaScript → worker), a power of two. */
export const SUBMISSION_RING_RECORDS = 4096
/** Slabs with numbers from here on hold datagrams. */
export const DATAGRAM_SLABS = 1 << 30
/** Datagrams of one socket that may be on their way out. */
export const DATAGRAMS_IN_FLIGHT_MAX = 1024

/** Send slots that one submission of the kernel gathers at most. */
export const PIECES_PER_SEND_MAX = 64

/** Control words. Each has a cache line of its own, because the two sides write different ones at the same time. */
export const COMPLETION_TAIL = 0
export const COMPLETION_HEAD = 16
/** 1 while JavaScript waits for the doorbell: whoever exchanges it with 0 has to ring. */
export const JS_ASLEEP = 32
export const SUBMISSION_TAIL = 48
export const SUBMISSION_HEAD = 64
/** 1 while the worker blocks in the kernel: whoever exchanges it with 0 has to ring. */
export const WORKER_ASLEEP = 80
export const FREE_TAIL = 96
export const FREE_HEAD = 112
/** 1 when the worker holds completions back because the ring was full, and wants to hear that there is room. */
export const WANTS_ROOM = 128
/** 1 when a send waits for slots, and JavaScript wants to hear that some are free. */
export const WANTS_SLOTS = 144
/** Words that the control memory has at least. */
export const CONTROL_WORDS = 160

/** Kinds of completion records: `[kind, slot, generation, a, b, c, d, e]`. */
export const ADDRESS = 1
export const ACCEPTED = 2
export const CONNECTED = 3
export const CONNECT_FAILED = 4
export const DATA = 5
export const SLAB_RETIRED = 6
export const END = 7
export const SENT = 8
export const CLOSED = 9
export const TICK = 10
export const NOTIFY = 11
export const STOPPED = 12
export const TIMER_DUE = 20
export const DATAGRAM = 21
/** The address of the IPv6 sender of the datagram that follows. */
export const DATAGRAM_FROM = 22
export const DATAGRAMS_LOST = 23
/** No DATA of the pipe's source follows: everything before has been told. */
export const PIPE_HELD = 30
export const PIPE_ENDED = 31

/** Kinds of submission records: `[kind, slot, generation, a, b, c, d, e]`. */
export const SEND_SLOT = 1
export const SEND_CHUNK = 2
export const CLOSE = 3
export const SHUTDOWN_WRITE = 4
export const PAUSE = 5
export const RESUME = 6
export const ABORT = 7
/** The sends that follow, up to the one with CHAIN_END, are a chain. */
export const SEND_CHAIN = 8
export const TIMER = 20
export const TIMER_CANCEL = 21
export const SEND_DATAGRAM = 22
/** The address of the IPv6 receiver of the datagram that follows. */
export const DATAGRAM_TO = 23
/** A full slot of the datagram that follows, in front of the slot that it names itself. */
export const DATAGRAM_SLOT = 24
export const PIPE = 30
/** These two name the target and the number of a pipe. */
export const PIPE_START = 31
export const PIPE_STOP = 32

/** How a pipe ended. */
export const PIPE_FINISHED = 1
export const PIPE_STOPPED = 2
export const PIPE_SOURCE_FAILED = 3
export const PIPE_TARGET_FAILED = 4

/** Flag of all send records: post SENT when the kernel has taken every byte up to the end of this piece. */
export const WATCH = 1
/** In a chain: this send is the last of a link. */
export const LINK_END = 2
/** In a chain: this send is its last. */
export const CHAIN_END = 4
/** In a SEND_CHUNK the generation of the slab stands above the flags, from this bit on. */
export const SLAB_GENERATION_SHIFT = 8

/** Kinds of completion records about memory that JavaScript owns. Operations are numbered by JavaScript. */
export const GUARD_RELEASED = 40
export const FILE_OPENED = 41
export const FILE_OPEN_FAILED = 42
export const FILE_DONE = 43
export const FILE_CLOSED = 44
export const DEVICE_OPENED = 45
export const DEVICE_OPEN_FAILED = 46
export const COMMAND_DONE = 47
export const DEVICE_CLOSED = 48

/** Kinds of submission records about such memory. The number of an operation stands above the 16 bits of the slot. */
export const SEND_GUARD = 40
export const FILE_READ = 41
export const FILE_WRITE = 42
export const FILE_FSYNC = 43
export const FILE_CLOSE = 44
export const DEVICE_READ = 45
export const DEVICE_WRITE = 46
export const DEVICE_FLUSH = 47
export const DEVICE_CLOSE = 48

/** Why the worker did not begin something. */
export const REFUSED_NOT_ENABLED = 1
export const REFUSED_TOO_MANY_OPEN = 2
export const REFUSED_PATH = 3
export const REFUSED_NOT_OPEN = 4
export const REFUSED_READ_ONLY = 5
export const REFUSED_TOO_MANY_OPERATIONS = 6
export const REFUSED_OUT_OF_RANGE = 7
export const REFUSED_MISALIGNED = 8
export const REFUSED_MEMORY = 9
export const REFUSED_BLOCKS = 10
