//! What a worker has in use at the moment.

use super::with_worker;
use crate::Error;
use crate::driver::Metrics;

/// What a worker has in use: for dashboards, and for tests that nothing leaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerUsage {
    /// Connection slots, those of connections that are being made or closed included.
    pub connections: u32,
    /// Slots of the send copy pool.
    pub send_slots: u32,
    /// Guards that are queued, or whose memory the kernel may still read.
    pub guards: u32,
    /// Zero-copy sends whose notification has not come.
    pub zero_copy_sends: u32,
    /// Full receive buffers that somebody holds as `Bytes`.
    pub receive_buffers: usize,
    /// Datagrams that wait for a task.
    pub datagrams: usize,
    /// Armed sleeps and timeouts.
    pub timers: u32,
    /// Tasks started by [`spawn`](crate::spawn).
    pub spawned_tasks: usize,
    /// Connects whose outcome has not been taken.
    pub connects: usize,
}

/// What the worker whose turn the calling thread is in has in use.
///
/// # Errors
///
/// [`Error::OutsideWorker`] when the calling thread is not in a worker's turn.
pub fn worker_usage() -> Result<WorkerUsage, Error> {
    let usage = with_worker(|inner| {
        let super::Inner { driver, host } = inner;
        WorkerUsage {
            connections: driver.open_connections(),
            send_slots: driver.send_memory().slots() - host.pool.free(),
            guards: host.guards_max - driver.guards_left(),
            zero_copy_sends: driver.zero_copy_in_flight(),
            receive_buffers: driver.slabs_held(),
            datagrams: host.datagrams.waiting(),
            timers: host.sleeps.armed(),
            spawned_tasks: host.tasks.spawned(),
            connects: host.attempts.len(),
        }
    });
    usage.ok_or(Error::OutsideWorker)
}

/// What the worker whose turn the calling thread is in has done since it started.
///
/// # Errors
///
/// [`Error::OutsideWorker`] when the calling thread is not in a worker's turn.
pub fn worker_metrics() -> Result<Metrics, Error> {
    with_worker(|inner| inner.driver.metrics()).ok_or(Error::OutsideWorker)
}
