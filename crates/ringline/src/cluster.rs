//! What the workers of one runtime share: where each can be reached, whose turn the next connection is, how far the start
//! has come, and whether it is over.
//!
//! It knows neither tasks nor JavaScript: every host's workers join one. Nothing here is touched per message.

mod member;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ringline_ring::Doorbell;

use crate::Error;

pub use member::Member;

/// Sent to one worker by another thread.
#[derive(Debug)]
pub enum Message<S> {
    /// A connection for this worker.
    Socket(S),
    /// Listen on an address, begin to accept, and answer with [`Member::listening`].
    Listen(SocketAddr),
    /// The worker that listened has ended: accept on its listener from now on; see [`Member::take_over`].
    TakeOver,
}

/// The workers of one runtime.
pub struct Cluster<S> {
    mailboxes: Vec<Mailbox<S>>,
    /// Connections handed out so far, for the turn of the next.
    routed: AtomicUsize,
    /// Whether a connection goes to the worker whose turn it is, and not to the one that accepted it.
    routes: AtomicBool,
    stopping: AtomicBool,
    start: Mutex<Start<S>>,
    /// Rung when `start` changes.
    changed: Condvar,
}

struct Mailbox<S> {
    contents: Mutex<Contents<S>>,
    /// Whether there are messages, to be looked at without the lock.
    any: AtomicBool,
    notified: AtomicBool,
}

struct Contents<S> {
    messages: Vec<Message<S>>,
    doorbell: Option<Doorbell>,
    /// The worker has ended: nobody would read a message.
    left: bool,
}

/// How far the start has come.
struct Start<S> {
    /// Workers that have reported neither success nor failure.
    pending: usize,
    /// The first failure.
    failure: Option<Error>,
    /// The worker that was told to listen last.
    listener: usize,
    /// What became of that order.
    bound: Option<io::Result<SocketAddr>>,
    /// The listener, unless each worker has one: what keeps the port open when the worker that accepts on it ends.
    socket: Option<S>,
}

/// The worker that accepts first, unless each does.
const ACCEPTOR: usize = 0;

impl<S> Cluster<S> {
    /// A cluster of so many workers, none of which has joined yet.
    pub fn new(workers: usize) -> Arc<Self> {
        let mailbox = |_| Mailbox {
            contents: Mutex::new(Contents { messages: Vec::new(), doorbell: None, left: false }),
            any: AtomicBool::new(false),
            notified: AtomicBool::new(false),
        };
        Arc::new(Self {
            mailboxes: (0..workers).map(mailbox).collect(),
            routed: AtomicUsize::new(0),
            routes: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            start: Mutex::new(Start { pending: workers, failure: None, listener: ACCEPTOR, bound: None, socket: None }),
            changed: Condvar::new(),
        })
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.mailboxes.len()
    }

    /// The place of worker `index`. To be taken before the worker starts, on any thread: a worker whose member is dropped
    /// before it was [`ready`](Member::ready) counts as failed.
    ///
    /// # Panics
    ///
    /// When there is no such worker.
    pub fn member(self: &Arc<Self>, index: usize) -> Member<S> {
        assert!(index < self.workers(), "worker {index} of {}", self.workers());
        Member { cluster: Arc::clone(self), index, reported: false }
    }

    /// Waits until every worker is ready.
    ///
    /// # Errors
    ///
    /// The first failure of a worker; it does not wait for the others then.
    pub fn wait_ready(&self) -> Result<(), Error> {
        let mut start = self.start();
        loop {
            if let Some(error) = start.failure.take() {
                return Err(error);
            }
            if start.pending == 0 {
                return Ok(());
            }
            start = self.changed.wait(start).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Has one worker listen and accept for all from now on, and another one take over when it ends; returns the address, with
    /// the port that was chosen if it was 0. `turn` is called when a worker has been told: it turns those that this thread
    /// turns itself, which could never answer otherwise.
    ///
    /// # Errors
    ///
    /// EADDRINUSE, EACCES, EADDRNOTAVAIL, …; ECONNABORTED when the worker has ended.
    pub fn listen(&self, address: SocketAddr, turn: &dyn Fn()) -> io::Result<SocketAddr> {
        self.listen_on(ACCEPTOR, address, turn)
    }

    /// As [`listen`](Self::listen), but every worker opens a listener of its own and keeps what it accepts. Their sockets must
    /// share ports. A listener ends with its worker, and the kernel then chooses among the others.
    ///
    /// # Errors
    ///
    /// Those of `listen`, from the first worker that has one.
    pub fn listen_everywhere(&self, address: SocketAddr, turn: &dyn Fn()) -> io::Result<SocketAddr> {
        self.routes.store(false, Ordering::Release);
        let bound = self.listen_on(ACCEPTOR, address, turn)?;
        let others = (0..self.workers()).filter(|&worker| worker != ACCEPTOR);
        others.map(|worker| self.listen_on(worker, bound, turn)).try_for_each(|result| result.map(drop))?;
        Ok(bound)
    }

    fn listen_on(&self, worker: usize, address: SocketAddr, turn: &dyn Fn()) -> io::Result<SocketAddr> {
        let mut start = self.start();
        (start.listener, start.bound) = (worker, None);
        drop(start);
        if self.post(worker, Message::Listen(address)).is_err() {
            return Err(worker_gone());
        }
        turn();
        let mut start = self.start();
        loop {
            match &start.bound {
                Some(Ok(bound)) => return Ok(*bound),
                Some(Err(_)) => return start.bound.take().unwrap_or_else(|| Err(worker_gone())),
                None => start = self.changed.wait(start).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// The address that the workers listen on; none if they do not.
    pub fn bound_addr(&self) -> Option<SocketAddr> {
        self.start().bound.as_ref().and_then(|bound| bound.as_ref().ok().copied())
    }

    /// Tells every worker to close its connections and end. Calling it again changes nothing.
    pub fn shutdown(&self) {
        if !self.stopping.swap(true, Ordering::AcqRel) {
            let listener = self.start().socket.take();
            drop(listener);
            self.mailboxes.iter().for_each(Mailbox::ring);
        }
    }

    /// Whether [`shutdown`](Self::shutdown) was called.
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Has every worker call its handler's `on_notify`.
    pub fn notify(&self) {
        for mailbox in &self.mailboxes {
            if !mailbox.notified.swap(true, Ordering::AcqRel) {
                mailbox.ring();
            }
        }
    }

    /// Has the next worker accept on the listener of `worker`, which accepts no more. Without one to hand on nothing
    /// happens; when nobody is left, it is closed.
    fn hand_on(&self, worker: usize) {
        let mut holder = worker;
        loop {
            let heir = (holder + 1) % self.workers();
            let mut start = self.start();
            // Somebody else has done it, or the end has come.
            if start.listener != holder || start.socket.is_none() {
                return;
            }
            if heir == worker {
                let listener = start.socket.take();
                drop(start);
                return drop(listener);
            }
            start.listener = heir;
            drop(start);
            if self.post(heir, Message::TakeOver).is_ok() {
                return;
            }
            holder = heir;
        }
    }

    fn post(&self, worker: usize, message: Message<S>) -> Result<(), Message<S>> {
        let mut contents = self.mailboxes[worker].contents();
        if contents.left {
            return Err(message);
        }
        contents.messages.push(message);
        self.mailboxes[worker].any.store(true, Ordering::Release);
        if let Some(doorbell) = &contents.doorbell {
            doorbell.ring();
        }
        Ok(())
    }

    fn start(&self) -> MutexGuard<'_, Start<S>> {
        self.start.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Mailbox<S> {
    fn contents(&self) -> MutexGuard<'_, Contents<S>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        if let Some(doorbell) = &self.contents().doorbell {
            doorbell.ring();
        }
    }
}

fn worker_gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the worker that accepts has ended")
}
