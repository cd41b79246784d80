//! A worker's end of its cluster: how it is reached, what it reports, what it hands to the others.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ringline_ring::Doorbell;

use super::{Cluster, Mailbox, Message, worker_gone};
use crate::Error;

/// A worker's place in its cluster. Dropping it is leaving.
pub struct Member<S> {
    pub(super) cluster: Arc<Cluster<S>>,
    pub(super) index: usize,
    /// Whether the start of this worker was reported.
    pub(super) reported: bool,
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

    /// Answers [`Message::Listen`] with the listener and the address it is bound to.
    pub fn listening(&self, opened: io::Result<(S, SocketAddr)>) {
        let mut start = self.cluster.start();
        start.bound = Some(opened.map(|(socket, bound)| {
            // A shutdown that has begun has looked here already, or will not see it open.
            if self.cluster.routes.load(Ordering::Acquire) && !self.cluster.is_stopping() {
                start.socket = Some(socket);
            }
            bound
        }));
        drop(start);
        self.cluster.changed.notify_all();
    }

    /// Answers [`Message::TakeOver`]: `accept` begins to accept on the listener. Nothing is left to do when the cluster is
    /// shutting down. When it fails, nobody could be served any more, and the cluster is shut down.
    pub fn take_over(&self, accept: impl FnOnce(&S) -> io::Result<()>) {
        let start = self.cluster.start();
        let Some(socket) = start.socket.as_ref().filter(|_| start.listener == self.index) else { return };
        let taken = accept(socket);
        drop(start);
        if taken.is_err() {
            self.cluster.shutdown();
        }
    }

    /// Gives an accepted socket to the worker whose turn it is. It comes back when that is this one, and always when each
    /// worker has a listener. It is dropped, and
    /// so closed, when no worker is left.
    pub fn route(&self, socket: S) -> Option<S> {
        if !self.cluster.routes.load(Ordering::Acquire) {
            return Some(socket);
        }
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
        self.cluster.hand_on(self.index);
        let mut start = self.cluster.start();
        if self.index == start.listener {
            start.bound.get_or_insert_with(|| Err(worker_gone()));
            drop(start);
            self.cluster.changed.notify_all();
        }
    }
}
