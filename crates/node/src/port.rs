//! The port of a worker: what JavaScript holds of it. The fields are made once; the methods are for what is rare.

use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::{ArrayBuffer, ClassInstance, JavaScriptClassExt, Uint8Array};
use napi::{Env, Result};
use napi_derive::napi;

use crate::environment::{Attachment, Started};
use crate::errors::Failure;
use crate::mailbox::{Letter, Mailbox};
use crate::metrics::WorkerMetrics;
use crate::shared_memory::{Part, SharedMemory};
use crate::slabs::{NotOffered, OfferedSlabs};
use crate::{addresses, external_memory, wake_function};

/// A worker that was attached to this environment. Beside the methods here, the object has `ring()`, which wakes the
/// worker, and the shared memory in its fields.
#[napi]
pub struct Port {
    pub(crate) mailbox: Arc<Mailbox>,
    memory: Arc<SharedMemory>,
    offers: OfferedSlabs,
    pub(crate) attachment: Attachment,
}

impl Port {
    /// The JavaScript object of a worker that has started, with its memory as ArrayBuffers.
    pub(crate) fn create<'env>(env: &'env Env, started: &Started) -> Result<ClassInstance<'env, Self>> {
        let Started { memory, send_memory, offers, mailbox, attachment } = started;
        let (mailbox, offers, attachment) = (Arc::clone(mailbox), offers.clone(), attachment.clone());
        let instance = Self { mailbox, memory: Arc::clone(memory), offers, attachment }.into_instance(env)?;
        let mut object = instance.as_object(env);
        object.set("ring", wake_function::create(env, Arc::clone(&started.mailbox))?)?;
        for (name, part) in [
            ("control", Part::Control),
            ("completions", Part::Completions),
            ("submissions", Part::Submissions),
            ("freeSlots", Part::FreeSlots),
            ("sentBytes", Part::SentBytes),
        ] {
            let (address, len) = memory.part(part);
            // SAFETY: the mapping lives as long as the owner handed over; each part is wrapped once, and they share no
            // byte.
            let buffer = unsafe { external_memory::array_buffer(env, address, len, Arc::clone(memory)) };
            object.set(name, buffer.map_err(|failure| failure.into_js(env))?)?;
        }
        let region = send_memory.region();
        // SAFETY: as above; the send memory is a mapping of its own.
        let buffer =
            unsafe { external_memory::array_buffer(env, region.as_ptr(), region.len(), Arc::clone(send_memory)) };
        object.set("sendMemory", buffer.map_err(|failure| failure.into_js(env))?)?;
        object.set("sendSlots", send_memory.slots())?;
        object.set("sendSlotSize", send_memory.slot_size())?;
        object.set("sendSlotStride", send_memory.slot_stride() as u32)?;
        Ok(instance)
    }
}

#[napi]
impl Port {
    /// The memory of a slab that an unread record names, as an ArrayBuffer. It can be had once, until the slab is
    /// retired.
    #[napi]
    pub fn wrap_slab<'env>(&self, env: &'env Env, slab: u32) -> Result<ArrayBuffer<'env>> {
        let handle = self.offers.wrap(slab).map_err(|reason| not_offered(slab, reason).into_js(env))?;
        let (address, len) = (handle.address(), handle.capacity());
        // SAFETY: the handle keeps the slab, and a slab is wrapped once before it is used again.
        unsafe { external_memory::array_buffer(env, address, len, handle) }.map_err(|failure| {
            self.offers.unwrap(slab);
            failure.into_js(env)
        })
    }

    /// Which of its uses a slab is in that an unread record names. A SEND_CHUNK says it, so that it cannot mean the bytes
    /// of a later use.
    #[napi]
    pub fn slab_generation(&self, env: &Env, slab: u32) -> Result<u32> {
        self.offers.generation(slab).map_err(|reason| not_offered(slab, reason).into_js(env))
    }

    /// A copy of received bytes that an unread record names, for when the ArrayBuffer of their slab was given away.
    #[napi]
    pub fn copy_slab(&self, env: &Env, slab: u32, offset: u32, length: u32) -> Result<Uint8Array> {
        let handle = self.offers.read(slab, offset, length);
        let handle = handle.map_err(|reason| not_offered(slab, reason).into_js(env))?;
        // SAFETY: the range lies in the slab, which the handle keeps. Bytes that were received are not written again;
        // a range that was not received is a mistake of the caller's, who gets whatever is there.
        let bytes = unsafe { std::slice::from_raw_parts(handle.address().add(offset as usize), length as usize) };
        Ok(Uint8Array::from(bytes))
    }

    /// Begins an outbound connection; CONNECTED or CONNECT_FAILED answers with `request`. A timeout of 0 means none.
    #[napi]
    pub fn connect(&self, env: &Env, request: u32, ip: String, port: f64, timeout_ms: f64) -> Result<()> {
        let peer = addresses::parse(&ip, port).map_err(|failure| failure.into_js(env))?;
        let timeout = timeout(timeout_ms).map_err(|failure| failure.into_js(env))?;
        self.mailbox.post(Letter::Connect { request, peer, timeout });
        Ok(())
    }

    /// Gives an outbound connection up, if it does not stand yet.
    #[napi]
    pub fn cancel_connect(&self, request: u32) {
        self.mailbox.post(Letter::CancelConnect { request });
    }

    /// Makes the worker answer with NOTIFY.
    #[napi]
    pub fn notify(&self) {
        self.mailbox.post(Letter::Notify);
    }

    /// What the worker has done, as it was when it last looked for something to tell.
    #[napi]
    pub fn metrics(&self) -> WorkerMetrics {
        self.memory.metrics.load()
    }

    /// Keeps the environment alive while the worker runs. At first it does not.
    #[napi(js_name = "ref")]
    pub fn keep_alive(&self, env: &Env) {
        self.attachment.keep_alive(env);
    }

    /// Lets the environment end although the worker runs.
    #[napi]
    pub fn unref(&self, env: &Env) {
        self.attachment.unref(env);
    }

    /// Ends the next wait of the environment's event loop: for what goes on there without keeping it alive.
    #[napi]
    pub fn wake_environment(&self) {
        self.attachment.wake_environment();
    }

    /// Stops the worker at once, and joins its thread if it has one. No record is written any more, STOPPED neither.
    #[napi]
    pub fn stop(&self, env: &Env) {
        self.attachment.detach(env);
    }
}

/// Milliseconds as JavaScript counts them, fractions allowed; 0 = none.
fn timeout(ms: f64) -> std::result::Result<Option<Duration>, Failure> {
    if ms == 0.0 {
        return Ok(None);
    }
    Duration::try_from_secs_f64(ms / 1000.0).map(Some).map_err(|_| {
        let message = format!("timeoutMs is {ms}, but must be a number of milliseconds, 0 for none");
        Failure::new("ERR_RINGLINE_INVALID_ARGUMENT", message)
    })
}

fn not_offered(slab: u32, reason: NotOffered) -> Failure {
    let message = match reason {
        NotOffered::Unknown => format!("slab {slab} is not named by any unread record"),
        NotOffered::Wrapped => format!("slab {slab} was wrapped before; keep its ArrayBuffer until it is retired"),
        NotOffered::OutOfRange => format!("the range does not lie in slab {slab}"),
    };
    Failure::new("ERR_RINGLINE_INVALID_SLAB", message)
}
