//! The Node-API module of ringline: what JavaScript calls natively. It owns threads, doorbells, shared memory and their
//! end, and may not hold kernel or connection logic, which belongs to `ringline` and `ringline-ring`.
//!
//! Nothing per message crosses Node-API. Messages go through two rings in memory that a ring thread and its environment
//! share; a call wakes whichever side sleeps:
//!
//! ```text
//!  JavaScript thread                              ring thread
//!  ────────────────                               ───────────
//!  dispatch  ◄── completion ring ◄─── bridge ◄─── driver.turn ◄── kernel
//!  handlers  ──► submission ring ───► commands ─► driver
//!            ◄── threadsafe function ──── (JavaScript sleeps)
//!  port.ring ──► eventfd                  (the worker sleeps)
//! ```

mod addresses;
mod bridge;
mod callback;
mod chains;
mod commands;
mod config;
mod datagrams;
mod disk;
mod doorbell;
mod environment;
mod errno;
mod errors;
mod external_memory;
mod guards;
mod inline;
mod lent;
mod libuv;
mod mailbox;
mod memory;
mod metrics;
mod pipes;
mod plan;
mod port;
mod port_disk;
mod protocol;
mod registry;
mod ring_thread;
mod send_slots;
mod shared_memory;
mod shared_ring;
mod slabs;
mod spin;
#[cfg(test)]
mod tests;
mod timers;
mod wake_function;
mod worker;

use std::collections::HashMap;
use std::net::SocketAddr;

use napi::bindgen_prelude::{ArrayBuffer, ClassInstance, Function};
use napi::{Env, Result};
use napi_derive::napi;

use crate::config::NativeConfig;
use crate::port::Port;

/// The version of the native library, which equals the version of the npm package it was built for.
#[napi]
#[must_use]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Whether io_uring can be used in this process.
#[napi(object)]
pub struct Probe {
    /// It can.
    pub available: bool,
    /// A stable name of the reason why not.
    pub name: Option<String>,
    /// The reason in words, and what to do about it.
    pub reason: Option<String>,
}

/// Finds out whether io_uring can be used in this process, by using it.
#[napi(catch_unwind)]
#[must_use]
pub fn probe() -> Probe {
    match ringline_ring::probe() {
        Ok(_) => Probe { available: true, name: None, reason: None },
        Err(reason) => {
            Probe { available: false, name: Some(reason.name().to_owned()), reason: Some(reason.to_string()) }
        }
    }
}

/// The constants of the shared memory by name.
#[napi]
#[must_use]
pub fn protocol() -> HashMap<String, u32> {
    protocol::constants().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Where a cluster listens.
#[napi(object)]
pub struct Bind {
    /// An IPv4 or IPv6 address.
    pub ip: String,
    /// A port; 0 = any that is free.
    pub port: f64,
}

/// The address that a cluster is bound to.
#[napi(object)]
pub struct BoundAddress {
    /// The IP address.
    pub ip: String,
    /// The port.
    pub port: u16,
    /// 4 or 6.
    pub family: u32,
}

/// What a worker is attached with.
#[napi(object)]
pub struct AttachOptions {
    /// Whether the handler wants ticks.
    pub tick: bool,
    /// Whether the handler gives back what it receives when it returns.
    pub borrows: bool,
    /// Whether the calling thread turns the ring itself, from the event loop of its environment.
    pub inline: bool,
    /// Whether the calling thread is the worker's alone. Only then, or with a ring thread, a core may be its own.
    pub own_thread: bool,
    /// Microseconds for which a ring thread may look for work before it blocks; 0 = not at all.
    pub spin_us: u32,
}

/// Memory that commands can name.
#[napi(object)]
pub struct AllocatedMemory<'env> {
    /// By what they name it, unique in the process.
    pub id: u32,
    /// The memory, zeroed.
    pub memory: ArrayBuffer<'env>,
}

/// Maps zeroed memory of so many bytes, aligned to a power of two, for guarded sends and direct I/O.
#[napi(catch_unwind)]
pub fn alloc_memory(env: &Env, bytes: u32, alignment: u32) -> Result<AllocatedMemory<'_>> {
    memory::allocate(env, bytes, alignment).map_err(|failure| failure.into_js(env))
}

/// A status that an NVMe device has answered.
#[napi(object)]
pub struct NvmeStatus {
    /// The status code (SC).
    pub code: u32,
    /// The status code type (SCT).
    pub code_type: u32,
    /// Whether the same command would fail again (DNR).
    pub do_not_retry: bool,
    /// All of it in words.
    pub text: String,
}

/// What an NVMe device means by the bits of a status.
#[napi]
#[must_use]
pub fn nvme_status(bits: u32) -> NvmeStatus {
    let status = ringline::NvmeStatus::from_bits(bits as u16);
    NvmeStatus {
        code: status.code().into(),
        code_type: status.code_type().into(),
        do_not_retry: status.do_not_retry(),
        text: status.to_string(),
    }
}

/// Registers a cluster and returns its identifier, unique in the process. Nothing is started.
#[napi(catch_unwind)]
pub fn create_cluster(env: &Env, config: NativeConfig, bind: Option<Bind>) -> Result<u32> {
    let create = || {
        let config = config.read()?;
        let bind = bind.map(|bind| addresses::parse(&bind.ip, bind.port)).transpose()?;
        registry::create(config, bind)
    };
    create().map_err(|failure: errors::Failure| failure.into_js(env))
}

/// Makes a worker in this environment, with a ring thread of its own unless it is inline; returns when its ring stands.
#[napi(
    catch_unwind,
    ts_args_type = "cluster: number, worker: number, options: AttachOptions, doorbell: () => void",
    ts_return_type = "Port & { readonly control: ArrayBuffer; readonly completions: ArrayBuffer; \
                      readonly submissions: ArrayBuffer; readonly freeSlots: ArrayBuffer; \
                      readonly sentBytes: ArrayBuffer; readonly sendMemory: ArrayBuffer; readonly sendSlots: number; \
                      readonly sendSlotSize: number; readonly sendSlotStride: number; ring(): void }"
)]
pub fn attach_worker<'env>(
    env: &'env Env,
    cluster: u32,
    worker: u32,
    options: AttachOptions,
    doorbell: Function<'env, (), ()>,
) -> Result<ClassInstance<'env, Port>> {
    let started = registry::find(cluster)
        .and_then(|cluster| environment::attach(env, &cluster, worker, &options, &doorbell))
        .map_err(|failure| failure.into_js(env))?;
    Port::create(env, &started).inspect_err(|_| started.attachment.detach(env))
}

/// Binds and listens; every worker is handed connections from now on. Returns null for a cluster without an address.
#[napi(catch_unwind)]
pub fn start_cluster(env: &Env, cluster: u32) -> Result<Option<BoundAddress>> {
    let bound = registry::find(cluster).and_then(|cluster| cluster.start(&inline::turn_workers));
    Ok(bound.map_err(|failure| failure.into_js(env))?.map(BoundAddress::from))
}

/// The addresses of a cluster's UDP sockets, in the order of `udpBind`: every worker has one socket for each.
#[napi(catch_unwind)]
pub fn udp_addresses(env: &Env, cluster: u32) -> Result<Vec<BoundAddress>> {
    let cluster = registry::find(cluster).map_err(|failure| failure.into_js(env))?;
    Ok(cluster.config.udp_bind.iter().copied().map(BoundAddress::from).collect())
}

/// Asks every worker to refuse connections, close those it has and end. Any thread may call it, any number of times.
#[napi(catch_unwind)]
pub fn shutdown_cluster(env: &Env, cluster: u32) -> Result<()> {
    registry::find(cluster).map_err(|failure| failure.into_js(env))?.shut_down();
    Ok(())
}

/// Shuts a cluster down and forgets its identifier.
#[napi(catch_unwind)]
pub fn destroy_cluster(cluster: u32) {
    registry::destroy(cluster);
}

impl From<SocketAddr> for BoundAddress {
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip().to_string(), port: address.port(), family: if address.is_ipv4() { 4 } else { 6 } }
    }
}
