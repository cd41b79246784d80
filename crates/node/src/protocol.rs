//! The layout of the memory that a worker and its JavaScript environment share: every index, kind, flag and size.
//!
//! This is the only place that knows the numbers. TypeScript keeps a copy of them under the same names, because what is
//! asked for at run time cannot be inlined; [`constants`] is what a test compares that copy with.
//!
//! All words are little-endian and 32 bits wide. Positions in rings count up freely and are masked when they are used,
//! so that a full ring and an empty one differ.

/// Declares constants and the list of them that JavaScript can ask for.
macro_rules! constants {
    ($($(#[$attribute:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$attribute])* pub(crate) const $name: u32 = $value;)*

        /// Every constant of this group with its name.
        pub(crate) const ALL: &[(&str, u32)] = &[$((stringify!($name), $name)),*];
    };
}

/// Sizes.
pub(crate) mod size {
    constants! {
        /// Words of a record: kind, slot, generation, a, b, c, d, e.
        RECORD_WORDS = 8;
        /// Records that the completion ring holds.
        COMPLETION_RING_RECORDS = 4096;
        /// Records that the submission ring holds.
        SUBMISSION_RING_RECORDS = 4096;
        /// Number of control words.
        CONTROL_WORDS = 160;
        /// Slabs with numbers from here on hold datagrams: they are the arena's, not those that connections receive into.
        DATAGRAM_SLABS = 1 << 30;
        /// Datagrams of one socket that may be on their way out. `sentBytes` counts, behind the words of the connections
        /// and by the socket's index, those that have left or failed.
        DATAGRAMS_IN_FLIGHT_MAX = 1024;
        /// Pieces that one submission gathers at most.
        PIECES_PER_SEND_MAX = 64;
    }
}

/// Control words. Each has a cache line of its own, so that one side's stores do not slow the other side's loads.
pub(crate) mod control {
    constants! {
        /// Completion records that were written. Stored by the worker.
        COMPLETION_TAIL = 0;
        /// Completion records that were read. Stored by JavaScript.
        COMPLETION_HEAD = 16;
        /// 1 while JavaScript waits for the doorbell. JavaScript stores 1, then looks at the tail once more; the worker
        /// takes the 1 away when it rings.
        JS_ASLEEP = 32;
        /// Submission records that were written. Stored by JavaScript.
        SUBMISSION_TAIL = 48;
        /// Submission records that were read. Stored by the worker.
        SUBMISSION_HEAD = 64;
        /// 1 while the worker blocks. The worker stores 1, then looks at the tail once more; JavaScript takes the 1
        /// away and rings.
        WORKER_ASLEEP = 80;
        /// Send slots that were given back. Stored by the worker.
        FREE_TAIL = 96;
        /// Send slots that were taken again. Stored by JavaScript.
        FREE_HEAD = 112;
        /// 1 while the worker holds completion records back for want of room. JavaScript, having published the
        /// completion head, takes the 1 away and rings.
        WANTS_ROOM = 128;
        /// 1 while JavaScript waits for a send slot. JavaScript stores 1, then looks at the tail of the free slots once
        /// more; the worker, having published freed slots, takes the 1 away and rings.
        WANTS_SLOTS = 144;
    }
}

/// Kinds of completion records, worker to JavaScript.
pub(crate) mod completion {
    constants! {
        /// An address of the connection that the next ACCEPTED or CONNECTED names: a = which end | family << 8 |
        /// port << 16, b to e = the bytes of the address in network order (b alone for IPv4).
        ADDRESS = 1;
        /// A connection was accepted: a = its word of `sentBytes` at the start.
        ACCEPTED = 2;
        /// A requested connection stands: a as in ACCEPTED, b = the request.
        CONNECTED = 3;
        /// A requested connection could not be made: a = errno, b = the request. ETIMEDOUT when its time was up,
        /// ECANCELED when it was cancelled, 0 when the worker has no free connection slot.
        CONNECT_FAILED = 4;
        /// Bytes arrived: a = slab, b = offset, c = length, d = generation of the slab. JavaScript that borrows has them until
        /// it says that the record was read.
        DATA = 5;
        /// No further DATA names slab a until it is wrapped anew: JavaScript forgets its ArrayBuffer.
        SLAB_RETIRED = 6;
        /// The peer sends nothing more.
        END = 7;
        /// The kernel took more bytes of a connection with a watched send; `sentBytes` tells how many. There is always
        /// one for the last watched send that was taken, and there may be more than one for each.
        SENT = 8;
        /// The connection is gone: a = errno, 0 when it was closed from this side.
        CLOSED = 9;
        /// The tick time has passed.
        TICK = 10;
        /// The worker was notified.
        NOTIFY = 11;
        /// The ring thread has ended: a = errno, 0 when it was asked to. Nothing follows.
        STOPPED = 12;
        /// A timer is due: a = its number.
        TIMER_DUE = 20;
        /// A datagram arrived: slot = index of the UDP socket, generation = family << 8 | port << 16 of the sender,
        /// a = slab, b = offset, c = length, d = address of an IPv4 sender.
        DATAGRAM = 21;
        /// The address of the IPv6 sender of the datagram that follows: generation = scope, a to d = the bytes of the
        /// address in network order.
        DATAGRAM_FROM = 22;
        /// What a UDP socket (slot) has lost so far: a = datagrams that were received and dropped because JavaScript did
        /// not keep up, b = datagrams that could not be sent.
        DATAGRAMS_LOST = 23;
        /// Pipe a is made, and no DATA of its source follows: everything before has been told.
        PIPE_HELD = 30;
        /// Pipe a has ended: b = how, c = errno, d and e = low and high word of the bytes moved.
        PIPE_ENDED = 31;
    }
}

/// Kinds of submission records, JavaScript to worker.
pub(crate) mod submission {
    constants! {
        /// Send from a send slot: a = slot, b = length (1 up to the slot size), c = flags.
        SEND_SLOT = 1;
        /// Send received bytes: a = slab, b = offset, c = length (at least 1), d = flags and the slab's generation.
        SEND_CHUNK = 2;
        /// Close: queued sends first, then FIN.
        CLOSE = 3;
        /// FIN after the queued sends.
        SHUTDOWN_WRITE = 4;
        /// Receive nothing more for now.
        PAUSE = 5;
        /// Receive again.
        RESUME = 6;
        /// Close now; queued sends are dropped.
        ABORT = 7;
        /// The sends that follow, up to the one with CHAIN_END, are a chain: the kernel runs its links one after the other, and
        /// one that fails cancels the rest.
        SEND_CHAIN = 8;
        /// Arm a timer: a = its number, which no armed timer has; b and c = low and high word of the delay in nanoseconds.
        TIMER = 20;
        /// Disarm timer a, if it is armed.
        TIMER_CANCEL = 21;
        /// Send a datagram: slot = index of the UDP socket, generation = family << 8 | port << 16 of the receiver, a = the
        /// last of its send slots, b = length of the datagram, c = address of an IPv4 receiver.
        SEND_DATAGRAM = 22;
        /// The IPv6 address of the receiver of the next SEND_DATAGRAM: generation = scope, a to d = the bytes of the
        /// address in network order.
        DATAGRAM_TO = 23;
        /// The next SEND_DATAGRAM begins in this full send slot (a), or goes on in it.
        DATAGRAM_SLOT = 24;
        /// Pipe from this connection to another: a and b = slot and generation of the other, c = a number that no pipe
        /// has.
        PIPE = 30;
        /// Let the pipe to this connection flow, if its number is a.
        PIPE_START = 31;
        /// End the pipe to this connection, if its number is a.
        PIPE_STOP = 32;
    }
}

/// Flags of sends.
pub(crate) mod flag {
    constants! {
        /// Post SENT when the kernel has taken all bytes up to the end of this piece.
        WATCH = 1;
        /// In a chain: this send is the last of a link.
        LINK_END = 2;
        /// In a chain: this send is its last.
        CHAIN_END = 4;
        /// In a SEND_CHUNK, the generation of the slab stands above the flags, from this bit on.
        SLAB_GENERATION_SHIFT = 8;
    }
}

/// How a pipe ended.
pub(crate) mod pipe_end {
    constants! {
        /// The source has finished, and the kernel has taken everything.
        PIPE_FINISHED = 1;
        /// JavaScript has stopped it.
        PIPE_STOPPED = 2;
        /// The source failed, with the errno; 0 when it was closed from this side.
        PIPE_SOURCE_FAILED = 3;
        /// The target failed, with the errno; 0 when it was closed or shut down from this side.
        PIPE_TARGET_FAILED = 4;
    }
}

pub(crate) mod storage;

/// In an ADDRESS: the other side.
pub(crate) const PEER: u32 = 0;
/// In an ADDRESS: this side.
pub(crate) const LOCAL: u32 = 1;

/// Every constant that TypeScript knows too, with its name.
pub(crate) fn constants() -> impl Iterator<Item = (&'static str, u32)> {
    [size::ALL, control::ALL, completion::ALL, submission::ALL, flag::ALL, pipe_end::ALL]
        .into_iter()
        .chain([storage::completion::ALL, storage::submission::ALL, storage::refused::ALL])
        .flatten()
        .copied()
}

const _: () = assert!(size::COMPLETION_RING_RECORDS.is_power_of_two());
const _: () = assert!(size::SUBMISSION_RING_RECORDS.is_power_of_two());
const _: () = assert!(size::PIECES_PER_SEND_MAX as usize == ringline::driver::GATHER_MAX);
const _: () = assert!(control::WANTS_SLOTS < size::CONTROL_WORDS);

/// One record of either ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: u32,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    /// The words a to e.
    pub(crate) values: [u32; 5],
}

impl Record {
    /// A record about a connection.
    #[inline]
    pub(crate) const fn new(kind: u32, slot: u32, generation: u32, values: [u32; 5]) -> Self {
        Self { kind, slot, generation, values }
    }

    /// A record about the worker: `a` is its only value.
    #[inline]
    pub(crate) const fn of_worker(kind: u32, a: u32) -> Self {
        Self::new(kind, 0, 0, [a, 0, 0, 0, 0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_words_have_a_cache_line_each() {
        for pair in control::ALL.windows(2) {
            assert_eq!(pair[1].1 - pair[0].1, 16, "{pair:?}");
        }
    }

    #[test]
    fn names_and_kinds_are_unique() {
        let mut names: Vec<_> = constants().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        for kinds in [completion::ALL, submission::ALL] {
            for pair in kinds.windows(2) {
                assert!(pair[0].1 < pair[1].1, "{pair:?}");
            }
        }
    }
}
