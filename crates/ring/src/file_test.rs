//! The start-up test of the file table.
//!
//! A fixed file that is taken out of the table ought to close at once. Up to Linux 6.12 it does not: it waits until every
//! operation that was begun earlier *on any fixed file* has ended, and up to a second more. A listener with its accept
//! armed, or one idle connection, then keeps every connection that is closed later: its FIN is not sent, its memory not
//! freed. So fixed files are used only where a trial shows that they close. It runs once per process, when the first ring
//! is made, and takes some 50 µs.
//!
//! Setting the environment variable `RINGLINE_NO_FIXED_FILES` to `1` makes the answer no without a trial, so that the way
//! of older kernels can be used and tested on newer ones.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use io_uring::{IoUring, opcode, types};

use crate::setup::{self, RingSettings, SetupError};

/// Whether fixed files of this kernel close when they leave the table.
///
/// # Errors
///
/// When the trial could not be made. It is then made again the next time.
pub(crate) fn fixed_files_close() -> Result<bool, SetupError> {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    if let Some(&answer) = ANSWER.get() {
        return Ok(answer);
    }
    let switched_off = std::env::var_os("RINGLINE_NO_FIXED_FILES").is_some_and(|value| value == "1");
    let answer = !switched_off && trial()?;
    Ok(*ANSWER.get_or_init(|| answer))
}

/// Whether a file closes although an operation on another one, begun earlier, goes on.
fn trial() -> Result<bool, SetupError> {
    let (mut ring, _): (IoUring, _) = setup::make(&RingSettings::new(4, 0))?;
    setup::register_table(&ring.submitter(), 2)?;
    closes_beside_an_operation(&mut ring)
        .map_err(|source| setup::call_failed("io_uring_enter", "the trial of fixed files", source))
}

fn closes_beside_an_operation(ring: &mut IoUring) -> io::Result<bool> {
    let (idle, _idle_peer) = UnixStream::pair()?;
    let (closing, mut peer) = UnixStream::pair()?;
    ring.submitter().register_files_update(0, &[idle.as_raw_fd(), closing.as_raw_fd()])?;
    let poll = opcode::PollAdd::new(types::Fixed(0), libc::POLLIN as u32).build();
    // SAFETY: a poll names no memory.
    unsafe { ring.submission().push(&poll) }.map_err(io::Error::other)?;
    ring.submit()?;
    drop(closing);
    ring.submitter().register_files_update(1, &[-1])?;
    peer.set_nonblocking(true)?;
    Ok(matches!(peer.read(&mut [0]), Ok(0)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_trial_comes_to_an_answer() {
        // Which one depends on the kernel; that it may be relied on is what the tests of closing show.
        super::trial().unwrap();
    }
}
