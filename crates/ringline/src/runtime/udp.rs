//! A UDP socket as its task sees it.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::conn_ctx::{NOT_SEND, NotSend};
use super::with_worker;
use crate::Error;
use crate::driver::UdpToken;
use crate::error::UdpSendError;

/// A UDP socket of a worker, for its tasks. It is a name, not an owner: the socket lasts as long as the worker.
///
/// Nothing that a peer or a router answers ends it: what could not be sent, a port that is unreachable for example, is
/// counted by [`send_errors`](Self::send_errors).
///
/// ```no_run
/// # async fn example(udp: ringline::UdpCtx) -> Result<(), ringline::Error> {
/// loop {
///     let (request, peer) = udp.recv_from().await?;
///     // A datagram that finds no room is lost, as datagrams may be.
///     udp.send_to(peer, &request).ok();
/// }
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UdpCtx {
    token: UdpToken,
    _not_send: NotSend,
}

impl UdpCtx {
    pub(crate) fn new(token: UdpToken) -> Self {
        Self { token, _not_send: NOT_SEND }
    }

    /// The position of the socket's address among [`Config::udp_bind`](crate::Config::udp_bind) and those of
    /// [`bind_udp`](crate::RinglineBuilder::bind_udp), the same on every worker.
    pub fn index(&self) -> usize {
        self.token.index() as usize
    }

    /// The socket's name, for [`DriverCtx::send_to`](crate::DriverCtx::send_to).
    pub fn token(&self) -> UdpToken {
        self.token
    }

    /// The address that the socket is bound to; none outside of the worker.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        with_worker(|inner| inner.driver.udp_addr(self.token)).flatten()
    }

    /// Resolves to the next datagram, of 0 to 65,507 bytes, and its sender. Only one future of a socket may wait at a
    /// time.
    ///
    /// Datagrams wait in a queue of bounded length; see [`dropped`](Self::dropped). Payloads share pieces of memory of
    /// 64 KiB: who keeps a small one for long should copy it.
    ///
    /// # Errors
    ///
    /// The future yields [`Error::UdpReceiverWaits`] when another future waits, which goes on waiting, and
    /// [`Error::OutsideWorker`] outside of the worker.
    pub fn recv_from(&self) -> UdpRecvFuture {
        UdpRecvFuture { udp: self.token, wait: None, _not_send: NOT_SEND }
    }

    /// Copies a datagram and queues it. Datagrams of one turn go out together, and to one peer in the order of the calls.
    ///
    /// # Errors
    ///
    /// See [`UdpSendError`]; nothing was queued then. What the kernel finds wrong later (no route, port unreachable) is
    /// counted by [`send_errors`](Self::send_errors).
    #[inline]
    pub fn send_to(&self, peer: SocketAddr, bytes: &[u8]) -> Result<(), UdpSendError> {
        send_to(self.token, peer, bytes)
    }

    /// Datagrams that were received and dropped because no task took them: the newest, beyond 4096 that wait or 4 MiB.
    pub fn dropped(&self) -> u64 {
        with_worker(|inner| inner.udp_losses(self.token).0).unwrap_or(0)
    }

    /// Datagrams that were queued and then could not be sent.
    pub fn send_errors(&self) -> u64 {
        with_worker(|inner| inner.udp_losses(self.token).1).unwrap_or(0)
    }
}

impl fmt::Debug for UdpCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UdpCtx").field(&self.token).finish()
    }
}

/// Sends by token.
#[inline]
pub(crate) fn send_to(udp: UdpToken, peer: SocketAddr, bytes: &[u8]) -> Result<(), UdpSendError> {
    let outside = || Err(UdpSendError::Io(std::io::Error::other(Error::OutsideWorker)));
    with_worker(|inner| inner.send_datagram(udp, peer, bytes)).unwrap_or_else(outside)
}

/// Resolves to a datagram and its sender; see [`UdpCtx::recv_from`]. Dropping it loses nothing.
#[derive(Debug)]
#[must_use = "nothing is received before the future is awaited"]
pub struct UdpRecvFuture {
    udp: UdpToken,
    /// What the socket knows the future by, while it waits.
    wait: Option<u64>,
    _not_send: NotSend,
}

impl Future for UdpRecvFuture {
    type Output = Result<(Bytes, SocketAddr), Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { udp, wait, .. } = &mut *self;
        with_worker(|inner| inner.poll_datagram(*udp, wait, cx.waker()))
            .unwrap_or(Poll::Ready(Err(Error::OutsideWorker)))
    }
}

impl Drop for UdpRecvFuture {
    fn drop(&mut self) {
        if let Some(wait) = self.wait {
            // The waker that comes back is dropped here, where nothing is borrowed.
            drop(with_worker(|inner| inner.forget_wait(self.udp, wait)));
        }
    }
}
