//! Points in time of the clock that a worker's timers use.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use ringline_ring::clock;

/// A point in time of the monotonic clock, to the nanosecond. Later ones compare greater.
///
/// ```
/// use std::time::Duration;
/// use ringline::Deadline;
///
/// let deadline = Deadline::after(Duration::from_secs(60));
/// assert!(deadline > Deadline::now());
/// assert!(deadline.remaining() <= Duration::from_secs(60));
/// assert_eq!(Deadline::now().remaining(), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline {
    /// Nanoseconds of CLOCK_MONOTONIC.
    at: u64,
}

impl Deadline {
    /// This moment.
    pub fn now() -> Self {
        Self { at: clock::now() }
    }

    /// So long after this moment. A duration that the clock cannot hold means the end of its range, some 584 years.
    pub fn after(duration: Duration) -> Self {
        Self::now() + duration
    }

    /// The time from now to the deadline; zero once it has passed.
    pub fn remaining(self) -> Duration {
        self - Self::now()
    }

    /// Whether the deadline has come.
    pub fn has_passed(self) -> bool {
        clock::now() >= self.at
    }

    pub(super) fn nanoseconds(self) -> u64 {
        self.at
    }
}

impl Add<Duration> for Deadline {
    type Output = Self;

    /// So long after it, at most the end of the clock's range.
    fn add(self, duration: Duration) -> Self {
        Self { at: self.at.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)) }
    }
}

impl Sub for Deadline {
    type Output = Duration;

    /// The time from the other deadline to this one; zero if this one is earlier.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.at.saturating_sub(earlier.at))
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deadline").field(&Duration::from_nanos(self.at)).finish()
    }
}
