//! Timers that JavaScript arms: its numbers for them, and the driver's.

use std::collections::HashMap;

use ringline::driver::{Driver, TimerId};
use ringline_ring::Kernel;

/// Keys of these timers have this bit, so that they differ from those of the worker's own.
const KEY: u64 = 1 << 32;

/// The armed timers of one environment. JavaScript bounds their number.
#[derive(Default)]
pub(crate) struct Timers {
    armed: HashMap<u32, TimerId>,
}

impl Timers {
    /// Arms a timer that is due `delay_ns` nanoseconds from now, or later. False when this number is armed already.
    pub(crate) fn arm<K: Kernel>(&mut self, driver: &mut Driver<K>, number: u32, delay_ns: u64) -> bool {
        if self.armed.contains_key(&number) {
            return false;
        }
        // The clock is read anew: counted from the end of the last wait, the timer could be due too early.
        let deadline = driver.clock().saturating_add(delay_ns);
        self.armed.insert(number, driver.arm_timer(deadline, KEY | u64::from(number)));
        true
    }

    /// Disarms a timer; nothing happens when it has come up.
    pub(crate) fn cancel<K: Kernel>(&mut self, driver: &mut Driver<K>, number: u32) {
        if let Some(timer) = self.armed.remove(&number) {
            driver.cancel_timer(timer);
        }
    }

    /// The number of the timer with this key, which has come up; none when the key is the worker's own.
    pub(crate) fn due(&mut self, key: u64) -> Option<u32> {
        if key & KEY == 0 {
            return None;
        }
        let number = key as u32;
        self.armed.remove(&number);
        Some(number)
    }
}
