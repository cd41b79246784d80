//! Slabs beyond their worker's thread: a handle keeps one readable on any thread, and the last one to go reports it.
//!
//! The table that owns the slabs is `slabs.rs`. What is reported here waits for it in a pile, which it takes when it needs
//! slabs; when many wait, its worker is woken, which may have no other reason to come by.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringline_ring::Doorbell;

use super::stock::Span;

/// So many bytes that have come back are worth waking their worker for, so that it gives their pages to the system.
const RETURNS_RUNG_BYTES: usize = 4 * 1024 * 1024;

/// What the handles of one slab share with the table.
pub(super) struct Shared {
    pub(super) memory: Span,
    number: u32,
    /// Handles that exist.
    handles: AtomicU32,
    returned: Arc<Returned>,
}

impl Shared {
    pub(super) fn new(memory: Span, number: u32, returned: Arc<Returned>) -> Self {
        Self { memory, number, handles: AtomicU32::new(0), returned }
    }

    /// Whether a handle exists.
    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.handles.load(Ordering::Acquire) > 0
    }
}

/// Slabs whose last handle is gone, reported from any thread.
pub(super) struct Returned {
    pile: Mutex<Pile>,
    any: AtomicBool,
}

struct Pile {
    numbers: Vec<u32>,
    bytes: usize,
    /// None when the table is gone: handles may outlive it, and hold no descriptor.
    bell: Option<Doorbell>,
}

impl Returned {
    pub(super) fn new(bell: Doorbell) -> Self {
        Self { pile: Mutex::new(Pile { numbers: Vec::new(), bytes: 0, bell: Some(bell) }), any: AtomicBool::new(false) }
    }

    /// Whether there is something to take. Costs a load.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Takes the numbers of all that have come back.
    pub(super) fn take(&self) -> Vec<u32> {
        let mut pile = self.pile();
        self.any.store(false, Ordering::Release);
        pile.bytes = 0;
        std::mem::take(&mut pile.numbers)
    }

    /// Nobody is to be woken any more.
    pub(super) fn silence(&self) {
        self.pile().bell = None;
    }

    fn add(&self, number: u32, bytes: usize) {
        let mut pile = self.pile();
        let before = pile.bytes;
        pile.numbers.push(number);
        pile.bytes += bytes;
        self.any.store(true, Ordering::Release);
        // Once, whether the worker sleeps or not: one that is awake takes them before long.
        if before < RETURNS_RUNG_BYTES
            && pile.bytes >= RETURNS_RUNG_BYTES
            && let Some(bell) = &pile.bell
        {
            bell.ring();
        }
    }

    fn pile(&self) -> MutexGuard<'_, Pile> {
        self.pile.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a slab's bytes readable, on any thread, for as long as it exists.
pub struct SlabHandle {
    shared: Arc<Shared>,
    generation: u32,
    /// Whether it keeps the slab from being written again, or only mapped.
    holds: bool,
}

impl SlabHandle {
    /// A handle on this use of a slab.
    pub(super) fn new(shared: &Arc<Shared>, generation: u32) -> Self {
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(shared), generation, holds: true }
    }

    /// A handle that only keeps the slab's memory mapped: the slab goes on to be used while it exists.
    pub(super) fn lasting(shared: &Arc<Shared>, generation: u32) -> Self {
        Self { shared: Arc::clone(shared), generation, holds: false }
    }

    /// The first byte of the slab. Only bytes that were received may be read through it.
    pub fn address(&self) -> *mut u8 {
        self.shared.memory.as_ptr()
    }

    /// Number of bytes of the whole slab.
    pub fn capacity(&self) -> usize {
        self.shared.memory.len()
    }

    /// Number of the slab.
    pub fn slab(&self) -> u32 {
        self.shared.number
    }

    /// Which of the slab's uses the handle is of, in 24 bits: the number stands for other bytes in another use.
    pub fn generation(&self) -> u32 {
        self.generation
    }
}

impl Clone for SlabHandle {
    fn clone(&self) -> Self {
        let like = if self.holds { Self::new } else { Self::lasting };
        like(&self.shared, self.generation)
    }
}

impl Drop for SlabHandle {
    fn drop(&mut self) {
        if self.holds && self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.returned.add(self.shared.number, self.shared.memory.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use super::super::stock::Stock;
    use super::*;

    /// How often the bell was rung since the last call.
    fn rings(bell: &Doorbell) -> u64 {
        let mut count = [0; 8];
        let mut bell = std::fs::File::from(bell.as_fd().try_clone_to_owned().unwrap());
        bell.read_exact(&mut count).map_or(0, |()| u64::from_ne_bytes(count))
    }

    #[test]
    fn many_slabs_that_come_back_ring_once_and_none_after_the_end() {
        const SLAB: u32 = 64 * 1024;
        const MANY: u32 = RETURNS_RUNG_BYTES as u32 / SLAB;
        let bell = Doorbell::new().unwrap();
        let returned = Arc::new(Returned::new(bell.clone()));
        let mut stock = Stock::new(SLAB);
        let mut handle = |number| {
            let memory = stock.grow().unwrap();
            SlabHandle::new(&Arc::new(Shared::new(memory, number, Arc::clone(&returned))), 1)
        };
        let mut handles: Vec<_> = (0..MANY).map(&mut handle).collect();
        let last = handles.split_off(MANY as usize - 1);
        drop(handles);
        assert_eq!((rings(&bell), returned.any()), (0, true));
        drop(last.clone());
        assert_eq!(rings(&bell), 0, "the slab has another handle");
        drop(last);
        drop(handle(MANY));
        assert_eq!((rings(&bell), returned.take().len(), returned.any()), (1, MANY as usize + 1, false));

        let handles: Vec<_> = (0..MANY).map(&mut handle).collect();
        returned.silence();
        drop(handles);
        assert_eq!(rings(&bell), 0);
    }
}
