//! Chunks that JavaScript borrows: each is lent with its record, and taken back when that has been read.
//!
//! JavaScript publishes what a handler has sent before it says that the record was read. So the worker looks at how far
//! JavaScript has read first, then carries out what it was told, and only then takes chunks back: one that is being sent has
//! another holder by then. While JavaScript has as much as it may have, the kernel gets no new buffers: the same few are
//! then used again and again, and stay in the cache.

use std::collections::VecDeque;

use ringline::driver::{Chunk, Driver};
use ringline_ring::Kernel;

/// Bytes that may be lent; what the kernel receives before its buffers are used up comes on top.
const LENT_BYTES_MAX: usize = 1024 * 1024;

/// The chunks that JavaScript has.
#[derive(Default)]
pub(crate) struct Lent {
    /// Each with the position behind its record.
    chunks: VecDeque<(u32, Chunk)>,
    bytes: usize,
    /// How far JavaScript had read at the last look.
    read: u32,
}

impl Lent {
    /// Lends a chunk whose record ends at `position`.
    pub(crate) fn lend(&mut self, position: u32, chunk: Chunk) {
        self.bytes += chunk.len() as usize;
        self.chunks.push_back((position, chunk));
    }

    /// Whether as much is lent as may be.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= LENT_BYTES_MAX
    }

    /// Whether JavaScript has read on since the last [`note`](Self::note).
    pub(crate) fn has_news(&self, read: u32) -> bool {
        self.read != read
    }

    /// Notes how far JavaScript has read.
    #[inline]
    pub(crate) fn note(&mut self, read: u32) {
        self.read = read;
    }

    /// Gives the driver what had been read at the last [`note`](Self::note).
    #[inline]
    pub(crate) fn take_back<K: Kernel>(&mut self, driver: &mut Driver<K>) {
        while let Some(&(position, _)) = self.chunks.front()
            && self.read.wrapping_sub(position) as i32 >= 0
            && let Some((_, chunk)) = self.chunks.pop_front()
        {
            self.bytes -= chunk.len() as usize;
            driver.release(chunk);
        }
    }
}
