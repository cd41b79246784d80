//! Waiting without sleeping: a ring thread that has a CPU to spare looks for work a while before it blocks.
//!
//! To be woken takes a thread some ten microseconds, more than an answer takes on a quiet line. Looking costs the CPU, so
//! it is done only as long as it pays: after a wait that was short, and until one look was in vain. What there is to look at
//! is the worker's business, and more than a ring knows of: while it looks, JavaScript rings no doorbell.

use std::hint;
use std::time::{Duration, Instant};

/// Looks between two readings of the clock.
const LOOKS: u32 = 32;

/// Whether, and how long, a thread looks for work before it blocks.
#[derive(Debug)]
pub(crate) struct Spin {
    limit: Duration,
    pays: bool,
}

impl Spin {
    /// At most `limit` at a time; zero = never.
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, pays: false }
    }

    /// Whether waits are to be told to [`waited`](Self::waited).
    #[inline]
    pub(crate) const fn is_enabled(&self) -> bool {
        !self.limit.is_zero()
    }

    /// How long to look before the next wait.
    #[inline]
    pub(crate) fn budget(&self) -> Option<Duration> {
        self.pays.then_some(self.limit)
    }

    /// Looks until there is work, for `budget`. Answers whether there is.
    pub(crate) fn look(&mut self, budget: Duration, mut has_work: impl FnMut() -> bool) -> bool {
        let started = Instant::now();
        loop {
            for _ in 0..LOOKS {
                if has_work() {
                    return true;
                }
                hint::spin_loop();
            }
            if started.elapsed() >= budget {
                self.pays = false;
                return false;
            }
        }
    }

    /// The thread was blocked for so long.
    #[inline]
    pub(crate) fn waited(&mut self, time: Duration) {
        self.pays = time <= self.limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(50);

    #[test]
    fn looking_begins_after_a_short_wait_and_ends_after_a_look_in_vain() {
        let mut spin = Spin::new(LIMIT);
        assert_eq!(spin.budget(), None, "nothing is known yet");
        spin.waited(LIMIT);
        assert_eq!(spin.budget(), Some(LIMIT));
        assert!(spin.look(LIMIT, || true));
        assert_eq!(spin.budget(), Some(LIMIT), "it paid");
        assert!(!spin.look(LIMIT, || false));
        assert_eq!(spin.budget(), None, "it did not");
        spin.waited(LIMIT + Duration::from_nanos(1));
        assert_eq!(spin.budget(), None, "the wait was long");
    }

    #[test]
    fn a_look_takes_its_budget_and_sees_what_comes_meanwhile() {
        let mut spin = Spin::new(LIMIT);
        let started = Instant::now();
        assert!(!spin.look(Duration::from_millis(2), || false));
        assert!(started.elapsed() >= Duration::from_millis(2));
        let mut looks = 0;
        let third = || {
            looks += 1;
            looks == 3
        };
        assert!(spin.look(Duration::from_secs(60), third));
        assert_eq!(looks, 3);
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_tell() {
        assert!(!Spin::new(Duration::ZERO).is_enabled());
        assert!(Spin::new(LIMIT).is_enabled());
    }
}
