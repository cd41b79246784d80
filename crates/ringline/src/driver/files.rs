//! Files for direct I/O: opening, reading, writing, closing.
//!
//! A file has a slot and a generation, and so has every operation. The buffer of an operation belongs to its slot until
//! the completion comes, whatever becomes of whoever asked for it. Alignment is checked here, because the kernel's
//! answer to a misaligned operation is a bare EINVAL.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ringline_ring::{
    AlignedBuffer, Completion, FileFacts, FileIndex, Kernel, Op, OpenHow, PinnedBuffer, PinnedBytes, PinnedPath, Tag,
};

use super::file_refused::{FileRefused, Misaligned};
use super::fixed_buffers::FixedBuffers;
use super::handles::{Closing, Handles, Opened};
use super::kind::Kind;
use super::slots::Slots;
use super::{Driver, Host};

/// The kernel moves at most this many bytes in one operation, and it is a multiple of every block size. A longer
/// operation is done in part, as its result tells.
const OPERATION_BYTES_MAX: usize = 0x7fff_0000;

/// Names an open file of one worker. It stays unique when the slot is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileToken {
    slot: u32,
    generation: u32,
}

impl FileToken {
    /// A token from its two parts.
    pub const fn from_parts(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// The slot, below the worker's limit of files.
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// The generation of the slot, raised each time the slot is freed.
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

/// What an operation does to its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileOp {
    /// Reads into its buffer.
    Read,
    /// Writes its buffer.
    Write,
    /// Makes what was written durable.
    Fsync,
}

/// The end of an operation.
#[derive(Debug)]
pub struct FileCompletion {
    /// The file.
    pub file: FileToken,
    /// What was done.
    pub op: FileOp,
    /// The number that the call which began the operation returned. No two disk operations of a worker, NVMe commands
    /// included, ever have the same.
    pub seq: u64,
    /// Bytes done, or the error. Fewer than asked for: the end of the file, or of the disk.
    pub result: io::Result<u32>,
    /// The buffer of a read or write.
    pub buffer: Option<AlignedBuffer>,
}

/// What is known of a file.
struct File {
    writable: bool,
    facts: FileFacts,
}

struct Operation {
    file: FileToken,
    op: FileOp,
    seq: u64,
    buffer: Option<AlignedBuffer>,
}

/// The files of a worker and what is in flight on them.
pub(super) struct Files {
    handles: Handles<File>,
    operations: Slots<Operation>,
    operations_max: u32,
    /// The memory of theirs that the kernel knows.
    pub(super) fixed: FixedBuffers,
}

impl Files {
    pub(super) fn new(files_max: u32, operations_max: u32) -> Self {
        Self {
            handles: Handles::new(files_max),
            operations: Slots::new(operations_max),
            operations_max,
            fixed: FixedBuffers::new(files_max > 0),
        }
    }

    fn open(&self, file: FileToken) -> Result<&File, FileRefused> {
        self.handles.open(file.slot, file.generation).ok_or(FileRefused::NotOpen)
    }
}

impl<K: Kernel> Driver<K> {
    /// Begins to open a file for direct I/O. [`Host::file_opened`] tells how it ended.
    ///
    /// # Errors
    ///
    /// When files are not enabled, every slot is taken, or the path contains a zero byte.
    pub fn open_file(&mut self, path: &Path, write: bool, create: bool) -> Result<FileToken, FileRefused> {
        let limit = self.files.handles.limit();
        if limit == 0 {
            return Err(FileRefused::NotEnabled);
        }
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| FileRefused::BadPath)?;
        // SAFETY: the string stays with the file until `file_open_completed`.
        let pinned = unsafe { PinnedPath::new(&path) };
        let facts = FileFacts { memory_alignment: 1, block_size: 1, len: 0 };
        let file = File { writable: write, facts };
        let (slot, generation) = self.files.handles.insert(path, file).ok_or(FileRefused::TooManyFiles { limit })?;
        let how = OpenHow { write, create, direct: true };
        self.submitter.push(Op::Open { path: pinned, how }, Kind::FileOpen, slot, generation);
        Ok(FileToken { slot, generation })
    }

    /// Alignments and length of an open file; none when the token is stale or the file is not open yet.
    pub fn file_facts(&self, file: FileToken) -> Option<FileFacts> {
        self.files.open(file).ok().map(|found| found.facts)
    }

    /// Begins to fill `buffer` from a position of the file, in bytes, and returns the number of the operation;
    /// [`Host::file_completed`] brings the buffer back.
    ///
    /// # Errors
    ///
    /// When it cannot be begun; the buffer comes back at once.
    pub fn read_file(
        &mut self,
        file: FileToken,
        offset: u64,
        buffer: AlignedBuffer,
    ) -> Result<u64, (FileRefused, AlignedBuffer)> {
        self.move_bytes(file, FileOp::Read, offset, buffer)
    }

    /// Begins to write `buffer` to a position of the file; otherwise as [`read_file`](Self::read_file).
    ///
    /// # Errors
    ///
    /// When it cannot be begun; the buffer comes back at once.
    pub fn write_file(
        &mut self,
        file: FileToken,
        offset: u64,
        buffer: AlignedBuffer,
    ) -> Result<u64, (FileRefused, AlignedBuffer)> {
        self.move_bytes(file, FileOp::Write, offset, buffer)
    }

    /// Begins to make durable what has been written, and returns the number of the operation. Writes that are still in
    /// flight may or may not be included: wait for them first.
    ///
    /// # Errors
    ///
    /// When it cannot be begun.
    pub fn fsync_file(&mut self, file: FileToken) -> Result<u64, FileRefused> {
        self.files.open(file)?;
        let op = Op::Fsync { file: self.fixed_file(file) };
        self.begin_file_operation(file, FileOp::Fsync, None, op).map_err(|(refused, _)| refused)
    }

    /// Closes a file, once what is in flight on it has ended; [`Host::file_closed`] tells when. A file that is still
    /// being opened is given up, without an event. False when the token is stale or the file is closed already.
    pub fn close_file(&mut self, file: FileToken) -> bool {
        let Some(closing) = self.files.handles.close(file.slot, file.generation) else { return false };
        match closing {
            Closing::CancelOpen => {
                let target = Tag::new(Kind::FileOpen as u8, file.slot, file.generation);
                self.submitter.push(Op::Cancel { target }, Kind::CancelOpen, file.slot, file.generation);
            }
            Closing::Later => {}
            Closing::Now => self.close_fixed_file(file),
        }
        true
    }

    /// Files that occupy a slot, those that are being opened or closed included.
    pub fn open_files(&self) -> u32 {
        self.files.handles.used()
    }

    /// Disk operations in flight on files.
    pub fn file_operations(&self) -> u32 {
        self.files.operations.used()
    }

    fn move_bytes(
        &mut self,
        file: FileToken,
        op: FileOp,
        offset: u64,
        buffer: AlignedBuffer,
    ) -> Result<u64, (FileRefused, AlignedBuffer)> {
        if let Err(refused) = self.check_transfer(file, op, offset, &buffer) {
            return Err((refused, buffer));
        }
        let (index, address) = (self.fixed_file(file), buffer.as_ptr());
        let len = buffer.len().min(OPERATION_BYTES_MAX) as u32;
        let region = self.files.fixed.find(&mut self.submitter.kernel, buffer.memory());
        self.metrics.fixed_transfers += u64::from(region.is_some());
        let submission = if op == FileOp::Read {
            // SAFETY: the operation owns the buffer until it has completed.
            Op::Read { file: index, buffer: unsafe { PinnedBuffer::new(address, len) }, offset, region }
        } else {
            // SAFETY: as above.
            Op::Write { file: index, bytes: unsafe { PinnedBytes::new(address, len) }, offset, region }
        };
        self.begin_file_operation(file, op, Some(buffer), submission).map_err(|(refused, buffer)| {
            let buffer = buffer.expect("a refused transfer keeps its buffer");
            (refused, buffer)
        })
    }

    fn check_transfer(&self, file: FileToken, op: FileOp, offset: u64, buffer: &[u8]) -> Result<(), FileRefused> {
        let found = self.files.open(file)?;
        if op == FileOp::Write && !found.writable {
            return Err(FileRefused::ReadOnly);
        }
        // The kernel takes the largest number for "where the last operation ended", and no position beyond i64.
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > i64::MAX as u64) {
            return Err(FileRefused::OutOfRange { offset, len: buffer.len() });
        }
        Misaligned::find(&found.facts, buffer.as_ptr() as u64, buffer.len() as u64, offset)
            .map_or(Ok(()), |misaligned| Err(FileRefused::Misaligned(misaligned)))
    }

    fn begin_file_operation(
        &mut self,
        file: FileToken,
        op: FileOp,
        buffer: Option<AlignedBuffer>,
        submission: Op,
    ) -> Result<u64, (FileRefused, Option<AlignedBuffer>)> {
        let limit = self.files.operations_max;
        if self.files.operations.used() >= limit {
            return Err((FileRefused::TooManyOperations { limit }, buffer));
        }
        let seq = self.next_disk_seq();
        let operation = Operation { file, op, seq, buffer };
        let (slot, generation) = self.files.operations.insert(operation).expect("one slot is free, checked above");
        self.files.handles.begin(file.slot, file.generation);
        self.submitter.push(submission, Kind::FileOperation, slot, generation);
        self.submit_ahead();
        Ok(seq)
    }

    pub(super) fn file_open_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let file = FileToken { slot: completion.tag.slot(), generation: completion.tag.generation() };
        let opened = match completion.outcome() {
            // SAFETY: the completion of an open is looked at once, here.
            Ok(result) => unsafe { self.submitter.kernel.adopt_file(self.fixed_file(file), result) },
            // The path is not at fault, and nothing else is asked of the open that could be.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "the file system takes no direct I/O (O_DIRECT)"))
            }
            Err(error) => Err(error),
        };
        match self.files.handles.opened(file.slot, file.generation, opened.is_ok()) {
            Some(Opened::Told) => {
                if let (Some(found), Ok(facts)) = (self.files.handles.any_mut(file.slot, file.generation), &opened) {
                    found.facts = *facts;
                }
                host.file_opened(file, opened);
            }
            Some(Opened::CloseNow) => self.close_fixed_file(file),
            Some(Opened::Nothing) => {}
            None => self.metrics.stale_completions += 1,
        }
    }

    pub(super) fn file_operation_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let tag = completion.tag;
        let Some(operation) = self.files.operations.remove(tag.slot(), tag.generation()) else {
            self.metrics.stale_completions += 1;
            return;
        };
        self.disk_operation_ended();
        let Operation { file, op, seq, buffer } = operation;
        let drained = self.files.handles.end(file.slot, file.generation);
        host.file_completed(FileCompletion { file, op, seq, result: completion.outcome(), buffer });
        if drained {
            self.close_fixed_file(file);
        }
    }

    fn close_fixed_file(&mut self, file: FileToken) {
        let op = Op::Close { file: self.fixed_file(file) };
        self.submitter.push(op, Kind::FileClose, file.slot, file.generation);
    }

    pub(super) fn file_close_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let file = FileToken { slot: completion.tag.slot(), generation: completion.tag.generation() };
        if self.files.handles.closed(file.slot, file.generation) {
            if self.files.handles.used() == 0 {
                self.files.fixed.clear(&mut self.submitter.kernel);
            }
            host.file_closed(file);
        } else {
            self.metrics.stale_completions += 1;
        }
    }

    /// The number of the next disk operation.
    pub(crate) fn next_disk_seq(&mut self) -> u64 {
        self.disk_seq += 1;
        self.disk_seq
    }

    /// The fixed file of a file: behind those of the connections, the listener and the UDP sockets.
    fn fixed_file(&self, file: FileToken) -> FileIndex {
        FileIndex(self.settings.first_disk_file() + file.slot)
    }
}
