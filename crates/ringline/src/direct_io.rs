//! Direct I/O: reading and writing files past the page cache, from tasks and from handler methods.
//!
//! Addresses, lengths and positions must be multiples of the file's logical block size; what is not is refused with the
//! number that is wrong. [`AlignedBuffer`] is memory that fits. A buffer goes into its operation and comes back with the
//! result; when the future is dropped, the operation keeps the buffer until the kernel is done with it.
//!
//! ```no_run
//! # async fn example() -> Result<(), ringline::Error> {
//! use ringline::{AlignedBuffer, direct_io_read, direct_io_write, open_direct_io_file};
//!
//! let file = open_direct_io_file("data.bin").await?;
//! let mut buffer = AlignedBuffer::new(4096)?;
//! buffer.fill(7);
//! let (written, buffer) = direct_io_write(file, 0, buffer).await;
//! assert_eq!(written?, 4096);
//! let (read, buffer) = direct_io_read(file, 0, buffer).await;
//! println!("{} bytes, the first is {}", read?, buffer[0]);
//! file.close();
//! # Ok(()) }
//! ```

use std::path::Path;

use ringline_ring::FileFacts;

use crate::Error;
use crate::driver::FileToken;
use crate::runtime::{self, DiskIoFuture, DiskSyncFuture, NOT_SEND, NotSend, OpenFileFuture, with_worker};

pub use crate::driver::{FileRefused, Misaligned, Place};
pub use ringline_ring::AlignedBuffer;

/// What direct I/O may take of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectIoConfig {
    /// Files that a worker may have open. 1 to 65,536. Default 8.
    pub max_files: u32,
    /// Operations that a worker may have in flight. 1 to 65,536. Default 256.
    pub max_commands_in_flight: u32,
    /// How many microseconds a worker with one to four operations in flight looks for their end before it sleeps. 0 to
    /// 10,000. Default 0: it sleeps at once. Above the time that the disk takes, it spares the time to fall asleep and to be woken, and
    /// costs that CPU time; the worker needs a CPU of its own then.
    pub busy_poll_us: u32,
}

impl Default for DirectIoConfig {
    fn default() -> Self {
        Self { max_files: 8, max_commands_in_flight: 256, busy_poll_us: 0 }
    }
}

impl DirectIoConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`max_files`](Self::max_files).
    #[must_use]
    pub fn max_files(mut self, files: u32) -> Self {
        self.max_files = files;
        self
    }

    /// Sets [`max_commands_in_flight`](Self::max_commands_in_flight).
    #[must_use]
    pub fn max_commands_in_flight(mut self, operations: u32) -> Self {
        self.max_commands_in_flight = operations;
        self
    }

    /// Sets [`busy_poll_us`](Self::busy_poll_us).
    #[must_use]
    pub fn busy_poll_us(mut self, microseconds: u32) -> Self {
        self.busy_poll_us = microseconds;
        self
    }
}

/// How a file is opened. The default: for reading and writing, and it must exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectIoOptions {
    /// Open for reading alone. Default false.
    pub read_only: bool,
    /// Make the file where there is none. Default false.
    pub create: bool,
}

impl DirectIoOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`read_only`](Self::read_only).
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Sets [`create`](Self::create).
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }
}

/// An open file of this worker. Copies name the same file; when one has closed it, the others are refused.
///
/// It stays open until [`close`](Self::close) is called or the worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirectIoFile {
    token: FileToken,
    _not_send: NotSend,
}

impl DirectIoFile {
    pub(crate) fn new(token: FileToken) -> Self {
        Self { token, _not_send: NOT_SEND }
    }

    pub(crate) fn token(self) -> FileToken {
        self.token
    }

    /// The slot of the file: a number below [`DirectIoConfig::max_files`], used again after the file.
    pub fn index(self) -> usize {
        self.token.slot() as usize
    }

    /// What lengths and positions must be multiples of, in bytes; none when the file is closed.
    pub fn block_size(self) -> Option<u32> {
        self.facts().map(|facts| facts.block_size)
    }

    /// What addresses of buffers must be multiples of, in bytes; none when the file is closed.
    pub fn memory_alignment(self) -> Option<u32> {
        self.facts().map(|facts| facts.memory_alignment)
    }

    /// The size of the file, in bytes, at the time it was opened; none when it is closed.
    pub fn len_at_open(self) -> Option<u64> {
        self.facts().map(|facts| facts.len)
    }

    /// Closes the file, once what is in flight on it has ended. False when it is closed already.
    pub fn close(self) -> bool {
        with_worker(|inner| inner.driver().close_file(self.token)).unwrap_or(false)
    }

    fn facts(self) -> Option<FileFacts> {
        with_worker(|inner| inner.driver().file_facts(self.token)).flatten()
    }
}

/// What a [`DirectIoCompletion`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DirectIoOp {
    /// A file that a handler method opened is open, or could not be opened.
    Open,
    /// Bytes were read.
    Read,
    /// Bytes were written.
    Write,
    /// What was written is durable.
    Fsync,
}

/// The end of an operation that a handler method began through [`DriverCtx`](crate::DriverCtx).
#[derive(Debug)]
#[non_exhaustive]
pub struct DirectIoCompletion {
    /// The file.
    pub file: DirectIoFile,
    /// What was done.
    pub op: DirectIoOp,
    /// The number that the call which began it returned.
    pub seq: u64,
    /// Bytes done, 0 for an open or fsync; or the error.
    pub result: Result<usize, Error>,
    /// The buffer of a read or write.
    pub buffer: Option<AlignedBuffer>,
}

/// Opens an existing file for reading and writing past the page cache.
///
/// # Errors
///
/// The future yields [`Error::Io`] with what the kernel answers (ENOENT, EACCES, …), or of kind
/// [`Unsupported`](std::io::ErrorKind::Unsupported) when the file takes no direct I/O; [`Error::FileRefused`] when
/// direct I/O is not enabled or [`max_files`](DirectIoConfig::max_files) are open.
pub fn open_direct_io_file(path: impl AsRef<Path>) -> OpenFileFuture {
    open_direct_io_file_with(path, DirectIoOptions::default())
}

/// As [`open_direct_io_file`], read-only or creating the file if asked to.
pub fn open_direct_io_file_with(path: impl AsRef<Path>, options: DirectIoOptions) -> OpenFileFuture {
    OpenFileFuture::begin(path.as_ref(), options)
}

/// Reads into the whole of `buffer` from `offset` bytes on. The future yields how many bytes were read, fewer at the end
/// of the file, and the buffer.
///
/// # Errors
///
/// [`Error::FileRefused`] with the number that is not aligned, or when the file is closed or
/// [`max_commands_in_flight`](DirectIoConfig::max_commands_in_flight) operations are in flight; [`Error::Io`] with what
/// the kernel answers.
pub fn direct_io_read(file: DirectIoFile, offset: u64, buffer: AlignedBuffer) -> DiskIoFuture {
    DiskIoFuture::begin(buffer, |inner, buffer| {
        inner.driver().read_file(file.token, offset, buffer).map_err(runtime::file_refused)
    })
}

/// Writes the whole of `buffer` to `offset` bytes and on; otherwise as [`direct_io_read`].
///
/// # Errors
///
/// Those of [`direct_io_read`], and when the file was opened read-only.
pub fn direct_io_write(file: DirectIoFile, offset: u64, buffer: AlignedBuffer) -> DiskIoFuture {
    DiskIoFuture::begin(buffer, |inner, buffer| {
        inner.driver().write_file(file.token, offset, buffer).map_err(runtime::file_refused)
    })
}

/// Makes durable what has been written. Writes that have not completed may or may not be included: await them first.
///
/// # Errors
///
/// Those of [`direct_io_read`].
pub fn direct_io_fsync(file: DirectIoFile) -> DiskSyncFuture {
    DiskSyncFuture::begin(|inner| inner.driver().fsync_file(file.token).map_err(Error::FileRefused))
}
