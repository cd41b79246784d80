//! What the workers of one runtime share: where each can be reached, whose turn the next connection is, how far the start
//! has come, and whether it is over.
//!
//! It knows neither tasks nor JavaScript: every host's workers join one. Nothing here is touched per message.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ringline_ring::Doorbell;

use crate::Error;

/// Sent to one worker by another thread.
#[derive(Debug)]
pub enum Message<S> {
    /// A connection for this worker.
    Socket(S),
    /// Listen on an address, begin to accept, and answer with [`Member::listening`].
    Listen(SocketAddr),
}

/// The workers of one runtime.
pub struct Cluster<S> {
    mailboxes: Vec<Mailbox<S>>,
    /// Connections handed out so far, for the turn of the next.
    routed: AtomicUsize,
    stopping: AtomicBool,
    start: Mutex<Start>,
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
struct Start {
    /// Workers that have reported neither success nor failure.
    pending: usize,
    /// The first failure.
    failure: Option<Error>,
    /// The worker that was told to listen last.
    listener: usize,
    /// What became of that order.
    bound: Option<io::Result<SocketAddr>>,
}

/// The worker that owns the listener, unless each has one.
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
            stopping: AtomicBool::new(false),
            start: Mutex::new(Start { pending: workers, failure: None, listener: ACCEPTOR, bound: None }),
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

    /// Has the workers listen and accept from now on; returns the address, with the port that was chosen if it was 0.
    ///
    /// # Errors
    ///
    /// EADDRINUSE, EACCES, EADDRNOTAVAIL, …; ECONNABORTED when the worker has ended.
    pub fn listen(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.listen_on(ACCEPTOR, address)
    }

    /// As [`listen`](Self::listen), but every worker opens a listener of its own, for which their sockets must share
    /// ports.
    ///
    /// # Errors
    ///
    /// Those of `listen`, from the first worker that has one.
    pub fn listen_everywhere(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let bound = self.listen_on(ACCEPTOR, address)?;
        let others = (0..self.workers()).filter(|&worker| worker != ACCEPTOR);
        others.map(|worker| self.listen_on(worker, bound)).try_for_each(|result| result.map(drop))?;
        Ok(bound)
    }

    fn listen_on(&self, worker: usize, address: SocketAddr) -> io::Result<SocketAddr> {
        let mut start = self.start();
        (start.listener, start.bound) = (worker, None);
        drop(start);
        if self.post(worker, Message::Listen(address)).is_err() {
            return Err(worker_gone());
        }
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

    fn start(&self) -> MutexGuard<'_, Start> {
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

/// A worker's place in its cluster. Dropping it is leaving.
pub struct Member<S> {
    cluster: Arc<Cluster<S>>,
    index: usize,
    /// Whether the start of this worker was reported.
    reported: bool,
}

impl<S> Member<S> {
    /// The number of the worker, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The cluster.
    pub fn cluster(&self) -> &Arc<Cluster<S>> {
        &self.cluster
    }

    /// Makes the worker reachable: from now on messages ring its doorbell. What was posted before is waiting already,
    /// so the worker looks once without being rung.
    pub fn reachable_by(&self, doorbell: Doorbell) {
        self.mailbox().contents().doorbell = Some(doorbell);
    }

    /// Reports that the worker runs its loop from now on.
    pub fn ready(&mut self) {
        self.report(None);
    }

    /// Reports why the worker does not start.
    pub fn failed(&mut self, error: Error) {
        self.report(Some(error));
    }

    fn report(&mut self, failure: Option<Error>) {
        if !std::mem::replace(&mut self.reported, true) {
            let mut start = self.cluster.start();
            start.pending -= 1;
            if start.failure.is_none() {
                start.failure = failure;
            }
            drop(start);
            self.cluster.changed.notify_all();
        }
    }

    /// Takes the messages that have come, oldest first.
    pub fn take(&self, into: &mut Vec<Message<S>>) {
        if self.mailbox().any.swap(false, Ordering::AcqRel) {
            into.append(&mut self.mailbox().contents().messages);
        }
    }

    /// Whether [`Cluster::notify`] was called since the last call of this.
    pub fn take_notification(&self) -> bool {
        self.mailbox().notified.swap(false, Ordering::AcqRel)
    }

    /// Answers [`Message::Listen`].
    pub fn listening(&self, bound: io::Result<SocketAddr>) {
        self.cluster.start().bound = Some(bound);
        self.cluster.changed.notify_all();
    }

    /// Gives an accepted socket to the worker whose turn it is. It comes back when that is this one. It is dropped, and
    /// so closed, when no worker is left.
    pub fn route(&self, socket: S) -> Option<S> {
        let workers = self.cluster.workers();
        let mut socket = socket;
        for _ in 0..workers {
            let next = self.cluster.routed.fetch_add(1, Ordering::Relaxed) % workers;
            if next == self.index {
                return Some(socket);
            }
            match self.cluster.post(next, Message::Socket(socket)) {
                Err(Message::Socket(back)) => socket = back,
                _ => return None,
            }
        }
        None
    }

    fn mailbox(&self) -> &Mailbox<S> {
        &self.cluster.mailboxes[self.index]
    }
}

impl<S> Drop for Member<S> {
    fn drop(&mut self) {
        let mut contents = self.mailbox().contents();
        contents.left = true;
        contents.doorbell = None;
        // Dropped after the lock: closing sockets takes its time.
        let unread = std::mem::take(&mut contents.messages);
        drop(contents);
        drop(unread);
        self.report(Some(Error::HandlerPanicked { worker: self.index }));
        let mut start = self.cluster.start();
        if self.index == start.listener {
            start.bound.get_or_insert_with(|| Err(worker_gone()));
            drop(start);
            self.cluster.changed.notify_all();
        }
    }
}

fn worker_gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the worker that accepts has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_go_round() {
        let cluster = Cluster::new(3);
        let members: Vec<_> = (0..3).map(|index| cluster.member(index)).collect();
        let kept: Vec<u32> = (0..9).filter_map(|socket| members[0].route(socket)).collect();
        assert_eq!(kept, [0, 3, 6]);
        for (member, expected) in [(&members[1], [1, 4, 7]), (&members[2], [2, 5, 8])] {
            let mut messages = Vec::new();
            member.take(&mut messages);
            let sockets = messages.iter().map(|message| match message {
                Message::Socket(socket) => *socket,
                other => panic!("{other:?}"),
            });
            assert_eq!(sockets.collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_worker_that_left_is_passed_over() {
        let cluster = Cluster::new(2);
        let first = cluster.member(0);
        drop(cluster.member(1));
        let kept: Vec<u32> = (0..4).filter_map(|socket| first.route(socket)).collect();
        assert_eq!(kept, [0, 1, 2, 3]);
    }

    #[test]
    fn waiting_for_the_start_ends_when_a_worker_vanishes() {
        let cluster = Cluster::<u32>::new(2);
        let mut first = cluster.member(0);
        let second = cluster.member(1);
        first.ready();
        let waiter = std::thread::spawn({
            let cluster = Arc::clone(&cluster);
            move || cluster.wait_ready()
        });
        drop(second);
        assert!(matches!(waiter.join().unwrap(), Err(Error::HandlerPanicked { worker: 1 })));
    }

    #[test]
    fn waiting_for_the_listener_ends_when_its_worker_vanishes() {
        let cluster = Cluster::<u32>::new(1);
        let member = cluster.member(0);
        let waiter = std::thread::spawn({
            let cluster = Arc::clone(&cluster);
            move || cluster.listen("127.0.0.1:0".parse().unwrap())
        });
        drop(member);
        assert_eq!(waiter.join().unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
