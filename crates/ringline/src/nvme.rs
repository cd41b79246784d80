//! NVMe commands past the file system and the block layer, from tasks and from handler methods.
//!
//! Reads and writes are counted in logical blocks, and a buffer must have exactly their size. What the device answers is
//! an error whenever it is not success: [`Error::NvmeStatus`] tells its status in words.

use std::path::Path;

use ringline_ring::{AlignedBuffer, DeviceFacts};

use crate::Error;
use crate::driver::DeviceToken;
use crate::runtime::{self, DiskIoFuture, DiskSyncFuture, NOT_SEND, NotSend, OpenDeviceFuture, with_worker};

pub use crate::driver::{NvmeRefused, NvmeStatus};

/// What NVMe may take of a worker. A worker with NVMe has a ring with entries twice as large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NvmeConfig {
    /// Devices that a worker may have open. 1 to 65,536. Default 4.
    pub max_devices: u32,
    /// Commands that a worker may have in flight. 1 to 65,536. Default 256.
    pub max_commands_in_flight: u32,
}

impl Default for NvmeConfig {
    fn default() -> Self {
        Self { max_devices: 4, max_commands_in_flight: 256 }
    }
}

impl NvmeConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`max_devices`](Self::max_devices).
    #[must_use]
    pub fn max_devices(mut self, devices: u32) -> Self {
        self.max_devices = devices;
        self
    }

    /// Sets [`max_commands_in_flight`](Self::max_commands_in_flight).
    #[must_use]
    pub fn max_commands_in_flight(mut self, commands: u32) -> Self {
        self.max_commands_in_flight = commands;
        self
    }
}

/// An open NVMe namespace of this worker. Copies name the same device; when one has closed it, the others are refused.
///
/// It stays open until [`close`](Self::close) is called or the worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NvmeDevice {
    token: DeviceToken,
    _not_send: NotSend,
}

impl NvmeDevice {
    pub(crate) fn new(token: DeviceToken) -> Self {
        Self { token, _not_send: NOT_SEND }
    }

    pub(crate) fn token(self) -> DeviceToken {
        self.token
    }

    /// The slot of the device: a number below [`NvmeConfig::max_devices`], used again after the device.
    pub fn index(self) -> usize {
        self.token.slot() as usize
    }

    /// Bytes of a logical block; none when the device is closed.
    pub fn block_size(self) -> Option<u32> {
        self.facts().map(|facts| facts.block_size)
    }

    /// Number of logical blocks; none when the device is closed.
    pub fn blocks(self) -> Option<u64> {
        self.facts().map(|facts| facts.blocks)
    }

    /// Closes the device, once what is in flight on it has ended. False when it is closed already.
    pub fn close(self) -> bool {
        with_worker(|inner| inner.driver().close_device(self.token)).unwrap_or(false)
    }

    fn facts(self) -> Option<DeviceFacts> {
        with_worker(|inner| inner.driver().device_facts(self.token)).flatten()
    }
}

/// What an [`NvmeCompletion`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NvmeOp {
    /// A device that a handler method opened is open, or could not be opened.
    Open,
    /// Blocks were read.
    Read,
    /// Blocks were written.
    Write,
    /// What was written is durable.
    Flush,
}

/// The end of a command that a handler method submitted through [`DriverCtx`](crate::DriverCtx).
#[derive(Debug)]
#[non_exhaustive]
pub struct NvmeCompletion {
    /// The device.
    pub device: NvmeDevice,
    /// What was done.
    pub op: NvmeOp,
    /// The number that the call which submitted it returned.
    pub seq: u64,
    /// Bytes done, 0 for an open or flush; or the error, a status of the device among them.
    pub result: Result<usize, Error>,
    /// The buffer of a read or write.
    pub buffer: Option<AlignedBuffer>,
}

/// Opens the generic character device of a namespace, `/dev/ng0n1` for namespace 1 of the first controller. This needs
/// the permission to read and write it, and before Linux 6.2 CAP_SYS_ADMIN.
///
/// # Errors
///
/// The future yields [`Error::Io`] with what the kernel answers (ENOENT, EACCES, …), of kind
/// [`Unsupported`](std::io::ErrorKind::Unsupported) when it is no such device and
/// [`InvalidInput`](std::io::ErrorKind::InvalidInput) when it belongs to another namespace; [`Error::NvmeRefused`] when
/// NVMe is not enabled or [`max_devices`](NvmeConfig::max_devices) are open.
pub fn open_nvme_device(path: impl AsRef<Path>, namespace: u32) -> OpenDeviceFuture {
    OpenDeviceFuture::begin(path.as_ref(), namespace)
}

/// Reads `num_blocks` blocks (1 to 65,535) from block `lba` on into `buffer`, which must have exactly their size. The
/// future yields the number of bytes and the buffer.
///
/// # Errors
///
/// [`Error::NvmeRefused`] when `num_blocks` is 0, the buffer has another size, the device is closed or
/// [`max_commands_in_flight`](NvmeConfig::max_commands_in_flight) are in flight; [`Error::NvmeStatus`] with what the
/// device answers; [`Error::Io`] with what the kernel answers, EINVAL for more than the device takes at a time.
pub fn nvme_read(device: NvmeDevice, lba: u64, num_blocks: u16, buffer: AlignedBuffer) -> DiskIoFuture {
    DiskIoFuture::begin(buffer, |inner, buffer| {
        inner.driver().read_blocks(device.token, lba, num_blocks, buffer).map_err(runtime::nvme_refused)
    })
}

/// Writes `buffer` to `num_blocks` blocks from block `lba` on; otherwise as [`nvme_read`].
///
/// # Errors
///
/// Those of [`nvme_read`].
pub fn nvme_write(device: NvmeDevice, lba: u64, num_blocks: u16, buffer: AlignedBuffer) -> DiskIoFuture {
    DiskIoFuture::begin(buffer, |inner, buffer| {
        inner.driver().write_blocks(device.token, lba, num_blocks, buffer).map_err(runtime::nvme_refused)
    })
}

/// Makes durable what has been written. Writes that have not completed may or may not be included: await them first.
///
/// # Errors
///
/// Those of [`nvme_read`].
pub fn nvme_flush(device: NvmeDevice) -> DiskSyncFuture {
    DiskSyncFuture::begin(|inner| inner.driver().flush_device(device.token).map_err(Error::NvmeRefused))
}
