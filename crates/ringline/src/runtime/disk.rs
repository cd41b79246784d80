//! Files and NVMe devices in the runtime: who waits for what, and what the handler is to be told.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use ringline_ring::{AlignedBuffer, DeviceFacts, FileFacts, Uring};

use super::waiters::ForeignWakes;
use super::{Inner, outcomes::Outcomes};
use crate::direct_io::{DirectIoCompletion, DirectIoFile, DirectIoOp, DirectIoOptions};
use crate::driver::{
    CommandCompletion, DeviceToken, Driver, FileCompletion, FileOp, FileRefused, FileToken, NvmeError, NvmeRefused,
};
use crate::nvme::{NvmeCompletion, NvmeDevice, NvmeOp};
use crate::{Error, driver};

/// The end of a read, write, fsync or flush.
pub(crate) struct Done {
    pub(super) result: Result<usize, Error>,
    pub(super) buffer: Option<AlignedBuffer>,
}

/// What is under way with files and devices.
pub(crate) struct Disk {
    /// What futures wait for.
    pub(super) file_opens: Outcomes<FileToken, io::Result<FileFacts>>,
    pub(super) device_opens: Outcomes<DeviceToken, io::Result<DeviceFacts>>,
    pub(super) operations: Outcomes<u64, Done>,
    /// What handler methods began: opens with their numbers, and numbers of operations.
    handler_file_opens: HashMap<FileToken, u64>,
    handler_device_opens: HashMap<DeviceToken, u64>,
    handler_operations: HashSet<u64>,
    /// What the handler is to be told.
    files_done: Vec<DirectIoCompletion>,
    commands_done: Vec<NvmeCompletion>,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            file_opens: Outcomes::new(),
            device_opens: Outcomes::new(),
            operations: Outcomes::new(),
            handler_file_opens: HashMap::new(),
            handler_device_opens: HashMap::new(),
            handler_operations: HashSet::new(),
            files_done: Vec::new(),
            commands_done: Vec::new(),
        }
    }

    pub(super) fn file_opened(&mut self, token: FileToken, outcome: io::Result<FileFacts>, foreign: &mut ForeignWakes) {
        if let Some(seq) = self.handler_file_opens.remove(&token) {
            let (file, result) = (DirectIoFile::new(token), outcome.map(|_| 0).map_err(Error::Io));
            let op = DirectIoOp::Open;
            self.files_done.push(DirectIoCompletion { file, op, seq, result, buffer: None });
        } else {
            // An open that nobody waits for was given up, and the driver tells nothing of it.
            self.file_opens.resolve(&token, outcome, foreign);
        }
    }

    pub(super) fn device_opened(
        &mut self,
        token: DeviceToken,
        outcome: io::Result<DeviceFacts>,
        foreign: &mut ForeignWakes,
    ) {
        if let Some(seq) = self.handler_device_opens.remove(&token) {
            let (device, result) = (NvmeDevice::new(token), outcome.map(|_| 0).map_err(Error::Io));
            let op = NvmeOp::Open;
            self.commands_done.push(NvmeCompletion { device, op, seq, result, buffer: None });
        } else {
            self.device_opens.resolve(&token, outcome, foreign);
        }
    }

    pub(super) fn file_completed(&mut self, completion: FileCompletion, foreign: &mut ForeignWakes) {
        let FileCompletion { file, op, seq, result, buffer } = completion;
        let result = result.map(|bytes| bytes as usize).map_err(Error::Io);
        if !self.handler_operations.remove(&seq) {
            // A dropped future's buffer ends here.
            self.operations.resolve(&seq, Done { result, buffer }, foreign);
            return;
        }
        let op = match op {
            FileOp::Read => DirectIoOp::Read,
            FileOp::Write => DirectIoOp::Write,
            FileOp::Fsync => DirectIoOp::Fsync,
        };
        self.files_done.push(DirectIoCompletion { file: DirectIoFile::new(file), op, seq, result, buffer });
    }

    pub(super) fn command_completed(&mut self, completion: CommandCompletion, foreign: &mut ForeignWakes) {
        let CommandCompletion { device, op, seq, result, buffer } = completion;
        let result = match result {
            Ok(()) => Ok(buffer.as_ref().map_or(0, AlignedBuffer::len)),
            Err(NvmeError::Io(error)) => Err(Error::Io(error)),
            Err(NvmeError::Status(status)) => Err(Error::NvmeStatus(status)),
        };
        if !self.handler_operations.remove(&seq) {
            self.operations.resolve(&seq, Done { result, buffer }, foreign);
            return;
        }
        let op = match op {
            driver::NvmeOp::Read => NvmeOp::Read,
            driver::NvmeOp::Write => NvmeOp::Write,
            driver::NvmeOp::Flush => NvmeOp::Flush,
        };
        self.commands_done.push(NvmeCompletion { device: NvmeDevice::new(device), op, seq, result, buffer });
    }

    /// Whether the handler is to be told something.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        !self.files_done.is_empty() || !self.commands_done.is_empty()
    }

    /// What the handler is to be told, in the order in which it happened.
    pub(super) fn take_news(&mut self) -> (Vec<DirectIoCompletion>, Vec<NvmeCompletion>) {
        (std::mem::take(&mut self.files_done), std::mem::take(&mut self.commands_done))
    }
}

impl Inner {
    /// The driver, for operations that need nothing of the runtime's.
    pub(crate) fn driver(&mut self) -> &mut Driver<Uring> {
        &mut self.driver
    }

    /// Begins to open a file for a handler method.
    pub(crate) fn open_file_for_handler(
        &mut self,
        path: &Path,
        options: DirectIoOptions,
    ) -> Result<(DirectIoFile, u64), Error> {
        let opened = self.driver.open_file(path, !options.read_only, options.create);
        let token = opened.map_err(Error::FileRefused)?;
        let seq = self.driver.next_disk_seq();
        self.host.disk.handler_file_opens.insert(token, seq);
        Ok((DirectIoFile::new(token), seq))
    }

    /// Begins to open a device for a handler method.
    pub(crate) fn open_device_for_handler(&mut self, path: &Path, namespace: u32) -> Result<(NvmeDevice, u64), Error> {
        let token = self.driver.open_device(path, namespace).map_err(Error::NvmeRefused)?;
        let seq = self.driver.next_disk_seq();
        self.host.disk.handler_device_opens.insert(token, seq);
        Ok((NvmeDevice::new(token), seq))
    }

    /// Records that the handler is to be told how an operation ends.
    pub(crate) fn tell_handler_of(&mut self, seq: u64) {
        self.host.disk.handler_operations.insert(seq);
    }
}

/// A refusal as the public API tells it, with the buffer that comes back.
pub(crate) fn file_refused((refused, buffer): (FileRefused, AlignedBuffer)) -> (Error, AlignedBuffer) {
    (Error::FileRefused(refused), buffer)
}

/// As [`file_refused`], for NVMe commands.
pub(crate) fn nvme_refused((refused, buffer): (NvmeRefused, AlignedBuffer)) -> (Error, AlignedBuffer) {
    (Error::NvmeRefused(refused), buffer)
}
