//! The receive path: chunks are lent to a reader where they lie; what it leaves is copied out at the end of the pass, so
//! that the worker's buffers are back with the kernel before it waits.

use std::io;
use std::ptr::NonNull;
use std::task::{Poll, Waker};

use bytes::Bytes;
use ringline_ring::Uring;

use super::accumulator::Accumulator;
use super::arrivals::Chain;
use super::connection::Phase;
use super::{Inner, waker, with_worker};
use crate::driver::{Chunk, ConnToken, Driver, SlabHandle};

/// When this many bytes are buffered and nobody waits for more, receiving pauses, and the peer's window closes.
pub const RECV_HIGH_WATER: usize = 256 * 1024;
/// A paused connection receives again when its buffered bytes have fallen below this.
const RECV_LOW_WATER: usize = RECV_HIGH_WATER / 2;

/// How far a pending read has got.
///
/// It is part of each task that reads, so that it is kept in eight bytes.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Position in the stream, modulo 2^32, up to which the reader was shown bytes that did not suffice; if it was.
    shown: u32,
    /// The connection's count of cancelled receives when this one began to wait; if it has.
    cancels: u16,
    was_shown: bool,
    waits: bool,
}

impl Progress {
    /// Whether the reader was shown everything up to a position.
    #[inline]
    fn has_seen(&self, position: u32) -> bool {
        self.was_shown && self.shown == position
    }

    /// The reader waits; `cancels` is the connection's count of cancelled receives.
    #[inline]
    fn wait(&mut self, cancels: u16) {
        (self.waits, self.cancels) = (true, cancels);
    }

    /// Whether receives were cancelled while it waited.
    #[inline]
    fn is_cancelled(&self, cancels: u16) -> bool {
        self.waits && self.cancels != cancels
    }
}

/// What a reader finds.
pub(crate) enum Readable {
    /// Bytes.
    Bytes(Loan),
    /// Nothing is buffered and nothing will come.
    Ended,
    /// The read is over without being shown anything: cancelled, stale, or no more bytes than it was shown already.
    Over,
}

/// Buffered bytes while a reader has them. They go back when it is dropped, also when the reader panics.
pub(crate) struct Loan {
    conn: ConnToken,
    source: Source,
    /// What the reader has used.
    pub(crate) consumed: usize,
}

enum Source {
    /// A chunk where the kernel wrote it.
    Chunk { chunk: Option<Chunk>, address: NonNull<u8> },
    /// Bytes of earlier turns.
    Accumulator(Option<Box<Accumulator>>),
}

/// A chunk that was handed out as [`Bytes`].
struct Received {
    _slab: SlabHandle,
    address: NonNull<u8>,
    len: usize,
}

// SAFETY: received bytes are written once, by the kernel, before they are handed out, and the handle, which may go to
// any thread, keeps them readable.
unsafe impl Send for Received {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for Received {}

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the bytes were received before this value was made, and the slab handle keeps them from being written
        // again or unmapped.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.len) }
    }
}

impl Loan {
    #[inline(always)]
    fn of_chunk(conn: ConnToken, chunk: Chunk, driver: &Driver<Uring>) -> Self {
        let address = NonNull::from(driver.chunk_bytes(&chunk)).cast();
        Self { conn, source: Source::Chunk { chunk: Some(chunk), address }, consumed: 0 }
    }

    /// The bytes.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.source {
            Source::Chunk { chunk, address } => {
                let len = chunk.as_ref().map_or(0, Chunk::len) as usize;
                // SAFETY: the driver neither writes nor unmaps the bytes of a chunk before it is given back, and the
                // chunk stays in this value for as long as the slice is borrowed.
                unsafe { std::slice::from_raw_parts(address.as_ptr(), len) }
            }
            Source::Accumulator(accumulator) => accumulator.as_ref().map_or(&[], |accumulator| accumulator.bytes()),
        }
    }

    /// Gives the bytes back, of which the reader has used some.
    #[inline(always)]
    pub(crate) fn give_back(mut self, consumed: usize) {
        if let Source::Chunk { chunk, .. } = &mut self.source
            && let Some(chunk) = chunk.take()
        {
            with_worker(|inner| inner.settle(self.conn, chunk, consumed));
            // What is left names nothing, and has nothing to drop.
            return std::mem::forget(self);
        }
        self.consumed = consumed;
    }

    /// The bytes as a reference-counted value that may outlive the loan, without copying them.
    pub(crate) fn share(&mut self) -> Bytes {
        match &mut self.source {
            Source::Chunk { chunk: Some(chunk), address } => match with_worker(|inner| inner.driver.share(chunk)) {
                Some(slab) => {
                    let len = chunk.len() as usize;
                    Bytes::from_owner(Received { _slab: slab, address: *address, len })
                }
                None => Bytes::new(),
            },
            Source::Accumulator(Some(accumulator)) => accumulator.share(),
            _ => Bytes::new(),
        }
    }
}

impl Drop for Loan {
    #[inline(never)]
    fn drop(&mut self) {
        let (conn, consumed) = (self.conn, self.consumed);
        let source = &mut self.source;
        with_worker(|inner| match source {
            Source::Chunk { chunk, .. } => {
                chunk.take().into_iter().for_each(|chunk| inner.settle(conn, chunk, consumed))
            }
            Source::Accumulator(accumulator) => {
                accumulator
                    .take()
                    .into_iter()
                    .for_each(|accumulator| inner.settle_accumulator(conn, accumulator, consumed));
            }
        });
    }
}

impl Inner {
    /// Lends a waiting reader what it has not been shown, or registers it to be woken.
    #[inline]
    pub(crate) fn poll_read(&mut self, conn: ConnToken, progress: &mut Progress, waker: &Waker) -> Poll<Readable> {
        let Some(connection) = self.host.connections.open_one(conn) else { return Poll::Ready(Readable::Over) };
        let connection = if connection.sink().is_none() {
            connection
        } else {
            self.fill_sink(conn);
            let Some(connection) = self.host.connections.open_one(conn) else { return Poll::Ready(Readable::Over) };
            connection
        };
        if progress.is_cancelled(connection.cancels) {
            return Poll::Ready(Readable::Over);
        }
        let buffered = connection.buffered();
        if buffered > 0 && !progress.has_seen(connection.received) && !connection.lent {
            if connection.accumulator.is_none()
                && !self.host.arrivals.is_long(connection.chunks)
                && let Some(chunk) = self.host.arrivals.lend(connection.chunks)
            {
                connection.lent = true;
                self.host.lending = chunk.slab();
                return Poll::Ready(Readable::Bytes(Loan::of_chunk(conn, chunk, &self.driver)));
            }
            let lent = self.lend(conn, progress.was_shown);
            return Poll::Ready(lent.map_or(Readable::Over, Readable::Bytes));
        }
        if connection.receive_ended {
            let shown = buffered > 0 || connection.lent;
            return Poll::Ready(if shown { Readable::Over } else { Readable::Ended });
        }
        if buffered > self.host.accumulator_limit {
            self.abort_overfull(conn, buffered);
            return Poll::Ready(Readable::Over);
        }
        connection.wait_to_read(waker::task_of(waker, &self.host.remote), waker);
        progress.wait(connection.cancels);
        if connection.paused {
            connection.paused = false;
            self.driver.resume_receive(conn);
        }
        Poll::Pending
    }

    #[cold]
    fn abort_overfull(&mut self, conn: ConnToken, buffered: usize) {
        let text = format!("{buffered} bytes are buffered and the handler needs more: recv_accumulator_limit");
        self.abort(conn, io::Error::new(io::ErrorKind::OutOfMemory, text));
    }

    /// Whether a reader would find bytes or the end; if not, registers it to be woken.
    pub(crate) fn poll_readable(&mut self, conn: ConnToken, progress: &mut Progress, waker: &Waker) -> Poll<()> {
        self.fill_sink_if_set(conn);
        let Some(connection) = self.host.connections.get(conn) else { return Poll::Ready(()) };
        let bytes = connection.buffered() > 0 || connection.sink_has_bytes();
        let ready = connection.phase != Phase::Open || connection.receive_ended || bytes;
        if ready || progress.is_cancelled(connection.cancels) {
            return Poll::Ready(());
        }
        connection.wait_to_read(waker::task_of(waker, &self.host.remote), waker);
        progress.wait(connection.cancels);
        Poll::Pending
    }

    /// Lends what is buffered to somebody who does not wait.
    pub(crate) fn lend_now(&mut self, conn: ConnToken) -> Option<Loan> {
        self.fill_sink_if_set(conn);
        self.lend(conn, true)
    }

    /// Lends what is buffered, if anything is. The bytes of earlier turns and those of this one are joined; several
    /// chunks of this turn are joined only if the reader wants the `whole`, otherwise it gets them one by one, as if
    /// the later ones had not arrived yet.
    fn lend(&mut self, conn: ConnToken, whole: bool) -> Option<Loan> {
        let Self { driver, host } = self;
        let connection = host.connections.open_one(conn).filter(|connection| !connection.lent)?;
        if connection.accumulator.is_some() || (whole && host.arrivals.is_long(connection.chunks)) {
            return self.lend_joined(conn);
        }
        let chunk = host.arrivals.lend(connection.chunks)?;
        connection.lent = true;
        host.lending = chunk.slab();
        Some(Loan::of_chunk(conn, chunk, driver))
    }

    /// Lends all that is buffered in one piece.
    #[cold]
    fn lend_joined(&mut self, conn: ConnToken) -> Option<Loan> {
        if self.host.connections.get(conn)?.chunk_bytes > 0 {
            self.join(conn);
        }
        let connection = self.host.connections.get(conn)?;
        let accumulator = connection.accumulator.take()?;
        connection.lent = true;
        Some(Loan { conn, source: Source::Accumulator(Some(accumulator)), consumed: 0 })
    }

    /// A reader gets only what comes behind a sink.
    #[inline]
    fn fill_sink_if_set(&mut self, conn: ConnToken) {
        if self.host.connections.get(conn).is_some_and(|connection| connection.sink().is_some()) {
            self.fill_sink(conn);
        }
    }

    /// Notes that a reader was shown everything that is buffered up to `len` bytes, and wants more.
    #[inline]
    pub(crate) fn shown(&mut self, conn: ConnToken, progress: &mut Progress, len: usize) {
        if let Some(connection) = self.host.connections.get(conn) {
            progress.was_shown = true;
            progress.shown = connection.received.wrapping_sub(connection.buffered() as u32).wrapping_add(len as u32);
        }
    }

    /// Moves the chunks of this turn behind the bytes of earlier ones.
    #[cold]
    fn join(&mut self, conn: ConnToken) {
        let Self { driver, host } = self;
        let Some(connection) = host.connections.get(conn) else { return };
        let accumulator = connection.accumulator.get_or_insert_with(|| host.accumulators.take());
        while let Some(chunk) = host.arrivals.pop(&mut connection.chunks) {
            accumulator.append(driver.chunk_bytes(&chunk));
            driver.release(chunk);
        }
        connection.chunk_bytes = 0;
    }

    /// Takes a lent chunk back.
    #[inline]
    pub(super) fn settle(&mut self, conn: ConnToken, mut chunk: Chunk, consumed: usize) {
        let Self { driver, host } = self;
        let Some(connection) = host.connections.open_one(conn) else { return driver.release(chunk) };
        connection.lent = false;
        connection.chunk_bytes -= consumed as u32;
        if consumed == chunk.len() as usize {
            host.arrivals.pass(&mut connection.chunks);
            return driver.release(chunk);
        }
        if consumed > 0 {
            let front = driver.split_chunk(&mut chunk, consumed as u32);
            driver.release(front);
        }
        host.arrivals.put_back(connection.chunks, chunk);
    }

    /// Takes a lent accumulator back.
    pub(super) fn settle_accumulator(&mut self, conn: ConnToken, mut accumulator: Box<Accumulator>, consumed: usize) {
        let Self { driver, host } = self;
        accumulator.consume(consumed);
        let left = accumulator.len();
        let Some(connection) = host.connections.open_one(conn) else { return host.accumulators.give_back(accumulator) };
        connection.lent = false;
        if connection.paused && left < RECV_LOW_WATER {
            connection.paused = false;
            driver.resume_receive(conn);
        }
        if left == 0 {
            host.accumulators.give_back(accumulator);
        } else {
            connection.accumulator = Some(accumulator);
        }
    }

    /// At the end of a pass: gives every chunk back to the driver, after copying out what nobody has read.
    #[inline]
    pub(super) fn keep_unread(&mut self) {
        let Self { driver, host } = self;
        let super::AsyncHost { connections, arrivals, accumulators, .. } = host;
        arrivals.drain(|conn, chunk| {
            if let Some(connection) = connections.open_one(conn) {
                let mut bytes = driver.chunk_bytes(&chunk);
                connection.chunk_bytes -= chunk.len();
                connection.chunks = Chain::EMPTY;
                let unbuffered = connection.accumulator.is_none();
                if let Some(sink) = connection.sink().filter(|_| unbuffered) {
                    bytes = &bytes[sink.fill(bytes)..];
                }
                if bytes.is_empty() {
                    return driver.release(chunk);
                }
                let accumulator = connection.accumulator.get_or_insert_with(|| accumulators.take());
                accumulator.append(bytes);
                let full = accumulator.len() >= RECV_HIGH_WATER && !connection.is_read();
                if full && !connection.paused {
                    connection.paused = driver.pause_receive(conn);
                }
            }
            driver.release(chunk);
        });
        if accumulators.wants_trim() {
            driver.trim_later();
        }
    }
}
