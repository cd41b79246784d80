//! The eventfd by which another thread ends a ring's wait.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Weak};

/// Rings a worker out of its wait. Clones ring the same bell; ringing never blocks and never fails while a clone lives.
#[derive(Clone, Debug)]
pub struct Doorbell(Arc<OwnedFd>);

impl Doorbell {
    /// Makes a bell.
    ///
    /// # Errors
    ///
    /// EMFILE or ENFILE when the process or the system is out of descriptors.
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above succeeded, so `fd` is an open descriptor that nobody else owns.
        Ok(Self(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Ends the current wait of the ring, or its next one.
    pub fn ring(&self) {
        let one = 1u64;
        // 2^64 rings do not happen, so a write cannot fail for want of room, even if the counter is never read back.
        // SAFETY: the kernel reads eight bytes of `one`, which lives across the call.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// Makes the descriptor unreadable until the next ring.
    pub fn quieten(&self) {
        let mut rings = 0u64;
        // SAFETY: the kernel writes eight bytes into `rings`, or none.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut rings).cast(), size_of::<u64>()) };
    }

    /// A way to ring the bell that does not keep its descriptor open.
    pub fn downgrade(&self) -> WeakDoorbell {
        WeakDoorbell(Arc::downgrade(&self.0))
    }

    pub(crate) fn raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A bell for those who may outlive everybody that could hear it.
#[derive(Clone, Debug)]
pub struct WeakDoorbell(Weak<OwnedFd>);

impl WeakDoorbell {
    /// As [`Doorbell::ring`]; nothing happens when no [`Doorbell`] is left.
    pub fn ring(&self) {
        if let Some(descriptor) = self.0.upgrade() {
            Doorbell(descriptor).ring();
        }
    }
}

impl AsFd for Doorbell {
    /// The eventfd, to be polled. Whoever reads its counter, as a simulated kernel does, must be its only ring.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_bell_rings_as_long_as_the_bell_lives_and_does_not_keep_it() {
        let bell = Doorbell::new().unwrap();
        let weak = bell.downgrade();
        weak.ring();
        let mut rings = 0u64;
        // SAFETY: the kernel writes eight bytes into `rings`, or none.
        unsafe { libc::read(bell.raw_fd(), (&raw mut rings).cast(), size_of::<u64>()) };
        assert_eq!(rings, 1);
        drop(bell);
        assert_eq!(weak.0.strong_count(), 0);
        weak.ring();
    }
}
