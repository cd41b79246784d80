//! Life beside another event loop on the same thread: each of the two may wait on behalf of both.
//!
//! While this driver waits, the ring watches the descriptor of the other loop, and the wait ends when that has work. While
//! the other loop waits, it watches a doorbell that the kernel rings when something completes here. Never both at a time:
//! each would then wake the other by waking.

use std::io;
use std::os::fd::RawFd;

use ringline_ring::{Completion, Doorbell, Kernel, Op, Tag};

use super::kind::Kind;
use super::{Driver, Host};

/// What the driver knows of the other loop.
#[derive(Default)]
pub(super) struct Outer {
    /// The poll of its descriptor is in flight.
    watched: bool,
}

impl<K: Kernel> Driver<K> {
    /// Has `bell` rung when something completes, once [announced](Self::announce).
    ///
    /// # Errors
    ///
    /// What the kernel answers, EINVAL when it cannot.
    pub fn announce_by(&mut self, bell: &Doorbell) -> io::Result<()> {
        self.submitter.kernel.announce_by(bell)
    }

    /// Switches that bell on or off. What completed before it was on shows in the next turn, without a ring.
    pub fn announce(&mut self, on: bool) {
        self.submitter.kernel.announce(on);
    }

    /// Ends waits when the descriptor of the other loop is readable, and then calls [`Host::outer_ready`], once. Nothing
    /// happens when it is watched already. The descriptor must stay open as long as it is.
    pub fn watch_outer(&mut self, descriptor: RawFd) {
        if !std::mem::replace(&mut self.outer.watched, true) {
            self.submitter.push(Op::PollReadable { descriptor }, Kind::Outer, 0, 0);
        }
    }

    /// Ends that. It may still be told of until [`watches_outer`](Self::watches_outer) is false.
    pub fn unwatch_outer(&mut self) {
        if self.outer.watched {
            let target = Tag::new(Kind::Outer as u8, 0, 0);
            self.submitter.push(Op::Cancel { target }, Kind::CancelOuter, 0, 0);
        }
    }

    /// Whether the other loop is being watched.
    pub fn watches_outer(&self) -> bool {
        self.outer.watched
    }

    pub(super) fn outer_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        self.outer.watched = false;
        if completion.result >= 0 {
            host.outer_ready();
        }
    }

    /// When to turn again for the sake of timers, in nanoseconds, for a thread that waits elsewhere.
    pub fn next_deadline(&mut self) -> Option<u64> {
        let now = self.clock();
        self.timers.next_deadline(now)
    }
}
