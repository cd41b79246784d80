//! Slabs on their way to JavaScript.
//!
//! The worker offers a slab before it publishes the first record that names it. JavaScript wraps it once, into an
//! ArrayBuffer that holds the slab until it is collected. When JavaScript has read that the slab is retired, the offer
//! is withdrawn; the slab is written again only when offer and ArrayBuffer are both gone, so that there are never two
//! live ArrayBuffers over the same address.
//!
//! This is touched once per slab, not once per message, which is why a lock is good enough.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringline::driver::SlabHandle;

use crate::shared_ring::Producer;

/// The slabs that JavaScript may ask for. One end is with the worker, the other with the port.
#[derive(Clone, Default)]
pub(crate) struct OfferedSlabs(Arc<Mutex<HashMap<u32, Offer>>>);

struct Offer {
    handle: SlabHandle,
    wrapped: bool,
}

/// Why a slab cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotOffered {
    /// No unread record names it.
    Unknown,
    /// It was wrapped before.
    Wrapped,
    /// The range does not lie in it.
    OutOfRange,
}

impl OfferedSlabs {
    /// A handle for the one ArrayBuffer over a slab.
    pub(crate) fn wrap(&self, slab: u32) -> Result<SlabHandle, NotOffered> {
        let mut offers = self.lock();
        let offer = offers.get_mut(&slab).ok_or(NotOffered::Unknown)?;
        if std::mem::replace(&mut offer.wrapped, true) {
            return Err(NotOffered::Wrapped);
        }
        Ok(offer.handle.clone())
    }

    /// The wrapping failed: it may be tried again.
    pub(crate) fn unwrap(&self, slab: u32) {
        if let Some(offer) = self.lock().get_mut(&slab) {
            offer.wrapped = false;
        }
    }

    /// Which use of the slab is on offer.
    pub(crate) fn generation(&self, slab: u32) -> Result<u32, NotOffered> {
        self.lock().get(&slab).map(|offer| offer.handle.generation()).ok_or(NotOffered::Unknown)
    }

    /// A handle for reading a range of a slab, whether or not it was wrapped.
    pub(crate) fn read(&self, slab: u32, offset: u32, len: u32) -> Result<SlabHandle, NotOffered> {
        let offers = self.lock();
        let handle = &offers.get(&slab).ok_or(NotOffered::Unknown)?.handle;
        let end = offset as usize + len as usize;
        if end <= handle.capacity() { Ok(handle.clone()) } else { Err(NotOffered::OutOfRange) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Offer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker's end: what was offered, and what can be withdrawn.
pub(crate) struct Exports {
    offers: OfferedSlabs,
    /// Whether a slab is on offer, by its number. Asked for every chunk, so it is not behind the lock.
    offered: Vec<bool>,
    /// Slabs whose retirement was published, with the position behind that record.
    retired: VecDeque<(u32, u32)>,
    /// What JavaScript adds to the numbers of these slabs, so that they differ from others on offer.
    base: u32,
}

impl Exports {
    /// Offers slabs under their numbers plus `base`.
    pub(crate) fn new(offers: OfferedSlabs, base: u32) -> Self {
        Self { offers, offered: Vec::new(), retired: VecDeque::new(), base }
    }

    /// Retired slabs of which JavaScript has not read that they are.
    #[inline]
    pub(crate) fn unread(&self) -> usize {
        self.retired.len()
    }

    /// Whether records may name the slab.
    #[inline]
    pub(crate) fn is_offered(&self, slab: u32) -> bool {
        self.offered.get(slab as usize).copied().unwrap_or(false)
    }

    /// Lets JavaScript have a slab.
    pub(crate) fn offer(&mut self, handle: SlabHandle) {
        let slab = handle.slab();
        if self.offered.len() <= slab as usize {
            self.offered.resize(slab as usize + 1, false);
        }
        self.offered[slab as usize] = true;
        let before = self.offers.lock().insert(self.base + slab, Offer { handle, wrapped: false });
        debug_assert!(before.is_none(), "slab {slab} was used again while it was on offer");
    }

    /// No record names the slab any more once JavaScript has read up to `position`.
    pub(crate) fn retire(&mut self, slab: u32, position: u32) {
        self.offered[slab as usize] = false;
        self.retired.push_back((slab, position));
    }

    /// Withdraws what JavaScript has read the retirement of.
    #[inline]
    pub(crate) fn withdraw(&mut self, ring: &mut Producer) {
        while let Some(&(slab, position)) = self.retired.front() {
            if !ring.consumed(position) {
                return;
            }
            self.retired.pop_front();
            let offer = self.offers.lock().remove(&(self.base + slab));
            drop(offer);
        }
    }
}
