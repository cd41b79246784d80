//! Thread-per-core io_uring runtime for Linux: one ring, one single-threaded executor and one handler per worker.
//!
//! ```no_run
//! use ringline::{AsyncEventHandler, Config, ConnCtx, Error, ParseResult, RinglineBuilder};
//!
//! struct Echo;
//!
//! impl AsyncEventHandler for Echo {
//!     fn create_for_worker(_worker: usize) -> Self {
//!         Echo
//!     }
//!
//!     fn on_accept(&self, conn: ConnCtx) -> impl Future<Output = ()> + 'static {
//!         async move {
//!             while conn.with_data(|data| {
//!                 conn.send_nowait(data).ok();
//!                 ParseResult::Consumed(data.len())
//!             }).await > 0 {}
//!         }
//!     }
//! }
//!
//! fn main() -> Result<(), Error> {
//!     let address = "127.0.0.1:7878".parse().unwrap();
//!     let (_shutdown, workers) = RinglineBuilder::new(Config::default()).bind(address).launch::<Echo>()?;
//!     for worker in workers {
//!         worker.join().unwrap()?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # The way of a message
//!
//! ```text
//!            ┌──────────────────────── one worker, one thread ────────────────────────┐
//!  peer ───► │ kernel ──► provided buffer ──► completion ──► driver ──► task is ready  │
//!            │            (a chunk of a slab)                              │           │
//!            │                   ▲                                         ▼           │
//!            │                   │                     with_data(|bytes| …) in place   │
//!            │        given back before the wait       what is left over is copied     │
//!            │                                         to the connection's accumulator │
//!            │                                                             │           │
//!  peer ◄─── │ kernel ◄── one gathered send per turn ◄── send slots ◄── send(bytes)    │
//!            └─────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Per message there is no allocation, no lock and no atomic read-modify-write: a worker's state belongs to its thread,
//! and other threads reach it only through its mailbox and doorbell ([`cluster`]).
//!
//! # The two halves
//!
//! [`driver`] is the event loop and the state of connections, as plain code that knows no tasks. The async API of this
//! page is one host of it; the bridge to JavaScript is another.

pub mod assembly;
pub mod cluster;
pub mod config;
pub mod direct_io;
pub mod driver;
pub mod error;
pub mod guard;
pub mod handler;
mod launch;
pub mod nvme;
mod region;
mod runtime;

pub use config::{Config, ConfigBuilder, RecvBufferConfig, WorkerConfig};
pub use direct_io::{
    AlignedBuffer, DirectIoCompletion, DirectIoConfig, DirectIoFile, DirectIoOp, DirectIoOptions, direct_io_fsync,
    direct_io_read, direct_io_write, open_direct_io_file, open_direct_io_file_with,
};
pub use error::{Elapsed, Error, TimerExhausted, UdpSendError};
pub use guard::{GuardBox, RegionId, SendGuard};
pub use handler::{AsyncEventHandler, ConnToken, DriverCtx, UdpToken};
pub use launch::{RinglineBuilder, ShutdownHandle, WorkerHandle};
pub use nvme::{
    NvmeCompletion, NvmeConfig, NvmeDevice, NvmeOp, NvmeStatus, nvme_flush, nvme_read, nvme_write, open_nvme_device,
};
pub use region::{MemoryRegion, RegionGuard};
pub use runtime::{
    AsyncSendBuilder, ChainBuilder, ConnCtx, ConnectFuture, Deadline, DiskIoFuture, DiskSyncFuture, Either, Either3,
    Join, Join3, MAX_GUARDS, MAX_IOVECS, OpenDeviceFuture, OpenFileFuture, ParseResult, PipeFuture, RECV_HIGH_WATER,
    RecvReadyFuture, Select, Select3, SendBuilder, SendFuture, SendPart, SleepFuture, TaskId, TimeoutFuture,
    UDP_QUEUE_BYTES_MAX, UDP_QUEUE_DATAGRAMS_MAX, UdpCtx, UdpRecvFuture, WithBytesFuture, WithDataFuture, WorkerUsage,
    connect, connect_with_timeout, join, join3, request_shutdown, select, select3, sleep, sleep_until, spawn, timeout,
    timeout_at, try_sleep, try_sleep_until, try_timeout, try_timeout_at, worker_metrics, worker_usage,
};
