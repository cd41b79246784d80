//! Timers of one worker: a heap of deadlines in memory. The kernel knows only the nearest one, as the time limit of the
//! wait, so a timer costs no submission and no completion.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::slots::Slots;

/// Names an armed timer; stale once it has fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    slot: u32,
    generation: u32,
}

/// Deadlines with a value each.
pub(super) struct Timers<T> {
    /// Deadline in nanoseconds, and the timer. Cancelled timers stay until they come up or are swept.
    heap: BinaryHeap<Reverse<(u64, u32, u32)>>,
    armed: Slots<T>,
}

/// The heap is swept when it holds this many cancelled timers, and more of them than armed ones.
const CANCELLED_BEFORE_SWEEP: usize = 1024;

impl<T> Timers<T> {
    pub(super) fn new() -> Self {
        Self { heap: BinaryHeap::new(), armed: Slots::new(u32::MAX) }
    }

    /// Arms a timer that is due at `deadline` nanoseconds.
    pub(super) fn arm(&mut self, deadline: u64, value: T) -> TimerId {
        let (slot, generation) = self.armed.insert(value).expect("four billion timers do not fit into memory");
        self.heap.push(Reverse((deadline, slot, generation)));
        TimerId { slot, generation }
    }

    /// Disarms a timer. Nothing happens when it has fired already.
    pub(super) fn cancel(&mut self, id: TimerId) {
        if self.armed.remove(id.slot, id.generation).is_none() {
            return;
        }
        let cancelled = self.heap.len() - self.armed.used() as usize;
        if cancelled > CANCELLED_BEFORE_SWEEP && cancelled > self.armed.used() as usize {
            let armed = &self.armed;
            self.heap.retain(|Reverse((_, slot, generation))| armed.get(*slot, *generation).is_some());
        }
    }

    /// The nearest deadline.
    #[inline]
    pub(super) fn next_deadline(&mut self) -> Option<u64> {
        while let Some(&Reverse((deadline, slot, generation))) = self.heap.peek() {
            if self.armed.get(slot, generation).is_some() {
                return Some(deadline);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes one timer that is due at `now`, earliest first.
    #[inline]
    pub(super) fn pop_due(&mut self, now: u64) -> Option<T> {
        if self.next_deadline()? > now {
            return None;
        }
        let Reverse((_, slot, generation)) = self.heap.pop()?;
        self.armed.remove(slot, generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_of_their_deadlines() {
        let mut timers = Timers::new();
        timers.arm(30, 'c');
        timers.arm(10, 'a');
        timers.arm(20, 'b');
        assert_eq!(timers.next_deadline(), Some(10));
        assert_eq!(timers.pop_due(9), None);
        assert_eq!([timers.pop_due(20), timers.pop_due(20), timers.pop_due(20)], [Some('a'), Some('b'), None]);
    }

    #[test]
    fn e6_a_stale_timer_id_cancels_nothing() {
        let mut timers = Timers::new();
        let first = timers.arm(10, 'a');
        assert_eq!(timers.pop_due(10), Some('a'));
        timers.arm(20, 'b');
        timers.cancel(first);
        assert_eq!(timers.pop_due(20), Some('b'));
    }

    #[test]
    fn cancelled_timers_do_not_pile_up() {
        let mut timers = Timers::new();
        for round in 0..100_000u64 {
            let id = timers.arm(1_000_000 + round, ());
            timers.cancel(id);
        }
        assert!(timers.heap.len() <= 2 * CANCELLED_BEFORE_SWEEP, "{} left", timers.heap.len());
        assert_eq!(timers.next_deadline(), None);
    }
}
