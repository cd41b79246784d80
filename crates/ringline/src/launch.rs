//! Starting workers and ending them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use ringline_ring::{OpenFilesLimit, Wait};

use crate::assembly::{self, HostKind};
use crate::cluster::{Cluster, Member};
use crate::handler::AsyncEventHandler;
use crate::runtime::{Status, Worker};
use crate::{Config, Error};

/// The join handle of a worker; it yields why the worker ended, if not by a shutdown.
pub type WorkerHandle = JoinHandle<Result<(), Error>>;

/// Launches the workers of a runtime.
///
/// ```no_run
/// # use ringline::{AsyncEventHandler, Config, ConnCtx, RinglineBuilder};
/// # struct Echo;
/// # impl AsyncEventHandler for Echo {
/// #     fn create_for_worker(_: usize) -> Self { Echo }
/// #     fn on_accept(&self, _: ConnCtx) -> impl Future<Output = ()> + 'static { async {} }
/// # }
/// # fn main() -> Result<(), ringline::Error> {
/// let address = "127.0.0.1:7878".parse().unwrap();
/// let (shutdown, workers) = RinglineBuilder::new(Config::default()).bind(address).launch::<Echo>()?;
/// println!("listening on {:?}", shutdown.bound_addr());
/// for worker in workers {
///     worker.join().unwrap()?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `launch`"]
pub struct RinglineBuilder {
    config: Config,
    address: Option<SocketAddr>,
}

impl RinglineBuilder {
    /// A runtime with this configuration, and without a listener.
    pub fn new(config: Config) -> Self {
        Self { config, address: None }
    }

    /// Accepts TCP connections on `address`. With port 0 the kernel chooses one; see
    /// [`ShutdownHandle::bound_addr`].
    pub fn bind(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Binds a UDP socket to `address` on every worker, with SO_REUSEPORT: the kernel spreads the peers. May be called
    /// several times; the handler gets each socket by
    /// [`on_udp_bind`](crate::AsyncEventHandler::on_udp_bind). With port 0 the kernel chooses one, the same for all
    /// workers; see [`ShutdownHandle::udp_addrs`].
    pub fn bind_udp(mut self, address: SocketAddr) -> Self {
        self.config.udp_bind.push(address);
        self
    }

    /// Starts the workers, waits until every one is ready, and only then listens.
    ///
    /// The soft limit of open files is raised as far as `max_connections` and the workers themselves need it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`], [`Error::ResourceLimit`], [`Error::RingSetup`], [`Error::BufferRegistration`],
    /// [`Error::PinFailed`], [`Error::HandlerPanicked`], or [`Error::Io`] when an address cannot be bound. Nothing is left then: no port, no thread, no descriptor.
    pub fn launch<H: AsyncEventHandler>(mut self) -> Result<(ShutdownHandle, Vec<WorkerHandle>), Error> {
        self.config.validate()?;
        ringline_ring::leave_room(assembly::descriptors(&self.config));
        // Held until every worker has bound its own socket to the same port.
        let _reserved = reserve_ports(&mut self.config.udp_bind)?;
        let cluster = Cluster::new(self.config.workers());
        let mut threads = Vec::with_capacity(cluster.workers());
        match start::<H>(&self.config, self.address, &cluster, &mut threads) {
            Ok(()) => {
                let udp_addrs = self.config.udp_bind.into();
                Ok((ShutdownHandle { _end: Arc::new(EndOnDrop(Arc::clone(&cluster))), cluster, udp_addrs }, threads))
            }
            Err(error) => {
                cluster.shutdown();
                for thread in threads {
                    // What went wrong is in `error`, and a panic was reported by the panic hook.
                    let _ = thread.join();
                }
                Err(error)
            }
        }
    }
}

fn start<H: AsyncEventHandler>(
    config: &Config,
    address: Option<SocketAddr>,
    cluster: &Arc<Cluster<OwnedFd>>,
    threads: &mut Vec<WorkerHandle>,
) -> Result<(), Error> {
    for index in 0..cluster.workers() {
        let member = cluster.member(index);
        let config = config.clone();
        let thread = std::thread::Builder::new().name(format!("ringline-{index}"));
        threads.push(thread.spawn(move || run_worker::<H>(&config, member))?);
    }
    cluster.wait_ready()?;
    if let Some(address) = address {
        let (everywhere, turn) = (config.reuse_port, &|| {});
        let bound = if everywhere { cluster.listen_everywhere(address, turn) } else { cluster.listen(address, turn) };
        bound.map_err(|error| refused("listen on", address, &error))?;
    }
    Ok(())
}

/// Has the kernel choose a port for each address that leaves it open. The sockets keep the ports.
fn reserve_ports(addresses: &mut [SocketAddr]) -> Result<Vec<OwnedFd>, Error> {
    let mut sockets = Vec::new();
    for address in addresses.iter_mut().filter(|address| address.port() == 0) {
        let reserved = ringline_ring::bind_datagram(*address);
        let (socket, bound) = reserved.map_err(|error| refused("bind a UDP socket to", *address, &error))?;
        *address = bound;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Says what could not be done with which address. The kind stays, but for a limit that was met, which is named instead.
pub(crate) fn refused(what: &str, address: SocketAddr, error: &io::Error) -> Error {
    if let Some(limit) = OpenFilesLimit::met_by(error) {
        return Error::ResourceLimit(limit);
    }
    Error::Io(io::Error::new(error.kind(), format!("cannot {what} {address}: {error}")))
}

/// A worker's thread, from first to last.
fn run_worker<H: AsyncEventHandler>(config: &Config, mut member: Member<OwnedFd>) -> Result<(), Error> {
    let cluster = Arc::clone(member.cluster());
    let driver = match assembly::assemble(config, member.index(), HostKind::Tasks) {
        Ok(driver) => driver,
        Err(error) => {
            member.failed(error);
            return Ok(());
        }
    };
    member.reachable_by(driver.doorbell());
    let mut worker = match Worker::<H>::new(driver, config, member) {
        Ok(worker) => worker,
        Err((error, mut member)) => {
            member.failed(error);
            return Ok(());
        }
    };
    worker.ready();
    loop {
        match worker.turn(Wait::Forever) {
            Ok(Status::Running) => {}
            Ok(Status::Stopped) => return Ok(()),
            Err(error) => {
                // Half a server would look alive and serve nobody: the others end too, and their handles say so.
                cluster.shutdown();
                return Err(error);
            }
        }
    }
}

/// Ends a runtime. Clones end the same one; when the last is dropped, the runtime ends too.
#[derive(Clone)]
pub struct ShutdownHandle {
    cluster: Arc<Cluster<OwnedFd>>,
    udp_addrs: Arc<[SocketAddr]>,
    _end: Arc<EndOnDrop>,
}

/// Ends the runtime when the last handle is gone. (Workers hold the cluster too, so its count says nothing.)
struct EndOnDrop(Arc<Cluster<OwnedFd>>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

impl ShutdownHandle {
    /// Begins the orderly end, and returns at once: no new connections, queued sends go out, every connection ends with
    /// FIN, everything is released. Workers take two seconds at most; what a peer has not taken by then is dropped. A zero-copy
    /// send to a peer that does not read takes two more, for the kernel to let go of its memory.
    /// Join the worker handles to wait for it. Calling this again changes nothing.
    pub fn shutdown(&self) {
        self.cluster.shutdown();
    }

    /// Has every worker call its handler's [`on_notify`](crate::AsyncEventHandler::on_notify), waking it if it sleeps.
    pub fn notify(&self) {
        self.cluster.notify();
    }

    /// The address that the runtime listens on, with the port that was chosen if 0 was asked for; none without
    /// [`bind`](RinglineBuilder::bind).
    pub fn bound_addr(&self) -> Option<SocketAddr> {
        self.cluster.bound_addr()
    }

    /// The addresses of the UDP sockets, with the ports that were chosen: those of
    /// [`udp_bind`](crate::Config::udp_bind), then those of [`bind_udp`](RinglineBuilder::bind_udp). A socket's place here
    /// is its [`index`](crate::UdpCtx::index).
    pub fn udp_addrs(&self) -> &[SocketAddr] {
        &self.udp_addrs
    }
}

impl std::fmt::Debug for ShutdownHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShutdownHandle")
            .field("workers", &self.cluster.workers())
            .field("bound_addr", &self.bound_addr())
            .field("udp_addrs", &self.udp_addrs)
            .field("stopping", &self.cluster.is_stopping())
            .finish()
    }
}
