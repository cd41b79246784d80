//! From a configuration to a driver on a real ring: what a worker's thread does first, whichever host it runs.

use ringline_ring::{RingSettings, SocketOptions, SubmissionPolling, Uring, pin_to_core};

use crate::driver::{DiskLimits, Driver, DriverSettings};
use crate::{Config, Error};

/// Who a driver works for, as far as it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// Tasks of this thread, which consume or copy what they receive within a turn.
    Tasks,
    /// JavaScript, which keeps what it was given for as long as it likes, and asks for the completions of sends when it
    /// waits for one.
    JavaScript,
    /// JavaScript that gives back what it was given when its handler returns.
    BorrowingJavaScript,
}

/// Binds the calling thread to its core if the configuration says so, and makes worker `index`'s ring and driver. The
/// configuration must be [valid](Config::validate).
///
/// # Errors
///
/// [`Error::PinFailed`], [`Error::RingSetup`], [`Error::ResourceLimit`],
/// [`Error::BufferRegistration`].
pub fn assemble(config: &Config, index: usize, host: HostKind) -> Result<Driver<Uring>, Error> {
    if config.worker.pin_to_core {
        pin_to_core(config.worker.core_offset.saturating_add(index)).map_err(Error::PinFailed)?;
    }
    let settings = settings(config, host);
    let sqpoll = SubmissionPolling { idle_ms: config.sqpoll_idle_ms, cpu: config.sqpoll_cpu };
    let kernel = Uring::new(&RingSettings {
        sqpoll: config.sqpoll.then_some(sqpoll),
        nvme: config.nvme.is_some(),
        ..RingSettings::new(config.sq_entries, settings.fixed_files())
    })?;
    let mut driver = Driver::new(kernel, settings).map_err(Error::BufferRegistration)?;
    driver.register_memory(&config.registered_regions).map_err(Error::BufferRegistration)?;
    Ok(driver)
}

/// Descriptors that workers open to start: rings, doorbells, sockets, and what a thread of JavaScript needs while it reads
/// its modules, with room to spare.
pub fn descriptors(config: &Config) -> u64 {
    const OF_A_WORKER: usize = 64;
    (config.workers() * (OF_A_WORKER + config.udp_bind.len())) as u64
}

fn settings(config: &Config, host: HostKind) -> DriverSettings {
    DriverSettings {
        max_connections: config.max_connections,
        udp_sockets_max: config.udp_bind.len() as u32,
        receive_entries: config.recv_buffer.ring_size,
        receive_buffer_size: config.recv_buffer.buffer_size,
        receive_group: config.recv_buffer.bgid,
        receive_for_keeps: host == HostKind::JavaScript,
        send_slots: config.send_copy_count,
        send_slot_size: config.send_copy_slot_size,
        guards_max: config.send_slab_slots,
        zero_copy_threshold: config.send_zc_threshold,
        // A chain must fit into the submission queue as a whole.
        chain_links_max: config.max_chain_length.min(config.sq_entries),
        sockets: SocketOptions { nodelay: config.tcp_nodelay, backlog: config.backlog, reuse_port: config.reuse_port },
        disk: disk_limits(config),
        flush_interval_ns: config.flush_interval_us.saturating_mul(1000),
    }
}

fn disk_limits(config: &Config) -> DiskLimits {
    let (files, nvme) = (config.direct_io.as_ref(), config.nvme.as_ref());
    DiskLimits {
        files_max: files.map_or(0, |files| files.max_files),
        file_operations_max: files.map_or(0, |files| files.max_commands_in_flight),
        devices_max: nvme.map_or(0, |nvme| nvme.max_devices),
        commands_max: nvme.map_or(0, |nvme| nvme.max_commands_in_flight),
        busy_poll_ns: files.map_or(0, |files| u64::from(files.busy_poll_us) * 1000),
    }
}
