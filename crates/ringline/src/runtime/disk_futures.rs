//! The futures of files and NVMe devices. Each operation begins at its call; dropping a future forgets the outcome and
//! leaves the buffer with the operation.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ringline_ring::AlignedBuffer;

use super::disk::Done;
use super::{Inner, NOT_SEND, NotSend, with_worker};
use crate::Error;
use crate::direct_io::{DirectIoFile, DirectIoOptions};
use crate::driver::{DeviceToken, FileToken};
use crate::nvme::NvmeDevice;

/// A future was polled where its outcome cannot be: after it had yielded it, or outside of its worker.
const MISPLACED: &str = "a disk future was polled after it was ready, or outside of its worker";

/// Awaits a read or write of a file or device: yields the number of bytes, or the error, and the buffer.
///
/// Dropping it does not undo the operation. The buffer then stays with the operation until the kernel is done with it.
///
/// # Panics
///
/// When it is polled after it was ready, or outside of its worker.
#[must_use = "the result and the buffer come through the future"]
pub struct DiskIoFuture {
    state: State,
    _not_send: NotSend,
}

enum State {
    InFlight(u64),
    Refused(Error, AlignedBuffer),
    Over,
}

impl DiskIoFuture {
    pub(crate) fn begin(
        buffer: AlignedBuffer,
        begin: impl FnOnce(&mut Inner, AlignedBuffer) -> Result<u64, (Error, AlignedBuffer)>,
    ) -> Self {
        let mut kept = Some(buffer);
        let begun = with_worker(|inner| {
            let buffer = kept.take().expect("this runs once");
            begin(inner, buffer).inspect(|&seq| inner.host.disk.operations.expect(seq))
        });
        let state = match (begun, kept) {
            (Some(Ok(seq)), _) => State::InFlight(seq),
            (Some(Err((error, buffer))), _) => State::Refused(error, buffer),
            (None, Some(buffer)) => State::Refused(Error::OutsideWorker, buffer),
            (None, None) => unreachable!("the buffer is taken only inside of a worker"),
        };
        Self { state, _not_send: NOT_SEND }
    }
}

impl Future for DiskIoFuture {
    type Output = (Result<usize, Error>, AlignedBuffer);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match std::mem::replace(&mut self.state, State::Over) {
            State::Refused(error, buffer) => (Err(error), buffer),
            State::Over => panic!("{MISPLACED}"),
            State::InFlight(seq) => {
                let Poll::Ready(done) = poll_operation(seq, cx) else {
                    self.state = State::InFlight(seq);
                    return Poll::Pending;
                };
                (done.result, done.buffer.expect("a read or write brings its buffer back"))
            }
        };
        Poll::Ready(outcome)
    }
}

impl Drop for DiskIoFuture {
    fn drop(&mut self) {
        if let State::InFlight(seq) = self.state {
            forget_operation(seq);
        }
    }
}

/// Awaits an fsync or flush.
///
/// # Panics
///
/// When it is polled after it was ready, or outside of its worker.
#[must_use = "what was written is durable once the future has yielded success"]
pub struct DiskSyncFuture {
    begun: Option<Result<u64, Error>>,
    _not_send: NotSend,
}

impl DiskSyncFuture {
    pub(crate) fn begin(begin: impl FnOnce(&mut Inner) -> Result<u64, Error>) -> Self {
        let begun = with_worker(|inner| begin(inner).inspect(|&seq| inner.host.disk.operations.expect(seq)));
        Self { begun: Some(begun.unwrap_or(Err(Error::OutsideWorker))), _not_send: NOT_SEND }
    }
}

impl Future for DiskSyncFuture {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match self.begun {
            Some(Ok(seq)) => ready!(poll_operation(seq, cx)).result.map(drop),
            Some(Err(_)) | None => Ok(()),
        };
        match self.begun.take().expect(MISPLACED) {
            Ok(_) => Poll::Ready(result),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for DiskSyncFuture {
    fn drop(&mut self) {
        if let Some(Ok(seq)) = self.begun {
            forget_operation(seq);
        }
    }
}

fn poll_operation(seq: u64, cx: &mut Context<'_>) -> Poll<Done> {
    let polled = with_worker(|inner| inner.host.disk.operations.poll(&seq, cx.waker()));
    polled.expect(MISPLACED).map(|done| done.expect(MISPLACED))
}

fn forget_operation(seq: u64) {
    // The buffer of an operation that is over already ends here; otherwise it ends with the operation.
    drop(with_worker(|inner| inner.host.disk.operations.forget(&seq)));
}

/// Resolves to the file once it is open; see [`open_direct_io_file`](crate::open_direct_io_file). Dropping it gives the
/// open up, and closes a file that was opened meanwhile.
#[must_use = "an open is given up when its future is dropped"]
pub struct OpenFileFuture {
    begun: Option<Result<FileToken, Error>>,
    _not_send: NotSend,
}

impl OpenFileFuture {
    pub(crate) fn begin(path: &Path, options: DirectIoOptions) -> Self {
        let begun = with_worker(|inner| {
            let opened = inner.driver.open_file(path, !options.read_only, options.create);
            opened.inspect(|&file| inner.host.disk.file_opens.expect(file)).map_err(Error::FileRefused)
        });
        Self { begun: Some(begun.unwrap_or(Err(Error::OutsideWorker))), _not_send: NOT_SEND }
    }
}

impl Future for OpenFileFuture {
    type Output = Result<DirectIoFile, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(Ok(file)) = self.begun {
            let polled = with_worker(|inner| inner.host.disk.file_opens.poll(&file, cx.waker())).expect(MISPLACED);
            let outcome = ready!(polled).expect(MISPLACED);
            self.begun = None;
            return Poll::Ready(outcome.map(|_| DirectIoFile::new(file)).map_err(Error::Io));
        }
        Poll::Ready(Err(self.begun.take().expect(MISPLACED).expect_err("success was dealt with above")))
    }
}

impl Drop for OpenFileFuture {
    fn drop(&mut self) {
        if let Some(Ok(file)) = self.begun {
            with_worker(|inner| {
                inner.host.disk.file_opens.forget(&file);
                inner.driver.close_file(file);
            });
        }
    }
}

/// Resolves to the device once it is open; see [`open_nvme_device`](crate::open_nvme_device). Dropping it gives the open
/// up, and closes a device that was opened meanwhile.
#[must_use = "an open is given up when its future is dropped"]
pub struct OpenDeviceFuture {
    begun: Option<Result<DeviceToken, Error>>,
    _not_send: NotSend,
}

impl OpenDeviceFuture {
    pub(crate) fn begin(path: &Path, namespace: u32) -> Self {
        let begun = with_worker(|inner| {
            let opened = inner.driver.open_device(path, namespace);
            opened.inspect(|&device| inner.host.disk.device_opens.expect(device)).map_err(Error::NvmeRefused)
        });
        Self { begun: Some(begun.unwrap_or(Err(Error::OutsideWorker))), _not_send: NOT_SEND }
    }
}

impl Future for OpenDeviceFuture {
    type Output = Result<NvmeDevice, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(Ok(device)) = self.begun {
            let polled = with_worker(|inner| inner.host.disk.device_opens.poll(&device, cx.waker())).expect(MISPLACED);
            let outcome = ready!(polled).expect(MISPLACED);
            self.begun = None;
            return Poll::Ready(outcome.map(|_| NvmeDevice::new(device)).map_err(Error::Io));
        }
        Poll::Ready(Err(self.begun.take().expect(MISPLACED).expect_err("success was dealt with above")))
    }
}

impl Drop for OpenDeviceFuture {
    fn drop(&mut self) {
        if let Some(Ok(device)) = self.begun {
            with_worker(|inner| {
                inner.host.disk.device_opens.forget(&device);
                inner.driver.close_device(device);
            });
        }
    }
}

macro_rules! opaque_debug {
    ($($future:ident)*) => {
        $(impl fmt::Debug for $future {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($future)).finish_non_exhaustive()
            }
        })*
    };
}

opaque_debug!(DiskIoFuture DiskSyncFuture OpenFileFuture OpenDeviceFuture);
