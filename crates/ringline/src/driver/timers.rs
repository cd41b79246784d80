//! Timers of one worker, in memory. The kernel knows only the nearest deadline, as the time limit of the wait, so a timer
//! costs no submission and no completion.
//!
//! Most timers are timeouts: far away, and disarmed before their time. They lie in a wheel, where arming and disarming
//! are a few steps however many timers there are. A slot of the wheel's lowest level is 67 ms long; when its time has
//! come, its timers move to a heap, which gives them out in the exact order of their deadlines. So a wait ends early for
//! a timer at most once per level, and never for one that is nearer than a slot.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU32;

use super::slots::Slots;

/// Names an armed timer; stale once it has fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    slot: u32,
    generation: NonZeroU32,
}

/// Nanoseconds in a slot of the lowest level, as a power of two.
const SLOT_BITS: u32 = 26;
/// Slots of a level, as a power of two.
const LEVEL_BITS: u32 = 6;
const LEVEL_SLOTS: usize = 1 << LEVEL_BITS;
/// As many levels as it takes for all times there are.
const LEVELS: usize = (u64::BITS - SLOT_BITS).div_ceil(LEVEL_BITS) as usize;
/// The heap is swept when it holds this many cancelled timers, and more of them than armed ones.
const CANCELLED_BEFORE_SWEEP: usize = 1024;
/// No timer.
const NONE: u32 = u32::MAX;

/// Where an armed timer is.
#[derive(Clone, Copy)]
enum Place {
    Heap,
    Wheel { level: u8, slot: u8 },
}

struct Armed<T> {
    deadline: u64,
    value: T,
    /// The neighbours in the list of a wheel's slot.
    previous: u32,
    next: u32,
    place: Place,
}

/// Deadlines with a value each.
pub(super) struct Timers<T> {
    armed: Slots<Armed<T>>,
    /// Deadline in nanoseconds, slot and generation of the near timers. Cancelled ones stay until they come up or are swept.
    heap: BinaryHeap<Reverse<(u64, u32, NonZeroU32)>>,
    /// Armed timers in the heap.
    near: usize,
    /// The first timer of each slot's list.
    wheel: Box<[[u32; LEVEL_SLOTS]; LEVELS]>,
    /// The slots that have any, one bit each.
    occupied: [u64; LEVELS],
    /// The time up to which timers have moved to the heap, counted in slots of the lowest level. It is in the past, as far
    /// as the wheel was last looked at; a timer of the wheel is in a later slot.
    reached: u64,
}

impl<T> Timers<T> {
    pub(super) fn new() -> Self {
        Self {
            armed: Slots::new(NONE),
            heap: BinaryHeap::new(),
            near: 0,
            wheel: Box::new([[NONE; LEVEL_SLOTS]; LEVELS]),
            occupied: [0; LEVELS],
            reached: 0,
        }
    }

    /// Whether no timer is armed.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.armed.used() == 0
    }

    /// Arms a timer that is due at `deadline` nanoseconds.
    pub(super) fn arm(&mut self, deadline: u64, value: T) -> TimerId {
        let armed = Armed { deadline, value, previous: NONE, next: NONE, place: Place::Heap };
        let (slot, generation) = self.armed.insert(armed).expect("four billion timers do not fit into memory");
        let generation = NonZeroU32::new(generation).expect("generations are never 0");
        self.place(slot, generation, deadline);
        TimerId { slot, generation }
    }

    /// Disarms a timer. Nothing happens when it has fired already.
    pub(super) fn cancel(&mut self, id: TimerId) {
        let Some(timer) = self.armed.remove(id.slot, id.generation.get()) else { return };
        match timer.place {
            Place::Wheel { level, slot } => self.unlink(level, slot, timer.previous, timer.next),
            Place::Heap => {
                self.near -= 1;
                let cancelled = self.heap.len() - self.near;
                if cancelled > CANCELLED_BEFORE_SWEEP && cancelled > self.near {
                    let armed = &self.armed;
                    self.heap.retain(|Reverse((_, slot, generation))| armed.get(*slot, generation.get()).is_some());
                }
            }
        }
    }

    /// When to look again: the nearest deadline, or the end of a time in which there is none. `now` is the time.
    pub(super) fn next_deadline(&mut self, now: u64) -> Option<u64> {
        self.advance(now);
        self.nearest().or_else(|| self.next_slot().map(|slot| slot.start << SLOT_BITS))
    }

    /// Takes one timer that is due at `now`, earliest first.
    #[inline]
    pub(super) fn pop_due(&mut self, now: u64) -> Option<T> {
        if self.is_empty() { None } else { self.pop(now) }
    }

    fn pop(&mut self, now: u64) -> Option<T> {
        self.advance(now);
        if self.nearest()? > now {
            return None;
        }
        let Reverse((_, slot, generation)) = self.heap.pop()?;
        self.near -= 1;
        self.armed.remove(slot, generation.get()).map(|timer| timer.value)
    }

    /// The nearest deadline of the heap, rid of cancelled timers that stood before it.
    fn nearest(&mut self) -> Option<u64> {
        while let Some(&Reverse((deadline, slot, generation))) = self.heap.peek() {
            if self.armed.get(slot, generation.get()).is_some() {
                return Some(deadline);
            }
            self.heap.pop();
        }
        None
    }

    /// Puts an armed timer where it belongs at the time that the wheel has reached.
    fn place(&mut self, slot: u32, generation: NonZeroU32, deadline: u64) {
        let at = deadline >> SLOT_BITS;
        if at <= self.reached {
            self.near += 1;
            return self.heap.push(Reverse((deadline, slot, generation)));
        }
        // The level whose digit is the highest in which the two times differ: up to it, the wheel has to turn.
        let level = (at ^ self.reached).ilog2() / LEVEL_BITS;
        let index = digit(at, level);
        let first = std::mem::replace(&mut self.wheel[level as usize][index], slot);
        self.occupied[level as usize] |= 1 << index;
        if let Some(next) = self.armed.get_any_mut(first) {
            next.previous = slot;
        }
        if let Some(timer) = self.armed.get_any_mut(slot) {
            timer.previous = NONE;
            timer.next = first;
            timer.place = Place::Wheel { level: level as u8, slot: index as u8 };
        }
    }

    /// Takes a timer with these neighbours out of the list of a slot.
    fn unlink(&mut self, level: u8, slot: u8, previous: u32, next: u32) {
        if let Some(next) = self.armed.get_any_mut(next) {
            next.previous = previous;
        }
        if let Some(previous) = self.armed.get_any_mut(previous) {
            previous.next = next;
            return;
        }
        self.wheel[level as usize][slot as usize] = next;
        if next == NONE {
            self.occupied[level as usize] &= !(1 << slot);
        }
    }

    /// The slot of the wheel whose time comes first.
    fn next_slot(&self) -> Option<WheelSlot> {
        // A lower level is nearer, and within a level the slots that are occupied lie ahead.
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let index = self.occupied[level].trailing_zeros();
        let above = (level as u32 + 1) * LEVEL_BITS;
        let start = self.reached >> above << above | u64::from(index) << (above - LEVEL_BITS);
        Some(WheelSlot { level, index: index as usize, start })
    }

    /// Turns the wheel up to `now`: timers of slots whose time has come move to lower levels or to the heap.
    fn advance(&mut self, now: u64) {
        let target = now >> SLOT_BITS;
        while let Some(WheelSlot { level, index, start }) = self.next_slot().filter(|slot| slot.start <= target) {
            self.reached = start;
            self.occupied[level] &= !(1 << index);
            let mut timer = std::mem::replace(&mut self.wheel[level][index], NONE);
            while let Some(armed) = self.armed.get_any_mut(timer) {
                let (deadline, next) = (armed.deadline, armed.next);
                armed.place = Place::Heap;
                let generation = self.armed.generation(timer).and_then(NonZeroU32::new);
                self.place(timer, generation.expect("generations are never 0"), deadline);
                timer = next;
            }
        }
        self.reached = self.reached.max(target);
    }
}

/// An occupied slot of the wheel.
struct WheelSlot {
    level: usize,
    index: usize,
    /// When its time comes, in slots of the lowest level.
    start: u64,
}

/// The digit of a time that a level of the wheel goes by.
fn digit(at: u64, level: u32) -> usize {
    (at >> (level * LEVEL_BITS)) as usize % LEVEL_SLOTS
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
        assert_eq!(timers.next_deadline(0), Some(10));
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
            let (near, far) = (timers.arm(1_000 + round, ()), timers.arm(1 << 40 | round, ()));
            timers.cancel(near);
            timers.cancel(far);
        }
        assert!(timers.heap.len() <= 2 * CANCELLED_BEFORE_SWEEP, "{} left", timers.heap.len());
        assert_eq!((timers.occupied, timers.next_deadline(0)), ([0; LEVELS], None));
    }

    #[test]
    fn far_timers_fire_at_their_time_and_not_before() {
        let mut timers = Timers::new();
        let deadlines =
            [u64::MAX, 3_600_000_000_000, 1 << SLOT_BITS, 5_000_000_000, (1 << SLOT_BITS) - 1, 5_000_000_001];
        for deadline in deadlines {
            timers.arm(deadline, deadline);
        }
        let (mut now, mut fired, mut looks) = (0, Vec::new(), 0);
        while let Some(next) = timers.next_deadline(now) {
            assert!(next > now, "the wait would end at once");
            (now, looks) = (next, looks + 1);
            while let Some(deadline) = timers.pop_due(now) {
                assert!(deadline <= now, "{deadline} fired at {now}");
                fired.push(deadline);
            }
            assert!(fired.len() < deadlines.len() || timers.is_empty());
        }
        let mut sorted = deadlines;
        sorted.sort_unstable();
        assert_eq!(fired, sorted);
        assert!(looks <= deadlines.len() * (LEVELS + 1), "{looks} looks");
    }

    /// Against a list that is searched: many timers, armed and cancelled at random while the time goes on in jumps.
    #[test]
    fn the_wheel_agrees_with_a_plain_list() {
        let mut dice = 0x2545_f491_4f6c_dd1d_u64;
        let mut roll = move |sides: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % sides
        };
        let mut timers = Timers::new();
        let mut plain: Vec<(u64, TimerId)> = Vec::new();
        let mut now = 0;
        for _ in 0..4_000 {
            let bits = roll(45);
            let deadline = now + roll(1 << bits);
            plain.push((deadline, timers.arm(deadline, deadline)));
            if roll(3) == 0 {
                let (_, id) = plain.swap_remove(roll(plain.len() as u64) as usize);
                timers.cancel(id);
            }
            if roll(8) == 0 {
                let bits = roll(38);
                now += roll(1 << bits);
                let mut due: Vec<u64> = plain.extract_if(.., |timer| timer.0 <= now).map(|timer| timer.0).collect();
                due.sort_unstable();
                assert_eq!(std::iter::from_fn(|| timers.pop_due(now)).collect::<Vec<_>>(), due);
            }
            if let Some(next) = timers.next_deadline(now) {
                let nearest = plain.iter().map(|timer| timer.0).min().expect("there is a timer");
                assert!(next <= nearest && (next > now || nearest <= now), "{next} after {now}: {nearest}");
            }
        }
    }
}
