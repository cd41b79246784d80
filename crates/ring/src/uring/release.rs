//! The end of a ring.
//!
//! # Order of release
//!
//! Dropping a [`Uring`] makes the kernel forget all memory that was named to it, in this order:
//!
//! 1. every operation in flight is cancelled, and its last completion awaited (at most two seconds, once: none is known that
//!    takes longer than the cancelling itself but the notification of a zero-copy send, whose peer may not read);
//! 2. buffer groups are unregistered, so that nothing can choose a provided buffer any more;
//! 3. the file table is unregistered, which closes its sockets before `drop` returns: a listener's port is free again;
//! 4. the ring's registered descriptor is given up (it would keep the ring alive until the thread ends) and the ring is
//!    closed;
//! 5. the descriptors of the buffer groups are unmapped.
//!
//! Memory that was given to operations, and provided buffers, must be released after that: declare the `Uring` before
//! such memory in a structure, or drop it first.

use io_uring::EnterFlags;
use io_uring::types::CancelBuilder;

use super::Uring;
use crate::{Completion, Kernel, setup};

/// How long ending a ring waits for the last completions. Cancelled operations complete at once; this is a bound for a
/// kernel that lost one, and for a peer that does not read what was sent without a copy.
const RELEASE_NS_MAX: u64 = 2_000_000_000;
/// After so long, what has come into flight meanwhile (by a submission thread) is cancelled too.
const RELEASE_PAUSE_NS: u64 = 1_000_000;

impl Uring {
    /// Ends everything in flight and looks at every last completion; see the order of release.
    pub(super) fn end_all(&mut self, each: &mut dyn FnMut(Completion)) {
        // What was never submitted is forgotten, but a submission thread takes it in any case. How much of it is silent is
        // not known when only a part was taken: too low a number makes this wait longer, too high a one would end it early.
        let never_submitted = if self.sqpoll { 0 } else { self.queues.queued().saturating_sub(self.silent_queued) };
        let deadline = self.now() + RELEASE_NS_MAX;
        loop {
            while let Some(completion) = self.next_completion() {
                each(completion);
            }
            if self.in_flight <= never_submitted || self.ended {
                return;
            }
            if self.now() > deadline {
                self.ended = true;
                return;
            }
            // ENOENT when everything is cancelled already, and only its completions are due.
            let _ = self.queues.submitter().register_sync_cancel(None, CancelBuilder::any());
            let wake = self.wake_up();
            // Deferred work posts the completions. Whatever this answers, the loop looks again, and it is bounded.
            let _ = self.enter_kernel(0, 1, wake | EnterFlags::GETEVENTS, Some(RELEASE_PAUSE_NS));
        }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        self.end_all(&mut |_| {});
        for group in &self.groups {
            let _ = self.queues.submitter().unregister_buf_ring(group.group());
        }
        self.queues.unregister_files();
        if let Some(index) = self.registered {
            let _ = setup::unregister_ring_fd(&self.queues, index);
        }
        // The fields follow in the order of their declaration: first the queues, then the groups.
    }
}
