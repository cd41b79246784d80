//! Files and NVMe devices from handler methods: each call returns a number, and the result comes to the handler under it.

use std::path::Path;

use super::DriverCtx;
use crate::Error;
use crate::direct_io::{AlignedBuffer, DirectIoFile, DirectIoOptions};
use crate::driver::Driver;
use crate::nvme::NvmeDevice;
use crate::runtime::{self, with_worker};

impl DriverCtx<'_> {
    /// Begins to open a file, and returns it with the number of the operation. The file may be used when
    /// [`on_direct_io`](crate::AsyncEventHandler::on_direct_io) has told that it is open.
    ///
    /// # Errors
    ///
    /// [`Error::FileRefused`] when direct I/O is not enabled or too many files are open.
    pub fn open_direct_io_file(
        &mut self,
        path: impl AsRef<Path>,
        options: DirectIoOptions,
    ) -> Result<(DirectIoFile, u64), Error> {
        with_worker(|inner| inner.open_file_for_handler(path.as_ref(), options)).unwrap_or(Err(Error::OutsideWorker))
    }

    /// Begins to read; as [`direct_io_read`](crate::direct_io_read), but the result and the buffer come to
    /// [`on_direct_io`](crate::AsyncEventHandler::on_direct_io) with the number that is returned.
    ///
    /// # Errors
    ///
    /// Those of [`direct_io_read`](crate::direct_io_read) that are known at once, with the buffer.
    pub fn direct_io_read(
        &mut self,
        file: DirectIoFile,
        offset: u64,
        buffer: AlignedBuffer,
    ) -> Result<u64, (Error, AlignedBuffer)> {
        transfer(buffer, |driver, buffer| driver.read_file(file.token(), offset, buffer).map_err(runtime::file_refused))
    }

    /// Begins to write; otherwise as [`direct_io_read`](Self::direct_io_read).
    ///
    /// # Errors
    ///
    /// Those of [`direct_io_write`](crate::direct_io_write) that are known at once, with the buffer.
    pub fn direct_io_write(
        &mut self,
        file: DirectIoFile,
        offset: u64,
        buffer: AlignedBuffer,
    ) -> Result<u64, (Error, AlignedBuffer)> {
        transfer(buffer, |driver, buffer| {
            driver.write_file(file.token(), offset, buffer).map_err(runtime::file_refused)
        })
    }

    /// Begins to make durable what has been written; see [`direct_io_fsync`](crate::direct_io_fsync).
    ///
    /// # Errors
    ///
    /// Those of [`direct_io_fsync`](crate::direct_io_fsync) that are known at once.
    pub fn direct_io_fsync(&mut self, file: DirectIoFile) -> Result<u64, Error> {
        begin(|driver| driver.fsync_file(file.token()).map_err(Error::FileRefused))
    }

    /// Closes a file; see [`DirectIoFile::close`].
    pub fn close_direct_io_file(&mut self, file: DirectIoFile) -> bool {
        file.close()
    }

    /// Begins to open a device, and returns it with the number of the operation. The device may be used when
    /// [`on_nvme`](crate::AsyncEventHandler::on_nvme) has told that it is open.
    ///
    /// # Errors
    ///
    /// [`Error::NvmeRefused`] when NVMe is not enabled or too many devices are open.
    pub fn open_nvme_device(&mut self, path: impl AsRef<Path>, namespace: u32) -> Result<(NvmeDevice, u64), Error> {
        with_worker(|inner| inner.open_device_for_handler(path.as_ref(), namespace))
            .unwrap_or(Err(Error::OutsideWorker))
    }

    /// Submits a read; as [`nvme_read`](crate::nvme_read), but the result and the buffer come to
    /// [`on_nvme`](crate::AsyncEventHandler::on_nvme) with the number that is returned.
    ///
    /// # Errors
    ///
    /// Those of [`nvme_read`](crate::nvme_read) that are known at once, with the buffer.
    pub fn nvme_read(
        &mut self,
        device: NvmeDevice,
        lba: u64,
        num_blocks: u16,
        buffer: AlignedBuffer,
    ) -> Result<u64, (Error, AlignedBuffer)> {
        transfer(buffer, |driver, buffer| {
            driver.read_blocks(device.token(), lba, num_blocks, buffer).map_err(runtime::nvme_refused)
        })
    }

    /// Submits a write; otherwise as [`nvme_read`](Self::nvme_read).
    ///
    /// # Errors
    ///
    /// Those of [`nvme_write`](crate::nvme_write) that are known at once, with the buffer.
    pub fn nvme_write(
        &mut self,
        device: NvmeDevice,
        lba: u64,
        num_blocks: u16,
        buffer: AlignedBuffer,
    ) -> Result<u64, (Error, AlignedBuffer)> {
        transfer(buffer, |driver, buffer| {
            driver.write_blocks(device.token(), lba, num_blocks, buffer).map_err(runtime::nvme_refused)
        })
    }

    /// Submits a flush; see [`nvme_flush`](crate::nvme_flush).
    ///
    /// # Errors
    ///
    /// Those of [`nvme_flush`](crate::nvme_flush) that are known at once.
    pub fn nvme_flush(&mut self, device: NvmeDevice) -> Result<u64, Error> {
        begin(|driver| driver.flush_device(device.token()).map_err(Error::NvmeRefused))
    }

    /// Closes a device; see [`NvmeDevice::close`].
    pub fn close_nvme_device(&mut self, device: NvmeDevice) -> bool {
        device.close()
    }
}

type WorkersDriver = Driver<ringline_ring::Uring>;

/// Begins an operation whose result comes to the handler.
fn begin(begin: impl FnOnce(&mut WorkersDriver) -> Result<u64, Error>) -> Result<u64, Error> {
    with_worker(|inner| begin(inner.driver()).inspect(|&seq| inner.tell_handler_of(seq)))
        .unwrap_or(Err(Error::OutsideWorker))
}

/// As [`begin`], with a buffer that comes back when the operation cannot be begun.
fn transfer(
    buffer: AlignedBuffer,
    begin: impl FnOnce(&mut WorkersDriver, AlignedBuffer) -> Result<u64, (Error, AlignedBuffer)>,
) -> Result<u64, (Error, AlignedBuffer)> {
    let mut kept = Some(buffer);
    let begun = with_worker(|inner| {
        let buffer = kept.take().expect("this runs once");
        begin(inner.driver(), buffer).inspect(|&seq| inner.tell_handler_of(seq))
    });
    match (begun, kept) {
        (Some(begun), _) => begun,
        (None, Some(buffer)) => Err((Error::OutsideWorker, buffer)),
        (None, None) => unreachable!("the buffer is taken only inside of a worker"),
    }
}
