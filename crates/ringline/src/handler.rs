//! What the user of the runtime writes, one instance per worker, and what its methods are given.

mod disk;
mod driver_ctx;

use std::future::Future;
use std::pin::Pin;

use crate::{ConnCtx, DirectIoCompletion, NvmeCompletion, UdpCtx};

pub use crate::driver::{ConnToken, UdpToken};
pub use driver_ctx::DriverCtx;

/// A worker's handler. Each worker has its own, made on its own thread, so nothing in it needs to be shared or locked.
///
/// A panic in any of its methods and tasks is reported by the panic hook; it closes the connection whose task panicked
/// and leaves everything else running.
///
/// ```
/// use std::future::Future;
///
/// use ringline::{AsyncEventHandler, ConnCtx, ParseResult};
///
/// struct Echo;
///
/// impl AsyncEventHandler for Echo {
///     fn create_for_worker(_worker: usize) -> Self {
///         Echo
///     }
///
///     fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
///         async move {
///             let echo = |data: &[u8]| match conn.send_nowait(data) {
///                 Ok(()) => ParseResult::Consumed(data.len()),
///                 Err(_) => ParseResult::NeedMore,
///             };
///             while conn.with_data(echo).await > 0 {}
///         }
///     }
/// }
/// ```
pub trait AsyncEventHandler: Sized + 'static {
    /// Makes the handler of worker `worker` (counted from 0), on that worker's thread, before it accepts.
    fn create_for_worker(worker: usize) -> Self;

    /// Serves one connection. The future runs as a task of its own; when it ends, the connection is closed after its
    /// queued sends.
    ///
    /// Connections that were accepted come here, and those that a handler method made with [`DriverCtx::connect`].
    fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static;

    /// Called once, before the loop; a future that it returns runs as a task. A panic makes the launch fail.
    fn on_start(&self) -> Option<Pin<Box<dyn Future<Output = ()> + 'static>>> {
        None
    }

    /// Called once per UDP socket, after `on_start`; a future that it returns runs as a task. A panic makes the launch fail.
    fn on_udp_bind(&self, udp: UdpCtx) -> Option<Pin<Box<dyn Future<Output = ()> + 'static>>> {
        let _ = udp;
        None
    }

    /// Called at the end of each iteration of the loop, and at least once per
    /// [`tick_timeout_us`](crate::Config::tick_timeout_us).
    ///
    /// The default asks for no further ticks, so that an idle worker whose handler has no use for them does not wake.
    fn on_tick(&mut self, ctx: &mut DriverCtx<'_>) {
        ctx.stop_ticks();
    }

    /// Called after [`ShutdownHandle::notify`](crate::ShutdownHandle::notify), once for any number of calls that came
    /// before the worker woke.
    fn on_notify(&mut self, ctx: &mut DriverCtx<'_>) {
        let _ = ctx;
    }

    /// Called when an operation on a file has ended that a handler method began through [`DriverCtx`].
    fn on_direct_io(&mut self, ctx: &mut DriverCtx<'_>, completion: DirectIoCompletion) {
        let _ = (ctx, completion);
    }

    /// Called when an NVMe command has ended that a handler method submitted through [`DriverCtx`].
    fn on_nvme(&mut self, ctx: &mut DriverCtx<'_>, completion: NvmeCompletion) {
        let _ = (ctx, completion);
    }
}
