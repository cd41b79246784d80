//! The end of a driver that is dropped amid its work: descriptors that the kernel has made, and nobody has taken, are closed.
//!
//! A worker that shuts down in order has none. One that ends early may have accepted connections, or opened files, that it
//! has not looked at; their descriptors stand in completions alone.

use ringline_ring::{Completion, Kernel};

use super::Driver;
use super::kind::Kind;

impl<K: Kernel> Drop for Driver<K> {
    fn drop(&mut self) {
        let mut results = Vec::new();
        self.submitter.kernel.end(&mut |completion: Completion| {
            let kind = Kind::from_number(completion.tag.kind());
            if matches!(kind, Some(Kind::Accept | Kind::FileOpen | Kind::DeviceOpen)) {
                results.extend(completion.outcome());
            }
        });
        for result in results {
            // Owned, and so closed.
            // SAFETY: the completion names a descriptor, and is the last to be seen of it: it is looked at here only.
            drop(unsafe { self.submitter.kernel.accepted(result) });
        }
    }
}
