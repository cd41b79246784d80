//! A ring whose two queues are held open.
//!
//! The io-uring crate reads head and tail anew each time it is asked for a queue, and publishes them each time the queue is
//! dropped. A loop that submits and reaps thousands of entries between two system calls wants neither: here both queues stay
//! open, work on their own copies of head and tail, and exchange them with the kernel in [`Opened::sync`].

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

use io_uring::IoUring;
use io_uring::cqueue::{self, CompletionQueue};
use io_uring::squeue::{self, SubmissionQueue};

/// A ring and its queues.
///
/// The queues borrow the ring, which therefore has a place of its own and is freed after them.
pub(crate) struct Opened<S: squeue::EntryMarker + 'static, C: cqueue::EntryMarker + 'static> {
    pub(crate) submissions: SubmissionQueue<'static, S>,
    /// Never dropped, which would publish its head: see [`look`](Self::look).
    pub(crate) completions: ManuallyDrop<CompletionQueue<'static, C>>,
    ring: Placed<IoUring<S, C>>,
}

impl<S: squeue::EntryMarker + 'static, C: cqueue::EntryMarker + 'static> Opened<S, C> {
    /// Opens the queues of a ring.
    pub(crate) fn new(ring: IoUring<S, C>) -> Self {
        let ring = Placed(NonNull::from(Box::leak(Box::new(ring))));
        // SAFETY: `ring` is the last field, so the value lives longer than the queues that borrow it, which are not given
        // away, and it does not move when `Self` does. From here on there are only shared references to it.
        let placed: &'static IoUring<S, C> = unsafe { ring.0.as_ref() };
        // SAFETY: these are the only queues of the ring: it is asked for others neither here nor, behind its shared
        // reference, safely anywhere.
        let (submissions, completions) = unsafe { (placed.submission_shared(), placed.completion_shared()) };
        Self { submissions, completions: ManuallyDrop::new(completions), ring }
    }

    /// Shows the kernel what was submitted and reaped, and takes over what it has taken and completed.
    #[inline]
    pub(crate) fn sync(&mut self) {
        self.submissions.sync();
        self.completions.sync();
    }

    /// Looks at the completions that have not been taken, oldest first.
    #[inline]
    pub(crate) fn look(&mut self, each: impl FnMut(C)) {
        // What was taken is published before, and what is only looked at is not: the queue begins again behind what was taken.
        self.completions.sync();
        self.completions.by_ref().for_each(each);
        // SAFETY: for the reference, as in `new`. The queue that there was is not used again: this takes its place.
        self.completions = ManuallyDrop::new(unsafe { self.ring.0.as_ref().completion_shared() });
    }
}

impl<S: squeue::EntryMarker + 'static, C: cqueue::EntryMarker + 'static> Deref for Opened<S, C> {
    type Target = IoUring<S, C>;

    fn deref(&self) -> &IoUring<S, C> {
        // SAFETY: the value lives until this field is dropped, and is never borrowed exclusively.
        unsafe { self.ring.0.as_ref() }
    }
}

/// A value at a place of its own, freed with this.
///
/// It is no `Box`, because moving a box asserts that nothing else points at what it holds.
struct Placed<T>(NonNull<T>);

impl<T> Drop for Placed<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came out of a box, and whoever borrowed the value is gone by now.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
