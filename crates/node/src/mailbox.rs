//! What an environment asks of its own ring thread beside messages, and how it wakes it.
//!
//! Only what is rare comes this way: connects, notifications and the end. Messages go through the shared rings, and what
//! workers ask of each other through their cluster.

use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use ringline_ring::{Doorbell, WeakDoorbell};

/// A request to a ring thread.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Letter {
    /// Begin an outbound connection.
    Connect { request: u32, peer: SocketAddr, timeout: Option<Duration> },
    /// Give an outbound connection up.
    CancelConnect { request: u32 },
    /// Tell JavaScript that it was notified.
    Notify,
    /// Open a file or a device.
    Open { request: u32, path: PathBuf, target: OpenTarget },
    /// Give that up, if it is not open yet.
    CancelOpen { request: u32 },
}

/// What is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenTarget {
    /// A file past the page cache.
    File { write: bool, create: bool },
    /// The generic character device of an NVMe namespace.
    Device { namespace: u32 },
}

/// The mailbox of one ring thread.
#[derive(Default)]
pub(crate) struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    /// Whether there are letters, to be looked at without the lock.
    any: AtomicBool,
    stop: AtomicBool,
    /// How to wake the thread, once it runs. JavaScript keeps the mailbox for as long as it likes, the descriptor not.
    sleeper: OnceLock<(WeakDoorbell, Thread)>,
}

impl Mailbox {
    /// Says how the thread is woken. Called once, by the thread itself.
    pub(crate) fn open(&self, doorbell: &Doorbell) {
        let _ = self.sleeper.set((doorbell.downgrade(), std::thread::current()));
    }

    /// Puts a letter in and wakes the thread.
    pub(crate) fn post(&self, letter: Letter) {
        self.lock().push(letter);
        self.any.store(true, Ordering::Release);
        self.wake();
    }

    /// Asks the thread to end now.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether the thread was asked to end now.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Ends the thread's wait, in the kernel or for room, or its next one.
    #[inline]
    pub(crate) fn wake(&self) {
        if let Some((doorbell, thread)) = self.sleeper.get() {
            doorbell.ring();
            thread.unpark();
        }
    }

    /// Takes the letters, oldest first.
    #[inline]
    pub(crate) fn take(&self) -> Vec<Letter> {
        if self.any.swap(false, Ordering::AcqRel) { mem::take(&mut *self.lock()) } else { Vec::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Letter>> {
        // Every change is complete in itself, so a panic elsewhere leaves nothing half done.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_out_once_and_in_order() {
        let mailbox = Mailbox::default();
        mailbox.post(Letter::Notify);
        mailbox.post(Letter::CancelConnect { request: 7 });
        assert_eq!(mailbox.take(), [Letter::Notify, Letter::CancelConnect { request: 7 }]);
        assert_eq!(mailbox.take(), []);
    }

    #[test]
    fn a_stop_stays() {
        let mailbox = Mailbox::default();
        assert!(!mailbox.is_stopped());
        mailbox.stop();
        assert!(mailbox.is_stopped() && mailbox.is_stopped());
    }
}
