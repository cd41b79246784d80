//! Outbound connections: begun at the call, awaited by a future that gives the socket up when it is dropped.

use std::collections::hash_map::Entry;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::connection::Phase;
use super::{AsyncHost, ConnCtx, Inner, waker, with_worker};
use crate::Error;
use crate::driver::{ConnToken, ConnectError};

/// A connect whose outcome has not been taken yet.
pub(crate) struct Attempt {
    outcome: Option<io::Result<()>>,
    waker: Option<Waker>,
    /// Asked for by a handler method: no future waits, the connection gets a task of its own.
    by_handler: bool,
}

impl AsyncHost {
    /// Records how a connect ended.
    pub(super) fn attempt_over(&mut self, conn: ConnToken, outcome: io::Result<()>) {
        let Entry::Occupied(mut entry) = self.attempts.entry(conn) else { return };
        if entry.get().by_handler {
            entry.remove();
            if outcome.is_ok() {
                self.established.push(conn);
            }
            return;
        }
        let attempt = entry.get_mut();
        attempt.outcome = Some(outcome);
        match attempt.waker.take() {
            Some(waker) if waker::is_own(&waker) => waker.wake(),
            Some(waker) => self.foreign.push(waker),
            None => {}
        }
    }
}

impl Inner {
    /// Begins to connect.
    pub(crate) fn connect(
        &mut self,
        peer: SocketAddr,
        timeout: Option<Duration>,
        by_handler: bool,
    ) -> Result<ConnToken, Error> {
        if self.host.stopping {
            let text = "the worker is shutting down and connects no more";
            return Err(Error::Io(io::Error::new(io::ErrorKind::ConnectionAborted, text)));
        }
        let conn = self.driver.connect(peer, timeout).map_err(|error| match error {
            ConnectError::Full => Error::ConnectionLimitReached { limit: self.host.max_connections },
            ConnectError::Io(error) => Error::Io(error),
        })?;
        self.host.connections.open(conn, Phase::Connecting);
        self.host.attempts.insert(conn, Attempt { outcome: None, waker: None, by_handler });
        Ok(conn)
    }

    fn poll_connect(&mut self, conn: ConnToken, waker: &Waker) -> Poll<Result<ConnCtx, Error>> {
        let Entry::Occupied(mut entry) = self.host.attempts.entry(conn) else {
            return Poll::Ready(Err(Error::InvalidConnection));
        };
        match entry.get_mut().outcome.take() {
            Some(outcome) => {
                entry.remove();
                Poll::Ready(outcome.map(|()| ConnCtx::new(conn)).map_err(Error::Io))
            }
            None => {
                let stored = &mut entry.get_mut().waker;
                if !stored.as_ref().is_some_and(|stored| stored.will_wake(waker)) {
                    *stored = Some(waker.clone());
                }
                Poll::Pending
            }
        }
    }

    /// Nobody wants the outcome any more: gives the connect up, or closes the connection if it already stands.
    fn abandon_connect(&mut self, conn: ConnToken) {
        let Some(attempt) = self.host.attempts.remove(&conn) else { return };
        match attempt.outcome {
            Some(Err(_)) => {}
            Some(Ok(())) => self.close(conn),
            None => {
                // The driver tells nothing more of it.
                self.driver.close(conn);
                if let Some(connection) = self.host.connections.get(conn) {
                    connection.phase = Phase::Closed;
                }
            }
        }
    }
}

/// Connects to `peer`. The attempt begins at the call; the future resolves when the connection stands.
///
/// # Errors
///
/// The future yields [`Error::Io`] with what the kernel answers (ECONNREFUSED, ENETUNREACH, …),
/// [`Error::ConnectionLimitReached`] when every slot of the worker is taken, and [`Error::OutsideWorker`] when the
/// calling thread is not in a worker's turn.
///
/// ```no_run
/// # async fn example() -> Result<(), ringline::Error> {
/// let conn = ringline::connect("127.0.0.1:7878".parse().unwrap()).await?;
/// conn.send(b"hello").await?;
/// # Ok(()) }
/// ```
pub fn connect(peer: SocketAddr) -> ConnectFuture {
    ConnectFuture::begin(peer, None)
}

/// As [`connect`], but gives up with an error of kind [`TimedOut`](io::ErrorKind::TimedOut) after `timeout_ms`
/// milliseconds.
pub fn connect_with_timeout(peer: SocketAddr, timeout_ms: u64) -> ConnectFuture {
    ConnectFuture::begin(peer, Some(Duration::from_millis(timeout_ms)))
}

/// Resolves to the connection once it stands; see [`connect`].
///
/// Dropping it gives the attempt up; a connection that was made meanwhile is closed.
#[derive(Debug)]
#[must_use = "a connect is given up when its future is dropped"]
pub struct ConnectFuture {
    begun: Result<ConnToken, Option<Error>>,
    _not_send: super::conn_ctx::NotSend,
}

impl ConnectFuture {
    fn begin(peer: SocketAddr, timeout: Option<Duration>) -> Self {
        let begun = with_worker(|inner| inner.connect(peer, timeout, false)).unwrap_or(Err(Error::OutsideWorker));
        Self { begun: begun.map_err(Some), _not_send: super::conn_ctx::NOT_SEND }
    }
}

impl Future for ConnectFuture {
    type Output = Result<ConnCtx, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.begun {
            Ok(conn) => with_worker(|inner| inner.poll_connect(*conn, cx.waker()))
                .unwrap_or(Poll::Ready(Err(Error::OutsideWorker))),
            Err(error) => Poll::Ready(Err(error.take().unwrap_or(Error::InvalidConnection))),
        }
    }
}

impl Drop for ConnectFuture {
    fn drop(&mut self) {
        if let Ok(conn) = self.begun {
            with_worker(|inner| inner.abandon_connect(conn));
        }
    }
}
