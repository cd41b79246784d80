//! Ring threads in JavaScript environments: started with one, stopped and joined before it ends.
//!
//! The doorbell of a ring thread is a threadsafe function, which dies with its environment. A clean-up hook that is
//! added after the function is made runs before the function's own, so the thread is gone before its doorbell is.

use std::cell::RefCell;
use std::ffi::c_void;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use napi::bindgen_prelude::{Function, check_status};
use napi::{Env, sys};
use ringline::Config;
use ringline::assembly::{HostKind, assemble};
use ringline::cluster::Member;
use ringline::driver::{Driver, SendMemory};
use ringline_ring::Uring;

use crate::AttachOptions;
use crate::doorbell::JsDoorbell;
use crate::errors::Failure;
use crate::mailbox::Mailbox;
use crate::registry::Registered;
use crate::shared_memory::SharedMemory;
use crate::slabs::OfferedSlabs;
use crate::worker::{Sleeper, Wishes, Worker};

/// Stack of a ring thread. Its deepest frames are those of the driver; what is not touched costs nothing.
const STACK_BYTES: usize = 1 << 20;

/// What the thread of an environment shares with a ring thread that it has started.
pub(crate) struct Started {
    pub(crate) memory: Arc<SharedMemory>,
    pub(crate) send_memory: Arc<SendMemory>,
    pub(crate) offers: OfferedSlabs,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) attachment: Attachment,
}

/// A ring thread in its environment. Clones are the same thread.
#[derive(Clone)]
pub(crate) struct Attachment(Rc<RefCell<Option<Running>>>);

/// A ring thread that has not been joined.
struct Running {
    mailbox: Arc<Mailbox>,
    thread: JoinHandle<()>,
    doorbell: JsDoorbell,
}

/// Starts the ring thread of a worker in this environment and waits until its ring stands.
///
/// # Errors
///
/// When the worker cannot be had, its thread cannot be started or pinned, or its ring or memory cannot be made. Nothing
/// is left then.
pub(crate) fn attach(
    env: &Env,
    cluster: &Registered,
    worker: u32,
    options: &AttachOptions,
    callback: &Function<'_, (), ()>,
) -> Result<Started, Failure> {
    let member = cluster.enter(worker)?;
    let config = &cluster.config;
    let memory = SharedMemory::new(config.send_copy_count, config.max_connections + config.udp_bind.len() as u32)
        .map_err(|error| Failure::system(&error, "mmap", None))?;
    let offers = OfferedSlabs::default();
    let mailbox = Arc::<Mailbox>::default();
    let doorbell = JsDoorbell::new(env, callback)?;
    let plan = Plan {
        config: config.clone(),
        member,
        wishes: Wishes {
            tick_ns: if options.tick { config.tick_timeout_us.saturating_mul(1000) } else { 0 },
            borrows: options.borrows,
        },
        memory: Arc::clone(&memory),
        offers: offers.clone(),
        mailbox: Arc::clone(&mailbox),
        doorbell,
    };
    let (ready, reply) = mpsc::sync_channel(1);
    let thread = thread::Builder::new()
        .name(format!("ringline-{worker}"))
        .stack_size(STACK_BYTES)
        .spawn(move || plan.carry_out(&ready))
        .map_err(|error| {
            // SAFETY: no thread was started, so nobody else has the bell.
            unsafe { doorbell.release() };
            Failure::system(&error, "pthread_create", None)
        })?;
    let attachment =
        Attachment(Rc::new(RefCell::new(Some(Running { mailbox: Arc::clone(&mailbox), thread, doorbell }))));
    let outcome = reply.recv().unwrap_or_else(|_| {
        let message = format!("the thread of worker {worker} panicked while it was being set up");
        Err(Failure::new("ERR_RINGLINE_WORKER_FAILED", message))
    });
    let send_memory = match outcome.and_then(|memory| attachment.add_hook(env).map(|()| memory)) {
        Ok(send_memory) => send_memory,
        Err(failure) => {
            attachment.stop();
            return Err(failure);
        }
    };
    cluster.ready(worker);
    Ok(Started { memory, send_memory, offers, mailbox, attachment })
}

impl Attachment {
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
    let attachment = Attachment(unsafe { Rc::from_raw(data.cast::<RefCell<Option<Running>>>()) });
    attachment.stop();
}

/// What a ring thread is started with.
struct Plan {
    config: Config,
    member: Member<OwnedFd>,
    wishes: Wishes,
    memory: Arc<SharedMemory>,
    offers: OfferedSlabs,
    mailbox: Arc<Mailbox>,
    doorbell: JsDoorbell,
}

impl Plan {
    /// The whole life of a ring thread.
    fn carry_out(self, ready: &mpsc::SyncSender<Result<Arc<SendMemory>, Failure>>) {
        let driver = match self.make_driver() {
            Ok(driver) => driver,
            Err(failure) => {
                let _ = ready.send(Err(failure));
                return;
            }
        };
        let Self { mut member, mailbox, doorbell, .. } = self;
        mailbox.open(driver.doorbell());
        member.reachable_by(driver.doorbell());
        member.ready();
        let send_memory = Arc::clone(driver.send_memory());
        let worker = Worker::new(driver, self.memory, self.offers, mailbox, member, doorbell, self.wishes);
        // Who waits for this joins the thread when it gives up.
        let _ = ready.send(Ok(send_memory));
        worker.run();
    }

    /// The driver, with its UDP sockets.
    fn make_driver(&self) -> Result<Driver<Uring>, Failure> {
        let host = if self.wishes.borrows { HostKind::BorrowingJavaScript } else { HostKind::JavaScript };
        let mut driver = assemble(&self.config, self.member.index(), host)?;
        for &address in &self.config.udp_bind {
            driver.bind_udp(address).map_err(|error| Failure::system(&error, "bind", Some(address)))?;
        }
        Ok(driver)
    }
}

impl Sleeper for JsDoorbell {
    #[inline]
    fn ring(&self) {
        // SAFETY: the bell is released only after the ring thread, which alone has it as a sleeper, was joined.
        unsafe { JsDoorbell::ring(*self) };
    }
}
