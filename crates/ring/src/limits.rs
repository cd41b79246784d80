//! The process's resource limits that a ring runs into: open files and locked memory.

use std::{fmt, fs, io};

/// How many more descriptors are asked for when a launch has met the limit: what a worker opens beside its connections,
/// with room to spare.
const MORE: u64 = 64;

/// The process may not have as many open files as it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFilesLimit {
    /// How many descriptors are needed.
    pub needed: u64,
    /// The soft limit in force (RLIMIT_NOFILE).
    pub soft: u64,
    /// The hard limit, which only root may raise.
    pub hard: u64,
}

impl fmt::Display for OpenFilesLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, soft, hard } = self;
        write!(
            f,
            "{needed} file descriptors are needed, but the limit of open files (RLIMIT_NOFILE) is {soft} and may be \
             raised to {hard} at most; raise it with `ulimit -n {needed}`, with LimitNOFILE={needed} in a systemd unit \
             or with --ulimit nofile={needed} for a container, or ask for fewer connections or workers"
        )
    }
}

impl std::error::Error for OpenFilesLimit {}

impl OpenFilesLimit {
    /// The limit in force, when an error says that the process has met it (EMFILE); none for any other error.
    pub fn met_by(error: &io::Error) -> Option<Self> {
        (error.raw_os_error() == Some(libc::EMFILE)).then(|| {
            let libc::rlimit { rlim_cur: soft, rlim_max: hard } = open_files();
            Self { needed: soft.saturating_add(MORE), soft, hard }
        })
    }
}

/// Raises the soft limit of open files to `needed` when it is lower. A limit is never lowered.
///
/// # Errors
///
/// When the hard limit is lower than `needed` and the process may not raise it. Nothing has changed then.
pub fn raise_open_files(needed: u64) -> Result<(), OpenFilesLimit> {
    let limit = open_files();
    if limit.rlim_cur >= needed {
        return Ok(());
    }
    let wanted = libc::rlimit { rlim_cur: needed, rlim_max: limit.rlim_max.max(needed) };
    // SAFETY: the structure lives across the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0 {
        return Ok(());
    }
    Err(OpenFilesLimit { needed, soft: limit.rlim_cur, hard: limit.rlim_max })
}

/// Raises the soft limit of open files, as far as it may be, to leave room for so many more descriptors than are open.
pub fn leave_room(descriptors: u64) {
    // Where they cannot be counted, all that may be are open.
    let open = fs::read_dir("/proc/self/fd").map_or(open_files().rlim_cur, |entries| entries.count() as u64);
    if let Err(refused) = raise_open_files(open.saturating_add(descriptors)) {
        let _ = raise_open_files(refused.hard);
    }
}

/// The limit of open files.
fn open_files() -> libc::rlimit {
    // SAFETY: `read` hands in a structure that lives across the call.
    read(|limit| unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit) })
}

/// How many bytes the process may lock in memory (soft RLIMIT_MEMLOCK); none when there is no limit.
pub fn locked_memory() -> Option<u64> {
    // SAFETY: `read` hands in a structure that lives across the call.
    let limit = read(|limit| unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, limit) }).rlim_cur;
    (limit != libc::RLIM_INFINITY).then_some(limit)
}

/// Asks for one limit. The call stands in a closure because C libraries differ in the type that names a limit.
fn read(getrlimit: impl FnOnce(*mut libc::rlimit) -> i32) -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // It can fail only for a bad pointer or an unknown limit.
    assert_eq!(getrlimit(&raw mut limit), 0, "getrlimit: {}", io::Error::last_os_error());
    limit
}
