//! Memory that the kernel receives into, and who still needs it.
//!
//! A slab is written by the kernel once from its start to its end, piece by piece where the kernel can consume provided
//! buffers incrementally. Each piece is a [`Chunk`], counted per slab; beyond the worker's thread a slab is held by
//! [`SlabHandle`]s. A slab goes back to the free list when the kernel has retired it and nobody needs it any more, and
//! only then is it written again: what a holder sees never changes.

use std::sync::Arc;

use ringline_ring::Doorbell;

use super::slab_handle::{Returned, Shared, SlabHandle};
use super::stock::Stock;

/// Generations of a slab are counted modulo this: in 24 bits, which leaves room for flags in a word.
const GENERATIONS: u32 = 1 << 24;

/// Received bytes in a slab. It counts: whoever owns one gives it back to the driver.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a chunk holds its slab until it is given back with Driver::release"]
pub struct Chunk {
    pub(super) slab: u32,
    pub(super) offset: u32,
    pub(super) len: u32,
}

impl Chunk {
    /// Number of the slab that holds the bytes.
    #[inline]
    pub const fn slab(&self) -> u32 {
        self.slab
    }

    /// Where the bytes start in the slab.
    #[inline]
    pub const fn offset(&self) -> u32 {
        self.offset
    }

    /// Number of bytes.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(&self) -> u32 {
        self.len
    }
}

struct Slab {
    shared: Arc<Shared>,
    /// The first byte of the memory, which every message needs.
    start: *mut u8,
    /// Chunks that are still out.
    chunks: u32,
    /// How far the slab has been written.
    filled: u32,
    /// How often the slab has been taken to be written.
    generation: u32,
    state: State,
    traffic: Traffic,
}

/// What slabs are for: each has its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Traffic {
    /// Small pieces. Whoever keeps one of them keeps a slab, so that is small, too.
    Messages,
    /// Large pieces, in large slabs.
    Bulk,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// On the free list.
    Free,
    /// The kernel, or the copying receive path, may still write into it.
    Filling,
    /// Written to the end; waits for its last holder.
    Retired,
}

/// The slabs of one worker.
pub(super) struct Slabs {
    slabs: Vec<Slab>,
    messages: Stock,
    /// None where bulk goes into the same slabs as everything else.
    bulk: Option<Stock>,
    returned: Arc<Returned>,
}

impl Slabs {
    /// A table without slabs. `bell` is rung when many slabs have come back from other threads.
    pub(super) fn new(slab_size: u32, bell: Doorbell) -> Self {
        Self::with_bulk(slab_size, None, bell)
    }

    /// As [`new`](Self::new), with slabs of another size in huge pages for bulk.
    pub(super) fn with_bulk(slab_size: u32, bulk_size: Option<u32>, bell: Doorbell) -> Self {
        Self {
            slabs: Vec::new(),
            messages: Stock::new(slab_size),
            bulk: bulk_size.map(Stock::huge),
            returned: Arc::new(Returned::new(bell)),
        }
    }

    /// Bytes of each slab for this traffic.
    #[inline]
    pub(super) fn slab_size(&self, traffic: Traffic) -> u32 {
        match (traffic, &self.bulk) {
            (Traffic::Bulk, Some(bulk)) => bulk.slab_size(),
            _ => self.messages.slab_size(),
        }
    }

    fn stock(&mut self, traffic: Traffic) -> &mut Stock {
        match (traffic, &mut self.bulk) {
            (Traffic::Bulk, Some(bulk)) => bulk,
            _ => &mut self.messages,
        }
    }

    /// Takes a slab to be written: the one that was used last, or new memory. None when there is no memory.
    pub(super) fn take(&mut self, traffic: Traffic) -> Option<u32> {
        if self.stock(traffic).is_empty() {
            self.collect_returned();
        }
        let number = match self.stock(traffic).pop() {
            Some(number) => number,
            None => self.grow(traffic)?,
        };
        let slab = &mut self.slabs[number as usize];
        debug_assert_eq!(slab.state, State::Free);
        slab.state = State::Filling;
        slab.generation = (slab.generation + 1) % GENERATIONS;
        slab.filled = 0;
        Some(number)
    }

    /// Whether so many slabs are free that [`trim`](Self::trim) should look at them in a while.
    #[inline]
    pub(super) fn wants_trim(&self) -> bool {
        self.messages.wants_trim() || self.bulk.as_ref().is_some_and(Stock::wants_trim)
    }

    /// Gives the pages of slabs back that nobody has needed since the last trim, but for a stock.
    pub(super) fn trim(&mut self) {
        self.collect_returned();
        let slabs = &self.slabs;
        for stock in std::iter::once(&mut self.messages).chain(&mut self.bulk) {
            stock.trim(|number| &slabs[number as usize].shared.memory);
        }
    }

    fn grow(&mut self, traffic: Traffic) -> Option<u32> {
        let number = self.slabs.len() as u32;
        let memory = self.stock(traffic).grow()?;
        let shared = Arc::new(Shared::new(memory, number, Arc::clone(&self.returned)));
        let start = shared.memory.as_ptr();
        self.slabs.push(Slab { shared, start, chunks: 0, filled: 0, generation: 0, state: State::Free, traffic });
        Some(number)
    }

    /// Frees the slabs whose last handle went on some thread since the last call.
    pub(super) fn collect_returned(&mut self) {
        if !self.returned.any() {
            return;
        }
        for number in self.returned.take() {
            self.free_if_unused(number);
        }
    }

    /// The memory of a slab.
    #[inline]
    pub(super) fn address(&self, number: u32) -> *mut u8 {
        self.slabs[number as usize].start
    }

    /// Bytes of a slab.
    #[inline]
    pub(super) fn size_of(&self, number: u32) -> u32 {
        self.slabs[number as usize].shared.memory.len() as u32
    }

    /// How many bytes of a slab that is being filled are not written yet.
    #[inline]
    pub(super) fn room(&self, number: u32) -> u32 {
        self.size_of(number) - self.slabs[number as usize].filled
    }

    /// Counts the next `len` bytes of a slab as written and makes a chunk of them.
    #[inline(always)]
    pub(super) fn fill(&mut self, number: u32, len: u32) -> Chunk {
        let slab = &mut self.slabs[number as usize];
        debug_assert_eq!(slab.state, State::Filling);
        let offset = slab.filled;
        slab.filled += len;
        debug_assert!(slab.filled as usize <= slab.shared.memory.len());
        slab.chunks += 1;
        Chunk { slab: number, offset, len }
    }

    /// Copies bytes to the end of what is written of a slab, which must have room for them.
    pub(super) fn append(&mut self, number: u32, bytes: &[u8]) -> Chunk {
        let chunk = self.fill(number, bytes.len() as u32);
        assert!(
            chunk.offset + chunk.len <= self.size_of(number),
            "{} bytes do not fit into slab {number}",
            bytes.len()
        );
        // SAFETY: the range lies in the slab's mapping, was never written before, and no other reference to it exists;
        // `bytes` is a live borrow, so it is not this unseen range.
        unsafe {
            let target = self.address(number).add(chunk.offset as usize);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
        chunk
    }

    /// Nobody writes into the slab any more.
    pub(super) fn retire(&mut self, number: u32) {
        self.slabs[number as usize].state = State::Retired;
        self.free_if_unused(number);
    }

    /// Takes a chunk back.
    #[inline]
    pub(super) fn release(&mut self, chunk: Chunk) {
        self.release_piece(chunk.slab);
    }

    /// Takes one of a slab's chunks back.
    #[inline(always)]
    pub(super) fn release_piece(&mut self, number: u32) {
        let slab = &mut self.slabs[number as usize];
        debug_assert!(slab.chunks > 0, "a chunk was released twice");
        slab.chunks -= 1;
        if slab.chunks == 0 && slab.state == State::Retired {
            self.free_if_unused(number);
        }
    }

    /// Splits the first `len` bytes off a chunk.
    pub(super) fn split_to(&mut self, chunk: &mut Chunk, len: u32) -> Chunk {
        assert!(len <= chunk.len, "split at {len} of a chunk of {} bytes", chunk.len);
        self.slabs[chunk.slab as usize].chunks += 1;
        let front = Chunk { slab: chunk.slab, offset: chunk.offset, len };
        chunk.offset += len;
        chunk.len -= len;
        front
    }

    /// A chunk over bytes that were received earlier, if the slab is held and the range was written.
    pub(super) fn reclaim(&mut self, number: u32, generation: u32, offset: u32, len: u32) -> Option<Chunk> {
        let slab = self.slabs.get_mut(number as usize)?;
        let held = slab.chunks > 0 || slab.shared.is_held();
        if !held || slab.generation != generation || slab.state == State::Free || offset.checked_add(len)? > slab.filled
        {
            return None;
        }
        slab.chunks += 1;
        Some(Chunk { slab: number, offset, len })
    }

    /// A chunk over bytes that somebody borrows, if they lie in that slab: then it is held, by the chunk or handle that they
    /// were borrowed from.
    pub(super) fn chunk_of(&mut self, number: u32, bytes: &[u8]) -> Option<Chunk> {
        let slab = self.slabs.get_mut(number as usize)?;
        let offset = bytes.as_ptr().addr().checked_sub(slab.start.addr())?;
        let held = slab.chunks > 0 || slab.shared.is_held();
        if !held || slab.state == State::Free || offset + bytes.len() > slab.filled as usize {
            return None;
        }
        slab.chunks += 1;
        Some(Chunk { slab: number, offset: offset as u32, len: bytes.len() as u32 })
    }

    /// The bytes of a chunk.
    #[inline(always)]
    pub(super) fn bytes(&self, chunk: &Chunk) -> &[u8] {
        let start = self.slabs[chunk.slab as usize].start;
        // SAFETY: a chunk lies in the written part of its slab, which is not written again, nor unmapped, while the
        // chunk is counted; the borrow of the table keeps the chunk from being released meanwhile.
        unsafe { std::slice::from_raw_parts(start.add(chunk.offset as usize), chunk.len as usize) }
    }

    /// A handle on the slab of a chunk.
    pub(super) fn share(&self, chunk: &Chunk) -> SlabHandle {
        let slab = &self.slabs[chunk.slab as usize];
        SlabHandle::new(&slab.shared, slab.generation)
    }

    /// A handle that keeps the slab of a chunk mapped, for good, and does not keep it from being used again.
    pub(super) fn share_lasting(&self, chunk: &Chunk) -> SlabHandle {
        let slab = &self.slabs[chunk.slab as usize];
        SlabHandle::lasting(&slab.shared, slab.generation)
    }

    /// The use of its slab that a chunk is of.
    #[inline]
    pub(super) fn generation(&self, chunk: &Chunk) -> u32 {
        self.slabs[chunk.slab as usize].generation
    }

    fn free_if_unused(&mut self, number: u32) {
        let slab = &mut self.slabs[number as usize];
        if slab.state == State::Retired && slab.chunks == 0 && !slab.shared.is_held() {
            slab.state = State::Free;
            let traffic = slab.traffic;
            self.stock(traffic).push(number);
        }
    }

    /// Slabs that are neither free nor being filled: somebody still holds them.
    pub(super) fn held(&self) -> usize {
        // A slab whose last handle went on another thread stays retired until the next slab is wanted.
        let is_held = |slab: &&Slab| slab.chunks > 0 || slab.shared.is_held();
        self.slabs.iter().filter(|slab| slab.state == State::Retired).filter(is_held).count()
    }
}

impl Drop for Slabs {
    fn drop(&mut self) {
        self.returned.silence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Free slabs of 4096 bytes that keep their pages.
    const KEPT: u32 = 1024;

    fn slabs() -> Slabs {
        Slabs::new(4096, Doorbell::new().unwrap())
    }

    #[test]
    fn a_slab_returns_when_kernel_chunks_and_handles_are_done() {
        let mut slabs = slabs();
        let number = slabs.take(Traffic::Messages).unwrap();
        let mut chunk = slabs.fill(number, 100);
        let front = slabs.split_to(&mut chunk, 40);
        assert_eq!((front.offset, front.len, chunk.offset, chunk.len), (0, 40, 40, 60));
        let handle = slabs.share(&chunk);
        slabs.retire(number);
        slabs.release(front);
        slabs.release(chunk);
        assert_eq!(slabs.held(), 1);
        std::thread::spawn(move || drop(handle)).join().unwrap();
        assert_eq!(slabs.held(), 0);
        assert_eq!(slabs.take(Traffic::Messages), Some(number));
    }

    #[test]
    fn memory_that_a_burst_needed_goes_back_to_the_system() {
        let mut slabs = slabs();
        let burst: Vec<u32> = (0..KEPT + 10).map(|_| slabs.take(Traffic::Messages).unwrap()).collect();
        for &number in &burst {
            let chunk = slabs.append(number, &[7; 4096]);
            slabs.release(chunk);
            slabs.retire(number);
        }
        // The first trim has seen the burst itself, the second a time in which nothing was needed.
        assert!(slabs.wants_trim());
        slabs.trim();
        slabs.trim();
        assert!(!slabs.wants_trim());
        // SAFETY: the slabs are mapped, and nobody else uses them.
        let first_byte = |slabs: &Slabs, number| unsafe { slabs.address(number).read() };
        let discarded = slabs.messages.free().iter().filter(|&&number| first_byte(&slabs, number) == 0).count();
        assert_eq!(discarded, 10);
    }

    #[test]
    fn slabs_for_bulk_are_larger_and_return_to_their_own() {
        let mut slabs = Slabs::with_bulk(4096, Some(65_536), Doorbell::new().unwrap());
        let sizes = [Traffic::Messages, Traffic::Bulk].map(|traffic| {
            let number = slabs.take(traffic).unwrap();
            let chunk = slabs.append(number, &[1; 4096]);
            let size = (number, slabs.size_of(number), slabs.room(number));
            slabs.release(chunk);
            slabs.retire(number);
            size
        });
        assert_eq!(sizes, [(0, 4096, 0), (1, 65_536, 61_440)]);
        assert_eq!((slabs.take(Traffic::Bulk), slabs.take(Traffic::Messages)), (Some(1), Some(0)));
        let mut plain = self::slabs();
        let number = plain.take(Traffic::Bulk).unwrap();
        assert_eq!((plain.slab_size(Traffic::Bulk), plain.size_of(number)), (4096, 4096));
    }

    #[test]
    fn reclaim_refuses_what_was_not_received() {
        let mut slabs = slabs();
        let number = slabs.take(Traffic::Messages).unwrap();
        assert_eq!(slabs.reclaim(number, 1, 0, 1), None);
        let chunk = slabs.fill(number, 10);
        let again = slabs.reclaim(number, 1, 4, 6).unwrap();
        assert_eq!(slabs.reclaim(number, 1, 4, 7), None);
        assert_eq!(slabs.reclaim(number, 1, u32::MAX, 2), None);
        assert_eq!(slabs.reclaim(99, 1, 0, 1), None);
        assert_eq!(slabs.reclaim(number, 2, 4, 6), None, "that use of the slab has not come yet");
        slabs.release(again);
        slabs.release(chunk);
        slabs.retire(number);
        assert_eq!(slabs.reclaim(number, 1, 0, 1), None);
    }
}
