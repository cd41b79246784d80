//! Wakers of a worker's tasks, and what other threads wake a task through.
//!
//! A waker may be kept and used anywhere. On its worker's own thread, during a turn, waking is a plain push to the
//! [ready queue](super::ready); from anywhere else the task's number goes through [`RemoteWakes`] and the worker's
//! doorbell is rung.
//!
//! Each task slot has one header for its whole life, so a waker can be compared by address and has nothing to allocate.
//! Headers come in blocks, and a waker counts as a user of its header's block.

use std::mem::{ManuallyDrop, offset_of};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{RawWaker, RawWakerVTable, Waker};

use ringline_ring::{Doorbell, WeakDoorbell};

use super::current;

/// Tasks that were woken from outside of their worker's turn.
pub(crate) struct RemoteWakes {
    /// A waker may be kept for longer than its worker, whose descriptor it is.
    doorbell: WeakDoorbell,
    tasks: Mutex<Vec<u32>>,
}

impl RemoteWakes {
    pub(crate) fn new(doorbell: &Doorbell) -> Arc<Self> {
        Arc::new(Self { doorbell: doorbell.downgrade(), tasks: Mutex::default() })
    }

    fn push(&self, task: u32) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        self.doorbell.ring();
    }

    /// Exchanges the list with an empty one.
    pub(crate) fn take(&self, into: &mut Vec<u32>) {
        debug_assert!(into.is_empty());
        std::mem::swap(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner), into);
    }
}

/// Headers of a block.
pub(crate) const BLOCK_TASKS: u32 = 64;

/// What all wakers of one task slot share.
///
/// The number of the task, and [`QUEUED_REMOTELY`].
struct TaskHeader(AtomicU32);

/// The task stands on the list of [`RemoteWakes`].
const QUEUED_REMOTELY: u32 = 1 << 31;

impl TaskHeader {
    #[inline]
    fn task(&self) -> u32 {
        self.0.load(Ordering::Relaxed) & !QUEUED_REMOTELY
    }

    /// Notes that the task stands on the list. Answers whether it stood there already.
    fn enlist(&self) -> bool {
        self.0.fetch_or(QUEUED_REMOTELY, Ordering::AcqRel) & QUEUED_REMOTELY != 0
    }

    /// Notes that the task was taken off the list.
    fn delist(&self) {
        self.0.fetch_and(!QUEUED_REMOTELY, Ordering::AcqRel);
    }
}

/// The headers of as many task slots in a row.
pub(crate) struct HeaderBlock {
    worker: Arc<RemoteWakes>,
    headers: [TaskHeader; BLOCK_TASKS as usize],
}

impl HeaderBlock {
    /// The headers of `first` and the slots behind it; a multiple of [`BLOCK_TASKS`].
    pub(crate) fn new(worker: &Arc<RemoteWakes>, first: u32) -> Arc<Self> {
        debug_assert_eq!(first % BLOCK_TASKS, 0);
        let header = |index| TaskHeader(AtomicU32::new(first + index as u32));
        Arc::new(Self { worker: Arc::clone(worker), headers: std::array::from_fn(header) })
    }

    /// The task was taken off the list of remote wakes: what the waking thread did before is visible from here on.
    pub(crate) fn taken_from_remote(&self, task: u32) {
        self.headers[(task % BLOCK_TASKS) as usize].delist();
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// Whether waking this runs nothing but this file's code.
#[inline]
pub(crate) fn is_own(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &raw const VTABLE)
}

/// The task that a waker wakes, if it is one of this worker's.
#[inline]
pub(crate) fn task_of(waker: &Waker, worker: &RemoteWakes) -> Option<u32> {
    if !is_own(waker) {
        return None;
    }
    let header = waker.data().cast::<TaskHeader>();
    // SAFETY: the pointer of an own waker is one to a header, whose block the waker keeps alive.
    let (block, task) = unsafe { (&*block_of(header), (*header).task()) };
    std::ptr::eq(&*block.worker, worker).then_some(task)
}

/// A waker of a task for the time of a poll. It is not counted as a user of the block; what is cloned from it is.
///
/// # Safety
///
/// The block must outlive the waker.
#[inline]
pub(crate) unsafe fn lend(block: &Arc<HeaderBlock>, task: u32) -> ManuallyDrop<Waker> {
    let index = (task % BLOCK_TASKS) as usize;
    let block = Arc::as_ptr(block);
    // SAFETY: the index lies in the array. The pointer is made from the block's and not from a reference to the header, so
    // that `block_of` may go back from it.
    let header = unsafe { (&raw const (*block).headers).cast::<TaskHeader>().add(index) };
    // SAFETY: the functions of the table treat the pointer as what it is; header and functions may be used from any
    // thread; as the value is never dropped, the count that it does not have is not given back.
    ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(header.cast(), &VTABLE)) })
}

/// The block that a header is part of.
///
/// # Safety
///
/// The pointer must be that of a waker of this file, and the block alive.
#[inline]
unsafe fn block_of(header: *const TaskHeader) -> *const HeaderBlock {
    // SAFETY: the block is alive, and the header is the one of this index in it.
    unsafe {
        let index = ((*header).task() % BLOCK_TASKS) as usize;
        header.byte_sub(offset_of!(HeaderBlock, headers) + index * size_of::<TaskHeader>()).cast()
    }
}

// The pointer of all four functions is one to a header, made in `lend`. A waker that is not merely lent stands for one strong
// count of the header's block.

unsafe fn clone(header: *const ()) -> RawWaker {
    // SAFETY: the cloned waker keeps the block alive; the new waker gets a count of its own.
    unsafe { Arc::increment_strong_count(block_of(header.cast())) };
    RawWaker::new(header, &VTABLE)
}

unsafe fn wake(header: *const ()) {
    // SAFETY: the caller hands over one count, which `drop_waker` gives back.
    unsafe {
        wake_by_ref(header);
        drop_waker(header);
    }
}

unsafe fn wake_by_ref(header: *const ()) {
    let header = header.cast::<TaskHeader>();
    // SAFETY: the waker keeps block and header alive for the time of the call.
    let (block, header) = unsafe { (&*block_of(header), &*header) };
    let local = current::with(|core| {
        let mine = std::ptr::eq(core.remote_wakes(), &*block.worker);
        if mine {
            core.ready.schedule(header.task());
        }
        mine
    });
    if local != Some(true) && !header.enlist() {
        block.worker.push(header.task());
    }
}

unsafe fn drop_waker(header: *const ()) {
    // SAFETY: gives back the count that the waker stood for; the waker is gone afterwards.
    unsafe { Arc::decrement_strong_count(block_of(header.cast())) };
}
