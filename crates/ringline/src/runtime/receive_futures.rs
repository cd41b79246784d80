//! The futures by which a task reads a connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::conn_ctx::{NOT_SEND, NotSend};
use super::receive::{Loan, Progress, Readable};
use super::with_worker;
use crate::driver::ConnToken;

/// What a reader answers after it has looked at the buffered bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseResult {
    /// So many bytes, counted from the front, are done with. `Consumed(0)` means the same as [`NeedMore`](Self::NeedMore).
    Consumed(usize),
    /// The bytes do not suffice: come again with more of them.
    NeedMore,
}

impl ParseResult {
    /// The bytes consumed of `len` that were given.
    ///
    /// # Panics
    ///
    /// When it is more than was given: the reader has lost count, and what it would read next is undefined.
    #[inline]
    pub(crate) fn consumed(self, len: usize) -> usize {
        match self {
            Self::Consumed(count) => {
                assert!(count <= len, "a reader consumed {count} bytes of the {len} that it was given");
                count
            }
            Self::NeedMore => 0,
        }
    }
}

/// Polls a read: shows `look` what is buffered (none at the end of the stream) until it consumes something.
#[inline]
fn poll_read(
    conn: ConnToken,
    progress: &mut Progress,
    cx: &mut Context<'_>,
    mut look: impl FnMut(Option<&mut Loan>) -> ParseResult,
) -> Poll<usize> {
    loop {
        let polled = with_worker(|inner| inner.poll_read(conn, progress, cx.waker()));
        let mut loan = match polled.unwrap_or(Poll::Ready(Readable::Over)) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Readable::Over) => return Poll::Ready(0),
            Poll::Ready(Readable::Ended) => {
                look(None);
                return Poll::Ready(0);
            }
            Poll::Ready(Readable::Bytes(loan)) => loan,
        };
        let len = loan.bytes().len();
        let consumed = look(Some(&mut loan)).consumed(len);
        loan.give_back(consumed);
        if consumed > 0 {
            return Poll::Ready(consumed);
        }
        with_worker(|inner| inner.shown(conn, progress, len));
    }
}

/// Resolves to the number of bytes consumed; see [`ConnCtx::with_data`](crate::ConnCtx::with_data).
#[must_use = "nothing is read before the future is awaited"]
pub struct WithDataFuture<F> {
    conn: ConnToken,
    progress: Progress,
    look: F,
    _not_send: NotSend,
}

impl<F> WithDataFuture<F> {
    pub(crate) fn new(conn: ConnToken, look: F) -> Self {
        Self { conn, progress: Progress::default(), look, _not_send: NOT_SEND }
    }
}

// The closure is never pinned.
impl<F> Unpin for WithDataFuture<F> {}

impl<F: FnMut(&[u8]) -> ParseResult> Future for WithDataFuture<F> {
    type Output = usize;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        let Self { conn, progress, look, .. } = &mut *self;
        poll_read(*conn, progress, cx, |loan| look(loan.map_or(&[], |loan| loan.bytes())))
    }
}

/// Resolves to the number of bytes consumed; see [`ConnCtx::with_bytes`](crate::ConnCtx::with_bytes).
#[must_use = "nothing is read before the future is awaited"]
pub struct WithBytesFuture<F> {
    conn: ConnToken,
    progress: Progress,
    look: F,
    _not_send: NotSend,
}

impl<F> WithBytesFuture<F> {
    pub(crate) fn new(conn: ConnToken, look: F) -> Self {
        Self { conn, progress: Progress::default(), look, _not_send: NOT_SEND }
    }
}

// The closure is never pinned.
impl<F> Unpin for WithBytesFuture<F> {}

impl<F: FnMut(Bytes) -> ParseResult> Future for WithBytesFuture<F> {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        let Self { conn, progress, look, .. } = &mut *self;
        poll_read(*conn, progress, cx, |loan| look(loan.map_or_else(Bytes::new, Loan::share)))
    }
}

/// Resolves when there is something to read, or nothing more to come; see
/// [`ConnCtx::recv_ready`](crate::ConnCtx::recv_ready).
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct RecvReadyFuture {
    conn: ConnToken,
    progress: Progress,
    _not_send: NotSend,
}

impl RecvReadyFuture {
    pub(crate) fn new(conn: ConnToken) -> Self {
        Self { conn, progress: Progress::default(), _not_send: NOT_SEND }
    }
}

impl Future for RecvReadyFuture {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { conn, progress, .. } = &mut *self;
        with_worker(|inner| inner.poll_readable(*conn, progress, cx.waker())).unwrap_or(Poll::Ready(()))
    }
}
