//! Sending: bytes are copied into slots of the worker's send memory and queued with the driver, which keeps their order.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::connection::{self, Phase};
use super::{Inner, waker, with_worker};
use crate::Error;
use crate::driver::ConnToken;

/// Received bytes are sent from where they lie when they are at least so many; fewer are copied, which is cheaper.
const IN_PLACE_BYTES_MIN: usize = 4096;
/// Beyond so many pieces that hold received memory, further ones are copied, so that peers that do not read hold a bounded
/// part of it.
const IN_PLACE_PIECES_MAX: usize = 256;

/// The free slots of the send memory. The slot that came back last goes out first: it is the warmest.
pub(crate) struct SendPool {
    free: Vec<u32>,
}

impl SendPool {
    pub(crate) fn new(slots: u32) -> Self {
        Self { free: (0..slots).rev().collect() }
    }

    #[inline]
    pub(crate) fn give_back(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// Some free slots, which stay free until they are [taken](Self::take).
    pub(super) fn peek(&self, count: usize) -> Option<&[u32]> {
        self.free.len().checked_sub(count).map(|at| &self.free[at..])
    }

    /// Takes the slots that [`peek`](Self::peek) showed.
    pub(super) fn take(&mut self, count: usize) {
        self.free.truncate(self.free.len() - count);
    }

    /// Slots that are free.
    pub(crate) fn free(&self) -> u32 {
        self.free.len() as u32
    }

    /// Whether so many slots are free.
    pub(super) fn check(&self, needed: usize) -> Result<(), Error> {
        let free = self.free.len();
        if needed <= free { Ok(()) } else { Err(Error::SendPoolExhausted { needed: needed as u32, free: free as u32 }) }
    }
}

impl Inner {
    /// Queues `data` if that is the usual: it goes into one slot, and the connection has nothing queued. Otherwise none, and
    /// nothing is done.
    #[inline(always)]
    pub(crate) fn send_simply(&mut self, conn: ConnToken, data: &[u8]) -> Option<u64> {
        let Self { driver, host } = self;
        if !host.connections.get(conn)?.takes_sends() {
            return None;
        }
        let slot_size = driver.send_memory().slot_size() as usize;
        if data.is_empty() || data.len() > slot_size.min(IN_PLACE_BYTES_MIN - 1) {
            return None;
        }
        driver.send_copy_alone(conn, data, || host.pool.free.pop())
    }

    /// Queues all of `data` or nothing; returns the position of its end in the connection's stream.
    pub(crate) fn send(&mut self, conn: ConnToken, data: &[u8]) -> Result<u64, Error> {
        let Some(connection) = self.host.connections.get(conn) else { return Err(Error::InvalidConnection) };
        connection.check_sends()?;
        self.send_in_pieces(conn, data)
    }

    /// As [`send`](Self::send) to an open connection.
    fn send_in_pieces(&mut self, conn: ConnToken, data: &[u8]) -> Result<u64, Error> {
        let Self { driver, host } = self;
        if data.len() >= IN_PLACE_BYTES_MIN && driver.slab_pieces() < IN_PLACE_PIECES_MAX {
            // What a reader has in hand is sent from where it was received.
            if let Some(chunk) = driver.chunk_of(host.lending, data) {
                return driver.send_chunk(conn, chunk).map_err(|chunk| {
                    driver.release(chunk);
                    Error::InvalidConnection
                });
            }
        }
        let room = driver.appendable(conn) as usize;
        let (front, rest) = data.split_at(room.min(data.len()));
        let slot_size = driver.send_memory().slot_size() as usize;
        let needed = rest.len().div_ceil(slot_size);
        host.pool.check(needed)?;
        let mut end = 0;
        if !front.is_empty() {
            end = driver.append(conn, front).map_err(|_| Error::InvalidConnection)?;
        }
        for piece in rest.chunks(slot_size) {
            let Some(slot) = host.pool.free.pop() else { unreachable!("counted above") };
            match driver.send_copy(conn, slot, piece) {
                Ok(position) => end = position,
                Err(_) => {
                    host.pool.give_back(slot);
                    return Err(Error::InvalidConnection);
                }
            }
        }
        Ok(end)
    }

    /// Whether the kernel has taken all bytes up to `end`; if it has not, `waker` is woken when it has.
    fn poll_sent(&mut self, conn: ConnToken, end: u64, waker: &Waker) -> Poll<Result<(), Error>> {
        let (sent, error) = match self.host.connections.get(conn) {
            Some(connection) if connection.sent >= end => return Poll::Ready(Ok(())),
            Some(connection) if connection.phase != Phase::Closed => {
                let task = waker::task_of(waker, &self.host.remote);
                connection.wait_until_sent(end, task, waker);
                return Poll::Pending;
            }
            Some(connection) => (connection.sent, connection.error().map(connection::duplicate)),
            None => self.host.connections.departed(conn).unwrap_or((0, None)),
        };
        if sent >= end {
            return Poll::Ready(Ok(()));
        }
        let aborted = || io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was closed before its sends");
        Poll::Ready(Err(Error::Io(error.unwrap_or_else(aborted))))
    }
}

/// Resolves to the number of bytes when the kernel has taken all of them; see [`ConnCtx::send`](crate::ConnCtx::send).
///
/// The bytes are on their way already: dropping the future only gives up the news of it.
#[derive(Debug)]
#[must_use = "the bytes are sent in any case, but whether the send was queued is only told by awaiting"]
pub struct SendFuture {
    conn: ConnToken,
    end: u64,
    len: usize,
    refused: Option<Error>,
    _not_send: super::conn_ctx::NotSend,
}

impl SendFuture {
    pub(crate) fn new(conn: ConnToken, len: usize, queued: Result<u64, Error>) -> Self {
        let (end, refused) = queued.map_or_else(|error| (0, Some(error)), |end| (end, None));
        Self { conn, end, len, refused, _not_send: super::conn_ctx::NOT_SEND }
    }
}

impl Future for SendFuture {
    type Output = Result<usize, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(error) = self.refused.take() {
            return Poll::Ready(Err(error));
        }
        let polled = with_worker(|inner| inner.poll_sent(self.conn, self.end, cx.waker()));
        let len = self.len;
        polled.unwrap_or(Poll::Ready(Err(Error::OutsideWorker))).map_ok(|()| len)
    }
}
