//! Workers in JavaScript environments: attached to one, on a thread of their own or on its own, and stopped before it ends.

use std::sync::Arc;
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::Function;
use ringline::driver::SendMemory;

use crate::AttachOptions;
use crate::errors::Failure;
use crate::inline::InlineWorker;
use crate::mailbox::Mailbox;
use crate::plan::Plan;
use crate::registry::Registered;
use crate::ring_thread::RingThread;
use crate::shared_memory::SharedMemory;
use crate::slabs::OfferedSlabs;
use crate::worker::Wishes;

/// What an environment shares with a worker that was attached to it.
pub(crate) struct Started {
    pub(crate) memory: Arc<SharedMemory>,
    pub(crate) send_memory: Arc<SendMemory>,
    pub(crate) offers: OfferedSlabs,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) attachment: Attachment,
}

/// A worker in its environment. Clones are the same worker.
#[derive(Clone)]
pub(crate) enum Attachment {
    /// It has a thread of its own.
    Thread(RingThread),
    /// The environment's thread turns it.
    Inline(InlineWorker),
}

/// Makes a worker in this environment; its ring stands when this returns.
///
/// # Errors
///
/// When the worker cannot be had, a thread cannot be started or pinned, or its ring or memory cannot be made; for inline
/// delivery also when the environment has no event loop of libuv's. Nothing is left then.
pub(crate) fn attach(
    env: &Env,
    cluster: &Registered,
    worker: u32,
    options: &AttachOptions,
    callback: &Function<'_, (), ()>,
) -> Result<Started, Failure> {
    let member = cluster.enter(worker)?;
    let mut config = cluster.config.clone();
    let memory = SharedMemory::new(config.send_copy_count, config.max_connections + config.udp_bind.len() as u32)
        .map_err(|error| Failure::system(&error, "mmap", None))?;
    let (offers, mailbox) = (OfferedSlabs::default(), Arc::<Mailbox>::default());
    // A thread that does other things as well is not ours to bind; whatever it starts later would be bound with it.
    config.worker.pin_to_core &= !options.inline || options.own_thread;
    let plan = Plan {
        wishes: Wishes {
            tick_ns: if options.tick { config.tick_timeout_us.saturating_mul(1000) } else { 0 },
            borrows: options.borrows,
            inline: options.inline,
            spin: Duration::from_micros(options.spin_us.into()),
        },
        config,
        member,
        memory: Arc::clone(&memory),
        offers: offers.clone(),
        mailbox: Arc::clone(&mailbox),
    };
    let (attachment, send_memory) = if options.inline {
        let (inline, send_memory) = InlineWorker::start(env, plan, callback)?;
        (Attachment::Inline(inline), send_memory)
    } else {
        let (thread, send_memory) = RingThread::start(env, plan, callback)?;
        (Attachment::Thread(thread), send_memory)
    };
    cluster.ready(worker);
    Ok(Started { memory, send_memory, offers, mailbox, attachment })
}

impl Attachment {
    /// Keeps the environment alive while the worker runs.
    pub(crate) fn keep_alive(&self, env: &Env) {
        match self {
            Self::Thread(thread) => thread.keep_alive(env),
            Self::Inline(inline) => inline.keep_alive(),
        }
    }

    /// Lets the environment end.
    pub(crate) fn unref(&self, env: &Env) {
        match self {
            Self::Thread(thread) => thread.unref(env),
            Self::Inline(inline) => inline.unref(),
        }
    }

    /// Ends the wait of the environment's event loop, without keeping it alive.
    pub(crate) fn wake_environment(&self) {
        match self {
            Self::Thread(thread) => thread.wake_environment(),
            Self::Inline(inline) => inline.wake_environment(),
        }
    }

    /// Hands to the kernel what JavaScript has asked for, if this thread does that; a ring thread does it by itself.
    pub(crate) fn submit(&self) {
        if let Self::Inline(inline) = self {
            inline.submit();
        }
    }

    /// Ends the worker at once. Nothing happens when that was done before.
    pub(crate) fn detach(&self, env: &Env) {
        match self {
            Self::Thread(thread) => thread.detach(env),
            Self::Inline(inline) => inline.stop(),
        }
    }
}
