//! Received bytes that outlive the turn they came in, in one contiguous piece per connection.
//!
//! An accumulator exists only while bytes are buffered. Small ones are kept for the next connection that needs one;
//! large ones give their memory back: to the heap, and in a time of rest from there to the system.

use bytes::{Buf, Bytes, BytesMut};
use ringline_ring::trim_heap;

/// Drained accumulators that a worker keeps.
const SPARE_MAX: usize = 64;
/// So many freed bytes are worth looking for in the heap.
const FREED_BYTES_MIN: usize = 4 << 20;

/// Buffered bytes: writable, or as they were last lent out as [`Bytes`].
#[derive(Debug)]
pub(crate) enum Accumulator {
    Writable(BytesMut),
    /// Not writable for as long as the user holds a slice of it.
    Shared(Bytes),
}

impl Accumulator {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Writable(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Drops `count` bytes from the front.
    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        match self {
            Self::Writable(bytes) => bytes.advance(count),
            Self::Shared(bytes) => bytes.advance(count),
        }
    }

    /// The bytes as a reference-counted value, without copying them.
    pub(crate) fn share(&mut self) -> Bytes {
        if let Self::Writable(bytes) = self {
            *self = Self::Shared(std::mem::take(bytes).freeze());
        }
        match self {
            Self::Shared(bytes) => bytes.clone(),
            Self::Writable(_) => unreachable!("made shared above"),
        }
    }

    /// Appends bytes. A remainder that the user still holds slices of is copied first; otherwise its memory is used on.
    #[inline]
    pub(crate) fn append(&mut self, more: &[u8]) {
        if let Self::Shared(bytes) = self {
            *self = Self::Writable(std::mem::take(bytes).into());
        }
        match self {
            Self::Writable(bytes) => bytes.extend_from_slice(more),
            Self::Shared(_) => unreachable!("made writable above"),
        }
    }
}

/// Makes accumulators and takes drained ones back.
pub(crate) struct Accumulators {
    /// Boxes, because that is what a connection holds: an idle one pays a pointer.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Accumulator>>,
    capacity: usize,
    /// Bytes given to the heap since it was last looked at.
    freed: usize,
    /// The heap keeps much that was freed.
    heap_is_fat: bool,
}

impl Accumulators {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { spare: Vec::new(), capacity, freed: 0, heap_is_fat: false }
    }

    /// An empty accumulator.
    pub(crate) fn take(&mut self) -> Box<Accumulator> {
        self.spare.pop().unwrap_or_else(|| Box::new(Accumulator::Writable(BytesMut::with_capacity(self.capacity))))
    }

    /// Keeps an accumulator whose bytes are consumed, or frees it if it has grown.
    pub(crate) fn give_back(&mut self, mut accumulator: Box<Accumulator>) {
        if let Accumulator::Shared(bytes) = &mut *accumulator
            && let Ok(bytes) = std::mem::take(bytes).try_into_mut()
        {
            *accumulator = Accumulator::Writable(bytes);
        }
        if let Accumulator::Writable(bytes) = &mut *accumulator {
            bytes.clear();
            // Winds the value back to the start of its memory, so that the capacity is what it was made with.
            let whole = bytes.try_reclaim(self.capacity);
            if whole && bytes.capacity() <= 2 * self.capacity && self.spare.len() < SPARE_MAX {
                self.spare.push(accumulator);
            } else {
                self.freed += bytes.capacity();
            }
        }
    }

    /// Whether so much was freed that [`trim`](Self::trim) should be called in a while.
    #[inline]
    pub(crate) fn wants_trim(&self) -> bool {
        self.freed >= FREED_BYTES_MIN
    }

    /// Makes the heap give back what was freed, unless as much was freed since the last call: then it is likely to be
    /// needed again soon. Answers whether to call again.
    pub(crate) fn trim(&mut self) -> bool {
        let busy = self.wants_trim();
        self.freed = 0;
        if std::mem::replace(&mut self.heap_is_fat, busy) && !busy {
            trim_heap();
        }
        busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_remainder_is_written_on_in_place_once_nobody_holds_it() {
        let mut accumulator = Accumulator::Writable(BytesMut::with_capacity(64));
        accumulator.append(b"hello world");
        let address = accumulator.bytes().as_ptr();
        drop(accumulator.share());
        accumulator.consume(6);
        accumulator.append(b"!");
        assert_eq!(accumulator.bytes(), b"world!");
        assert_eq!(accumulator.bytes().as_ptr(), address.wrapping_add(6));
    }

    #[test]
    fn slices_that_are_held_never_change() {
        let mut accumulator = Accumulator::Writable(BytesMut::new());
        accumulator.append(b"abc");
        let held = accumulator.share();
        accumulator.consume(1);
        accumulator.append(b"def");
        assert_eq!((&held[..], accumulator.bytes()), (&b"abc"[..], &b"bcdef"[..]));
    }

    #[test]
    fn the_heap_is_trimmed_when_the_freeing_of_large_accumulators_has_ceased() {
        let mut accumulators = Accumulators::new(100);
        let free = |accumulators: &mut Accumulators| {
            let mut large = accumulators.take();
            large.append(&vec![1; FREED_BYTES_MIN]);
            accumulators.give_back(large);
        };
        assert!(!accumulators.wants_trim() && !accumulators.trim());
        free(&mut accumulators);
        assert!(accumulators.wants_trim() && accumulators.trim(), "it was freed just now");
        free(&mut accumulators);
        assert!(accumulators.trim() && accumulators.heap_is_fat, "still busy");
        assert!(!accumulators.trim() && !accumulators.heap_is_fat && !accumulators.wants_trim(), "at rest");
    }

    #[test]
    fn small_accumulators_are_used_again_and_large_ones_are_not() {
        let mut accumulators = Accumulators::new(100);
        let mut small = accumulators.take();
        small.append(&[1; 100]);
        small.consume(100);
        accumulators.give_back(small);
        assert_eq!(accumulators.spare.len(), 1);
        let mut large = accumulators.take();
        large.append(&[1; 1000]);
        large.consume(1000);
        accumulators.give_back(large);
        assert_eq!(accumulators.spare.len(), 0);
    }
}
