//! A worker that the thread of its environment turns itself, from the event loop of libuv: no thread, no doorbells.
//!
//! Before the loop waits, it turns the worker ([`rounds`]): what JavaScript has asked for since goes to the kernel, what
//! completed goes to JavaScript, in one call per batch. This file is about how such a worker comes and goes.
//!
//! libuv closes handles by and by, and an environment must not end before they are closed: hence an asynchronous clean-up
//! hook, which is there until the last of them is.

mod rounds;

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use napi::bindgen_prelude::{Function, check_status};
use napi::{Env, sys};
use ringline::driver::SendMemory;
use ringline_ring::{Alarm, Doorbell, Uring};

use crate::callback::Callback;
use crate::errors::Failure;
use crate::libuv::{self, EventLoop, Handle};
use crate::plan::Plan;
use crate::worker::{Ending, Sleeper, Worker};

thread_local! {
    /// The workers that this thread turns.
    static WORKERS: RefCell<Vec<InlineWorker>> = const { RefCell::new(Vec::new()) };
}

/// A worker on the thread of its environment. Clones are the same worker.
#[derive(Clone)]
pub(crate) struct InlineWorker(Rc<Inline>);

struct Inline {
    event_loop: EventLoop,
    callback: Callback,
    stage: RefCell<Stage>,
    /// How its thread waits for it.
    waiting: Cell<Waiting>,
    /// Whether the thread may wait in its ring: not where a submission thread completes at any time.
    may_dwell: bool,
    /// When the thread began to wait in its ring.
    dwelling_from: Cell<u64>,
    /// JavaScript has been called, so it sleeps and wakes by the rules from now on.
    called: Cell<bool>,
    /// None when the worker was stopped: JavaScript may keep it for long, and it holds no descriptor then.
    watched: RefCell<Option<Watched>>,
    /// Something has come since the alarm went off.
    worked: Cell<bool>,
    /// Nothing had come between two alarms.
    rested: Cell<bool>,
    /// [`PREPARE`], [`IDLE`], and one for each descriptor.
    handles: RefCell<Vec<Handle>>,
    /// Handles that have not closed.
    open_handles: Cell<usize>,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
}

/// The descriptors that libuv watches for the worker. They stay open until their handles were told to close.
struct Watched {
    /// Readable when something completes while the loop waits.
    bell: Doorbell,
    /// Readable when another thread has rung. The ring hears that too, but tells the bell of it only some time later: the
    /// kernel does not signal an eventfd while it signals another one.
    doorbell: Doorbell,
    /// Readable when a timer is due while the loop waits, or when the thread has waited in the ring for long.
    alarm: Alarm,
}

const PREPARE: usize = 0;
const IDLE: usize = 1;

/// How far the worker has come.
enum Stage {
    Running(Box<Worker<Uring, Wanted>>),
    /// It has ended by itself, and has not said so.
    Ending(Box<Ending<Uring, Wanted>>),
    Ended,
}

/// Where the thread waits when there is nothing to do; see [`rounds`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// In libuv, which watches the bell and the alarm.
    InLoop,
    /// In the ring, which watches libuv.
    InRing,
    /// In neither: the ring is giving its watch up.
    Changing,
}

/// Whether JavaScript is to be called.
#[derive(Default)]
struct Wanted(Cell<bool>);

impl Sleeper for Wanted {
    #[inline]
    fn ring(&self) {
        self.0.set(true);
    }
}

impl InlineWorker {
    /// Makes the worker on this thread, and has its loop turn it.
    ///
    /// # Errors
    ///
    /// When there is no loop of libuv's, the thread cannot be pinned, or the ring, its memory or descriptors cannot be had.
    /// Nothing is left then.
    pub(crate) fn start(
        env: &Env,
        plan: Plan,
        callback: &Function<'_, (), ()>,
    ) -> Result<(Self, Arc<SendMemory>), Failure> {
        let event_loop = EventLoop::of(env)?;
        let no_descriptor = |error| Failure::system(&error, "eventfd", None);
        let (bell, alarm) = (Doorbell::new().map_err(no_descriptor)?, Alarm::new().map_err(no_descriptor)?);
        let may_dwell = !plan.config.sqpoll;
        let mut worker = plan.make_worker(Wanted::default())?;
        let driver = worker.driver();
        driver.announce_by(&bell).map_err(|error| Failure::system(&error, "io_uring_register", None))?;
        driver.announce(true);
        let (send_memory, doorbell) = (Arc::clone(driver.send_memory()), driver.doorbell());
        let this = Self(Rc::new(Inline {
            event_loop,
            callback: Callback::new(env, callback)?,
            stage: RefCell::new(Stage::Running(Box::new(worker))),
            waiting: Cell::new(Waiting::InLoop),
            may_dwell,
            dwelling_from: Cell::new(0),
            called: Cell::new(false),
            watched: RefCell::new(Some(Watched { bell, doorbell, alarm })),
            worked: Cell::new(false),
            rested: Cell::new(false),
            handles: RefCell::default(),
            open_handles: Cell::new(0),
            hook: Cell::new(ptr::null_mut()),
        }));
        WORKERS.with_borrow_mut(|workers| workers.push(this.clone()));
        match this.join_loop(env) {
            Ok(()) => Ok((this, send_memory)),
            Err(failure) => {
                this.stop();
                Err(failure)
            }
        }
    }

    /// Makes the handles, and the hook that closes them.
    fn join_loop(&self, env: &Env) -> Result<(), Failure> {
        // This count is given back by the last handle that closes.
        let data = Rc::into_raw(Rc::clone(&self.0)).cast_mut().cast::<c_void>();
        let add = |handle| {
            self.0.handles.borrow_mut().push(handle);
            self.0.open_handles.set(self.0.open_handles.get() + 1);
        };
        let event_loop = self.0.event_loop;
        add(event_loop.prepare(before_wait, data));
        add(event_loop.idle(data));
        if let Some(Watched { bell, doorbell, alarm }) = &*self.0.watched.borrow() {
            add(event_loop.poll(bell.as_fd().as_raw_fd(), bell_rang, data)?);
            add(event_loop.poll(doorbell.as_fd().as_raw_fd(), doorbell_rang, data)?);
            add(event_loop.poll(alarm.as_fd().as_raw_fd(), alarm_went_off, data)?);
        }
        let mut hook = ptr::null_mut();
        // SAFETY: the hook runs on this thread, at most once, and not after it was removed, which the last handle that
        // closes does before it gives the count up that `data` stands for.
        check_status!(unsafe { sys::napi_add_async_cleanup_hook(env.raw(), Some(stop_at_end), data, &raw mut hook) })?;
        self.0.hook.set(hook);
        Ok(())
    }

    /// Keeps the environment alive while the worker runs.
    pub(crate) fn keep_alive(&self) {
        if !self.0.is_stopped() {
            self.0.handles.borrow()[PREPARE].keep_alive();
        }
    }

    /// Lets the environment end.
    pub(crate) fn unref(&self) {
        if !self.0.is_stopped() {
            self.0.handles.borrow()[PREPARE].unref();
        }
    }

    /// Hands to the kernel what JavaScript has asked for, before the loop would.
    pub(crate) fn submit(&self) {
        self.0.submit();
    }

    /// Ends the wait of the environment's event loop.
    pub(crate) fn wake_environment(&self) {
        if let Some(watched) = &*self.0.watched.borrow() {
            watched.doorbell.ring();
        }
    }

    /// Ends the worker at once. Nothing happens when that was done before.
    pub(crate) fn stop(&self) {
        let Some(watched) = self.0.watched.take() else { return };
        WORKERS.with_borrow_mut(|workers| workers.retain(|worker| !Rc::ptr_eq(&worker.0, &self.0)));
        for handle in &*self.0.handles.borrow() {
            handle.close(handle_closed);
        }
        // libuv watches none of them from here on, though it calls back later.
        drop(watched);
        if let Stage::Running(worker) = self.0.stage.replace(Stage::Ended) {
            // Whoever called cannot unwind: a panic on the way is caught there. Nobody is left to be told.
            drop(worker.end(Ok(Ok(()))));
        }
    }
}

impl Inline {
    fn is_stopped(&self) -> bool {
        self.watched.borrow().is_none()
    }
}

/// Has the workers of this thread read their messages. JavaScript is not called; it may be running.
pub(crate) fn turn_workers() {
    let workers = WORKERS.with_borrow(Clone::clone);
    workers.iter().for_each(|worker| worker.0.read_mail());
}

/// Whether this thread turns one worker only.
fn is_only_worker() -> bool {
    WORKERS.with_borrow(|workers| workers.len() == 1)
}

/// The worker of a handle.
///
/// # Safety
///
/// The handle is one of those that `join_loop` makes, and has not closed.
unsafe fn worker_of(handle: *mut c_void) -> Rc<Inline> {
    // SAFETY: an open handle has its share of the count that `join_loop` has given away. The count that is returned is one
    // more, so that the worker stays where it is when it is stopped meanwhile.
    unsafe {
        let inline = libuv::data(handle).cast_const().cast::<Inline>();
        Rc::increment_strong_count(inline);
        Rc::from_raw(inline)
    }
}

unsafe extern "C" fn before_wait(handle: *mut c_void) {
    // SAFETY: libuv calls this for a handle that is open.
    let inline = unsafe { worker_of(handle) };
    if inline.is_stopped() {
        return;
    }
    inline.set_busy(false);
    let may_wait = inline.turn();
    inline.set_busy(!may_wait);
}

unsafe extern "C" fn bell_rang(handle: *mut c_void, _status: c_int, _events: c_int) {
    // SAFETY: as above. What rang it is seen to before the loop waits again.
    let inline = unsafe { worker_of(handle) };
    if let Some(watched) = &*inline.watched.borrow() {
        watched.bell.quieten();
    }
}

unsafe extern "C" fn doorbell_rang(handle: *mut c_void, _status: c_int, _events: c_int) {
    // SAFETY: as above.
    let inline = unsafe { worker_of(handle) };
    if let Some(watched) = &*inline.watched.borrow() {
        watched.doorbell.quieten();
    }
    if let Stage::Running(worker) = &mut *inline.stage.borrow_mut() {
        worker.look_at_mail();
    }
}

unsafe extern "C" fn alarm_went_off(handle: *mut c_void, _status: c_int, _events: c_int) {
    // SAFETY: as above.
    let inline = unsafe { worker_of(handle) };
    if let Some(watched) = &mut *inline.watched.borrow_mut() {
        watched.alarm.quieten();
    }
    inline.rested.set(!inline.worked.replace(false));
}

unsafe extern "C" fn handle_closed(handle: *mut c_void) {
    // SAFETY: the handle has closed, but `join_loop`'s count is given up only below.
    let inline = unsafe { worker_of(handle) };
    inline.open_handles.set(inline.open_handles.get() - 1);
    if inline.open_handles.get() > 0 {
        return;
    }
    // SAFETY: on the environment's thread, which waits for the hook; no handle is left that could call the function.
    unsafe {
        inline.callback.release();
        if !inline.hook.get().is_null() {
            sys::napi_remove_async_cleanup_hook(inline.hook.get());
        }
        // SAFETY: the count of `join_loop`, which no open handle needs any more.
        Rc::decrement_strong_count(Rc::as_ptr(&inline));
    }
}

/// Ends the worker of an environment that is ending.
unsafe extern "C" fn stop_at_end(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: the count behind `data` is given up only after the hook was removed.
    let inline = unsafe {
        let inline = data.cast_const().cast::<Inline>();
        Rc::increment_strong_count(inline);
        Rc::from_raw(inline)
    };
    InlineWorker(inline).stop();
}
