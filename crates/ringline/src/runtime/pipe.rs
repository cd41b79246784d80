//! Pipes between connections: what one receives goes out on the other, and no task sees it.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::connection::{Phase, Sends};
use super::waiters::OtherWaiters;
use super::{AsyncHost, Inner, NOT_SEND, NotSend, with_worker};
use crate::Error;
use crate::driver::{ConnToken, PipeEnd, PipeRefused};
use crate::guard::GuardBox;

/// The pipes of a worker that a future waits for.
#[derive(Default)]
pub(crate) struct Pipes {
    by_key: HashMap<u64, Piping>,
    keys: u64,
}

struct Piping {
    to: ConnToken,
    /// Bytes that were buffered when the pipe began.
    buffered: u64,
    outcome: Option<Result<u64, Error>>,
    waiters: OtherWaiters,
}

impl AsyncHost {
    /// A pipe has ended: its target takes sends again, unless its FIN is out, and its future is woken.
    pub(super) fn pipe_over(&mut self, key: u64, moved: u64, end: PipeEnd) {
        let Some(piping) = self.pipes.by_key.get_mut(&key) else { return };
        if let Some(target) = self.connections.get(piping.to).filter(|target| target.sends == Sends::Piped) {
            target.sends = if end == PipeEnd::Finished { Sends::Ended } else { Sends::Open };
        }
        piping.outcome = Some(match end {
            PipeEnd::Finished | PipeEnd::Stopped => Ok(piping.buffered + moved),
            PipeEnd::SourceFailed(0) | PipeEnd::TargetFailed(0) => Err(Error::InvalidConnection),
            PipeEnd::SourceFailed(errno) | PipeEnd::TargetFailed(errno) => {
                Err(Error::Io(io::Error::from_raw_os_error(errno)))
            }
        });
        piping.waiters.wake_readers(&mut self.foreign);
    }
}

impl Inner {
    /// Makes a pipe and lets it flow; what is buffered goes first. Returns its key.
    fn pipe(&mut self, from: ConnToken, to: ConnToken) -> Result<u64, Error> {
        let Self { driver, host } = self;
        host.connections.get(to).ok_or(Error::InvalidConnection)?.check_sends()?;
        let source = host.connections.get(from).filter(|source| source.phase == Phase::Open);
        let source = source.ok_or(Error::InvalidConnection)?;
        if source.lent || source.sink().is_some() {
            return Err(Error::PipeBusy);
        }
        if source.accumulator.is_some() && driver.guards_left() == 0 {
            return Err(Error::GuardLimitReached { needed: 1, free: 0 });
        }
        let key = host.pipes.keys;
        driver.pipe(from, to, key).map_err(|refused| match refused {
            PipeRefused::SourceClosed | PipeRefused::TargetClosed => Error::InvalidConnection,
            PipeRefused::SourceBusy | PipeRefused::TargetBusy => Error::PipeBusy,
        })?;
        let mut buffered = 0;
        if let Some(mut accumulator) = source.accumulator.take() {
            buffered += accumulator.len() as u64;
            let queued = driver.send_guard(to, GuardBox::new(accumulator.share()), 0);
            debug_assert!(queued.is_ok(), "room for it was found above");
            host.accumulators.give_back(accumulator);
        }
        while let Some(chunk) = host.arrivals.pop(&mut source.chunks) {
            buffered += u64::from(chunk.len());
            if let Err(chunk) = driver.send_chunk(to, chunk) {
                driver.release(chunk);
            }
        }
        source.chunk_bytes = 0;
        source.paused = false;
        driver.start_pipe(to, key);
        if let Some(target) = host.connections.get(to) {
            target.sends = Sends::Piped;
        }
        host.pipes.keys += 1;
        host.pipes.by_key.insert(key, Piping { to, buffered, outcome: None, waiters: OtherWaiters::default() });
        Ok(key)
    }

    fn poll_pipe(&mut self, key: u64, waker: &Waker) -> Poll<Result<u64, Error>> {
        let Some(piping) = self.host.pipes.by_key.get_mut(&key) else { return Poll::Ready(Err(Error::OutsideWorker)) };
        match piping.outcome.take() {
            Some(outcome) => {
                self.host.pipes.by_key.remove(&key);
                Poll::Ready(outcome)
            }
            None => {
                piping.waiters.read(waker);
                Poll::Pending
            }
        }
    }

    /// Nobody waits for a pipe any more: it ends here.
    fn drop_pipe(&mut self, key: u64) {
        let Some(piping) = self.host.pipes.by_key.remove(&key) else { return };
        if piping.outcome.is_some() {
            return;
        }
        self.driver.stop_pipe(piping.to, key);
        if let Some(target) = self.host.connections.get(piping.to).filter(|target| target.sends == Sends::Piped) {
            target.sends = Sends::Open;
        }
    }
}

/// Resolves to the number of bytes moved when a pipe has come to its end; see [`ConnCtx::pipe`](crate::ConnCtx::pipe).
///
/// Dropping it stops the pipe.
#[derive(Debug)]
#[must_use = "dropping the future stops the pipe"]
pub struct PipeFuture {
    /// The pipe's key, or why there is none; none once the future has resolved.
    pipe: Option<Result<u64, Error>>,
    _not_send: NotSend,
}

impl PipeFuture {
    pub(crate) fn new(from: ConnToken, to: ConnToken) -> Self {
        let pipe = with_worker(|inner| inner.pipe(from, to)).unwrap_or(Err(Error::OutsideWorker));
        Self { pipe: Some(pipe), _not_send: NOT_SEND }
    }
}

impl Future for PipeFuture {
    type Output = Result<u64, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(Ok(key)) = self.pipe else {
            return Poll::Ready(self.pipe.take().unwrap_or(Err(Error::InvalidConnection)));
        };
        let polled = with_worker(|inner| inner.poll_pipe(key, cx.waker()));
        let polled = polled.unwrap_or(Poll::Ready(Err(Error::OutsideWorker)));
        if polled.is_ready() {
            self.pipe = None;
        }
        polled
    }
}

impl Drop for PipeFuture {
    fn drop(&mut self) {
        if let Some(Ok(key)) = self.pipe {
            with_worker(|inner| inner.drop_pipe(key));
        }
    }
}
