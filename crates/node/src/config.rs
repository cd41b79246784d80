//! The configuration as JavaScript passes it. Legal ranges are the runtime's business; this file only makes sure that
//! each value is what its field can hold, since a number of JavaScript may be anything.

use napi_derive::napi;
use ringline::{Config, ConfigBuilder, DirectIoConfig, NvmeConfig};

use crate::errors::Failure;
use crate::{Bind, addresses, memory};

/// The provided-buffer ring of each worker.
#[napi(object)]
pub struct NativeReceiveBuffers {
    /// Buffers: a power of two, at most 32,768.
    pub ring_size: Option<f64>,
    /// Bytes of each.
    pub buffer_size: Option<f64>,
    /// Buffer group identifier.
    pub bgid: Option<f64>,
}

/// The ring threads.
#[napi(object)]
pub struct NativeWorkers {
    /// How many; 0 = one per core.
    pub threads: Option<f64>,
    /// Whether worker i is bound to core `coreOffset + i`.
    pub pin_to_core: Option<bool>,
    /// The core of worker 0.
    pub core_offset: Option<f64>,
}

/// What direct I/O may take of a worker.
#[napi(object)]
pub struct NativeDirectIo {
    /// Files open at a time.
    pub max_files: Option<f64>,
    /// Operations in flight.
    pub max_commands_in_flight: Option<f64>,
    /// Microseconds to wait awake.
    pub busy_poll_us: Option<f64>,
}

/// What NVMe commands may take of a worker.
#[napi(object)]
pub struct NativeNvme {
    /// Devices open at a time.
    pub max_devices: Option<f64>,
    /// Commands in flight.
    pub max_commands_in_flight: Option<f64>,
}

/// The settings of a cluster. What is left out has the runtime's default.
#[napi(object)]
pub struct NativeConfig {
    /// Submission queue entries: a power of two.
    pub sq_entries: Option<f64>,
    /// Let a kernel thread take submissions.
    pub sqpoll: Option<bool>,
    /// Milliseconds after which that thread sleeps.
    pub sqpoll_idle_ms: Option<f64>,
    /// The core of that thread.
    pub sqpoll_cpu: Option<f64>,
    /// The provided-buffer ring.
    pub recv_buffer: Option<NativeReceiveBuffers>,
    /// The ring threads.
    pub worker: Option<NativeWorkers>,
    /// Listen backlog.
    pub backlog: Option<f64>,
    /// Connections per worker.
    pub max_connections: Option<f64>,
    /// Send slots per worker.
    pub send_copy_count: Option<f64>,
    /// Bytes of a send slot.
    pub send_copy_slot_size: Option<f64>,
    /// Microseconds after which pending submissions go out while a large batch is processed; 0 = after the batch.
    pub flush_interval_us: Option<f64>,
    /// Microseconds between ticks.
    pub tick_timeout_us: Option<f64>,
    /// Set TCP_NODELAY.
    pub tcp_nodelay: Option<bool>,
    /// Every worker listens with a socket of its own.
    pub reuse_port: Option<bool>,
    /// Links of a chain of sends; 0 = no chains.
    pub max_chain_length: Option<f64>,
    /// Addresses that every worker binds a UDP socket to; port 0 = one that is free, the same for all.
    pub udp_bind: Option<Vec<Bind>>,
    /// Timers that may be armed per worker.
    pub timer_slots: Option<f64>,
    /// Guarded sends in flight per worker.
    pub send_slab_slots: Option<f64>,
    /// Bytes below which a guarded send is copied.
    pub send_zc_threshold: Option<f64>,
    /// Identifiers of memory that every worker registers with the kernel.
    pub registered_regions: Option<Vec<u32>>,
    /// Direct I/O, if wanted.
    pub direct_io: Option<NativeDirectIo>,
    /// NVMe commands, if wanted.
    pub nvme: Option<NativeNvme>,
}

impl NativeConfig {
    /// The runtime's configuration.
    ///
    /// # Errors
    ///
    /// `ERR_RINGLINE_INVALID_CONFIG`, naming the field, the value and the legal range.
    pub(crate) fn read(&self) -> Result<Config, Failure> {
        let mut builder = self.read_storage(self.read_workers(self.read_buffers(ConfigBuilder::new())?)?)?;
        builder = set(builder, "sqEntries", self.sq_entries, ConfigBuilder::sq_entries)?;
        builder = set(builder, "sqpollIdleMs", self.sqpoll_idle_ms, ConfigBuilder::sqpoll_idle_ms)?;
        builder = set(builder, "sqpollCpu", self.sqpoll_cpu, |builder, cpu| builder.sqpoll_cpu(Some(cpu)))?;
        builder = set(builder, "backlog", self.backlog, ConfigBuilder::backlog)?;
        builder = set(builder, "maxConnections", self.max_connections, ConfigBuilder::max_connections)?;
        builder = set(builder, "sendCopyCount", self.send_copy_count, ConfigBuilder::send_copy_count)?;
        builder = set(builder, "sendCopySlotSize", self.send_copy_slot_size, ConfigBuilder::send_copy_slot_size)?;
        builder = set(builder, "flushIntervalUs", self.flush_interval_us, ConfigBuilder::flush_interval_us)?;
        builder = set(builder, "tickTimeoutUs", self.tick_timeout_us, ConfigBuilder::tick_timeout_us)?;
        builder = set(builder, "timerSlots", self.timer_slots, ConfigBuilder::timer_slots)?;
        builder = set(builder, "maxChainLength", self.max_chain_length, ConfigBuilder::max_chain_length)?;
        if let Some(reuse) = self.reuse_port {
            builder = builder.reuse_port(reuse);
        }
        if let Some(binds) = &self.udp_bind {
            let addresses = binds.iter().map(|bind| addresses::parse(&bind.ip, bind.port));
            builder = builder.udp_bind(addresses.collect::<Result<_, _>>()?);
        }
        if let Some(sqpoll) = self.sqpoll {
            builder = builder.sqpoll(sqpoll);
        }
        if let Some(nodelay) = self.tcp_nodelay {
            builder = builder.tcp_nodelay(nodelay);
        }
        builder.build().map_err(Failure::from)
    }

    fn read_buffers(&self, mut builder: ConfigBuilder) -> Result<ConfigBuilder, Failure> {
        let Some(buffers) = &self.recv_buffer else { return Ok(builder) };
        builder = set(builder, "recvBuffer.ringSize", buffers.ring_size, ConfigBuilder::recv_ring_size)?;
        builder = set(builder, "recvBuffer.bufferSize", buffers.buffer_size, ConfigBuilder::recv_buffer_size)?;
        set(builder, "recvBuffer.bgid", buffers.bgid, ConfigBuilder::recv_bgid)
    }

    fn read_storage(&self, mut builder: ConfigBuilder) -> Result<ConfigBuilder, Failure> {
        builder = set(builder, "sendSlabSlots", self.send_slab_slots, ConfigBuilder::send_slab_slots)?;
        builder = set(builder, "sendZcThreshold", self.send_zc_threshold, ConfigBuilder::send_zc_threshold)?;
        let regions = self.registered_regions.iter().flatten().map(|&id| {
            memory::find(id).map(|memory| memory.mapping()).ok_or_else(|| {
                let message = format!("registeredRegions names memory {id}, which does not exist any more");
                Failure::new("ERR_RINGLINE_INVALID_CONFIG", message)
            })
        });
        builder = builder.registered_regions(regions.collect::<Result<_, _>>()?);
        if let Some(files) = &self.direct_io {
            let mut limits = DirectIoConfig::new();
            limits = set(limits, "directIo.maxFiles", files.max_files, DirectIoConfig::max_files)?;
            let field = "directIo.maxCommandsInFlight";
            limits = set(limits, field, files.max_commands_in_flight, DirectIoConfig::max_commands_in_flight)?;
            limits = set(limits, "directIo.busyPollUs", files.busy_poll_us, DirectIoConfig::busy_poll_us)?;
            builder = builder.direct_io(Some(limits));
        }
        if let Some(devices) = &self.nvme {
            let mut limits = NvmeConfig::new();
            limits = set(limits, "nvme.maxDevices", devices.max_devices, NvmeConfig::max_devices)?;
            let field = "nvme.maxCommandsInFlight";
            limits = set(limits, field, devices.max_commands_in_flight, NvmeConfig::max_commands_in_flight)?;
            builder = builder.nvme(Some(limits));
        }
        Ok(builder)
    }

    fn read_workers(&self, mut builder: ConfigBuilder) -> Result<ConfigBuilder, Failure> {
        let Some(workers) = &self.worker else { return Ok(builder) };
        if let Some(pin) = workers.pin_to_core {
            builder = builder.pin_to_core(pin);
        }
        builder =
            set(builder, "worker.threads", workers.threads, |builder, threads: u32| builder.workers(threads as usize))?;
        set(builder, "worker.coreOffset", workers.core_offset, |builder, core: u32| builder.core_offset(core as usize))
    }
}

/// Integers that a field can hold.
trait Whole: TryFrom<u64> {
    const MAX: u64;
}

impl Whole for u16 {
    const MAX: u64 = Self::MAX as u64;
}

impl Whole for u32 {
    const MAX: u64 = Self::MAX as u64;
}

impl Whole for u64 {
    /// The largest integer that a number of JavaScript holds exactly.
    const MAX: u64 = (1 << 53) - 1;
}

/// Sets a field if it was given.
fn set<B, T: Whole>(builder: B, field: &str, value: Option<f64>, setter: impl FnOnce(B, T) -> B) -> Result<B, Failure> {
    let Some(value) = value else { return Ok(builder) };
    let whole = (value.fract() == 0.0 && (0.0..=T::MAX as f64).contains(&value)).then_some(value as u64);
    match whole.and_then(|whole| T::try_from(whole).ok()) {
        Some(whole) => Ok(setter(builder, whole)),
        None => {
            let message = format!("{field} is {value}, but must be an integer between 0 and {}", T::MAX);
            Err(Failure::new("ERR_RINGLINE_INVALID_CONFIG", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> NativeConfig {
        NativeConfig {
            sq_entries: None,
            sqpoll: None,
            sqpoll_idle_ms: None,
            sqpoll_cpu: None,
            recv_buffer: None,
            worker: None,
            backlog: None,
            max_connections: None,
            send_copy_count: None,
            send_copy_slot_size: None,
            flush_interval_us: None,
            tick_timeout_us: None,
            tcp_nodelay: None,
            reuse_port: None,
            max_chain_length: None,
            udp_bind: None,
            timer_slots: None,
            send_slab_slots: None,
            send_zc_threshold: None,
            registered_regions: None,
            direct_io: None,
            nvme: None,
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        assert_eq!(empty().read().unwrap(), Config::default());
    }

    #[test]
    fn values_reach_their_fields() {
        let workers = NativeWorkers { threads: Some(3.0), pin_to_core: Some(false), core_offset: Some(1.0) };
        let buffers = NativeReceiveBuffers { ring_size: Some(64.0), buffer_size: Some(4096.0), bgid: Some(7.0) };
        let config = NativeConfig {
            worker: Some(workers),
            recv_buffer: Some(buffers),
            max_connections: Some(10.0),
            tcp_nodelay: Some(false),
            ..empty()
        };
        let config = config.read().unwrap();
        assert_eq!((config.worker.threads, config.worker.pin_to_core, config.worker.core_offset), (3, false, 1));
        let buffers = &config.recv_buffer;
        assert_eq!((buffers.ring_size, buffers.buffer_size, buffers.bgid), (64, 4096, 7));
        assert_eq!((config.max_connections, config.tcp_nodelay), (10, false));
    }

    #[test]
    fn numbers_that_no_field_holds_are_refused_by_name() {
        for value in [-1.0, 0.5, f64::NAN, f64::INFINITY, 4_294_967_296.0] {
            let failure = NativeConfig { max_connections: Some(value), ..empty() }.read().unwrap_err();
            assert_eq!(failure.code(), "ERR_RINGLINE_INVALID_CONFIG");
            assert!(failure.message().starts_with("maxConnections is "), "{}", failure.message());
        }
        let failure = NativeConfig { max_connections: Some(0.0), ..empty() }.read().unwrap_err();
        assert_eq!(failure.code(), "ERR_RINGLINE_INVALID_CONFIG");
    }
}
