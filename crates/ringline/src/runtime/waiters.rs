//! Tasks that wait for a connection: its readers, and those whose sends are not out.
//!
//! The usual case, one task of this worker that waits again and again, is a number that is set and cleared. Only what is
//! beyond that, several tasks or wakers of other runtimes' making, is kept as wakers.

use std::task::Waker;

use super::ready::Ready;
use super::waker;

/// Nobody waits.
const NOBODY: u32 = u32::MAX;

/// Wakers of other runtimes' making, to be woken when no state is borrowed: they may run anything.
pub(crate) type ForeignWakes = Vec<Waker>;

/// The one task that reads, and the one that waits for its sends.
pub(crate) struct Waiters {
    reader: u32,
    sender: u32,
    /// The position in the stream that the sender waits for.
    due: u64,
}

/// Any number of tasks that read, and that wait for sends.
#[derive(Default)]
pub(crate) struct OtherWaiters {
    readers: Vec<Waker>,
    senders: Vec<(u64, Waker)>,
}

impl Waiters {
    pub(crate) const fn new() -> Self {
        Self { reader: NOBODY, sender: NOBODY, due: 0 }
    }

    /// Whether a task reads.
    #[inline]
    pub(crate) fn is_read(&self) -> bool {
        self.reader != NOBODY
    }

    /// Has the task woken when there is something to read. False when another one waits for that already.
    #[inline]
    pub(crate) fn read(&mut self, task: u32) -> bool {
        let free = self.reader == NOBODY || self.reader == task;
        if free {
            self.reader = task;
        }
        free
    }

    /// Has the task woken when the stream is sent up to `due`. False when another one waits for something of that kind.
    #[inline]
    pub(crate) fn send(&mut self, task: u32, due: u64) -> bool {
        let again = self.sender == task;
        let free = self.sender == NOBODY || again;
        if free {
            self.due = if again { self.due.min(due) } else { due };
            self.sender = task;
        }
        free
    }

    /// Whether a task waits for its sends.
    #[inline]
    pub(crate) fn awaits_sent(&self) -> bool {
        self.sender != NOBODY
    }

    /// There is something to read, or never will be.
    #[inline]
    pub(crate) fn wake_reader(&mut self, ready: &Ready) {
        if self.reader != NOBODY {
            ready.schedule(self.reader);
            self.reader = NOBODY;
        }
    }

    /// The stream is sent up to `position`.
    #[inline]
    pub(crate) fn wake_sender(&mut self, position: u64, ready: &Ready) {
        if self.sender != NOBODY && self.due <= position {
            ready.schedule(self.sender);
            self.sender = NOBODY;
        }
    }
}

impl OtherWaiters {
    pub(crate) fn are_reading(&self) -> bool {
        !self.readers.is_empty()
    }

    pub(crate) fn await_sent(&self) -> bool {
        !self.senders.is_empty()
    }

    pub(crate) fn read(&mut self, waker: &Waker) {
        if !self.readers.iter().any(|other| other.will_wake(waker)) {
            self.readers.push(waker.clone());
        }
    }

    pub(crate) fn send(&mut self, due: u64, waker: &Waker) {
        match self.senders.iter_mut().find(|(_, other)| other.will_wake(waker)) {
            Some((position, _)) => *position = due.min(*position),
            None => self.senders.push((due, waker.clone())),
        }
    }

    pub(crate) fn wake_readers(&mut self, foreign: &mut ForeignWakes) {
        self.readers.drain(..).for_each(|waker| wake(waker, foreign));
    }

    pub(crate) fn wake_senders(&mut self, position: u64, foreign: &mut ForeignWakes) {
        self.senders.extract_if(.., |(due, _)| *due <= position).for_each(|(_, waker)| wake(waker, foreign));
    }
}

fn wake(waker: Waker, foreign: &mut ForeignWakes) {
    if waker::is_own(&waker) { waker.wake() } else { foreign.push(waker) }
}
