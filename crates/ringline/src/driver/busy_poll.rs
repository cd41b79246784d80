//! When a worker waits for a disk awake.
//!
//! Only a worker that was told to does, because it costs CPU time, and only while so few operations are in flight that
//! the time to fall asleep and to be woken counts: with many, the disk is what is waited for. How that is done is the ring's affair.

use ringline_ring::Kernel;

use super::Driver;

/// With more operations in flight than this a worker sleeps at once.
const OPERATIONS_MAX: u32 = 4;

impl<K: Kernel> Driver<K> {
    /// So many disk operations are in flight now.
    pub(super) fn disk_operations_changed(&mut self, in_flight: u32) {
        let busy_poll_ns = self.settings.disk.busy_poll_ns;
        if busy_poll_ns > 0 {
            let few = (1..=OPERATIONS_MAX).contains(&in_flight);
            self.submitter.kernel.busy_poll(if few { busy_poll_ns } else { 0 });
        }
    }
}
