//! The timers that tasks wait for: a bounded number of them, each armed in the driver.
//!
//! A sleep occupies its slot from the call that makes it until it has fired or its future is dropped; it counts against
//! the worker's `timer_slots` for as long as it is armed.

use std::task::{Poll, Waker};

use super::Inner;
use super::waiters::ForeignWakes;
use super::waker;
use crate::driver::{Slots, TimerId};
use crate::error::TimerExhausted;

/// Names a sleep of this worker; stale once its future is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SleepId {
    slot: u32,
    generation: u32,
}

impl SleepId {
    fn to_key(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    fn from_key(key: u64) -> Self {
        Self { slot: key as u32, generation: (key >> 32) as u32 }
    }
}

struct Sleep {
    /// None once it has fired.
    timer: Option<TimerId>,
    waker: Option<Waker>,
}

/// All sleeps of a worker.
pub(super) struct Sleeps {
    sleeps: Slots<Sleep>,
    armed: u32,
    armed_max: u32,
}

impl Sleeps {
    pub(super) fn new(armed_max: u32) -> Self {
        Self { sleeps: Slots::new(u32::MAX), armed: 0, armed_max }
    }

    /// Sleeps that have not fired.
    pub(super) fn armed(&self) -> u32 {
        self.armed
    }

    /// A timer of the driver is due.
    pub(super) fn fired(&mut self, key: u64, foreign: &mut ForeignWakes) {
        let id = SleepId::from_key(key);
        let Some(sleep) = self.sleeps.get_mut(id.slot, id.generation) else { return };
        if sleep.timer.take().is_some() {
            self.armed -= 1;
        }
        match sleep.waker.take() {
            Some(waker) if waker::is_own(&waker) => waker.wake(),
            Some(waker) => foreign.push(waker),
            None => {}
        }
    }
}

impl Inner {
    /// Arms a sleep until `deadline` nanoseconds of the monotonic clock.
    pub(super) fn arm_sleep(&mut self, deadline: u64) -> Result<SleepId, TimerExhausted> {
        let sleeps = &mut self.host.sleeps;
        let exhausted = TimerExhausted { limit: sleeps.armed_max };
        if sleeps.armed >= sleeps.armed_max {
            return Err(exhausted);
        }
        let inserted = sleeps.sleeps.insert(Sleep { timer: None, waker: None });
        let (slot, generation) = inserted.ok_or(exhausted)?;
        let id = SleepId { slot, generation };
        let timer = self.driver.arm_timer(deadline, id.to_key());
        if let Some(sleep) = sleeps.sleeps.get_mut(slot, generation) {
            sleep.timer = Some(timer);
        }
        sleeps.armed += 1;
        Ok(id)
    }

    /// Whether a sleep has fired; if it has not, `waker` is woken when it does.
    pub(super) fn poll_sleep(&mut self, id: SleepId, waker: &Waker) -> Poll<()> {
        let Some(sleep) = self.host.sleeps.sleeps.get_mut(id.slot, id.generation) else { return Poll::Ready(()) };
        if sleep.timer.is_none() {
            return Poll::Ready(());
        }
        if !sleep.waker.as_ref().is_some_and(|stored| stored.will_wake(waker)) {
            sleep.waker = Some(waker.clone());
        }
        Poll::Pending
    }

    /// Ends a sleep, whether it has fired or not. Its waker comes back, because dropping one of another runtime's making
    /// may run anything.
    pub(super) fn end_sleep(&mut self, id: SleepId) -> Option<Waker> {
        let sleep = self.host.sleeps.sleeps.remove(id.slot, id.generation)?;
        if let Some(timer) = sleep.timer {
            self.driver.cancel_timer(timer);
            self.host.sleeps.armed -= 1;
        }
        sleep.waker
    }
}
