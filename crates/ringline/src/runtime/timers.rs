//! Sleeping, and giving up on a future in time.
//!
//! The timer is armed at the call, and the time runs from there. None of them fires early: not when the slots run out
//! either, which is an error or a panic, never an instant return.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::conn_ctx::{NOT_SEND, NotSend};
use super::sleeps::SleepId;
use super::{Deadline, with_worker};
use crate::error::{Elapsed, TimerExhausted};

/// What the calls panic with that were made on a thread without a worker.
const OUTSIDE: &str = "timers are armed in a worker's tasks and handler methods only";

/// Waits for `duration`, counted from the call, to the microsecond or so.
///
/// # Panics
///
/// When [`timer_slots`](crate::Config::timer_slots) sleeps and timeouts are armed already (see [`try_sleep`]), or when
/// the calling thread is not in a worker's turn.
///
/// ```no_run
/// # async fn example() {
/// ringline::sleep(std::time::Duration::from_micros(200)).await;
/// # }
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> SleepFuture {
    sleep_until(Deadline::after(duration))
}

/// Waits until `deadline` has come.
///
/// # Panics
///
/// As [`sleep`].
#[track_caller]
pub fn sleep_until(deadline: Deadline) -> SleepFuture {
    try_sleep_until(deadline).unwrap_or_else(|exhausted| panic!("{exhausted}, or use try_sleep and try_timeout"))
}

/// As [`sleep`], but tells when the slots are exhausted.
///
/// # Errors
///
/// [`TimerExhausted`] when [`timer_slots`](crate::Config::timer_slots) sleeps and timeouts are armed already.
///
/// # Panics
///
/// When the calling thread is not in a worker's turn.
#[track_caller]
pub fn try_sleep(duration: Duration) -> Result<SleepFuture, TimerExhausted> {
    try_sleep_until(Deadline::after(duration))
}

/// As [`sleep_until`], but tells when the slots are exhausted.
///
/// # Errors
///
/// As [`try_sleep`].
///
/// # Panics
///
/// As [`try_sleep`].
#[track_caller]
pub fn try_sleep_until(deadline: Deadline) -> Result<SleepFuture, TimerExhausted> {
    let armed = with_worker(|inner| inner.arm_sleep(deadline.nanoseconds())).expect(OUTSIDE)?;
    Ok(SleepFuture { armed: Some(armed), deadline, _not_send: NOT_SEND })
}

/// Gives `future` so long, counted from the call: its output, or [`Elapsed`]. It is polled before the time is looked at,
/// so a future that is ready is never lost to it, and it is dropped when the time is up.
///
/// # Panics
///
/// As [`sleep`].
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example(conn: ringline::ConnCtx) {
/// if ringline::timeout(Duration::from_secs(5), conn.recv_ready()).await.is_err() {
///     conn.close();
/// }
/// # }
/// ```
#[track_caller]
pub fn timeout<F: Future>(duration: Duration, future: F) -> TimeoutFuture<F> {
    timeout_at(Deadline::after(duration), future)
}

/// As [`timeout`], with a point in time.
///
/// # Panics
///
/// As [`sleep`].
#[track_caller]
pub fn timeout_at<F: Future>(deadline: Deadline, future: F) -> TimeoutFuture<F> {
    TimeoutFuture { sleep: sleep_until(deadline), future: Some(future) }
}

/// As [`timeout`], but tells when the slots are exhausted.
///
/// # Errors
///
/// As [`try_sleep`].
///
/// # Panics
///
/// As [`try_sleep`].
#[track_caller]
pub fn try_timeout<F: Future>(duration: Duration, future: F) -> Result<TimeoutFuture<F>, TimerExhausted> {
    try_timeout_at(Deadline::after(duration), future)
}

/// As [`timeout_at`], but tells when the slots are exhausted.
///
/// # Errors
///
/// As [`try_sleep`].
///
/// # Panics
///
/// As [`try_sleep`].
#[track_caller]
pub fn try_timeout_at<F: Future>(deadline: Deadline, future: F) -> Result<TimeoutFuture<F>, TimerExhausted> {
    Ok(TimeoutFuture { sleep: try_sleep_until(deadline)?, future: Some(future) })
}

/// Resolves when its time has come; see [`sleep`]. Dropping it disarms the timer.
#[derive(Debug)]
#[must_use = "the timer is disarmed when its future is dropped"]
pub struct SleepFuture {
    /// None once it has resolved.
    armed: Option<SleepId>,
    deadline: Deadline,
    _not_send: NotSend,
}

impl SleepFuture {
    /// When it resolves.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn end(&mut self) {
        if let Some(id) = self.armed.take() {
            // A waker that comes back is dropped here, where nothing is borrowed.
            drop(with_worker(|inner| inner.end_sleep(id)));
        }
    }
}

impl Future for SleepFuture {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(id) = self.armed else { return Poll::Ready(()) };
        let polled = with_worker(|inner| inner.poll_sleep(id, cx.waker())).expect(OUTSIDE);
        if polled.is_ready() {
            self.end();
        }
        polled
    }
}

impl Drop for SleepFuture {
    fn drop(&mut self) {
        self.end();
    }
}

pin_project! {
    /// Resolves to the output of the inner future, or to [`Elapsed`]; see [`timeout`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct TimeoutFuture<F> {
        sleep: SleepFuture,
        // None once it was ready or its time was up.
        #[pin]
        future: Option<F>,
    }
}

impl<F: Future> Future for TimeoutFuture<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut().expect("a timeout is not polled after it was ready");
        let result = match future.poll(cx) {
            Poll::Ready(output) => Ok(output),
            Poll::Pending if Pin::new(&mut *this.sleep).poll(cx).is_ready() => Err(Elapsed),
            Poll::Pending => return Poll::Pending,
        };
        this.future.set(None);
        this.sleep.end();
        Poll::Ready(result)
    }
}
