//! Making a ring: which set-up flags are asked for, what is done when the kernel refuses them, and in which words a
//! failure is told.
//!
//! No kernel version is compared. The best set of flags is tried first; on EINVAL the newest flag is given up and the
//! next set is tried, until one is taken.

use std::os::fd::AsRawFd;
use std::time::Duration;
use std::{fmt, io};

use io_uring::{IoUring, Submitter, cqueue, squeue};

use crate::descriptors::Descriptors;
use crate::file_test;
use crate::limits::{self, OpenFilesLimit};
use crate::probe::{Facts, Unavailable};
use crate::queues::Queues;

/// The sizes of a ring and how it submits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSettings {
    /// Submission queue entries: > 0, rounded up to a power of two, at most 32,768.
    pub sq_entries: u32,
    /// Completion queue entries; usual are four times `sq_entries`. Not smaller than `sq_entries`.
    pub cq_entries: u32,
    /// Slots of the fixed file table; 0 for none. The soft limit of open files is raised to this number.
    pub files: u32,
    /// Let a kernel thread take submissions; none by default.
    pub sqpoll: Option<SubmissionPolling>,
    /// Make the entries of both queues twice as large, which NVMe commands need; off by default.
    pub nvme: bool,
}

impl RingSettings {
    /// Settings with a completion queue of four times the submission queue, and no submission polling.
    pub const fn new(sq_entries: u32, files: u32) -> Self {
        Self { sq_entries, cq_entries: sq_entries.saturating_mul(4), files, sqpoll: None, nvme: false }
    }
}

/// A kernel thread that polls the submission queue (SQPOLL).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubmissionPolling {
    /// After so many milliseconds without submissions the thread sleeps, and has to be woken by a system call.
    pub idle_ms: u32,
    /// The core the thread is bound to, if any.
    pub cpu: Option<u32>,
}

/// Why a ring could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum SetupError {
    /// io_uring cannot be used in this process at all.
    Unavailable(Unavailable),
    /// The ring or its file table needs more open files than the process may have.
    OpenFiles(OpenFilesLimit),
    /// A value of the settings is not possible.
    Invalid {
        /// The field of [`RingSettings`].
        field: &'static str,
        /// Its value.
        value: u64,
        /// What would be possible.
        legal: &'static str,
    },
    /// A call that prepares the ring failed for a reason that has nothing to do with io_uring's availability.
    Call {
        /// The call.
        call: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(reason) => reason.fmt(f),
            Self::OpenFiles(limit) => limit.fmt(f),
            Self::Invalid { field, value, legal } => write!(f, "{field} is {value}, but must be {legal}"),
            Self::Call { call, source } => write!(f, "{call} failed while the ring was being set up: {source}"),
        }
    }
}

impl SetupError {
    /// The same error, or, when it says that the process has as many open files as it may have, the limit in words.
    pub(crate) fn or_open_files(self) -> Self {
        let errno = match &self {
            Self::Unavailable(Unavailable::Other { errno, .. }) => Some(*errno),
            Self::Call { source, .. } => source.raw_os_error(),
            _ => None,
        };
        let met = errno.and_then(|errno| OpenFilesLimit::met_by(&io::Error::from_raw_os_error(errno)));
        met.map_or(self, Self::OpenFiles)
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unavailable(reason) => Some(reason),
            Self::OpenFiles(limit) => Some(limit),
            Self::Invalid { .. } => None,
            Self::Call { source, .. } => Some(source),
        }
    }
}

/// The set-up flags that a kernel may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetupFlags {
    /// Submission entries are taken by index, without the indirection array (Linux 6.6).
    pub(crate) no_sqarray: bool,
    /// Completions are worked on only inside `enter`, batched and cache-warm (6.1).
    pub(crate) defer_taskrun: bool,
    /// Completions are worked on at the next system call instead of by an interrupt (5.19).
    pub(crate) coop_taskrun: bool,
    /// One thread submits: cheaper locking, and needed for `defer_taskrun` (6.0).
    pub(crate) single_issuer: bool,
    /// One bad submission does not hold up those behind it (5.18).
    pub(crate) submit_all: bool,
}

const BEST: SetupFlags =
    SetupFlags { no_sqarray: true, defer_taskrun: true, coop_taskrun: false, single_issuer: true, submit_all: true };

/// What is tried, best first. Each set lacks the newest flag of the one before it.
pub(crate) const LADDER: [SetupFlags; 6] = {
    let no_array = SetupFlags { no_sqarray: false, ..BEST };
    let cooperative = SetupFlags { defer_taskrun: false, coop_taskrun: true, ..no_array };
    let many_issuers = SetupFlags { single_issuer: false, ..cooperative };
    let interrupted = SetupFlags { coop_taskrun: false, ..many_issuers };
    [BEST, no_array, cooperative, many_issuers, interrupted, SetupFlags { submit_all: false, ..interrupted }]
};

/// The same with a submission thread, which does the deferred work itself: the kernel refuses SQPOLL together with
/// either task-run flag.
const LADDER_SQPOLL: [SetupFlags; 4] = {
    let best = SetupFlags { defer_taskrun: false, ..BEST };
    let no_array = SetupFlags { no_sqarray: false, ..best };
    let many_issuers = SetupFlags { single_issuer: false, ..no_array };
    [best, no_array, many_issuers, SetupFlags { submit_all: false, ..many_issuers }]
};

/// Makes the ring and its file table in the form that the settings and the kernel call for, and says with which flags.
pub(crate) fn make_queues(settings: &RingSettings) -> Result<(Queues, SetupFlags), SetupError> {
    validate(settings)?;
    limits::raise_open_files(u64::from(settings.files)).map_err(SetupError::OpenFiles)?;
    let fixed = settings.files == 0 || file_test::fixed_files_close()?;
    let descriptors = (!fixed).then(|| Descriptors::new(settings.files));
    if settings.nvme {
        let (ring, flags) = make(settings)?;
        if fixed {
            register_table(&ring.submitter(), settings.files)?;
        }
        return Ok((Queues::wide(ring, descriptors), flags));
    }
    let (ring, flags) = make(settings)?;
    if fixed {
        register_table(&ring.submitter(), settings.files)?;
    }
    Ok((Queues::narrow(ring, descriptors), flags))
}

/// Registers a file table of so many empty slots.
pub(crate) fn register_table(ring: &Submitter<'_>, files: u32) -> Result<(), SetupError> {
    if files == 0 {
        return Ok(());
    }
    ring.register_files_sparse(files)
        .map_err(|error| call_failed("io_uring_register", "io_uring_register (file table)", error))
}

/// The error for a system call that failed after the ring was made: a filter may let rings be made and forbid the rest.
pub(crate) fn call_failed(call: &'static str, doing: &'static str, source: io::Error) -> SetupError {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::ENOSYS) => SetupError::Unavailable(Facts::gather().explain(call, &source)),
        _ => SetupError::Call { call: doing, source },
    }
}

/// Makes a ring without a file table, and says with which flags.
pub(crate) fn make<S: squeue::EntryMarker, C: cqueue::EntryMarker>(
    settings: &RingSettings,
) -> Result<(IoUring<S, C>, SetupFlags), SetupError> {
    validate(settings)?;
    retry_while_out_of_memory(|| first_accepted(settings), std::thread::sleep)
        .map_err(|error| explain_refusal(settings, &error))
}

fn validate(settings: &RingSettings) -> Result<(), SetupError> {
    let invalid = |field, value: u32, legal| Err(SetupError::Invalid { field, value: u64::from(value), legal });
    match *settings {
        RingSettings { sq_entries: 0, .. } => invalid("sq_entries", 0, "between 1 and 32,768"),
        RingSettings { sq_entries, cq_entries, .. } if cq_entries < sq_entries => {
            invalid("cq_entries", cq_entries, "at least sq_entries")
        }
        _ => Ok(()),
    }
}

fn explain_refusal(settings: &RingSettings, error: &io::Error) -> SetupError {
    match (error.raw_os_error(), settings.sqpoll) {
        // The calling thread may be bound to one core and its submission thread to another: only the kernel can tell
        // which cores are possible, and it has taken every other setting before.
        (Some(libc::EINVAL), Some(SubmissionPolling { cpu: Some(cpu), .. })) => {
            SetupError::Invalid { field: "sqpoll.cpu", value: cpu.into(), legal: "a core that the process may run on" }
        }
        _ => SetupError::Unavailable(Facts::gather().explain("io_uring_setup", error)),
    }
}

fn first_accepted<S: squeue::EntryMarker, C: cqueue::EntryMarker>(
    settings: &RingSettings,
) -> io::Result<(IoUring<S, C>, SetupFlags)> {
    let ladder: &[SetupFlags] = if settings.sqpoll.is_some() { &LADDER_SQPOLL } else { &LADDER };
    let mut refused = io::Error::from_raw_os_error(libc::EINVAL);
    for &flags in ladder {
        match build(settings, flags) {
            Ok(ring) => return Ok((ring, flags)),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = error,
            Err(error) => return Err(error),
        }
    }
    Err(refused)
}

/// Asks the kernel for a ring with exactly these flags.
pub(crate) fn build<S: squeue::EntryMarker, C: cqueue::EntryMarker>(
    settings: &RingSettings,
    flags: SetupFlags,
) -> io::Result<IoUring<S, C>> {
    let mut builder = IoUring::<S, C>::builder();
    builder.setup_clamp().setup_cqsize(settings.cq_entries);
    if flags.no_sqarray {
        builder.setup_no_sqarray();
    }
    if flags.defer_taskrun {
        builder.setup_defer_taskrun();
    }
    if flags.coop_taskrun && settings.sqpoll.is_none() {
        builder.setup_coop_taskrun();
    }
    if settings.sqpoll.is_none() && (flags.defer_taskrun || flags.coop_taskrun) {
        // The kernel then says in shared memory whether `enter` has work to do, so that polling an idle ring is free.
        builder.setup_taskrun_flag();
    }
    if flags.single_issuer {
        builder.setup_single_issuer();
    }
    if flags.submit_all {
        builder.setup_submit_all();
    }
    if let Some(polling) = settings.sqpoll {
        builder.setup_sqpoll(polling.idle_ms);
        if let Some(cpu) = polling.cpu {
            builder.setup_sqpoll_cpu(cpu);
        }
    }
    builder.build(settings.sq_entries)
}

/// How often io_uring_setup is tried again when memory is short.
const MEMORY_RETRIES: u32 = 10;
/// How much longer each pause is than the one before. All pauses together: 9 × (1 + 2 + … + 10) = 495 ms.
const MEMORY_PAUSE_STEP: Duration = Duration::from_millis(9);

/// Tries again while the kernel answers ENOMEM: it gives the memory of closed rings back some time after they are
/// closed, so a restart at once can find none.
fn retry_while_out_of_memory<T>(
    mut attempt: impl FnMut() -> io::Result<T>,
    mut pause: impl FnMut(Duration),
) -> io::Result<T> {
    for round in 1..=MEMORY_RETRIES {
        match attempt() {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => pause(MEMORY_PAUSE_STEP * round),
            answer => return answer,
        }
    }
    attempt()
}

/// Registers the ring's descriptor, so that `enter` need not look it up, and returns its index. None when the kernel
/// refuses (before 5.18, or when the thread already has its 16 rings registered): the ring then works without.
///
/// A registered ring lives until it is unregistered or the thread ends, even if its descriptor is closed.
pub(crate) fn register_ring_fd(ring: &impl AsRawFd) -> Option<u32> {
    let mut update = RingFdUpdate { index: u32::MAX, reserved: 0, data: ring.as_raw_fd() as u64 };
    register(ring, REGISTER_RING_FDS, &mut update).ok()?;
    Some(update.index)
}

/// Undoes [`register_ring_fd`].
pub(crate) fn unregister_ring_fd(ring: &impl AsRawFd, index: u32) -> io::Result<()> {
    register(ring, UNREGISTER_RING_FDS, &mut RingFdUpdate { index, reserved: 0, data: 0 })
}

/// `IORING_REGISTER_RING_FDS` and its counterpart. The io-uring crate keeps the index inside a value that borrows the
/// ring, where the event loop cannot reach it.
const REGISTER_RING_FDS: u32 = 20;
const UNREGISTER_RING_FDS: u32 = 21;

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct RingFdUpdate {
    index: u32,
    reserved: u32,
    data: u64,
}

fn register(ring: &impl AsRawFd, what: u32, update: &mut RingFdUpdate) -> io::Result<()> {
    let (call, fd) = (libc::SYS_io_uring_register, ring.as_raw_fd());
    // SAFETY: the structure has the kernel's layout and lives across the call; one element is announced.
    let result = unsafe { libc::syscall(call, fd, what, std::ptr::from_mut(update), 1u32) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out_of_memory() -> io::Error {
        io::Error::from_raw_os_error(libc::ENOMEM)
    }

    #[test]
    fn d12_a_short_lack_of_memory_is_waited_out() {
        let mut failures = 3;
        let mut pauses = Vec::new();
        let answer = retry_while_out_of_memory(
            || {
                if failures == 0 {
                    return Ok("ring");
                }
                failures -= 1;
                Err(out_of_memory())
            },
            |pause| pauses.push(pause),
        );
        assert_eq!(answer.unwrap(), "ring");
        assert_eq!(pauses, [9, 18, 27].map(Duration::from_millis));
    }

    #[test]
    fn d12_a_lasting_lack_of_memory_ends_within_half_a_second() {
        let mut paused = Duration::ZERO;
        let mut attempts = 0;
        let answer: io::Result<()> = retry_while_out_of_memory(
            || {
                attempts += 1;
                Err(out_of_memory())
            },
            |pause| paused += pause,
        );
        assert_eq!(answer.unwrap_err().raw_os_error(), Some(libc::ENOMEM));
        assert_eq!(attempts, MEMORY_RETRIES + 1);
        assert!(paused <= Duration::from_millis(500), "{paused:?}");
    }

    #[test]
    fn other_errors_are_not_retried() {
        let mut attempts = 0;
        let answer: io::Result<()> = retry_while_out_of_memory(
            || {
                attempts += 1;
                Err(io::Error::from_raw_os_error(libc::EPERM))
            },
            |_| panic!("no pause for EPERM"),
        );
        assert_eq!((answer.unwrap_err().raw_os_error(), attempts), (Some(libc::EPERM), 1));
    }

    #[test]
    fn every_set_of_flags_is_one_the_kernel_takes() {
        let settings = RingSettings::new(8, 0);
        let refused = |settings: &RingSettings, flags| match build::<squeue::Entry, cqueue::Entry>(settings, flags) {
            Ok(_) => false,
            // The one flag that is newer than the oldest supported kernel.
            Err(error) => !flags.no_sqarray || error.raw_os_error() != Some(libc::EINVAL),
        };
        for flags in LADDER {
            assert!(!refused(&settings, flags), "{flags:?}");
        }
        let settings = RingSettings { sqpoll: Some(SubmissionPolling { idle_ms: 1, cpu: None }), ..settings };
        for flags in LADDER_SQPOLL {
            assert!(!refused(&settings, flags), "{flags:?}");
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        let text = |settings: RingSettings| {
            make::<squeue::Entry, cqueue::Entry>(&settings).err().expect("refused").to_string()
        };
        assert_eq!(text(RingSettings::new(0, 0)), "sq_entries is 0, but must be between 1 and 32,768");
        let small = RingSettings { cq_entries: 4, ..RingSettings::new(8, 0) };
        assert_eq!(text(small), "cq_entries is 4, but must be at least sq_entries");
        let polling = SubmissionPolling { idle_ms: 1, cpu: Some(9999) };
        let elsewhere = RingSettings { sqpoll: Some(polling), ..RingSettings::new(8, 0) };
        assert_eq!(text(elsewhere), "sqpoll.cpu is 9999, but must be a core that the process may run on");
    }
}
