//! What handler methods that belong to no connection can do.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::driver::{ConnToken, Metrics, UdpToken};
use crate::runtime::{self, ConnCtx, with_worker};
use crate::{
    ChainBuilder, Error, SendBuilder, UdpSendError, WorkerUsage, request_shutdown, worker_metrics, worker_usage,
};

/// The worker, for the time of an [`on_tick`](crate::AsyncEventHandler::on_tick) or
/// [`on_notify`](crate::AsyncEventHandler::on_notify). Connections are named by their tokens; a stale token is refused.
pub struct DriverCtx<'a> {
    ticks: &'a mut bool,
    _not_send: runtime::NotSend,
}

impl<'a> DriverCtx<'a> {
    pub(crate) fn new(ticks: &'a mut bool) -> Self {
        Self { ticks, _not_send: runtime::NOT_SEND }
    }

    /// Copies `data` and queues it, as [`ConnCtx::send_nowait`] does.
    ///
    /// # Errors
    ///
    /// Those of [`ConnCtx::send_nowait`].
    pub fn send(&mut self, conn: ConnToken, data: &[u8]) -> Result<(), Error> {
        ConnCtx::new(conn).send_nowait(data)
    }

    /// Begins a send of several parts, some of them without a copy; see [`SendBuilder`].
    pub fn send_parts<'d>(&mut self, conn: ConnToken) -> SendBuilder<'d> {
        SendBuilder::new(conn)
    }

    /// Queues a chain of sends; see [`ConnCtx::send_chain`].
    ///
    /// # Errors
    ///
    /// Those of [`ConnCtx::send_chain_nowait`].
    pub fn send_chain<'d>(
        &mut self,
        conn: ConnToken,
        add: impl FnOnce(ChainBuilder<'d>) -> ChainBuilder<'d>,
    ) -> Result<(), Error> {
        ConnCtx::new(conn).send_chain_nowait(add)
    }

    /// Closes a connection after its queued sends; see [`ConnCtx::close`].
    pub fn close(&mut self, conn: ConnToken) {
        ConnCtx::new(conn).close();
    }

    /// Sends FIN after all queued sends; see [`ConnCtx::shutdown_write`].
    pub fn shutdown_write(&mut self, conn: ConnToken) {
        ConnCtx::new(conn).shutdown_write();
    }

    /// Ends the pending receives of a connection (see [`ConnCtx::cancel`]), or its connect.
    pub fn cancel(&mut self, conn: ConnToken) {
        ConnCtx::new(conn).cancel();
    }

    /// The address of the other side; none when the connection is gone.
    pub fn peer_addr(&self, conn: ConnToken) -> Option<SocketAddr> {
        ConnCtx::new(conn).peer_addr()
    }

    /// Whether this side made the connection. False also when the connection is gone.
    pub fn is_outbound(&self, conn: ConnToken) -> bool {
        ConnCtx::new(conn).is_outbound()
    }

    /// Begins to connect. When the connection stands, it gets a task from
    /// [`on_accept`](crate::AsyncEventHandler::on_accept), where [`ConnCtx::is_outbound`] tells it apart; when it cannot
    /// be made, its token becomes stale.
    ///
    /// # Errors
    ///
    /// [`Error::ConnectionLimitReached`] when every slot of the worker is taken, [`Error::Io`] when the kernel gives no
    /// socket or the worker is shutting down.
    pub fn connect(&mut self, peer: SocketAddr) -> Result<ConnToken, Error> {
        self.begin_connect(peer, None)
    }

    /// As [`connect`](Self::connect), but gives up after `timeout_ms` milliseconds.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect).
    pub fn connect_with_timeout(&mut self, peer: SocketAddr, timeout_ms: u64) -> Result<ConnToken, Error> {
        self.begin_connect(peer, Some(Duration::from_millis(timeout_ms)))
    }

    fn begin_connect(&mut self, peer: SocketAddr, timeout: Option<Duration>) -> Result<ConnToken, Error> {
        with_worker(|inner| inner.connect(peer, timeout, true)).unwrap_or(Err(Error::OutsideWorker))
    }

    /// What the worker has in use.
    pub fn usage(&self) -> WorkerUsage {
        // A `DriverCtx` exists only during a worker's turn.
        worker_usage().unwrap_or_default()
    }

    /// What the worker has done since it started.
    pub fn metrics(&self) -> Metrics {
        // As above.
        worker_metrics().unwrap_or_default()
    }

    /// Copies a datagram and queues it; see [`UdpCtx::send_to`](crate::UdpCtx::send_to).
    ///
    /// # Errors
    ///
    /// See [`UdpSendError`].
    pub fn send_to(&mut self, udp: UdpToken, peer: SocketAddr, bytes: &[u8]) -> Result<(), UdpSendError> {
        runtime::send_to(udp, peer, bytes)
    }

    /// Asks for no further [`on_tick`](crate::AsyncEventHandler::on_tick) calls: the worker then sleeps until something
    /// happens.
    pub fn stop_ticks(&mut self) {
        *self.ticks = false;
    }

    /// Asks for the orderly end of the whole runtime, as
    /// [`ShutdownHandle::shutdown`](crate::ShutdownHandle::shutdown) does.
    pub fn request_shutdown(&mut self) {
        // A `DriverCtx` exists only during a worker's turn.
        let _ = request_shutdown();
    }
}

impl fmt::Debug for DriverCtx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverCtx").field("ticks", &self.ticks).finish()
    }
}
