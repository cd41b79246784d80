//! Wakers of a worker's tasks, and the queues they put a task on.
//!
//! A waker may be kept and used anywhere. On its worker's own thread, during a turn, waking is a plain push to the local
//! ready queue; from anywhere else the task's number goes through [`RemoteWakes`] and the worker's doorbell is rung.
//! Each task slot has one header for its whole life, so a waker can be compared by address and is cloned only when a
//! future stores it for the first time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{RawWaker, RawWakerVTable, Waker};

use ringline_ring::Doorbell;

use super::current;

/// Tasks that were woken from outside of their worker's turn.
pub(crate) struct RemoteWakes {
    doorbell: Doorbell,
    tasks: Mutex<Vec<u32>>,
}

impl RemoteWakes {
    pub(crate) fn new(doorbell: Doorbell) -> Arc<Self> {
        Arc::new(Self { doorbell, tasks: Mutex::default() })
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

/// What all wakers of one task slot share.
pub(crate) struct TaskHeader {
    worker: Arc<RemoteWakes>,
    task: u32,
    /// Stands on the local ready queue. Only the worker's own thread reads and writes it.
    queued: AtomicBool,
    /// Stands on the list of [`RemoteWakes`].
    queued_remotely: AtomicBool,
}

impl TaskHeader {
    pub(crate) fn new(worker: &Arc<RemoteWakes>, task: u32) -> Arc<Self> {
        Arc::new(Self {
            worker: Arc::clone(worker),
            task,
            queued: AtomicBool::new(false),
            queued_remotely: AtomicBool::new(false),
        })
    }

    /// Puts the task on the worker's ready queue, unless it stands there. Called on the worker's thread only.
    #[inline]
    pub(crate) fn schedule(&self, ready: &mut Vec<u32>) {
        // A load and a store suffice: no other thread touches this flag.
        if !self.queued.load(Ordering::Relaxed) {
            self.queued.store(true, Ordering::Relaxed);
            ready.push(self.task);
        }
    }

    /// The task was taken off the ready queue. Called on the worker's thread only.
    #[inline]
    pub(crate) fn unscheduled(&self) {
        self.queued.store(false, Ordering::Relaxed);
    }

    /// The task was taken off the list of remote wakes: what the waking thread did before is visible from here on.
    pub(crate) fn taken_from_remote(&self) {
        self.queued_remotely.swap(false, Ordering::AcqRel);
    }

    #[inline]
    fn wake(&self) {
        let local = current::with(|core| {
            let mine = std::ptr::eq(core.remote_wakes(), &*self.worker);
            if mine {
                core.wake_local(self);
            }
            mine
        });
        if local != Some(true) && !self.queued_remotely.swap(true, Ordering::AcqRel) {
            self.worker.push(self.task);
        }
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// Whether waking this runs nothing but this file's code.
#[inline]
pub(crate) fn is_own(waker: &Waker) -> bool {
    std::ptr::eq(waker.vtable(), &raw const VTABLE)
}

/// A waker of the header's task.
pub(crate) fn of(header: &Arc<TaskHeader>) -> Waker {
    let raw = RawWaker::new(Arc::into_raw(Arc::clone(header)).cast(), &VTABLE);
    // SAFETY: the functions of the table treat the pointer as what it is, one count of an `Arc<TaskHeader>`; header and
    // functions may be used from any thread.
    unsafe { Waker::from_raw(raw) }
}

// The pointer of all four functions stands for one strong count of an `Arc<TaskHeader>`.

unsafe fn clone(header: *const ()) -> RawWaker {
    // SAFETY: the count that the cloned waker stands for keeps the header alive; the new waker gets its own.
    unsafe { Arc::increment_strong_count(header.cast::<TaskHeader>()) };
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
    // SAFETY: the waker's count keeps the header alive for the time of the call.
    unsafe { &*header.cast::<TaskHeader>() }.wake();
}

unsafe fn drop_waker(header: *const ()) {
    // SAFETY: gives back the count that the waker stood for; the waker is gone afterwards.
    unsafe { Arc::decrement_strong_count(header.cast::<TaskHeader>()) };
}
