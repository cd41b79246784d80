//! Which send slots the worker has, and the ring by which it gives them back.
//!
//! JavaScript owns every slot at the start. A slot that it names in a send belongs to the worker until it has gone
//! through the ring of free slots. That each slot is at one place at a time is checked here, because the kernel reads
//! what the worker owns.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::protocol::control;
use crate::shared_memory::{Part, SharedMemory};

const BITS: u32 = u64::BITS;

/// The send slots of a worker.
pub(crate) struct SendSlots {
    memory: Arc<SharedMemory>,
    count: u32,
    /// One bit per slot: set while the worker has it.
    taken: Vec<u64>,
    tail: u32,
    published: u32,
}

impl SendSlots {
    /// `count` slots, all with JavaScript.
    pub(crate) fn new(memory: Arc<SharedMemory>, count: u32) -> Self {
        debug_assert!(count <= memory.free_slots());
        Self { memory, count, taken: vec![0; count.div_ceil(BITS) as usize], tail: 0, published: 0 }
    }

    /// Takes a slot over from JavaScript. False when there is no such slot, or JavaScript does not have it.
    #[inline]
    pub(crate) fn take(&mut self, slot: u32) -> bool {
        if slot >= self.count {
            return false;
        }
        let (word, bit) = (&mut self.taken[(slot / BITS) as usize], 1 << (slot % BITS));
        let free = *word & bit == 0;
        *word |= bit;
        free
    }

    /// Gives a slot back; JavaScript sees it after [`publish`](Self::publish).
    ///
    /// There is always room: the ring holds as many entries as there are slots, and this one is not among them. What
    /// the entry overwrites was therefore read, whether or not JavaScript has said so yet.
    #[inline]
    pub(crate) fn give_back(&mut self, slot: u32) {
        let (word, bit) = (&mut self.taken[(slot / BITS) as usize], 1 << (slot % BITS));
        debug_assert!(*word & bit != 0, "send slot {slot} was given back twice");
        *word &= !bit;
        let index = self.tail & (self.memory.free_slots() - 1);
        self.memory.word(Part::FreeSlots, index).store(slot, Ordering::Relaxed);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows JavaScript the slots given back. Answers whether there were any.
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        if self.published == self.tail {
            return false;
        }
        self.memory.control(control::FREE_TAIL).store(self.tail, Ordering::Release);
        self.published = self.tail;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(count: u32) -> SendSlots {
        SendSlots::new(SharedMemory::new(count, 1).unwrap(), count)
    }

    #[test]
    fn a_slot_is_at_one_place_at_a_time() {
        let mut slots = slots(100);
        assert!(slots.take(99));
        assert!(!slots.take(99), "the worker has it already");
        assert!(slots.take(98));
        slots.give_back(99);
        assert!(slots.take(99));
    }

    #[test]
    fn slots_that_do_not_exist_are_refused() {
        let mut slots = slots(100);
        for slot in [100, 127, 128, u32::MAX] {
            assert!(!slots.take(slot), "{slot}");
        }
    }

    #[test]
    fn freed_slots_pass_through_the_ring_in_order_and_for_ever() {
        let mut slots = slots(3);
        let memory = Arc::clone(&slots.memory);
        for head in 0..100 {
            let slot = head % 3;
            assert!(slots.take(slot));
            slots.give_back(slot);
            assert!(slots.publish() && !slots.publish());
            assert_eq!(memory.control(control::FREE_TAIL).load(Ordering::Acquire), head + 1);
            assert_eq!(memory.word(Part::FreeSlots, head & 3).load(Ordering::Relaxed), slot);
        }
    }
}
