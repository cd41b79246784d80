//! Several futures in one task: all of them, or the first.
//!
//! They are polled in the order of their arguments, each time the task is. What has lost is dropped before the winner's
//! output is handed out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// What a [`select`] resolves to: the output of the future that was ready first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Either<A, B> {
    /// The first argument's.
    Left(A),
    /// The second argument's.
    Right(B),
}

impl<T> Either<T, T> {
    /// The output, whichever it was.
    pub fn into_inner(self) -> T {
        match self {
            Self::Left(output) | Self::Right(output) => output,
        }
    }
}

/// What a [`select3`] resolves to: the output of the future that was ready first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Either3<A, B, C> {
    /// The first argument's.
    First(A),
    /// The second argument's.
    Second(B),
    /// The third argument's.
    Third(C),
}

impl<T> Either3<T, T, T> {
    /// The output, whichever it was.
    pub fn into_inner(self) -> T {
        match self {
            Self::First(output) | Self::Second(output) | Self::Third(output) => output,
        }
    }
}

/// Waits for both futures.
///
/// ```no_run
/// # async fn example(conn: ringline::ConnCtx) {
/// let (sent, ()) = ringline::join(conn.send(b"ping"), conn.recv_ready()).await;
/// # }
/// ```
pub fn join<A: Future, B: Future>(a: A, b: B) -> Join<A, B> {
    Join { a: Branch::new(a), b: Branch::new(b) }
}

/// Waits for all three futures.
pub fn join3<A: Future, B: Future, C: Future>(a: A, b: B, c: C) -> Join3<A, B, C> {
    Join3 { a: Branch::new(a), b: Branch::new(b), c: Branch::new(c) }
}

/// Waits for whichever future is ready first, and drops the other. If both are, `a` wins.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example(conn: ringline::ConnCtx) {
/// let quiet = ringline::sleep(Duration::from_secs(30));
/// if let ringline::Either::Right(()) = ringline::select(conn.recv_ready(), quiet).await {
///     conn.close();
/// }
/// # }
/// ```
pub fn select<A: Future, B: Future>(a: A, b: B) -> Select<A, B> {
    Select { a: Some(a), b: Some(b) }
}

/// Waits for whichever future is ready first, and drops the others. If several are, `a` wins over `b`, and `b` over
/// `c`.
pub fn select3<A: Future, B: Future, C: Future>(a: A, b: B, c: C) -> Select3<A, B, C> {
    Select3 { a: Some(a), b: Some(b), c: Some(c) }
}

pin_project! {
    /// A future of a join, and then its output.
    struct Branch<F: Future> {
        // None once it was ready: it is dropped at once, whatever the others do.
        #[pin]
        future: Option<F>,
        output: Option<F::Output>,
    }
}

impl<F: Future> Branch<F> {
    fn new(future: F) -> Self {
        Self { future: Some(future), output: None }
    }

    /// Polls the future, unless it was ready before. Whether it is ready now.
    fn is_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let mut this = self.project();
        if let Some(future) = this.future.as_mut().as_pin_mut()
            && let Poll::Ready(output) = future.poll(cx)
        {
            *this.output = Some(output);
            this.future.set(None);
        }
        this.output.is_some()
    }

    fn take(self: Pin<&mut Self>) -> F::Output {
        self.project().output.take().expect(AGAIN)
    }
}

impl<F: Future> fmt::Debug for Branch<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.future.is_some() { "pending" } else { "ready" })
    }
}

/// What a poll after the end panics with.
const AGAIN: &str = "a combinator is not polled after it was ready";

pin_project! {
    /// Resolves to both outputs; see [`join`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Join<A: Future, B: Future> {
        #[pin]
        a: Branch<A>,
        #[pin]
        b: Branch<B>,
    }
}

impl<A: Future, B: Future> Future for Join<A, B> {
    type Output = (A::Output, B::Output);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let a = this.a.as_mut().is_ready(cx);
        let b = this.b.as_mut().is_ready(cx);
        if a && b { Poll::Ready((this.a.take(), this.b.take())) } else { Poll::Pending }
    }
}

pin_project! {
    /// Resolves to all three outputs; see [`join3`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Join3<A: Future, B: Future, C: Future> {
        #[pin]
        a: Branch<A>,
        #[pin]
        b: Branch<B>,
        #[pin]
        c: Branch<C>,
    }
}

impl<A: Future, B: Future, C: Future> Future for Join3<A, B, C> {
    type Output = (A::Output, B::Output, C::Output);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let a = this.a.as_mut().is_ready(cx);
        let b = this.b.as_mut().is_ready(cx);
        let c = this.c.as_mut().is_ready(cx);
        if a && b && c { Poll::Ready((this.a.take(), this.b.take(), this.c.take())) } else { Poll::Pending }
    }
}

pin_project! {
    /// Resolves to the output of the future that was ready first; see [`select`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Select<A, B> {
        #[pin]
        a: Option<A>,
        #[pin]
        b: Option<B>,
    }
}

impl<A: Future, B: Future> Future for Select<A, B> {
    type Output = Either<A::Output, B::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let first = match this.a.as_mut().as_pin_mut().expect(AGAIN).poll(cx) {
            Poll::Ready(output) => Either::Left(output),
            Poll::Pending => match this.b.as_mut().as_pin_mut().expect(AGAIN).poll(cx) {
                Poll::Ready(output) => Either::Right(output),
                Poll::Pending => return Poll::Pending,
            },
        };
        this.a.set(None);
        this.b.set(None);
        Poll::Ready(first)
    }
}

pin_project! {
    /// Resolves to the output of the future that was ready first; see [`select3`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Select3<A, B, C> {
        #[pin]
        a: Option<A>,
        #[pin]
        b: Option<B>,
        #[pin]
        c: Option<C>,
    }
}

impl<A: Future, B: Future, C: Future> Future for Select3<A, B, C> {
    type Output = Either3<A::Output, B::Output, C::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let first = if let Poll::Ready(output) = this.a.as_mut().as_pin_mut().expect(AGAIN).poll(cx) {
            Either3::First(output)
        } else if let Poll::Ready(output) = this.b.as_mut().as_pin_mut().expect(AGAIN).poll(cx) {
            Either3::Second(output)
        } else if let Poll::Ready(output) = this.c.as_mut().as_pin_mut().expect(AGAIN).poll(cx) {
            Either3::Third(output)
        } else {
            return Poll::Pending;
        };
        this.a.set(None);
        this.b.set(None);
        this.c.set(None);
        Poll::Ready(first)
    }
}
