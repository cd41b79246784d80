//! The two queues of a ring, in the forms that a ring may have.
//!
//! NVMe commands need submission entries of 128 bytes and completion entries of 32; everything else does with half of
//! that, so only a ring that was asked for it has the wide ones. Kernels whose fixed files close late get plain
//! descriptors instead. The forms are told apart here and nowhere else, by one comparison per call, so that the usual ring
//! does not pay for the others.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use io_uring::cqueue::{self, Entry32};
use io_uring::squeue::{self, Entry128, EntryMarker, Flags, SubmissionQueue};
use io_uring::{IoUring, Parameters, Submitter};

use crate::descriptors::Descriptors;
use crate::opened::Opened;
use crate::{Completion, FileIndex, Op, QueueFull, Tag, submission};

/// Small entries on both sides.
pub(crate) type Narrow = IoUring<squeue::Entry, cqueue::Entry>;
/// Large ones.
pub(crate) type Wide = IoUring<Entry128, Entry32>;

/// The queues of a ring.
pub(crate) enum Queues {
    /// Small entries and fixed files: what nearly every ring is.
    Usual(Opened<squeue::Entry, cqueue::Entry>),
    /// Small entries and plain descriptors.
    Plain(Opened<squeue::Entry, cqueue::Entry>, Descriptors),
    /// Large entries; with plain descriptors where fixed files close late.
    Wide(Opened<Entry128, Entry32>, Option<Descriptors>),
}

/// Evaluates an expression on the ring, whichever it is.
macro_rules! on {
    ($queues:expr, $ring:ident => $body:expr) => {
        match $queues {
            Queues::Usual($ring) | Queues::Plain($ring, _) => $body,
            Queues::Wide($ring, _) => $body,
        }
    };
}

impl Queues {
    /// The queues of a ring with small entries; `descriptors` where it has no fixed files.
    pub(crate) fn narrow(ring: Narrow, descriptors: Option<Descriptors>) -> Self {
        let ring = Opened::new(ring);
        match descriptors {
            None => Self::Usual(ring),
            Some(descriptors) => Self::Plain(ring, descriptors),
        }
    }

    /// The queues of a ring with large entries; `descriptors` where it has no fixed files.
    pub(crate) fn wide(ring: Wide, descriptors: Option<Descriptors>) -> Self {
        Self::Wide(Opened::new(ring), descriptors)
    }

    /// Shows the kernel what was submitted and reaped, and takes over what it has taken and completed: before and after
    /// each system call, and whenever a thread of the kernel's may have been at work.
    #[inline]
    pub(crate) fn sync(&mut self) {
        on!(self, ring => ring.sync());
    }

    /// Stores an operation in the submission queue of a usual ring; of any other, it refuses. The entry is lent to nobody,
    /// so that its fields are written straight into the queue.
    #[inline(always)]
    pub(crate) fn push_usually(&mut self, op: Op, tag: Tag, doorbell: RawFd) -> Result<(), QueueFull> {
        let Self::Usual(ring) = self else { return Err(QueueFull) };
        let entry = submission::entry(op, doorbell).user_data(tag.bits());
        // SAFETY: memory that the entry names was promised to stay until the operation has completed, by whoever made
        // the pinned value. The doorbell's descriptor is owned by the owner of the queues.
        unsafe { ring.submissions.push(&entry) }.map_err(|_| QueueFull)
    }

    /// Stores an operation in the submission queue, whichever ring it is.
    pub(crate) fn push(&mut self, op: Op, tag: Tag, doorbell: RawFd) -> Result<(), QueueFull> {
        if on!(&*self, ring => ring.submissions.is_full()) {
            // A close on plain descriptors happens while its entry is made, so there must be room before.
            return Err(QueueFull);
        }
        match self {
            Self::Usual(_) => self.push_usually(op, tag, doorbell),
            Self::Plain(ring, descriptors) => {
                let entry = submission::plain_entry(op, doorbell, descriptors).user_data(tag.bits());
                // SAFETY: as in `push_usually`; the descriptors stay open until they leave the table.
                unsafe { ring.submissions.push(&entry) }.map_err(|_| QueueFull)
            }
            Self::Wide(ring, descriptors) => {
                let entry = submission::wide_entry(op, doorbell, descriptors.as_mut()).user_data(tag.bits());
                // SAFETY: as above.
                unsafe { ring.submissions.push(&entry) }.map_err(|_| QueueFull)
            }
        }
    }

    /// Stores operations as links of a chain, all of them or none.
    pub(crate) fn push_chain(&mut self, links: &[(Op, Tag)], doorbell: RawFd) -> Result<(), QueueFull> {
        match self {
            Self::Usual(ring) => {
                let entry = |&(op, tag): &(Op, Tag)| submission::entry(op, doorbell).user_data(tag.bits());
                store_linked(&mut ring.submissions, links, entry, squeue::Entry::flags)
            }
            Self::Plain(ring, descriptors) => {
                let entry =
                    |&(op, tag): &(Op, Tag)| submission::plain_entry(op, doorbell, descriptors).user_data(tag.bits());
                store_linked(&mut ring.submissions, links, entry, squeue::Entry::flags)
            }
            Self::Wide(ring, descriptors) => {
                let entry = |&(op, tag): &(Op, Tag)| {
                    submission::wide_entry(op, doorbell, descriptors.as_mut()).user_data(tag.bits())
                };
                store_linked(&mut ring.submissions, links, entry, Entry128::flags)
            }
        }
    }

    /// The oldest completion that has not been taken.
    #[inline(always)]
    pub(crate) fn next_completion(&mut self) -> Option<Completion> {
        match self {
            Self::Usual(ring) | Self::Plain(ring, _) => ring.completions.next().map(|entry| completion(&entry)),
            Self::Wide(ring, _) => ring.completions.next().map(|entry| completion(&entry.into())),
        }
    }

    /// Looks at the completions that have not been taken, oldest first.
    #[inline]
    pub(crate) fn look(&mut self, mut each: impl FnMut(Tag)) {
        match self {
            Self::Usual(ring) | Self::Plain(ring, _) => ring.look(|entry| each(Tag::from_bits(entry.user_data()))),
            Self::Wide(ring, _) => ring.look(|entry| each(completion(&entry.into()).tag)),
        }
    }

    /// Number of operations that are queued and that the kernel, as far as is known, has not taken.
    #[inline]
    pub(crate) fn queued(&self) -> u32 {
        on!(self, ring => ring.submissions.len() as u32)
    }

    /// Whether the completion queue is empty.
    #[inline]
    pub(crate) fn no_completions(&mut self) -> bool {
        on!(self, ring => {
            ring.completions.is_empty() && {
                ring.completions.sync();
                ring.completions.is_empty()
            }
        })
    }

    /// Whether the kernel says that deferred work waits.
    #[inline]
    pub(crate) fn has_deferred_work(&self) -> bool {
        on!(self, ring => ring.submissions.taskrun())
    }

    /// Whether the kernel keeps completions that found no room.
    #[inline]
    pub(crate) fn has_overflowed(&self) -> bool {
        on!(self, ring => ring.submissions.cq_overflow())
    }

    /// Whether completions were lost because the kernel had no memory for those that found no room.
    #[inline]
    pub(crate) fn has_lost_completions(&self) -> bool {
        on!(self, ring => ring.completions.overflow() != 0)
    }

    /// Has the kernel ring the registered eventfd when something completes, or not.
    pub(crate) fn announce(&self, on: bool) {
        on!(self, ring => if on { ring.completions.enable_eventfd() } else { ring.completions.disable_eventfd() });
    }

    /// Whether a submission thread sleeps.
    pub(crate) fn thread_sleeps(&self) -> bool {
        on!(self, ring => ring.submissions.need_wakeup())
    }

    /// Calls that are no operations.
    pub(crate) fn submitter(&self) -> Submitter<'_> {
        on!(self, ring => ring.submitter())
    }

    /// What the kernel made of the settings.
    pub(crate) fn parameters(&self) -> &Parameters {
        on!(self, ring => ring.params())
    }

    /// Whether NVMe commands can be submitted.
    pub(crate) fn are_wide(&self) -> bool {
        matches!(self, Self::Wide(..))
    }

    /// Puts a file into the table.
    pub(crate) fn register_file(&mut self, file: FileIndex, descriptor: &OwnedFd) -> io::Result<()> {
        if let Self::Plain(_, descriptors) | Self::Wide(_, Some(descriptors)) = self {
            return descriptors.insert(file, descriptor);
        }
        self.submitter().register_files_update(file.0, &[descriptor.as_raw_fd()]).map(drop)
    }

    /// Closes every file of the table.
    pub(crate) fn unregister_files(&mut self) {
        if let Self::Plain(_, descriptors) | Self::Wide(_, Some(descriptors)) = self {
            return descriptors.clear();
        }
        // ENXIO when there is no file table.
        let _ = self.submitter().unregister_files();
    }
}

impl AsRawFd for Queues {
    fn as_raw_fd(&self) -> RawFd {
        on!(self, ring => ring.as_raw_fd())
    }
}

#[inline(always)]
fn completion(entry: &cqueue::Entry) -> Completion {
    Completion { tag: Tag::from_bits(entry.user_data()), result: entry.result(), flags: entry.flags() }
}

/// Stores linked entries. The kernel sees them all at once, as everything that is stored between two calls of `sync`.
fn store_linked<E: EntryMarker>(
    queue: &mut SubmissionQueue<'_, E>,
    links: &[(Op, Tag)],
    mut entry: impl FnMut(&(Op, Tag)) -> E,
    with_flags: fn(E, Flags) -> E,
) -> Result<(), QueueFull> {
    if queue.capacity() - queue.len() < links.len() {
        return Err(QueueFull);
    }
    for (index, link) in links.iter().enumerate() {
        // The last one would link to whatever is queued next.
        let flags = if index + 1 < links.len() { Flags::IO_LINK } else { Flags::empty() };
        // SAFETY: as in `Queues::push`.
        unsafe { queue.push(&with_flags(entry(link), flags)) }.map_err(|_| QueueFull)?;
    }
    Ok(())
}
