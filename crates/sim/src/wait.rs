//! What an enter does: submit, and let time pass until something completes.

use std::io::Read;

use ringline_ring::{Entered, Kernel, Wait};

use crate::SimKernel;
use crate::faults::Fault;
use crate::perform::Armed;

impl SimKernel {
    /// Submits what is queued, or the first `most` of it. Answers how many complete inline by their nature.
    pub(crate) fn submit(&mut self, most: usize) -> usize {
        let mut inline = 0;
        for _ in 0..most {
            let Some(queued) = self.submissions.pop_front() else { break };
            inline += usize::from(queued.op.completes_inline());
            if !queued.memory.unchanged() {
                self.violation(&format!(
                    "the memory of {:?} {:?} changed before it was submitted",
                    queued.op, queued.tag
                ));
            }
            self.issue(queued);
        }
        inline
    }

    /// Reads whether the bell was rung.
    pub(crate) fn hear_bell(&mut self) {
        let mut counter = [0; size_of::<u64>()];
        // An eventfd that does not block answers EAGAIN when nobody has rung.
        if self.bell_counter.read(&mut counter).is_ok() {
            self.bell_pending = true;
            self.bell_rung_ever = true;
        }
    }

    /// Lets time pass until `target` completions are there, until the deadline, or until nothing can happen any more.
    pub(crate) fn wait(&mut self, target: usize, wait: Wait) -> Entered {
        let deadline_ns = match wait {
            Wait::Poll => return Entered::Done,
            Wait::Forever => None,
            Wait::AtMost(ns) => Some(self.now().saturating_add(ns)),
        };
        loop {
            if self.completions.len() >= target || self.completion_lost {
                return Entered::Done;
            }
            if deadline_ns.is_some_and(|deadline_ns| self.now() >= deadline_ns) {
                return Entered::TimedOut;
            }
            if self.network.world().fails(Fault::Interrupted, |faults| faults.interrupted) {
                return Entered::Interrupted;
            }
            let event_ns = [self.network.world().next_event_at(), self.next_due_at()].into_iter().flatten().min();
            let Some(next_ns) = event_ns.into_iter().chain(deadline_ns).min() else {
                if self.network.world().kernels > 1 {
                    // What ends this wait may be done by another ring, whose turn it is now.
                    return Entered::Interrupted;
                }
                self.hang();
            };
            let mut world = self.network.world();
            world.now_ns = world.now_ns.max(next_ns);
            drop(world);
            self.perform_due();
            if !self.completions.flush_overflow() {
                return Entered::Backpressure;
            }
        }
    }

    fn hang(&self) -> ! {
        let armed: Vec<String> = self.armed.iter().map(Armed::describe).collect();
        self.violation(&format!("hang: a wait for ever that nothing can end; in flight: [{}]", armed.join(", ")))
    }
}
