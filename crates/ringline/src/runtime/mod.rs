//! The async runtime of one worker: a single-threaded executor that is a host of the [driver](crate::driver).
//!
//! Everything a worker owns hangs off its [`Core`]. Tasks reach it through the thread they run on (`current.rs`); no
//! code of the user's ever runs while its state is borrowed.

mod accumulator;
mod arrivals;
mod combinators;
mod conn_ctx;
mod connect;
mod connection;
mod current;
mod datagrams;
mod deadline;
mod disk;
mod disk_futures;
mod events;
mod outcomes;
mod pipe;
mod ready;
mod receive;
mod receive_futures;
mod send;
mod send_chain;
mod send_parts;
mod sink;
mod sleeps;
mod tasks;
mod timers;
mod udp;
mod usage;
mod waiters;
mod waker;
mod worker;

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use ringline_ring::Uring;

use crate::driver::{ConnToken, Driver};
use crate::{Config, Error};

pub use combinators::{Either, Either3, Join, Join3, Select, Select3, join, join3, select, select3};
pub use conn_ctx::ConnCtx;
pub use connect::{ConnectFuture, connect, connect_with_timeout};
pub use datagrams::{UDP_QUEUE_BYTES_MAX, UDP_QUEUE_DATAGRAMS_MAX};
pub use deadline::Deadline;
pub use disk_futures::{DiskIoFuture, DiskSyncFuture, OpenDeviceFuture, OpenFileFuture};
pub use pipe::PipeFuture;
pub use receive::RECV_HIGH_WATER;
pub use receive_futures::{ParseResult, RecvReadyFuture, WithBytesFuture, WithDataFuture};
pub use send::SendFuture;
pub use send_chain::ChainBuilder;
pub use send_parts::{AsyncSendBuilder, MAX_GUARDS, MAX_IOVECS, SendBuilder, SendPart};
pub use tasks::{TaskId, spawn};
pub use timers::{
    SleepFuture, TimeoutFuture, sleep, sleep_until, timeout, timeout_at, try_sleep, try_sleep_until, try_timeout,
    try_timeout_at,
};
pub use udp::{UdpCtx, UdpRecvFuture};
pub use usage::{WorkerUsage, worker_metrics, worker_usage};

pub(crate) use conn_ctx::{NOT_SEND, NotSend};
pub(crate) use disk::{file_refused, nvme_refused};
pub(crate) use udp::send_to;
pub(crate) use worker::{Status, Worker};

use accumulator::Accumulators;
use arrivals::Arrivals;
use connect::Attempt;
use connection::Connections;
use datagrams::Datagrams;
use disk::Disk;
use pipe::Pipes;
use ready::Ready;
use send::SendPool;
use sleeps::Sleeps;
use tasks::Tasks;
use waiters::ForeignWakes;
use waker::RemoteWakes;

/// What the tasks of one worker reach through their thread.
pub(crate) struct Core {
    inner: RefCell<Inner>,
    /// Tasks to poll.
    ready: Rc<Ready>,
    remote: Arc<RemoteWakes>,
}

/// The driver and its host, side by side so that both can be borrowed at once.
pub(crate) struct Inner {
    driver: Driver<Uring>,
    host: AsyncHost,
}

/// The runtime's state beside the driver. As the driver's host it records what happens; see `events.rs`.
pub(crate) struct AsyncHost {
    connections: Connections,
    arrivals: Arrivals,
    accumulators: Accumulators,
    /// The slab of the chunk that was lent last.
    lending: u32,
    /// Most bytes that an accumulator may hold.
    accumulator_limit: usize,
    pool: SendPool,
    tasks: Tasks,
    ready: Rc<Ready>,
    remote: Arc<RemoteWakes>,
    sleeps: Sleeps,
    datagrams: Datagrams,
    /// Connects whose outcome nobody has taken yet.
    attempts: HashMap<ConnToken, Attempt>,
    /// Accepted sockets that no worker has been chosen for yet.
    incoming: Vec<OwnedFd>,
    /// Outbound connections that the handler asked for and that stand now.
    established: Vec<ConnToken>,
    disk: Disk,
    pipes: Pipes,
    foreign: ForeignWakes,
    /// The driver holds guards that are to be dropped.
    guards_released: bool,
    /// Another thread has rung.
    rung: bool,
    /// A task asked for the end of the runtime.
    shutdown_requested: bool,
    /// The worker is shutting down: nothing new begins.
    stopping: bool,
    max_connections: u32,
    guards_max: u32,
}

impl Core {
    fn new(driver: Driver<Uring>, config: &Config) -> Self {
        let (ready, remote) = (Rc::<Ready>::default(), RemoteWakes::new(&driver.doorbell()));
        let host = AsyncHost {
            connections: Connections::new(),
            arrivals: Arrivals::new(),
            accumulators: Accumulators::new(config.recv_accumulator_capacity),
            lending: u32::MAX,
            accumulator_limit: config.recv_accumulator_limit,
            pool: SendPool::new(config.send_copy_count),
            tasks: Tasks::new(Rc::clone(&ready), Arc::clone(&remote), config.standalone_task_capacity),
            ready: Rc::clone(&ready),
            remote: Arc::clone(&remote),
            sleeps: Sleeps::new(config.timer_slots),
            datagrams: Datagrams::default(),
            attempts: HashMap::new(),
            incoming: Vec::new(),
            established: Vec::new(),
            disk: Disk::new(),
            pipes: Pipes::default(),
            foreign: ForeignWakes::new(),
            guards_released: false,
            // Messages may have been posted before the doorbell was known.
            rung: true,
            shutdown_requested: false,
            stopping: false,
            max_connections: config.max_connections,
            guards_max: config.send_slab_slots,
        };
        Self { inner: RefCell::new(Inner { driver, host }), ready, remote }
    }

    fn remote_wakes(&self) -> &RemoteWakes {
        &self.remote
    }

    /// Runs `f` with the worker's state. It must not run code of the user's.
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut Inner) -> R) -> R {
        f(&mut self.inner.borrow_mut())
    }
}

/// Runs `f` with the state of the worker whose turn this thread is in; none outside of one.
#[inline]
pub(crate) fn with_worker<R>(f: impl FnOnce(&mut Inner) -> R) -> Option<R> {
    current::with(|core| core.with(f))
}

/// Asks for the orderly end of the whole runtime, as [`ShutdownHandle::shutdown`](crate::ShutdownHandle::shutdown) does.
///
/// # Errors
///
/// [`Error::OutsideWorker`] when the calling thread is not in a worker's turn.
pub fn request_shutdown() -> Result<(), Error> {
    with_worker(|inner| inner.host.shutdown_requested = true).ok_or(Error::OutsideWorker)
}
