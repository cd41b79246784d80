//! The one error type of the public API. Every variant names what was asked, what stood in the way, and what helps.

use std::{fmt, io};

use ringline_ring::{OpenFilesLimit, SetupError};

use crate::driver::{FileRefused, NvmeRefused, NvmeStatus};
use crate::guard::RegionId;

/// What can go wrong in the runtime.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed, or the connection it was for ended: ECONNREFUSED, ETIMEDOUT, EADDRINUSE, …
    Io(io::Error),
    /// io_uring cannot be used, or no ring could be made. The text says why and what to do about it.
    RingSetup(SetupError),
    /// The provided-buffer ring or the send memory could not be made.
    BufferRegistration(io::Error),
    /// A worker's thread could not be bound to its core. The text names the core and those that are allowed.
    PinFailed(io::Error),
    /// Every one of the worker's connection slots is taken.
    ConnectionLimitReached {
        /// The worker's `max_connections`.
        limit: u32,
    },
    /// The connection is closed, or being closed from this side.
    InvalidConnection,
    /// That direction of the connection is taken: by a [pipe](crate::ConnCtx::pipe), or, for the source of a new one, by a
    /// reader or a receive sink.
    PipeBusy,
    /// There are not enough free slots in the send copy pool. Nothing was queued; slots come back as the kernel takes
    /// what is queued.
    SendPoolExhausted {
        /// Slots that the send needs.
        needed: u32,
        /// Slots that were free.
        free: u32,
    },
    /// There are not enough free guard slots. Nothing was queued; slots come back as the kernel lets go of memory.
    GuardLimitReached {
        /// Guards of the send.
        needed: u32,
        /// Slots that were free.
        free: u32,
    },
    /// A chain needs more submissions than [`max_chain_length`](crate::Config::max_chain_length) allows, or chains are
    /// disabled. Nothing was queued.
    ChainTooLong {
        /// Submissions of the chain: one per link, more for very long ones.
        needed: usize,
        /// How many there may be; also bounded by `sq_entries`.
        limit: usize,
    },
    /// A scatter-gather send has more parts than is possible. Nothing was queued.
    TooManyParts {
        /// What there are too many of.
        of: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// A guard names a region that is not among
    /// [`registered_regions`](crate::Config::registered_regions). Nothing was queued.
    InvalidRegion {
        /// The region that it names.
        region: RegionId,
        /// How many regions are registered.
        registered: usize,
    },
    /// The memory of a guard does not lie in the region that the guard names. Nothing was queued.
    PointerOutOfRegion {
        /// The region that it names.
        region: RegionId,
        /// The address of its first byte.
        address: usize,
        /// Number of its bytes.
        len: u32,
    },
    /// A limit of the process is too low and may not be raised. The text says which, and how to raise it.
    ResourceLimit(OpenFilesLimit),
    /// A field of [`Config`](crate::Config) has a value that is not possible.
    InvalidConfig {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be possible.
        legal: &'static str,
    },
    /// Another future of the same UDP socket waits for a datagram already. It goes on waiting.
    UdpReceiverWaits,
    /// As many tasks run as `standalone_task_capacity` allows.
    TaskLimitReached {
        /// The worker's `standalone_task_capacity`.
        limit: usize,
    },
    /// A file was not opened, or an operation on it not begun: closed, not aligned, too many, …
    FileRefused(FileRefused),
    /// An NVMe device was not opened, or a command not submitted: closed, no blocks, too many, …
    NvmeRefused(NvmeRefused),
    /// An NVMe device answered a command with this status.
    NvmeStatus(NvmeStatus),
    /// The kernel had no memory for a completion and lost it (EBADR), so nobody knows what became of some operation. The
    /// worker has ended, and its connections with it.
    CompletionsLost,
    /// [`spawn`](crate::spawn), [`connect`](crate::connect) or [`request_shutdown`](crate::request_shutdown) was called
    /// outside of a worker's tasks and handler methods.
    OutsideWorker,
    /// `create_for_worker` or `on_start` panicked. The panic itself was reported by the panic hook.
    HandlerPanicked {
        /// The worker that could not start.
        worker: usize,
    },
}

/// Why a datagram was not queued.
#[derive(Debug)]
#[non_exhaustive]
pub enum UdpSendError {
    /// There are not enough free slots in the send copy pool; they come back as the kernel takes what is queued.
    PoolExhausted,
    /// As many datagrams of this socket as may are on their way out: 1024.
    SendInFlight,
    /// The kernel takes no submissions at the moment.
    SubmissionQueueFull,
    /// It could not be sent at any time: EMSGSIZE for more than 65,507 bytes, `NotFound` for a token of another worker.
    Io(io::Error),
}

impl fmt::Display for UdpSendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoolExhausted => {
                f.write_str("no send slot is free; wait for earlier sends, or raise send_copy_count")
            }
            Self::SendInFlight => {
                f.write_str("1024 datagrams of this socket are on their way out already; wait for them")
            }
            Self::SubmissionQueueFull => f.write_str("the kernel takes no submissions at the moment; try again later"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UdpSendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Io(error) = self { Some(error) } else { None }
    }
}

/// As many sleeps and timeouts are armed on the worker as its [`timer_slots`](crate::Config::timer_slots) allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimerExhausted {
    /// The worker's `timer_slots`.
    pub limit: u32,
}

impl fmt::Display for TimerExhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all {} timers of this worker are armed; raise timer_slots", self.limit)
    }
}

impl std::error::Error for TimerExhausted {}

/// The time of a [`timeout`](crate::timeout) was up before its future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up before the future was ready")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::PinFailed(error) => write!(f, "{error}; change core_offset, or switch pin_to_core off"),
            Self::RingSetup(error) => error.fmt(f),
            Self::BufferRegistration(error) => write!(
                f,
                "the buffers of a worker could not be made: {error}; smaller recv_buffer or send_copy_count values, or \
                 more memory, help; registered_regions also need room in the limit of locked memory (RLIMIT_MEMLOCK), which \
                 `ulimit -l` raises"
            ),
            Self::ConnectionLimitReached { limit } => {
                write!(f, "all {limit} connection slots of this worker are taken; raise max_connections")
            }
            Self::InvalidConnection => f.write_str("the connection is closed"),
            Self::PipeBusy => f.write_str(
                "this direction of the connection is taken by a pipe, a reader or a receive sink; wait for its end",
            ),
            Self::SendPoolExhausted { needed, free } => write!(
                f,
                "the send needs {needed} slots of the copy pool and {free} are free; wait for earlier sends, or raise \
                 send_copy_count"
            ),
            Self::GuardLimitReached { needed, free } => write!(
                f,
                "the send needs {needed} guard slots and {free} are free; wait for earlier sends, or raise \
                 send_slab_slots"
            ),
            Self::ChainTooLong { limit: 0, .. } => f.write_str("chains are disabled: max_chain_length is 0"),
            Self::ChainTooLong { needed, limit } => write!(
                f,
                "the chain needs {needed} links and may have {limit}; shorten it, or raise max_chain_length and sq_entries"
            ),
            Self::TooManyParts { of, max } => write!(f, "a send has at most {max} {of}; split it"),
            Self::InvalidRegion { region, registered } => {
                write!(f, "{region:?} is not registered: registered_regions has {registered} regions, counted from 0")
            }
            Self::PointerOutOfRegion { region, address, len } => write!(
                f,
                "the guard's {len} bytes at {address:#x} do not lie in {region:?}; name the region that they lie in, or \
                 RegionId::UNREGISTERED"
            ),
            Self::ResourceLimit(limit) => limit.fmt(f),
            Self::InvalidConfig { field, value, legal } => write!(f, "{field} is {value}, but must be {legal}"),
            Self::UdpReceiverWaits => {
                f.write_str("another recv_from of this UDP socket is waiting already; receive in one task")
            }
            Self::TaskLimitReached { limit } => {
                write!(f, "{limit} spawned tasks are running; raise standalone_task_capacity")
            }
            Self::FileRefused(refused) => refused.fmt(f),
            Self::NvmeRefused(refused) => refused.fmt(f),
            Self::NvmeStatus(status) => status.fmt(f),
            Self::CompletionsLost => f.write_str(
                "the kernel had no memory for a completion and lost it (EBADR), so the worker has ended with its \
                 connections; give the system more memory, or the ring more entries (sq_entries)",
            ),
            Self::OutsideWorker => {
                f.write_str("called outside of a worker: only a worker's tasks and handler methods may do this")
            }
            Self::HandlerPanicked { worker } => {
                write!(f, "the handler of worker {worker} panicked while it was started")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) | Self::BufferRegistration(error) | Self::PinFailed(error) => Some(error),
            Self::RingSetup(error) => Some(error),
            Self::ResourceLimit(limit) => Some(limit),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a broken ring is called.
pub(crate) fn ring_broken(error: io::Error) -> Error {
    if error.raw_os_error() == Some(libc::EBADR) { Error::CompletionsLost } else { Error::Io(error) }
}

impl From<SetupError> for Error {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::OpenFiles(limit) => Self::ResourceLimit(limit),
            other => Self::RingSetup(other),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            other => io::Error::other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_that_has_lost_completions_is_called_so_and_the_words_say_what_helps() {
        let broken = |errno| ring_broken(io::Error::from_raw_os_error(errno));
        let text = broken(libc::EBADR).to_string();
        assert!(text.contains("lost it (EBADR)") && text.contains("sq_entries"), "{text}");
        assert!(matches!(broken(libc::ENXIO), Error::Io(error) if error.raw_os_error() == Some(libc::ENXIO)));
    }
}
