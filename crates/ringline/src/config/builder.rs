//! Setting the fields of a [`Config`] by name, in a chain.

use std::net::SocketAddr;

use super::{Config, RecvBufferConfig, WorkerConfig};
use crate::{DirectIoConfig, Error, MemoryRegion, NvmeConfig};

/// Builds a [`Config`]. What is not set keeps its default.
///
/// ```
/// use ringline::ConfigBuilder;
///
/// let config = ConfigBuilder::new().workers(2).pin_to_core(false).max_connections(50_000).build()?;
/// assert_eq!(config.worker.threads, 2);
/// # Ok::<(), ringline::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ConfigBuilder {
    config: Config,
}

/// One setter per plain field: name, type, the place it sets and its documentation.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($type:ty) => $($place:ident).+;)*) => {
        $($(#[$doc])* pub fn $name(mut self, value: $type) -> Self {
            self.config.$($place).+ = value;
            self
        })*
    };
}

impl ConfigBuilder {
    /// A builder with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// Sets [`Config::sq_entries`]; default 256.
        sq_entries(u32) => sq_entries;
        /// Sets [`Config::sqpoll`]; default false.
        sqpoll(bool) => sqpoll;
        /// Sets [`Config::sqpoll_idle_ms`]; default 1000 ms.
        sqpoll_idle_ms(u32) => sqpoll_idle_ms;
        /// Sets [`Config::sqpoll_cpu`]; default none.
        sqpoll_cpu(Option<u32>) => sqpoll_cpu;
        /// Sets [`Config::recv_buffer`] as a whole.
        recv_buffer(RecvBufferConfig) => recv_buffer;
        /// Sets [`RecvBufferConfig::ring_size`]; default 256 buffers.
        recv_ring_size(u16) => recv_buffer.ring_size;
        /// Sets [`RecvBufferConfig::buffer_size`]; default 16,384 bytes.
        recv_buffer_size(u32) => recv_buffer.buffer_size;
        /// Sets [`RecvBufferConfig::bgid`]; default 0.
        recv_bgid(u16) => recv_buffer.bgid;
        /// Sets [`Config::worker`] as a whole.
        worker(WorkerConfig) => worker;
        /// Sets [`WorkerConfig::threads`]; default 0: one worker per core.
        workers(usize) => worker.threads;
        /// Sets [`WorkerConfig::pin_to_core`]; default true.
        pin_to_core(bool) => worker.pin_to_core;
        /// Sets [`WorkerConfig::core_offset`]; default 0.
        core_offset(usize) => worker.core_offset;
        /// Sets [`Config::backlog`]; default 1024 connections.
        backlog(u32) => backlog;
        /// Sets [`Config::max_connections`]; default 16,000 per worker.
        max_connections(u32) => max_connections;
        /// Sets [`Config::recv_accumulator_capacity`]; default 4096 bytes.
        recv_accumulator_capacity(usize) => recv_accumulator_capacity;
        /// Sets [`Config::recv_accumulator_limit`]; default 128 MiB.
        recv_accumulator_limit(usize) => recv_accumulator_limit;
        /// Sets [`Config::send_copy_count`]; default 1024 slots.
        send_copy_count(u32) => send_copy_count;
        /// Sets [`Config::send_copy_slot_size`]; default 16,384 bytes.
        send_copy_slot_size(u32) => send_copy_slot_size;
        /// Sets [`Config::send_slab_slots`]; default 512 guards.
        send_slab_slots(u32) => send_slab_slots;
        /// Sets [`Config::send_zc_threshold`]; default 4096 bytes.
        send_zc_threshold(u32) => send_zc_threshold;
        /// Sets [`Config::registered_regions`]; default none.
        registered_regions(Vec<MemoryRegion>) => registered_regions;
        /// Sets [`Config::flush_interval_us`]; default 100 µs.
        flush_interval_us(u64) => flush_interval_us;
        /// Sets [`Config::tick_timeout_us`]; default 1000 µs.
        tick_timeout_us(u64) => tick_timeout_us;
        /// Sets [`Config::tcp_nodelay`]; default true.
        tcp_nodelay(bool) => tcp_nodelay;
        /// Sets [`Config::reuse_port`]; default false.
        reuse_port(bool) => reuse_port;
        /// Sets [`Config::udp_bind`]; default none.
        udp_bind(Vec<SocketAddr>) => udp_bind;
        /// Sets [`Config::max_chain_length`]; default 16 links.
        max_chain_length(u32) => max_chain_length;
        /// Sets [`Config::standalone_task_capacity`]; default 256 tasks.
        standalone_task_capacity(usize) => standalone_task_capacity;
        /// Sets [`Config::timer_slots`]; default 256 armed sleeps and timeouts.
        timer_slots(u32) => timer_slots;
        /// Sets [`Config::direct_io`]; default none.
        direct_io(Option<DirectIoConfig>) => direct_io;
        /// Sets [`Config::nvme`]; default none.
        nvme(Option<NvmeConfig>) => nvme;
    }

    /// Validates and yields the configuration.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] names the first field whose value is not possible, the value, and what would be.
    pub fn build(self) -> Result<Config, Error> {
        self.config.validate()?;
        Ok(self.config)
    }
}
