//! A worker on a ring thread of its own, which wakes its environment through a threadsafe function.
//!
//! That function dies with its environment. A clean-up hook that is added after the function is made runs before the
//! function's own, so the thread is gone before its doorbell is.

use std::cell::RefCell;
use std::ffi::c_void;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use napi::bindgen_prelude::{Function, check_status};
use napi::{Env, sys};
use ringline::driver::SendMemory;

use crate::doorbell::JsDoorbell;
use crate::errors::Failure;
use crate::mailbox::Mailbox;
use crate::plan::Plan;
use crate::worker::Sleeper;

/// Stack of a ring thread. Its deepest frames are those of the driver; what is not touched costs nothing.
const STACK_BYTES: usize = 1 << 20;

/// A ring thread in its environment. Clones are the same thread.
#[derive(Clone)]
pub(crate) struct RingThread(Rc<RefCell<Option<Running>>>);

/// A ring thread that has not been joined.
struct Running {
    mailbox: Arc<Mailbox>,
    thread: JoinHandle<()>,
    doorbell: JsDoorbell,
}

impl RingThread {
    /// Starts the thread of a worker and waits until its ring stands.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started or pinned, or its ring or memory cannot be made. Nothing is left then.
    pub(crate) fn start(
        env: &Env,
        plan: Plan,
        callback: &Function<'_, (), ()>,
    ) -> Result<(Self, Arc<SendMemory>), Failure> {
        let worker = plan.worker();
        let mailbox = Arc::clone(&plan.mailbox);
        let doorbell = JsDoorbell::new(env, callback)?;
        let (ready, reply) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name(format!("ringline-{worker}"))
            .stack_size(STACK_BYTES)
            .spawn(move || live(plan, doorbell, &ready))
            .map_err(|error| {
                // SAFETY: no thread was started, so nobody else has the bell.
                unsafe { doorbell.release() };
                Failure::system(&error, "pthread_create", None)
            })?;
        let this = Self(Rc::new(RefCell::new(Some(Running { mailbox, thread, doorbell }))));
        let outcome = reply.recv().unwrap_or_else(|_| {
            let message = format!("the thread of worker {worker} panicked while it was being set up");
            Err(Failure::new("ERR_RINGLINE_WORKER_FAILED", message))
        });
        match outcome.and_then(|memory| this.add_hook(env).map(|()| memory)) {
            Ok(send_memory) => Ok((this, send_memory)),
            Err(failure) => {
                this.stop();
                Err(failure)
            }
        }
    }

    /// Keeps the environment alive while the worker runs.
    pub(crate) fn keep_alive(&self, env: &Env) {
        if let Some(running) = &*self.0.borrow() {
            running.doorbell.keep_alive(env);
        }
    }

    /// Lets the environment end.
    pub(crate) fn unref(&self, env: &Env) {
        if let Some(running) = &*self.0.borrow() {
            running.doorbell.unref(env);
        }
    }

    /// Has the environment's event loop look at the completion ring once more.
    pub(crate) fn wake_environment(&self) {
        if let Some(running) = &*self.0.borrow() {
            Sleeper::ring(&running.doorbell);
        }
    }

    /// Stops the thread and waits until it has ended. Nothing happens when that was done before.
    fn stop(&self) {
        let Some(Running { mailbox, thread, doorbell }) = self.0.borrow_mut().take() else { return };
        mailbox.stop();
        // A worker catches its panics itself; one that is met while joining changes nothing for the environment.
        let _ = thread.join();
        // SAFETY: on the environment's thread; the ring thread has ended, and `Running` is taken only once.
        unsafe { doorbell.release() };
    }

    /// As [`stop`](Self::stop), for good: the environment need not do it any more.
    pub(crate) fn detach(&self, env: &Env) {
        if self.0.borrow().is_none() {
            return;
        }
        self.stop();
        let data = Rc::as_ptr(&self.0).cast_mut().cast::<c_void>();
        // SAFETY: the hook was added with these two; it is removed once, as `Running` was there until now.
        let status = unsafe { sys::napi_remove_env_cleanup_hook(env.raw(), Some(stop_at_end), data) };
        if status == sys::Status::napi_ok {
            // SAFETY: the hook's own count, which it will not give back itself any more.
            unsafe { Rc::decrement_strong_count(data.cast::<RefCell<Option<Running>>>()) };
        }
    }

    fn add_hook(&self, env: &Env) -> Result<(), Failure> {
        let data = Rc::into_raw(Rc::clone(&self.0)).cast_mut().cast::<c_void>();
        // SAFETY: the hook runs on this thread, at most once, and gives the count back that `data` stands for.
        check_status!(unsafe { sys::napi_add_env_cleanup_hook(env.raw(), Some(stop_at_end), data) })?;
        Ok(())
    }
}

/// Stops and joins the ring thread of an environment that is ending.
unsafe extern "C" fn stop_at_end(data: *mut c_void) {
    // SAFETY: `add_hook` made the pointer of a count of its own, and the hook runs at most once.
    let thread = RingThread(unsafe { Rc::from_raw(data.cast::<RefCell<Option<Running>>>()) });
    thread.stop();
}

/// The whole life of a ring thread.
fn live(plan: Plan, doorbell: JsDoorbell, ready: &mpsc::SyncSender<Result<Arc<SendMemory>, Failure>>) {
    match plan.make_worker(doorbell) {
        Ok(mut worker) => {
            // Who waits for this joins the thread when it gives up.
            let _ = ready.send(Ok(Arc::clone(worker.driver().send_memory())));
            worker.run();
        }
        Err(failure) => {
            let _ = ready.send(Err(failure));
        }
    }
}

impl Sleeper for JsDoorbell {
    #[inline]
    fn ring(&self) {
        // SAFETY: the bell is released only after the ring thread, which alone has it as a sleeper, was joined, and after
        // `Running`, by which the environment's own thread rings it, was taken.
        unsafe { JsDoorbell::ring(*self) };
    }
}
