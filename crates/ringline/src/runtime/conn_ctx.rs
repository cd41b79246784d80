//! A connection as its task sees it.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;

use bytes::Bytes;

use super::connection::{Phase, Sends};
use super::{
    AsyncSendBuilder, ChainBuilder, ConnectFuture, Inner, ParseResult, PipeFuture, RecvReadyFuture, SendFuture,
    WithBytesFuture, WithDataFuture, connect, connect_with_timeout, with_worker,
};
use crate::Error;
use crate::driver::ConnToken;

/// Makes a type stay on its thread.
pub(crate) type NotSend = PhantomData<*const ()>;
/// The only value of [`NotSend`].
pub(crate) const NOT_SEND: NotSend = PhantomData;

impl Inner {
    /// Closes a connection after its queued sends. Nothing happens when it is closed already.
    pub(crate) fn close(&mut self, conn: ConnToken) {
        if self.end(conn) {
            self.driver.close(conn);
        }
    }

    /// Closes a connection at once, with an error.
    pub(crate) fn abort(&mut self, conn: ConnToken, error: io::Error) {
        if self.end(conn) {
            self.driver.abort(conn, None);
            if let Some(connection) = self.host.connections.get(conn) {
                connection.set_error(error);
            }
        }
    }

    /// Ends the tasks' side of an open connection: what is buffered is dropped, and readers see the end.
    fn end(&mut self, conn: ConnToken) -> bool {
        let connection = self.host.connections.get(conn).filter(|connection| connection.phase == Phase::Open);
        let Some(connection) = connection else { return false };
        connection.phase = Phase::Closing;
        connection.wake_readers(&self.host.ready, &mut self.host.foreign);
        if let Some(accumulator) = connection.accumulator.take() {
            self.host.accumulators.give_back(accumulator);
        }
        true
    }

    pub(crate) fn shutdown_write(&mut self, conn: ConnToken) {
        if let Some(connection) = self.host.connections.get(conn)
            && connection.phase == Phase::Open
        {
            connection.sends = Sends::Ended;
            self.driver.shutdown_write(conn);
        }
    }

    /// Ends the pending receives, or the connect, of a connection.
    pub(crate) fn cancel(&mut self, conn: ConnToken) {
        let Some(connection) = self.host.connections.get(conn) else { return };
        if connection.phase == Phase::Connecting {
            self.driver.cancel_connect(conn);
        } else if connection.is_read() {
            connection.cancels = connection.cancels.wrapping_add(1);
            connection.wake_readers(&self.host.ready, &mut self.host.foreign);
        }
    }

    pub(crate) fn peer_addr(&self, conn: ConnToken) -> Option<SocketAddr> {
        self.driver.peer_addr(conn)
    }

    pub(crate) fn is_outbound(&self, conn: ConnToken) -> Option<bool> {
        self.driver.is_outbound(conn)
    }
}

/// A connection, for the tasks of its worker.
///
/// It is a name, not an owner: copies mean the same connection, dropping one closes nothing, and once the connection is
/// closed every operation through it is refused, whoever has its slot by then. It stays on its worker's thread:
///
/// ```compile_fail,E0277
/// fn send<T: Send>() {}
/// send::<ringline::ConnCtx>();
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ConnCtx {
    token: ConnToken,
    _not_send: NotSend,
}

impl ConnCtx {
    pub(crate) fn new(token: ConnToken) -> Self {
        Self { token, _not_send: NOT_SEND }
    }

    /// The slot of the connection: a number below the worker's `max_connections`, used again after the connection.
    pub fn index(&self) -> usize {
        self.token.slot() as usize
    }

    /// The connection's unique name, for [`DriverCtx`](crate::DriverCtx) and as a map key.
    pub fn token(&self) -> ConnToken {
        self.token
    }

    /// Reads: `f` gets the buffered bytes as one slice and answers what it has consumed of them.
    ///
    /// Resolves to that number. As long as `f` answers [`ParseResult::NeedMore`], it is called again when more bytes
    /// have come, with all of them. Resolves to 0 when no more come: the peer has finished (`f` is then called once
    /// with an empty slice, if nothing is buffered), the connection is closed, or the receive was
    /// [cancelled](Self::cancel).
    ///
    /// The bytes are not copied if `f` consumes them in the turn they arrive in. When
    /// [`RECV_HIGH_WATER`](crate::RECV_HIGH_WATER) bytes are buffered and nobody waits for more, receiving pauses. When
    /// more than [`recv_accumulator_limit`](crate::Config::recv_accumulator_limit) bytes are buffered and `f` still
    /// needs more, the connection is closed with an error.
    ///
    /// `f` may use the connection; reading it from within `f` finds nothing.
    ///
    /// # Panics
    ///
    /// When `f` consumes more than it was given. As any panic of a task, it closes this connection alone.
    pub fn with_data<F: FnMut(&[u8]) -> ParseResult>(&self, f: F) -> WithDataFuture<F> {
        WithDataFuture::new(self.token, f)
    }

    /// As [`with_data`](Self::with_data), with a reference-counted value whose slices may outlive the call, on any
    /// thread. Bytes that are kept keep their whole receive buffer (64 KiB or more) alive.
    pub fn with_bytes<F: FnMut(Bytes) -> ParseResult>(&self, f: F) -> WithBytesFuture<F> {
        WithBytesFuture::new(self.token, f)
    }

    /// Reads without waiting: what `f` answered, or none when nothing is buffered (or the connection is closed).
    ///
    /// # Panics
    ///
    /// When `f` consumes more than it was given.
    pub fn try_with_data(&self, f: impl FnOnce(&[u8]) -> ParseResult) -> Option<ParseResult> {
        let mut loan = with_worker(|inner| inner.lend_now(self.token)).flatten()?;
        let answer = f(loan.bytes());
        loan.consumed = answer.consumed(loan.bytes().len());
        Some(answer)
    }

    /// Has received bytes go straight into memory of the caller's until it is full: first those that are buffered, then
    /// what comes, each copied once. What comes after that is buffered as always, and readers wait meanwhile.
    /// [`recv_ready`](Self::recv_ready) tells when something has come, [`take_recv_sink`](Self::take_recv_sink) how much.
    ///
    /// ```no_run
    /// # async fn example(conn: ringline::ConnCtx) -> Result<Vec<u8>, ringline::Error> {
    /// let mut body = vec![0; 1 << 20];
    /// let mut filled = 0;
    /// while filled < body.len() {
    ///     // SAFETY: the sink is taken below, before the vector is touched again. (A task that may be dropped in between
    ///     // has to take the sink in a destructor.)
    ///     unsafe { conn.set_recv_sink(body[filled..].as_mut_ptr(), body.len() - filled)? };
    ///     conn.recv_ready().await;
    ///     match conn.take_recv_sink() {
    ///         Some(count @ 1..) => filled += count,
    ///         _ => break, // The peer has finished early.
    ///     }
    /// }
    /// # Ok(body) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConnection`] when the connection is closed, [`Error::Io`] of kind
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) when it has a sink already.
    ///
    /// # Safety
    ///
    /// The `len` bytes at `address` must be writable, and nothing else may read or write them, until `take_recv_sink` has
    /// returned or this connection has been closed from this side.
    pub unsafe fn set_recv_sink(&self, address: *mut u8, len: usize) -> Result<(), Error> {
        with_worker(|inner| inner.set_sink(self.token, address, len)).unwrap_or(Err(Error::OutsideWorker))
    }

    /// Ends [`set_recv_sink`](Self::set_recv_sink): its memory is the caller's again. Returns how many bytes it received;
    /// none when no sink is set, or the connection's slot has another owner.
    pub fn take_recv_sink(&self) -> Option<usize> {
        with_worker(|inner| inner.take_sink(self.token)).flatten()
    }

    /// Resolves when bytes are buffered, a [receive sink](Self::set_recv_sink) has received some, or no more will come.
    pub fn recv_ready(&self) -> RecvReadyFuture {
        RecvReadyFuture::new(self.token)
    }

    /// Copies `data` and queues it, all or nothing. Data of one connection arrives in the order of the calls. Received data of
    /// 4096 bytes or more that a reader such as [`with_data`](Self::with_data) has in hand is sent from where it lies instead.
    ///
    /// # Errors
    ///
    /// [`Error::SendPoolExhausted`] when the worker's send slots do not suffice at the moment,
    /// [`Error::InvalidConnection`] when the connection is closed, [`Error::Io`] (EPIPE) after
    /// [`shutdown_write`](Self::shutdown_write).
    pub fn send_nowait(&self, data: &[u8]) -> Result<(), Error> {
        match with_worker(|inner| inner.send_simply(self.token, data)) {
            Some(Some(_)) => Ok(()),
            _ => self.queue_otherwise(data).map(drop),
        }
    }

    /// Copies `data` and queues it, as [`send_nowait`](Self::send_nowait) does, at the call. The future resolves to
    /// `data.len()` when the kernel has taken all of it.
    ///
    /// # Errors
    ///
    /// The future yields those of `send_nowait`, or [`Error::Io`] when the connection ends before all was taken.
    pub fn send(&self, data: &[u8]) -> SendFuture {
        let queued = match with_worker(|inner| inner.send_simply(self.token, data)) {
            Some(Some(position)) => Ok(position),
            _ => self.queue_otherwise(data),
        };
        SendFuture::new(self.token, data.len(), queued)
    }

    /// Begins a send of several parts, some of them without a copy; see [`AsyncSendBuilder`].
    pub fn send_parts<'a>(&self) -> AsyncSendBuilder<'a> {
        AsyncSendBuilder::new(self.token)
    }

    /// Queues a chain of sends at the call: links that the kernel runs one after the other, each as soon as the one before
    /// is out, all or nothing. The future resolves to the bytes of all links when the last one is out.
    ///
    /// A chain begins when everything that was queued before is out; what is queued after it follows it, so that calls
    /// keep their order whatever is in flight. When a link fails, those behind it are cancelled, and the connection ends
    /// with the error of the one that failed.
    ///
    /// ```no_run
    /// # async fn example(conn: ringline::ConnCtx) -> Result<(), ringline::Error> {
    /// assert_eq!(conn.send_chain(|chain| chain.copy(b"head").copy(b"body")).await?, 8);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The future yields those of [`send_chain_nowait`](Self::send_chain_nowait), or [`Error::Io`] when the connection
    /// ends before all was taken.
    pub fn send_chain<'a>(&self, add: impl FnOnce(ChainBuilder<'a>) -> ChainBuilder<'a>) -> SendFuture {
        ChainBuilder::submit_await(self.token, add)
    }

    /// As [`send_chain`](Self::send_chain), but does not tell when the chain is out.
    ///
    /// # Errors
    ///
    /// [`Error::ChainTooLong`], and those of [`SendBuilder::submit`](crate::SendBuilder::submit).
    pub fn send_chain_nowait<'a>(&self, add: impl FnOnce(ChainBuilder<'a>) -> ChainBuilder<'a>) -> Result<(), Error> {
        ChainBuilder::submit(self.token, add).0.map(drop)
    }

    /// Out of line, because an error is moved from hand to hand in seven words.
    #[inline(never)]
    fn queue_otherwise(&self, data: &[u8]) -> Result<u64, Error> {
        with_worker(|inner| inner.send(self.token, data)).unwrap_or(Err(Error::OutsideWorker))
    }

    /// Sends FIN after all queued sends. Receiving goes on.
    pub fn shutdown_write(&self) {
        with_worker(|inner| inner.shutdown_write(self.token));
    }

    /// Closes the connection: queued sends go out first, then FIN. Bytes that were not read are dropped. Nothing
    /// happens when it is closed already.
    pub fn close(&self) {
        with_worker(|inner| inner.close(self.token));
    }

    /// Ends the connection's pending receives: they resolve to 0, and the stream can still be read.
    pub fn cancel(&self) {
        with_worker(|inner| inner.cancel(self.token));
    }

    /// Passes on what this connection receives, to `to`, until the end of the stream: from the memory that it was received
    /// into, without a copy and without a task. Begins at the call, with what is buffered.
    ///
    /// The peer's FIN is passed on, too, as by [`shutdown_write`](Self::shutdown_write): the future then resolves to the
    /// number of bytes moved, when the kernel has taken all of them. Receiving pauses while `to` is full. Meanwhile
    /// other sends to `to` are refused, and readers of this connection wait. A proxy pipes both directions:
    ///
    /// ```no_run
    /// # async fn example(client: ringline::ConnCtx, server: ringline::ConnCtx) {
    /// let (sent, received) = ringline::join(client.pipe(server), server.pipe(client)).await;
    /// # let _ = (sent, received); }
    /// ```
    ///
    /// When the pipe fails, neither connection is closed and no FIN is sent, since not everything has arrived. Dropping the
    /// future stops the pipe: what it has passed on goes out, what comes later is read from this connection as before.
    ///
    /// # Errors
    ///
    /// The future yields [`Error::InvalidConnection`] when either connection is closed from this side, [`Error::Io`] when
    /// one fails, [`Error::PipeBusy`] when either is part of a pipe in that direction, a reader has the bytes of this one
    /// in hand or it has a receive sink; [`Error::Io`] (EPIPE) when `to` was shut down for writing.
    pub fn pipe(&self, to: Self) -> PipeFuture {
        PipeFuture::new(self.token, to.token)
    }

    /// Connects to another peer; see [`connect`].
    pub fn connect(&self, peer: SocketAddr) -> ConnectFuture {
        connect(peer)
    }

    /// Connects to another peer within `timeout_ms` milliseconds; see [`connect_with_timeout`].
    pub fn connect_with_timeout(&self, peer: SocketAddr, timeout_ms: u64) -> ConnectFuture {
        connect_with_timeout(peer, timeout_ms)
    }

    /// The address of the other side; none when the connection is gone.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        with_worker(|inner| inner.peer_addr(self.token)).flatten()
    }

    /// The address of this side; none when the connection is gone.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        with_worker(|inner| inner.driver.local_addr(self.token)).flatten()
    }

    /// Whether this side made the connection. False also when the connection is gone.
    pub fn is_outbound(&self) -> bool {
        with_worker(|inner| inner.is_outbound(self.token)).flatten().unwrap_or(false)
    }

    /// Asks for the orderly end of the whole runtime, as
    /// [`ShutdownHandle::shutdown`](crate::ShutdownHandle::shutdown) does.
    pub fn request_shutdown(&self) {
        with_worker(|inner| inner.host.shutdown_requested = true);
    }
}

impl fmt::Debug for ConnCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnCtx").field(&self.token).finish()
    }
}
