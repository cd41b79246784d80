//! How workers are set up: the fields, their defaults and what values are legal.
//!
//! A [`Config`] can be changed field by field, so it is validated twice: by [`ConfigBuilder::build`] and again at launch.

mod builder;

use std::net::SocketAddr;

use ringline_ring::{SLOT_MAX, available_cores};

use crate::driver::CHAIN_LINKS_MAX;
use crate::{DirectIoConfig, Error, MemoryRegion, NvmeConfig};

pub use builder::ConfigBuilder;

/// Most workers.
pub const THREADS_MAX: usize = 1024;
/// Most buffers of a provided-buffer ring; the kernel's bound.
pub const RECV_RING_SIZE_MAX: u16 = 32_768;
/// Most submission queue entries; the kernel's bound.
pub const SQ_ENTRIES_MAX: u32 = 32_768;
/// Most bytes of a provided buffer, and of a send slot.
pub const BUFFER_SIZE_MAX: u32 = 1 << 30;
/// Most UDP sockets of a worker.
pub const UDP_SOCKETS_MAX: usize = 1024;
/// Most registered regions; the kernel's bound.
pub const REGIONS_MAX: usize = 16_384;
/// Most bytes of a registered region; the kernel's bound.
pub const REGION_BYTES_MAX: usize = 1 << 30;
/// Most sleeps and timeouts of a worker.
pub const TIMER_SLOTS_MAX: u32 = 65_535;

/// Most files, devices and disk operations of a worker.
const DISK_LIMIT_MAX: u32 = 65_536;

/// Longest time to wait awake for a disk, in microseconds.
const BUSY_POLL_US_MAX: u32 = 10_000;

/// The provided buffers that a worker's connections receive into.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecvBufferConfig {
    /// Number of buffers. A power of two, at most 32,768. Default 256.
    pub ring_size: u16,
    /// Bytes of a buffer. More than 0. Default 16,384. Where the kernel fills buffers piece by piece, it is given fewer
    /// and larger ones of the same total size.
    pub buffer_size: u32,
    /// Buffer group identifier. Default 0.
    pub bgid: u16,
}

impl Default for RecvBufferConfig {
    fn default() -> Self {
        Self { ring_size: 256, buffer_size: 16_384, bgid: 0 }
    }
}

/// The worker threads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerConfig {
    /// Number of workers, each with its own thread, ring and handler. 0 means one per core that the process may run
    /// on. At most 1024. Default 0.
    pub threads: usize,
    /// Bind worker `i` to core `core_offset + i`; a core that cannot be had is a launch error. Default true.
    pub pin_to_core: bool,
    /// The core of worker 0. Default 0.
    pub core_offset: usize,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self { threads: 0, pin_to_core: true, core_offset: 0 }
    }
}

/// How a runtime is set up. [`Config::default`] is valid; [`ConfigBuilder`] sets fields by name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Submission queue entries. A power of two, at most 32,768; the completion queue is four times as large.
    /// Default 256.
    pub sq_entries: u32,
    /// Let a kernel thread take submissions (SQPOLL). It costs a core. Default false.
    pub sqpoll: bool,
    /// Milliseconds without submissions after which that thread sleeps. Default 1000.
    pub sqpoll_idle_ms: u32,
    /// The core that thread is bound to, if any. Default none.
    pub sqpoll_cpu: Option<u32>,
    /// The provided buffers.
    pub recv_buffer: RecvBufferConfig,
    /// The workers.
    pub worker: WorkerConfig,
    /// Listen backlog, in connections. 1 to 2³¹ − 1. Default 1024.
    pub backlog: u32,
    /// Connections per worker, inbound and outbound together. 1 to 2²⁴ − 1. Memory is taken as slots are first used.
    /// Default 16,000.
    pub max_connections: u32,
    /// Bytes a connection's accumulator starts with. It exists only while bytes are buffered. Default 4096.
    pub recv_accumulator_capacity: usize,
    /// Bytes that may be buffered for a handler that keeps answering [`NeedMore`](crate::ParseResult::NeedMore); beyond
    /// it the connection is closed with an error. More than 0. Default 128 MiB.
    pub recv_accumulator_limit: usize,
    /// Slots of the send copy pool of a worker. More than 0. Default 1024.
    pub send_copy_count: u32,
    /// Bytes of a send slot. More than 0. Default 16,384.
    pub send_copy_slot_size: u32,
    /// Guards of zero-copy sends that may be queued or in flight on a worker. More than 0. Default 512.
    pub send_slab_slots: u32,
    /// A guard of fewer bytes is copied by the kernel, because zero-copy does not pay for small payloads; 0 = always
    /// zero-copy. Default 4096.
    pub send_zc_threshold: u32,
    /// Memory that every worker registers with the kernel; a [`RegionId`](crate::RegionId) is a position here. At most
    /// 16,384 regions. Default none.
    pub registered_regions: Vec<MemoryRegion>,
    /// While a large batch of completions is processed, submit what is pending at least this often, in microseconds;
    /// 0 = only after the batch. Default 100.
    pub flush_interval_us: u64,
    /// Longest time without [`on_tick`](crate::AsyncEventHandler::on_tick), in microseconds; 0 = ticks come only when
    /// something happened. A handler without `on_tick` is never woken for it. Default 1000.
    pub tick_timeout_us: u64,
    /// Set TCP_NODELAY on accepted and outbound sockets. Default true.
    pub tcp_nodelay: bool,
    /// Every worker listens with its own SO_REUSEPORT socket, and the kernel chooses the worker of a connection by a hash of
    /// its addresses: less balanced than the round-robin of the default, but no connection changes its worker. Default
    /// false.
    pub reuse_port: bool,
    /// Addresses that every worker binds a UDP socket of its own to, with SO_REUSEPORT. At most 1024. Default none.
    pub udp_bind: Vec<SocketAddr>,
    /// Submissions of a [chain](crate::ConnCtx::send_chain) of sends. 0 to 64, and never more than `sq_entries`; 0 disables
    /// chains. Default 16.
    pub max_chain_length: u32,
    /// Tasks that [`spawn`](crate::spawn) may have running on a worker. More than 0. Default 256.
    pub standalone_task_capacity: usize,
    /// Sleeps and timeouts that may be armed on a worker at a time. 1 to 65,535. Default 256.
    pub timer_slots: u32,
    /// Files past the page cache, if wanted. Default none.
    pub direct_io: Option<DirectIoConfig>,
    /// NVMe commands, if wanted. They make the entries of a worker's ring twice as large. Default none.
    pub nvme: Option<NvmeConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sq_entries: 256,
            sqpoll: false,
            sqpoll_idle_ms: 1000,
            sqpoll_cpu: None,
            recv_buffer: RecvBufferConfig::default(),
            worker: WorkerConfig::default(),
            backlog: 1024,
            max_connections: 16_000,
            recv_accumulator_capacity: 4096,
            recv_accumulator_limit: 128 << 20,
            send_copy_count: 1024,
            send_copy_slot_size: 16_384,
            send_slab_slots: 512,
            send_zc_threshold: 4096,
            registered_regions: Vec::new(),
            flush_interval_us: 100,
            tick_timeout_us: 1000,
            tcp_nodelay: true,
            reuse_port: false,
            udp_bind: Vec::new(),
            max_chain_length: 16,
            standalone_task_capacity: 256,
            timer_slots: 256,
            direct_io: None,
            nvme: None,
        }
    }
}

impl Config {
    /// A builder with the defaults.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::new()
    }

    /// The number of workers: `worker.threads`, or one per core that the process may run on.
    pub fn workers(&self) -> usize {
        match self.worker.threads {
            0 => available_cores().len().max(1),
            threads => threads,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] for the first field whose value is not possible.
    pub fn validate(&self) -> Result<(), Error> {
        self.validate_ring()?;
        self.validate_memory()?;
        self.validate_disk()?;
        let threads = self.worker.threads;
        check(threads <= THREADS_MAX, "worker.threads", threads, "between 0 and 1024")?;
        check(
            (1..=i32::MAX as u32).contains(&self.backlog),
            "backlog",
            self.backlog,
            "between 1 and 2147483647 (2^31 - 1)",
        )?;
        check(
            (1..=SLOT_MAX).contains(&self.max_connections),
            "max_connections",
            self.max_connections,
            "between 1 and 16777215 (2^24 - 1)",
        )?;
        let addresses = self.udp_bind.len();
        check(addresses <= UDP_SOCKETS_MAX, "udp_bind", format!("{addresses} addresses"), "at most 1024 addresses")?;
        check(
            self.max_chain_length as usize <= CHAIN_LINKS_MAX,
            "max_chain_length",
            self.max_chain_length,
            "between 0 and 64",
        )?;
        check(
            self.standalone_task_capacity > 0,
            "standalone_task_capacity",
            self.standalone_task_capacity,
            "greater than 0",
        )?;
        check((1..=TIMER_SLOTS_MAX).contains(&self.timer_slots), "timer_slots", self.timer_slots, "between 1 and 65535")
    }

    fn validate_disk(&self) -> Result<(), Error> {
        let legal = "between 1 and 65536";
        let within = |field, value: u32| check((1..=DISK_LIMIT_MAX).contains(&value), field, value, legal);
        if let Some(files) = &self.direct_io {
            within("direct_io.max_files", files.max_files)?;
            within("direct_io.max_commands_in_flight", files.max_commands_in_flight)?;
            let busy = files.busy_poll_us;
            check(busy <= BUSY_POLL_US_MAX, "direct_io.busy_poll_us", busy, "between 0 and 10000")?;
        }
        if let Some(devices) = &self.nvme {
            within("nvme.max_devices", devices.max_devices)?;
            within("nvme.max_commands_in_flight", devices.max_commands_in_flight)?;
        }
        Ok(())
    }

    fn validate_ring(&self) -> Result<(), Error> {
        let entries = self.sq_entries;
        check(
            entries.is_power_of_two() && entries <= SQ_ENTRIES_MAX,
            "sq_entries",
            entries,
            "a power of two between 1 and 32768",
        )?;
        check(
            !self.sqpoll || self.sqpoll_idle_ms > 0,
            "sqpoll_idle_ms",
            self.sqpoll_idle_ms,
            "greater than 0 when sqpoll is on",
        )?;
        if let Some(cpu) = self.sqpoll_cpu {
            check(self.sqpoll, "sqpoll_cpu", cpu, "none unless sqpoll is on")?;
        }
        Ok(())
    }

    fn validate_memory(&self) -> Result<(), Error> {
        let RecvBufferConfig { ring_size, buffer_size, .. } = self.recv_buffer;
        check(
            ring_size.is_power_of_two() && ring_size <= RECV_RING_SIZE_MAX,
            "recv_buffer.ring_size",
            ring_size,
            "a power of two between 1 and 32768",
        )?;
        check(
            (1..=BUFFER_SIZE_MAX).contains(&buffer_size),
            "recv_buffer.buffer_size",
            buffer_size,
            "between 1 and 1073741824 (1 GiB)",
        )?;
        check(
            self.recv_accumulator_capacity <= self.recv_accumulator_limit,
            "recv_accumulator_capacity",
            self.recv_accumulator_capacity,
            "at most recv_accumulator_limit",
        )?;
        check(
            self.recv_accumulator_limit > 0,
            "recv_accumulator_limit",
            self.recv_accumulator_limit,
            "greater than 0",
        )?;
        let slots = self.send_copy_count;
        check(slots > 0 && slots < u32::MAX, "send_copy_count", slots, "between 1 and 4294967294 (2^32 - 2)")?;
        check(
            (1..=BUFFER_SIZE_MAX).contains(&self.send_copy_slot_size),
            "send_copy_slot_size",
            self.send_copy_slot_size,
            "between 1 and 1073741824 (1 GiB)",
        )?;
        check(self.send_slab_slots > 0, "send_slab_slots", self.send_slab_slots, "greater than 0")?;
        let regions = self.registered_regions.len();
        check(regions <= REGIONS_MAX, "registered_regions", format!("{regions} regions"), "at most 16384 regions")?;
        for region in &self.registered_regions {
            let len = region.len();
            let legal = (1..=REGION_BYTES_MAX).contains(&len);
            check(legal, "registered_regions", format!("{len} bytes"), "between 1 and 1073741824 bytes (1 GiB) each")?;
        }
        Ok(())
    }
}

fn check(holds: bool, field: &'static str, value: impl ToString, legal: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::InvalidConfig { field, value: value.to_string(), legal }) }
}
