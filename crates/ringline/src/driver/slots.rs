//! A table of numbered slots whose occupants carry generations, which are never 0.
//!
//! Memory is taken as slots are first used, never ahead. The slot that was freed last is used first: it is the warmest.

use std::hint::unreachable_unchecked;

/// One slot: either its occupant, or a link of the free list.
struct Slot<T> {
    /// The [name] of its occupant, so that one comparison tells whether it is there. A free slot has the name that its next
    /// occupant would have in [`NO_SLOT`].
    name: u64,
    state: State<T>,
}

/// A slot that there is in no table.
const NO_SLOT: u32 = u32::MAX;

/// Slot and generation as one number: as they stand in a [`ConnToken`](super::ConnToken), which is then compared as it is.
#[inline(always)]
const fn name(slot: u32, generation: u32) -> u64 {
    (slot as u64) << 32 | generation as u64
}

impl<T> Slot<T> {
    #[inline]
    fn generation(&self) -> u32 {
        self.name as u32
    }
}

enum State<T> {
    Used(T),
    Free { next: Option<u32> },
}

/// Slots `0..limit` of `T`.
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    first_free: Option<u32>,
    used: u32,
    limit: u32,
}

impl<T> Slots<T> {
    /// An empty table of at most `limit` slots.
    pub(crate) fn new(limit: u32) -> Self {
        Self { slots: Vec::new(), first_free: None, used: 0, limit }
    }

    /// Number of occupied slots.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    /// Puts an occupant into a free slot and returns slot and generation; none when all slots are taken.
    pub(crate) fn insert(&mut self, value: T) -> Option<(u32, u32)> {
        let (slot, generation) = match self.first_free {
            Some(slot) => {
                let entry = &mut self.slots[slot as usize];
                let State::Free { next } = entry.state else { unreachable!("the free list names free slots only") };
                self.first_free = next;
                let generation = entry.generation();
                entry.name = name(slot, generation);
                entry.state = State::Used(value);
                (slot, generation)
            }
            None => {
                let slot = self.slots.len() as u32;
                if slot >= self.limit {
                    return None;
                }
                self.slots.push(Slot { name: name(slot, 1), state: State::Used(value) });
                (slot, 1)
            }
        };
        self.used += 1;
        Some((slot, generation))
    }

    /// The occupant of a slot, if it is of that generation.
    #[inline(always)]
    pub(crate) fn get(&self, slot: u32, generation: u32) -> Option<&T> {
        match &self.slots.get(slot as usize).filter(|entry| entry.name == name(slot, generation))?.state {
            State::Used(value) => Some(value),
            // SAFETY: a free slot is named as one of `NO_SLOT`, which is beyond every limit, and not as itself: nothing but `insert`
            // and `remove` changes a name or a state, and each changes both.
            State::Free { .. } => unsafe { unreachable_unchecked() },
        }
    }

    /// As [`get`](Self::get), to change it.
    #[inline(always)]
    pub(crate) fn get_mut(&mut self, slot: u32, generation: u32) -> Option<&mut T> {
        match &mut self.slots.get_mut(slot as usize).filter(|entry| entry.name == name(slot, generation))?.state {
            State::Used(value) => Some(value),
            // SAFETY: as in `get`.
            State::Free { .. } => unsafe { unreachable_unchecked() },
        }
    }

    /// The occupant of a slot, of whatever generation.
    #[inline]
    pub(crate) fn get_any(&self, slot: u32) -> Option<&T> {
        match self.slots.get(slot as usize)? {
            Slot { state: State::Used(value), .. } => Some(value),
            Slot { .. } => None,
        }
    }

    /// As [`get_any`](Self::get_any), to change it.
    #[inline]
    pub(crate) fn get_any_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.slots.get_mut(slot as usize)? {
            Slot { state: State::Used(value), .. } => Some(value),
            Slot { .. } => None,
        }
    }

    /// The generation that a slot is in; none when the slot was never used.
    pub(crate) fn generation(&self, slot: u32) -> Option<u32> {
        self.slots.get(slot as usize).map(Slot::generation)
    }

    /// Frees a slot, of whatever generation.
    pub(crate) fn remove_any(&mut self, slot: u32) -> Option<T> {
        let generation = self.slots.get(slot as usize)?.generation();
        self.remove(slot, generation)
    }

    /// Frees a slot and raises its generation; none when the slot is not occupied by that generation.
    pub(crate) fn remove(&mut self, slot: u32, generation: u32) -> Option<T> {
        let entry = self.slots.get_mut(slot as usize).filter(|entry| entry.name == name(slot, generation))?;
        entry.name = name(NO_SLOT, generation.wrapping_add(1).max(1));
        let state = std::mem::replace(&mut entry.state, State::Free { next: self.first_free });
        self.first_free = Some(slot);
        self.used -= 1;
        match state {
            State::Used(value) => Some(value),
            State::Free { .. } => unreachable!("a free slot does not have its own name"),
        }
    }

    /// Slot and generation of every occupied slot.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| match entry.state {
            State::Used(_) => Some((slot as u32, entry.generation())),
            State::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_slot_is_reused_with_another_generation() {
        let mut slots = Slots::new(2);
        let (slot, generation) = slots.insert('a').unwrap();
        assert_eq!(slots.remove(slot, generation), Some('a'));
        let (again, next) = slots.insert('b').unwrap();
        assert_eq!(again, slot);
        assert_ne!(next, generation);
        assert_eq!(slots.get(slot, generation), None);
        assert_eq!(slots.get(slot, next), Some(&'b'));
    }

    #[test]
    fn a_free_slot_has_no_occupant_of_any_generation() {
        let mut slots = Slots::new(1);
        let (slot, generation) = slots.insert('a').unwrap();
        slots.remove(slot, generation);
        for generation in [0, generation, generation + 1, u32::MAX] {
            assert_eq!(slots.get(slot, generation), None);
            assert_eq!(slots.get_mut(slot, generation), None);
            assert_eq!(slots.remove(slot, generation), None);
        }
        assert_eq!((slots.get_any(slot), slots.get(NO_SLOT, generation + 1)), (None, None));
    }

    #[test]
    fn a11_double_release_leaves_the_slot_once_on_the_free_list() {
        let mut slots = Slots::new(8);
        let (slot, generation) = slots.insert('a').unwrap();
        assert_eq!(slots.remove(slot, generation), Some('a'));
        assert_eq!(slots.remove(slot, generation), None);
        let first = slots.insert('b').unwrap();
        let second = slots.insert('c').unwrap();
        assert_ne!(first.0, second.0);
        assert_eq!(slots.used(), 2);
    }

    #[test]
    fn a_generation_is_never_zero() {
        let mut slots = Slots::new(1);
        slots.insert('a').unwrap();
        slots.slots[0].name = name(0, u32::MAX);
        assert_eq!(slots.remove(0, u32::MAX), Some('a'));
        assert_eq!(slots.insert('b'), Some((0, 1)));
    }

    #[test]
    fn the_limit_holds() {
        let mut slots = Slots::new(1);
        let (slot, generation) = slots.insert(()).unwrap();
        assert_eq!(slots.insert(()), None);
        slots.remove(slot, generation);
        assert!(slots.insert(()).is_some());
    }
}
