//! The start-up test of incrementally consumed buffers.
//!
//! They exist since Linux 6.12 and have had bugs since, so they are used only where a trial shows that they work: each
//! byte written once and in order, each completion telling rightly whether the buffer goes on, none lost at the end of
//! the stream. The trial runs once per process, when it is first asked for, and takes well under a millisecond.
//!
//! Setting the environment variable `RINGLINE_NO_INCREMENTAL_BUFFERS` to `1` makes the answer no without a trial, so
//! that the way of older kernels can be used and tested on newer ones.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use crate::memory::Region;
use crate::setup::{RingSettings, SetupError};
use crate::{Completion, FileIndex, Kernel, Op, ProvidedBuffer, Tag, Uring, Wait};

/// Whether this kernel consumes provided buffers incrementally, and does it right.
pub(crate) fn incremental_buffers() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    if let Some(&answer) = ANSWER.get() {
        return answer;
    }
    let switched_off = std::env::var_os("RINGLINE_NO_INCREMENTAL_BUFFERS").is_some_and(|value| value == "1");
    let outcome = if switched_off { Err(failed()) } else { trial() };
    // A process that is out of descriptors for a moment says nothing of the kernel: the trial is made again next time.
    if matches!(&outcome, Err(error) if error.raw_os_error() == Some(libc::EMFILE)) {
        return false;
    }
    *ANSWER.get_or_init(|| outcome.is_ok())
}

/// Size of each of the two buffers of the trial, in bytes.
const BUFFER_LEN: usize = 64;
/// What the buffers hold before the kernel writes them.
const UNTOUCHED: u8 = 0xa5;
const GROUP: u16 = 0;
const FILE: FileIndex = FileIndex(0);
const FIRST: u16 = 5;
const SECOND: u16 = 6;
/// No completion of the trial depends on anything slower than this machine.
const PATIENCE_NS: u64 = 1_000_000_000;

fn trial() -> io::Result<()> {
    let memory = Region::new(2 * BUFFER_LEN)?;
    // SAFETY: the region is at least that long, and the kernel does not know it yet.
    unsafe { memory.as_ptr().write_bytes(UNTOUCHED, 2 * BUFFER_LEN) };
    // Declared after the memory, so dropped before it.
    let mut trial = Trial::new(&memory)?;

    // A buffer filled in three pieces, the last one exactly to its end.
    trial.expect_piece(10, FIRST, true)?;
    trial.expect_piece(20, FIRST, true)?;
    trial.expect_piece(34, FIRST, false)?;
    trial.expect_piece(7, SECOND, true)?;
    // The end of the stream uses no buffer, also when one is partly filled.
    trial.sender.shutdown(Shutdown::Write)?;
    let end = trial.next()?;
    demand(end.result == 0 && !end.more())?;

    let filled = BUFFER_LEN + 7;
    // SAFETY: the receive has ended, so the kernel writes no more.
    let bytes = unsafe { std::slice::from_raw_parts(memory.as_ptr(), 2 * BUFFER_LEN) };
    demand(bytes[..filled].iter().enumerate().all(|(at, &byte)| byte == pattern(at)))?;
    demand(bytes[filled..].iter().all(|&byte| byte == UNTOUCHED))
}

struct Trial {
    ring: Uring,
    sender: UnixStream,
    sent: usize,
}

impl Trial {
    fn new(memory: &Region) -> io::Result<Self> {
        let mut ring = Uring::new(&RingSettings::new(4, 1)).map_err(|error| match error {
            SetupError::OpenFiles(_) => io::Error::from_raw_os_error(libc::EMFILE),
            other => io::Error::other(other),
        })?;
        let (sender, receiver) = UnixStream::pair()?;
        ring.register_file(FILE, &receiver.into())?;
        ring.create_buffer_group(GROUP, 2, true)?;
        let buffer = |id, at| ProvidedBuffer { id, address: memory.as_ptr().wrapping_add(at), len: BUFFER_LEN as u32 };
        // SAFETY: the memory outlives the ring, and is read only after the receive has ended.
        unsafe { ring.provide_buffers(GROUP, &[buffer(FIRST, 0), buffer(SECOND, BUFFER_LEN)]) };
        ring.push(Op::ReceiveMultishot { file: FILE, group: GROUP }, Tag::new(1, 0, 0)).map_err(|_| failed())?;
        Ok(Self { ring, sender, sent: 0 })
    }

    fn expect_piece(&mut self, len: usize, buffer: u16, goes_on: bool) -> io::Result<()> {
        let piece: Vec<u8> = (self.sent..self.sent + len).map(pattern).collect();
        self.sender.write_all(&piece)?;
        self.sent += len;
        let got = self.next()?;
        demand(got.result == len as i32 && got.more())?;
        demand(got.buffer_id() == Some(buffer) && got.buffer_more() == goes_on)
    }

    /// The one completion that is due.
    fn next(&mut self) -> io::Result<Completion> {
        let none = Completion { tag: Tag::from_bits(0), result: 0, flags: 0 };
        let mut completions = [none; 2];
        let deadline = self.ring.now() + PATIENCE_NS;
        loop {
            match self.ring.reap(&mut completions) {
                0 => {}
                1 => return Ok(completions[0]),
                _ => return Err(failed()),
            }
            let now = self.ring.now();
            demand(now < deadline)?;
            self.ring.enter(Wait::AtMost(deadline - now))?;
        }
    }
}

/// The byte at a position of the stream of the trial; never [`UNTOUCHED`].
fn pattern(at: usize) -> u8 {
    at as u8 + 1
}

fn demand(holds: bool) -> io::Result<()> {
    if holds { Ok(()) } else { Err(failed()) }
}

fn failed() -> io::Error {
    io::Error::other("incremental buffers do not behave as documented")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_trial_passes_on_this_kernel_or_the_kernel_refuses_the_group() {
        match super::trial() {
            Ok(()) => {}
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}"),
        }
    }
}
