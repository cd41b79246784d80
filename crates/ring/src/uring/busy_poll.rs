//! Waiting awake.
//!
//! To fall asleep and to be woken takes a good part of the time in which a fast disk reads, above all in a virtual machine, which
//! is left and entered for it. A ring that is told to looks for completions instead, for a bounded time, and sleeps then. It
//! sees nothing but its completions: everybody else has to ring its doorbell, as if it slept.

use std::io;

use super::Uring;
use crate::{Entered, Kernel, Wait};

/// Divides a wait into the time to be awake, at most `longest`, and what is left for sleeping.
fn divide(wait: Wait, longest: u64) -> (u64, Wait) {
    match wait {
        Wait::Poll => (0, Wait::Poll),
        Wait::Forever => (longest, Wait::Forever),
        Wait::AtMost(ns) if ns <= longest => (ns, Wait::Poll),
        Wait::AtMost(ns) => (longest, Wait::AtMost(ns - longest)),
    }
}

impl Uring {
    /// Submits what is queued and waits as asked, awake for the first part of it.
    pub(super) fn enter_busily(&mut self, wait: Wait) -> io::Result<Entered> {
        let (awake, rest) = divide(wait, self.busy_poll_ns);
        if awake == 0 {
            return self.enter_usually(wait);
        }
        if self.queues.queued() > 0 {
            match self.submit()? {
                Entered::Done => {}
                hindered => return Ok(hindered),
            }
        }
        let end = self.now().saturating_add(awake);
        while !self.has_completed() {
            if self.now() >= end {
                return self.enter_usually(rest);
            }
            std::hint::spin_loop();
        }
        self.enter_usually(Wait::Poll)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_as_long_as_it_was_asked_for() {
        assert_eq!(divide(Wait::Forever, 50), (50, Wait::Forever));
        assert_eq!(divide(Wait::AtMost(80), 50), (50, Wait::AtMost(30)));
        assert_eq!(divide(Wait::AtMost(50), 50), (50, Wait::Poll));
        assert_eq!(divide(Wait::AtMost(20), 50), (20, Wait::Poll));
        assert_eq!(divide(Wait::Poll, 50), (0, Wait::Poll));
    }
}
