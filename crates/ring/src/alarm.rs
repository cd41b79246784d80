//! A descriptor that becomes readable at a time, for an event loop that waits for descriptors and not for rings.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// A timer of the kernel's, on the clock of [`clock::now`](crate::clock::now), with its resolution.
#[derive(Debug)]
pub struct Alarm {
    timer: OwnedFd,
    /// When it goes off; none when it has gone off, or was never set.
    deadline: Option<u64>,
}

impl Alarm {
    /// Makes an alarm that is not set.
    ///
    /// # Errors
    ///
    /// EMFILE or ENFILE when the process or the system is out of descriptors.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so `fd` is an open descriptor that nobody else owns.
        Ok(Self { timer: unsafe { OwnedFd::from_raw_fd(fd) }, deadline: None })
    }

    /// Has the descriptor become readable at `deadline`, in nanoseconds, or at once when that is past. It may become so
    /// earlier: an alarm that was set before for an earlier time stays.
    pub fn set(&mut self, deadline: u64) {
        if self.deadline.is_some_and(|set| set <= deadline) {
            return;
        }
        self.deadline = Some(deadline);
        // A time of zero would mean "never".
        let value = libc::timespec {
            tv_sec: (deadline / 1_000_000_000) as _,
            tv_nsec: (deadline % 1_000_000_000).max(1) as libc::c_long,
        };
        let time = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        // SAFETY: the descriptor is a timer's and `time` lives across the call, which cannot fail for a legal time.
        unsafe {
            libc::timerfd_settime(self.timer.as_raw_fd(), libc::TFD_TIMER_ABSTIME, &raw const time, ptr::null_mut());
        }
    }

    /// Makes the descriptor unreadable after the alarm went off. Nothing happens before.
    pub fn quieten(&mut self) {
        let mut times = 0u64;
        // SAFETY: the kernel writes eight bytes into `times`, or none.
        let read = unsafe { libc::read(self.timer.as_raw_fd(), (&raw mut times).cast(), size_of::<u64>()) };
        if read > 0 {
            self.deadline = None;
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// Whether the descriptor becomes readable within so many milliseconds.
    fn goes_off(alarm: &Alarm, within_ms: i32) -> bool {
        let mut poll = libc::pollfd { fd: alarm.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure is announced, and it lives across the call.
        unsafe { libc::poll(&raw mut poll, 1, within_ms) == 1 }
    }

    #[test]
    fn it_goes_off_at_its_time_and_not_before_and_once() {
        let mut alarm = Alarm::new().unwrap();
        assert!(!goes_off(&alarm, 0));
        let deadline = clock::now() + 3_000_000;
        alarm.set(deadline);
        assert!(goes_off(&alarm, 10_000));
        assert!(clock::now() >= deadline);
        alarm.quieten();
        assert!(!goes_off(&alarm, 5));
    }

    #[test]
    fn the_earliest_of_several_times_counts_and_a_past_one_is_now() {
        let mut alarm = Alarm::new().unwrap();
        let far = clock::now() + 3_600_000_000_000;
        alarm.set(far);
        alarm.set(far + 1);
        alarm.quieten();
        assert!(!goes_off(&alarm, 0));
        alarm.set(1);
        assert!(goes_off(&alarm, 10_000));
    }
}
