//! Disk operations that go to the kernel ahead of the turn that would submit them.
//!
//! When a disk ends all that it had at once, as disks behind few interrupts do, its host answers a batch. Were that
//! submitted as a whole, the disk would do nothing while the host answers and while the kernel takes the batch, which it hands to
//! the disk at its end. This file owns the rule that says when not to wait for the rest; it knows no operations.

use ringline_ring::Kernel;

use super::Driver;

/// Fewer operations than this stay with their batch: what is asked for one at a time is submitted by the wait for it, in
/// one system call.
const AHEAD_MIN: u32 = 2;

/// With fewer operations in flight the disk waits for the first answer rather than for all.
const PART_MIN: u32 = 8;

/// The disk operations that were queued since the last system call.
#[derive(Default)]
pub(super) struct Batch {
    queued: u32,
    /// The system calls before it. A later one has submitted it.
    enters: u64,
    /// The system calls before the last end of an operation.
    ended: u64,
}

impl Batch {
    /// One more operation is queued, and as many are in flight, those in the queue among them. True when the disk has no
    /// more than the queue: the limit doubles with every batch that went ahead, so that there are few of them.
    fn is_due(&mut self, enters: u64, in_flight: u32) -> bool {
        if self.enters != enters {
            (self.queued, self.enters) = (0, enters);
        }
        self.queued += 1;
        self.queued >= AHEAD_MIN && in_flight - self.queued.min(in_flight) <= self.queued
    }
}

impl<K: Kernel> Driver<K> {
    /// Submits what is queued, at once, without waiting or looking for what has completed.
    pub fn submit_now(&mut self) {
        self.metrics.enters += 1;
        self.submitter.kernel.submit_now();
    }

    /// Whether more disk operations have ended together with those of the last turn: the kernel hands a batch over in parts,
    /// the first of them a single completion. A host that answers at once does well to take all of them first: the disk
    /// ends the single operation that answers the first before it gets another one.
    pub fn disk_batch_goes_on(&mut self) -> bool {
        self.batch.ended == self.metrics.enters
            && self.file_operations() + self.commands() >= PART_MIN
            && self.submitter.kernel.has_completed()
    }

    /// A disk operation has ended.
    pub(super) fn disk_operation_ended(&mut self) {
        self.batch.ended = self.metrics.enters;
        self.disk_operations_changed(self.file_operations() + self.commands());
    }

    /// A disk operation was queued.
    pub(super) fn submit_ahead(&mut self) {
        let in_flight = self.file_operations() + self.commands();
        self.disk_operations_changed(in_flight);
        if self.batch.is_due(self.metrics.enters, in_flight) {
            self.submit_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the batches that go ahead while `asked` operations are asked for beside `before` that the disk has.
    fn ahead(before: u32, asked: u32) -> Vec<u32> {
        let (mut batch, mut enters, mut queued) = (Batch::default(), 7, 0);
        let mut sizes = Vec::new();
        for count in 1..=asked {
            queued += 1;
            if batch.is_due(enters, before + count) {
                enters += 1;
                sizes.push(std::mem::take(&mut queued));
            }
        }
        sizes
    }

    #[test]
    fn a_disk_without_work_gets_the_first_of_a_batch_at_once_and_ever_more_then() {
        assert_eq!(ahead(0, 32), [2, 2, 4, 8, 16]);
        assert_eq!(ahead(0, 33), [2, 2, 4, 8, 16]);
    }

    #[test]
    fn a_disk_with_work_gets_as_much_again() {
        assert_eq!(ahead(16, 32), [16]);
        assert_eq!(ahead(3, 12), [3, 6]);
        assert!(ahead(64, 32).is_empty());
    }

    #[test]
    fn a_single_operation_stays_with_its_turn() {
        assert!(ahead(0, 1).is_empty());
        assert!(ahead(1, 1).is_empty());
    }

    #[test]
    fn what_a_turn_has_submitted_does_not_count_any_more() {
        let mut batch = Batch::default();
        assert!(!batch.is_due(1, 1));
        assert!(!batch.is_due(2, 2), "the first went with the turn between them");
        assert!(batch.is_due(2, 3));
    }
}
