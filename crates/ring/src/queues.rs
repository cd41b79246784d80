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
use crate::{Completion, FileIndex, Op, QueueFull, Tag, submission};

/// Small entries on both sides.
pub(crate) type Narrow = IoUring<squeue::Entry, cqueue::Entry>;
/// Large ones.
pub(crate) type Wide = IoUring<Entry128, Entry32>;

/// The queues of a ring.
pub(crate) enum Queues {
    /// Small entries and fixed files: what nearly every ring is.
    Usual(Narrow),
    /// Small entries and plain descriptors.
    Plain(Narrow, Descriptors),
    /// Large entries; with plain descriptors where fixed files close late.
    Wide(Wide, Option<Descriptors>),
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
    /// Stores an operation in the submission queue of a usual ring; of any other, it refuses. The entry is lent to nobody,
    /// so that its fields are written straight into the queue.
    #[inline(always)]
    pub(crate) fn push_usually(&mut self, op: Op, tag: Tag, doorbell: RawFd) -> Result<(), QueueFull> {
        let Self::Usual(ring) = self else { return Err(QueueFull) };
        let entry = submission::entry(op, doorbell).user_data(tag.bits());
        // SAFETY: memory that the entry names was promised to stay until the operation has completed, by whoever made
        // the pinned value. The doorbell's descriptor is owned by the owner of the queues.
        unsafe { ring.submission().push(&entry) }.map_err(|_| QueueFull)
    }

    /// Stores an operation in the submission queue, whichever ring it is.
    pub(crate) fn push(&mut self, op: Op, tag: Tag, doorbell: RawFd) -> Result<(), QueueFull> {
        if on!(&mut *self, ring => ring.submission().is_full()) {
            // A close on plain descriptors happens while its entry is made, so there must be room before.
            return Err(QueueFull);
        }
        match self {
            Self::Usual(_) => self.push_usually(op, tag, doorbell),
            Self::Plain(ring, descriptors) => {
                let entry = submission::plain_entry(op, doorbell, descriptors).user_data(tag.bits());
                // SAFETY: as in `push_usually`; the descriptors stay open until they leave the table.
                unsafe { ring.submission().push(&entry) }.map_err(|_| QueueFull)
            }
            Self::Wide(ring, descriptors) => {
                let entry = submission::wide_entry(op, doorbell, descriptors.as_mut()).user_data(tag.bits());
                // SAFETY: as above.
                unsafe { ring.submission().push(&entry) }.map_err(|_| QueueFull)
            }
        }
    }

    /// Stores operations as links of a chain, all of them or none.
    pub(crate) fn push_chain(&mut self, links: &[(Op, Tag)], doorbell: RawFd) -> Result<(), QueueFull> {
        match self {
            Self::Usual(ring) => {
                let entry = |&(op, tag): &(Op, Tag)| submission::entry(op, doorbell).user_data(tag.bits());
                store_linked(ring.submission(), links, entry, squeue::Entry::flags)
            }
            Self::Plain(ring, descriptors) => {
                let entry =
                    |&(op, tag): &(Op, Tag)| submission::plain_entry(op, doorbell, descriptors).user_data(tag.bits());
                store_linked(ring.submission(), links, entry, squeue::Entry::flags)
            }
            Self::Wide(ring, descriptors) => {
                let entry = |&(op, tag): &(Op, Tag)| {
                    submission::wide_entry(op, doorbell, descriptors.as_mut()).user_data(tag.bits())
                };
                store_linked(ring.submission(), links, entry, Entry128::flags)
            }
        }
    }

    /// Moves completions out of the queue, oldest first; answers how many, and how many of them are not the last of an
    /// operation that is counted: more follow, or it is a tripwire.
    #[inline(always)]
    pub(crate) fn reap(&mut self, into: &mut [Completion]) -> (usize, u32) {
        match self {
            Self::Usual(ring) | Self::Plain(ring, _) => copy(ring.completion(), into),
            Self::Wide(ring, _) => copy(ring.completion().map(cqueue::Entry::from), into),
        }
    }

    /// Number of operations that are queued and not yet taken by the kernel.
    #[inline]
    pub(crate) fn queued(&mut self) -> u32 {
        on!(self, ring => ring.submission().len() as u32)
    }

    /// Whether the completion queue is empty.
    #[inline]
    pub(crate) fn no_completions(&mut self) -> bool {
        on!(self, ring => ring.completion().is_empty())
    }

    /// Whether the kernel says that deferred work waits.
    #[inline]
    pub(crate) fn has_deferred_work(&mut self) -> bool {
        on!(self, ring => ring.submission().taskrun())
    }

    /// Whether the kernel keeps completions that found no room.
    #[inline]
    pub(crate) fn has_overflowed(&mut self) -> bool {
        on!(self, ring => ring.submission().cq_overflow())
    }

    /// Has the kernel ring the registered eventfd when something completes, or not.
    pub(crate) fn announce(&mut self, on: bool) {
        on!(self, ring => if on { ring.completion().enable_eventfd() } else { ring.completion().disable_eventfd() });
    }

    /// Whether a submission thread sleeps.
    pub(crate) fn thread_sleeps(&mut self) -> bool {
        on!(self, ring => ring.submission().need_wakeup())
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
fn copy(entries: impl Iterator<Item = cqueue::Entry>, into: &mut [Completion]) -> (usize, u32) {
    let (mut count, mut going_on) = (0, 0);
    for (completion, entry) in into.iter_mut().zip(entries) {
        *completion =
            Completion { tag: Tag::from_bits(entry.user_data()), result: entry.result(), flags: entry.flags() };
        count += 1;
        going_on += u32::from(completion.more() || completion.tag == Tag::TRIPWIRE);
    }
    (count, going_on)
}

/// Stores linked entries. The kernel sees them when the queue is dropped, all at once.
fn store_linked<E: EntryMarker>(
    mut queue: SubmissionQueue<'_, E>,
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
