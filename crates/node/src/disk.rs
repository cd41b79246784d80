//! Files and NVMe devices: commands become calls of the driver, and what it answers becomes records.
//!
//! JavaScript numbers its operations, the driver counts its own; [`Disk`] knows which is which. Every command is
//! answered with exactly one record, so that no number is lost.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use ringline::driver::{
    CommandCompletion, DeviceToken, Driver, FileCompletion, FileRefused, FileToken, NvmeError, NvmeRefused,
};
use ringline_ring::{AlignedBuffer, DeviceFacts, FileFacts, Kernel};

use crate::bridge::Bridge;
use crate::commands::Malformed;
use crate::errno;
use crate::mailbox::OpenTarget;
use crate::protocol::Record;
use crate::protocol::storage::{completion, refused, submission};

/// What is under way.
#[derive(Default)]
pub(crate) struct Disk {
    /// The requests of files that are being opened.
    files: HashMap<FileToken, u32>,
    /// The requests of devices that are being opened.
    devices: HashMap<DeviceToken, u32>,
    /// JavaScript's numbers of the operations in flight, by the driver's.
    operations: HashMap<u64, u32>,
}

/// How an operation is answered that was not begun.
type Refused = u32;

/// Whether a record is a command for this file.
#[inline]
pub(crate) fn is_command(kind: u32) -> bool {
    (submission::FILE_READ..=submission::DEVICE_CLOSE).contains(&kind)
}

/// Begins to open a file or a device.
pub(crate) fn open<K: Kernel>(
    driver: &mut Driver<K>,
    bridge: &mut Bridge<K>,
    request: u32,
    path: &Path,
    target: OpenTarget,
) {
    let (_, disk) = bridge.storage();
    let (kind, refused) = match target {
        OpenTarget::File { write, create } => match driver.open_file(path, write, create) {
            Ok(file) => {
                disk.files.insert(file, request);
                return;
            }
            Err(refusal) => (completion::FILE_OPEN_FAILED, of_file(&refusal)),
        },
        OpenTarget::Device { namespace } => match driver.open_device(path, namespace) {
            Ok(device) => {
                disk.devices.insert(device, request);
                return;
            }
            Err(refusal) => (completion::DEVICE_OPEN_FAILED, of_device(&refusal)),
        },
    };
    bridge.tell(Record::new(kind, 0, 0, [request, libc::EINVAL as u32, refused, 0, 0]));
}

/// Gives up what is being opened. It is not answered then.
pub(crate) fn cancel_open<K: Kernel>(driver: &mut Driver<K>, bridge: &mut Bridge<K>, request: u32) {
    let (_, disk) = bridge.storage();
    disk.files.retain(|file, opening| *opening != request || !driver.close_file(*file));
    disk.devices.retain(|device, opening| *opening != request || !driver.close_device(*device));
}

/// Carries out a command on a file or device.
pub(crate) fn carry_out<K: Kernel>(
    record: Record,
    driver: &mut Driver<K>,
    bridge: &mut Bridge<K>,
) -> Result<(), Malformed> {
    // A file has a slot of 16 bits, and the number of the operation stands above it.
    let (slot, operation) = (record.slot & 0xffff, record.slot >> 16);
    let file = FileToken::from_parts(slot, record.generation);
    let device = DeviceToken::from_parts(slot, record.generation);
    let (done, begun) = match record.kind {
        submission::FILE_CLOSE => {
            driver.close_file(file);
            return Ok(());
        }
        submission::DEVICE_CLOSE => {
            driver.close_device(device);
            return Ok(());
        }
        submission::FILE_READ | submission::FILE_WRITE | submission::FILE_FSYNC => {
            (completion::FILE_DONE, on_file(record, file, driver, bridge))
        }
        submission::DEVICE_READ | submission::DEVICE_WRITE | submission::DEVICE_FLUSH => {
            (completion::COMMAND_DONE, on_device(record, device, driver, bridge))
        }
        kind => return Err(Malformed::Kind(kind)),
    };
    match begun {
        Ok(seq) => {
            bridge.storage().1.operations.insert(seq, operation);
        }
        Err(refused) => {
            let values = [operation, 0, libc::EINVAL as u32, refused, 0];
            bridge.tell(Record::new(done, slot, record.generation, values));
        }
    }
    Ok(())
}

fn on_file<K: Kernel>(
    record: Record,
    file: FileToken,
    driver: &mut Driver<K>,
    bridge: &mut Bridge<K>,
) -> Result<u64, Refused> {
    if record.kind == submission::FILE_FSYNC {
        return driver.fsync_file(file).map_err(|refusal| of_file(&refusal));
    }
    let [_, _, len, low, high] = record.values;
    let (buffer, position) = (buffer(record, len, driver, bridge)?, u64::from(low) | u64::from(high) << 32);
    let begun = match record.kind {
        submission::FILE_READ => driver.read_file(file, position, buffer),
        _ => driver.write_file(file, position, buffer),
    };
    begun.map_err(|(refusal, _)| of_file(&refusal))
}

fn on_device<K: Kernel>(
    record: Record,
    device: DeviceToken,
    driver: &mut Driver<K>,
    bridge: &mut Bridge<K>,
) -> Result<u64, Refused> {
    if record.kind == submission::DEVICE_FLUSH {
        return driver.flush_device(device).map_err(|refusal| of_device(&refusal));
    }
    let [_, _, blocks, low, high] = record.values;
    let facts = driver.device_facts(device).ok_or(refused::REFUSED_NOT_OPEN)?;
    let blocks = u16::try_from(blocks).map_err(|_| refused::REFUSED_BLOCKS)?;
    let len = u32::from(blocks).checked_mul(facts.block_size).ok_or(refused::REFUSED_BLOCKS)?;
    let (buffer, lba) = (buffer(record, len, driver, bridge)?, u64::from(low) | u64::from(high) << 32);
    let begun = match record.kind {
        submission::DEVICE_READ => driver.read_blocks(device, lba, blocks, buffer),
        _ => driver.write_blocks(device, lba, blocks, buffer),
    };
    begun.map_err(|(refusal, _)| of_device(&refusal))
}

/// The memory that a command names.
fn buffer<K: Kernel>(
    record: Record,
    len: u32,
    driver: &Driver<K>,
    bridge: &mut Bridge<K>,
) -> Result<AlignedBuffer, Refused> {
    let [memory, offset, ..] = record.values;
    let found = bridge.storage().0.get(memory, driver.regions());
    found.and_then(|(memory, _)| memory.buffer(offset, len)).ok_or(refused::REFUSED_MEMORY)
}

impl Disk {
    /// A file is open, or not.
    pub(crate) fn file_opened(&mut self, file: FileToken, outcome: io::Result<FileFacts>) -> Option<Record> {
        let request = self.files.remove(&file)?;
        Some(match outcome {
            Ok(FileFacts { memory_alignment, block_size, len }) => {
                let values = [request, block_size, memory_alignment, len as u32, (len >> 32) as u32];
                Record::new(completion::FILE_OPENED, file.slot(), file.generation(), values)
            }
            Err(error) => open_failed(completion::FILE_OPEN_FAILED, request, &error),
        })
    }

    /// A device is open, or not.
    pub(crate) fn device_opened(&mut self, device: DeviceToken, outcome: io::Result<DeviceFacts>) -> Option<Record> {
        let request = self.devices.remove(&device)?;
        Some(match outcome {
            Ok(DeviceFacts { block_size, blocks }) => {
                let values = [request, block_size, 0, blocks as u32, (blocks >> 32) as u32];
                Record::new(completion::DEVICE_OPENED, device.slot(), device.generation(), values)
            }
            Err(error) => open_failed(completion::DEVICE_OPEN_FAILED, request, &error),
        })
    }

    /// An operation on a file has ended.
    pub(crate) fn file_completed(&mut self, ended: &FileCompletion) -> Option<Record> {
        let operation = self.operations.remove(&ended.seq)?;
        let (bytes, errno) = match &ended.result {
            Ok(bytes) => (*bytes, 0),
            Err(error) => (0, errno::of(error)),
        };
        let values = [operation, bytes, errno as u32, 0, 0];
        Some(Record::new(completion::FILE_DONE, ended.file.slot(), ended.file.generation(), values))
    }

    /// A command has ended.
    pub(crate) fn command_completed(&mut self, ended: &CommandCompletion) -> Option<Record> {
        let operation = self.operations.remove(&ended.seq)?;
        let len = ended.buffer.as_ref().map_or(0, AlignedBuffer::len) as u32;
        let (bytes, errno, status) = match &ended.result {
            Ok(()) => (len, 0, 0),
            Err(NvmeError::Io(error)) => (0, errno::of(error), 0),
            Err(NvmeError::Status(status)) => (0, libc::EIO, u32::from(status.bits())),
        };
        let values = [operation, bytes, errno as u32, 0, status];
        Some(Record::new(completion::COMMAND_DONE, ended.device.slot(), ended.device.generation(), values))
    }
}

/// A file was closed.
pub(crate) fn file_closed(file: FileToken) -> Record {
    Record::new(completion::FILE_CLOSED, file.slot(), file.generation(), [0; 5])
}

/// A device was closed.
pub(crate) fn device_closed(device: DeviceToken) -> Record {
    Record::new(completion::DEVICE_CLOSED, device.slot(), device.generation(), [0; 5])
}

fn open_failed(kind: u32, request: u32, error: &io::Error) -> Record {
    let errno = match error.kind() {
        io::ErrorKind::Unsupported => libc::EOPNOTSUPP,
        _ => errno::of(error),
    };
    Record::new(kind, 0, 0, [request, errno as u32, 0, 0, 0])
}

fn of_file(refusal: &FileRefused) -> Refused {
    match refusal {
        FileRefused::NotEnabled => refused::REFUSED_NOT_ENABLED,
        FileRefused::TooManyFiles { .. } => refused::REFUSED_TOO_MANY_OPEN,
        FileRefused::BadPath => refused::REFUSED_PATH,
        FileRefused::ReadOnly => refused::REFUSED_READ_ONLY,
        FileRefused::TooManyOperations { .. } => refused::REFUSED_TOO_MANY_OPERATIONS,
        FileRefused::OutOfRange { .. } => refused::REFUSED_OUT_OF_RANGE,
        FileRefused::Misaligned(_) => refused::REFUSED_MISALIGNED,
        _ => refused::REFUSED_NOT_OPEN,
    }
}

fn of_device(refusal: &NvmeRefused) -> Refused {
    match refusal {
        NvmeRefused::NotEnabled => refused::REFUSED_NOT_ENABLED,
        NvmeRefused::TooManyDevices { .. } => refused::REFUSED_TOO_MANY_OPEN,
        NvmeRefused::BadPath => refused::REFUSED_PATH,
        NvmeRefused::TooManyCommands { .. } => refused::REFUSED_TOO_MANY_OPERATIONS,
        NvmeRefused::NoBlocks | NvmeRefused::WrongLength { .. } => refused::REFUSED_BLOCKS,
        _ => refused::REFUSED_NOT_OPEN,
    }
}
