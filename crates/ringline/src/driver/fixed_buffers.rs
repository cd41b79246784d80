//! The memory of files that the kernel knows: fixed buffers, whose pages it need not look up for every read and write.
//!
//! A region is registered when it is used for the second time, so that memory for a single operation costs no call, and
//! forgotten when it is gone. The kernel holds the pages of what is registered, so that a region that has been unmapped harms nobody; how
//! much such memory there can be is bounded here. Where the kernel registers nothing, RLIMIT_MEMLOCK being exhausted for example,
//! operations go on without. What the kernel is asked with such memory is the affair of `files.rs`.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use ringline_ring::{Kernel, Region};

/// Regions that are registered at most.
const REGIONS_MAX: u16 = 1024;
/// Positions that the kernel lets a table have.
const TABLE_MAX: usize = 1 << 14;
/// A longer region is not registered: that makes all of it resident, while the worker waits. Eight MiB take some milliseconds.
const REGION_BYTES_MAX: usize = 8 << 20;
/// Bytes that are registered at most, and that may thus be held although nobody wants them any more.
const BYTES_MAX: usize = 64 << 20;
const _: () = assert!(REGION_BYTES_MAX <= BYTES_MAX);
/// So many regions make it worth looking for those that are gone.
const SWEEP_MIN: usize = 64;

/// What is known of a region.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was used once.
    Seen,
    /// It stands at this position of the table.
    Registered(u16),
    /// The same, and somebody else has put it there for good.
    Given(u16),
    /// It was not registered, for one reason or another.
    Refused,
}

struct Known {
    /// It also keeps the address, by which the region is found, from being given to another one.
    region: Weak<Region>,
    len: usize,
    state: State,
}

/// The fixed buffers of the files of a worker.
pub(super) struct FixedBuffers {
    enabled: bool,
    /// The positions of the table that are ours and empty; none while there is no table.
    free: Option<Vec<u16>>,
    /// By the address of the region's description.
    known: HashMap<usize, Known>,
    /// Bytes that are registered here.
    bytes: usize,
    sweep_at: usize,
}

impl FixedBuffers {
    /// None yet; and none ever where there are no files.
    pub(super) fn new(enabled: bool) -> Self {
        Self { enabled, free: None, known: HashMap::new(), bytes: 0, sweep_at: SWEEP_MIN }
    }

    /// How many positions the table should have for them behind so many others.
    pub(super) fn spare(&self, before: usize) -> u16 {
        let room = TABLE_MAX.saturating_sub(before).min(usize::from(REGIONS_MAX));
        if self.enabled { room as u16 } else { 0 }
    }

    /// There is a table with that many positions behind so many others.
    pub(super) fn table_made(&mut self, before: usize) {
        let end = before + usize::from(self.spare(before));
        self.free = Some((before..end).rev().map(|index| index as u16).collect());
    }

    /// A region stands in the table for as long as there is one.
    pub(super) fn given(&mut self, region: &Arc<Region>, index: u16) {
        self.known.insert(key(region), Known::new(region, State::Given(index)));
    }

    /// The position of a region that an operation is to use, if it is registered.
    #[inline]
    pub(super) fn find(&mut self, kernel: &mut impl Kernel, region: &Arc<Region>) -> Option<u16> {
        match self.known.get(&key(region)).map(|known| known.state) {
            Some(State::Registered(index) | State::Given(index)) => Some(index),
            Some(State::Refused) => None,
            Some(State::Seen) => self.register(kernel, region),
            None => {
                self.see(kernel, region);
                None
            }
        }
    }

    /// Forgets all regions. No operation may be under way.
    pub(super) fn clear(&mut self, kernel: &mut impl Kernel) {
        self.forget(kernel, |_| true);
    }

    fn see(&mut self, kernel: &mut impl Kernel, region: &Arc<Region>) {
        if self.known.len() >= self.sweep_at {
            self.sweep(kernel);
        }
        self.known.insert(key(region), Known::new(region, State::Seen));
    }

    #[cold]
    fn register(&mut self, kernel: &mut impl Kernel, region: &Arc<Region>) -> Option<u16> {
        let index = self.try_register(kernel, region);
        if let Some(known) = self.known.get_mut(&key(region)) {
            known.state = index.map_or(State::Refused, State::Registered);
        }
        index
    }

    fn try_register(&mut self, kernel: &mut impl Kernel, region: &Arc<Region>) -> Option<u16> {
        if self.free.is_none() {
            // SAFETY: nothing is named.
            match unsafe { kernel.register_regions(&[], self.spare(0)) } {
                Ok(()) => self.table_made(0),
                Err(_) => self.free = Some(Vec::new()),
            }
        }
        if region.len() > REGION_BYTES_MAX {
            return None;
        }
        if self.bytes + region.len() > BYTES_MAX || self.free.as_ref().is_some_and(Vec::is_empty) {
            self.sweep(kernel);
        }
        if self.bytes + region.len() > BYTES_MAX {
            return None;
        }
        let free = self.free.as_mut()?;
        let index = free.pop()?;
        // SAFETY: the region is mapped, since it is lent to this call, and nothing names an empty position.
        if unsafe { kernel.replace_region(index, Some((region.as_ptr(), region.len()))) }.is_err() {
            free.push(index);
            return None;
        }
        self.bytes += region.len();
        Some(index)
    }

    /// Forgets the regions that are gone. No operation names them: it would keep its region.
    fn sweep(&mut self, kernel: &mut impl Kernel) {
        self.forget(kernel, |known| known.region.strong_count() == 0);
        self.sweep_at = (2 * self.known.len()).max(SWEEP_MIN);
    }

    /// Forgets regions that no operation names.
    fn forget(&mut self, kernel: &mut impl Kernel, which: impl Fn(&Known) -> bool) {
        let Self { known, free, bytes, .. } = self;
        known.retain(|_, known| {
            if matches!(known.state, State::Given(_)) || !which(known) {
                return true;
            }
            if let (State::Registered(index), Some(free)) = (known.state, free.as_mut()) {
                // SAFETY: nothing is named, and no operation under way names what was there.
                if unsafe { kernel.replace_region(index, None) }.is_ok() {
                    free.push(index);
                    *bytes -= known.len;
                }
            }
            false
        });
    }
}

impl Known {
    fn new(region: &Arc<Region>, state: State) -> Self {
        Self { region: Arc::downgrade(region), len: region.len(), state }
    }
}

fn key(region: &Arc<Region>) -> usize {
    Arc::as_ptr(region).addr()
}
