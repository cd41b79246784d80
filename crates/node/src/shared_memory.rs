//! The memory that a worker and its environment share: where each part of it starts, and how long it lives.
//!
//! One mapping, cut into parts that start on pages of their own, because JavaScript gets each part as an ArrayBuffer
//! and two ArrayBuffers must never cover the same address. The mapping lives until the worker and the last of those
//! ArrayBuffers are gone. Nothing here knows what the words mean beyond their numbers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use ringline_ring::{Region, page_size};

use crate::metrics::SharedMetrics;
use crate::protocol::size::{COMPLETION_RING_RECORDS, CONTROL_WORDS, RECORD_WORDS, SUBMISSION_RING_RECORDS};

#[cfg(target_endian = "big")]
compile_error!("the shared memory is defined in little-endian words, which are the processor's own only here");

const WORD_BYTES: usize = size_of::<u32>();
const RECORD_BYTES: usize = RECORD_WORDS as usize * WORD_BYTES;

/// A part of the shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Positions and flags; see [`crate::protocol::control`].
    Control,
    /// The completion ring.
    Completions,
    /// The submission ring.
    Submissions,
    /// The ring of freed send slots.
    FreeSlots,
    /// One word per connection slot: bytes that the kernel took on that slot, ever. Behind them, one word per UDP socket:
    /// datagrams that have left it.
    SentBytes,
}

impl Part {
    const COUNT: usize = 5;
}

/// The shared memory of one worker.
pub(crate) struct SharedMemory {
    region: Region,
    /// Offset and length in bytes of each part, in the order of [`Part`].
    parts: [(usize, usize); Part::COUNT],
    free_slots: u32,
    /// Counters, which have no place in the mapping: JavaScript asks for them by a call.
    pub(crate) metrics: SharedMetrics,
}

impl SharedMemory {
    /// Maps the memory of a worker with that many send slots and words of `SentBytes`. Pages are touched as they are used.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub(crate) fn new(send_slots: u32, sent_words: u32) -> io::Result<Arc<Self>> {
        let free_slots = send_slots.checked_next_power_of_two().ok_or(io::ErrorKind::OutOfMemory)?;
        let lengths = [
            CONTROL_WORDS as usize * WORD_BYTES,
            COMPLETION_RING_RECORDS as usize * RECORD_BYTES,
            SUBMISSION_RING_RECORDS as usize * RECORD_BYTES,
            free_slots as usize * WORD_BYTES,
            sent_words as usize * WORD_BYTES,
        ];
        let mut end = 0;
        let parts = lengths.map(|len| {
            let start = end;
            end = (start + len).next_multiple_of(page_size());
            (start, len)
        });
        Ok(Arc::new(Self { region: Region::new(end)?, parts, free_slots, metrics: SharedMetrics::default() }))
    }

    /// Entries of the ring of freed send slots: a power of two, and room for all slots.
    pub(crate) fn free_slots(&self) -> u32 {
        self.free_slots
    }

    /// Address and length in bytes of a part.
    pub(crate) fn part(&self, part: Part) -> (*mut u8, usize) {
        let (offset, len) = self.parts[part as usize];
        (self.region.as_ptr().wrapping_add(offset), len)
    }

    /// Number of words of a part.
    pub(crate) fn words(&self, part: Part) -> u32 {
        (self.parts[part as usize].1 / WORD_BYTES) as u32
    }

    /// A word of a part.
    ///
    /// # Panics
    ///
    /// When the part has no such word.
    #[inline]
    pub(crate) fn word(&self, part: Part, index: u32) -> &AtomicU32 {
        let (offset, len) = self.parts[part as usize];
        let at = index as usize * WORD_BYTES;
        assert!(at < len, "word {index} of {part:?}");
        // SAFETY: the word lies in the mapping, which lives as long as `self`, and is aligned because the part starts
        // on a page. All Rust access to the mapping is atomic.
        unsafe { AtomicU32::from_ptr(self.region.as_ptr().add(offset + at).cast()) }
    }

    /// A control word.
    #[inline]
    pub(crate) fn control(&self, index: u32) -> &AtomicU32 {
        self.word(Part::Control, index)
    }

    /// A record of a ring, as four pairs of words.
    ///
    /// # Panics
    ///
    /// When the part has no such record.
    #[inline]
    pub(crate) fn record(&self, part: Part, index: u32) -> &[AtomicU64; 4] {
        let (offset, len) = self.parts[part as usize];
        let at = index as usize * RECORD_BYTES;
        assert!(at + RECORD_BYTES <= len, "record {index} of {part:?}");
        // SAFETY: as for a word; a record is 32 bytes at a multiple of 32 bytes.
        unsafe { &*self.region.as_ptr().add(offset + at).cast::<[AtomicU64; 4]>() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn parts_share_no_page_and_no_byte() {
        let memory = SharedMemory::new(1000, 16_000).unwrap();
        let parts = [Part::Control, Part::Completions, Part::Submissions, Part::FreeSlots, Part::SentBytes]
            .map(|p| memory.part(p));
        for pair in parts.windows(2) {
            let ((first, len), (second, _)) = (pair[0], pair[1]);
            assert_eq!(second as usize % page_size(), 0);
            assert!(first as usize + len <= second as usize);
        }
        let (last, len) = parts[4];
        assert!(last as usize + len <= memory.region.as_ptr() as usize + memory.region.len());
        assert_eq!(memory.free_slots(), 1024);
    }

    #[test]
    fn words_are_where_their_part_is() {
        let memory = SharedMemory::new(8, 8).unwrap();
        memory.word(Part::SentBytes, 7).store(42, Ordering::Relaxed);
        let (address, _) = memory.part(Part::SentBytes);
        // SAFETY: the part holds eight words and nobody else uses them.
        assert_eq!(unsafe { address.cast::<u32>().add(7).read() }, 42);
    }

    #[test]
    #[should_panic(expected = "word 8 of SentBytes")]
    fn a_word_behind_the_part_is_refused() {
        SharedMemory::new(8, 8).unwrap().word(Part::SentBytes, 8);
    }
}
