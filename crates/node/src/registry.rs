//! The clusters of this process, by which JavaScript threads find each other's workers.
//!
//! A cluster is made on one thread; its workers are attached on the threads of the environments that own them; then it
//! is started. The registry is the only state that environments share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringline::cluster::{Cluster, Member};
use ringline::{Config, assembly};

use crate::errors::Failure;

static CLUSTERS: Mutex<BTreeMap<u32, Arc<Registered>>> = Mutex::new(BTreeMap::new());

/// A cluster that JavaScript can name.
pub(crate) struct Registered {
    pub(crate) config: Config,
    cluster: Arc<Cluster<OwnedFd>>,
    bind: Option<SocketAddr>,
    seats: Mutex<Vec<Seat>>,
    /// Sockets that keep the ports which the system chose for UDP until the workers have bound theirs.
    reserved: Mutex<Vec<OwnedFd>>,
    started: AtomicBool,
}

/// How far a worker has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seat {
    /// No environment has attached it.
    Vacant,
    /// An environment has; its ring may not stand yet, or no more.
    Taken,
    /// Its ring stands.
    Ready,
}

/// Registers a cluster and returns its identifier, which is unique in the process and never used again. UDP addresses
/// without a port get one.
///
/// # Errors
///
/// When a UDP address without a port cannot be had.
pub(crate) fn create(mut config: Config, bind: Option<SocketAddr>) -> Result<u32, Failure> {
    ringline_ring::leave_room(assembly::descriptors(&config));
    let reserved = reserve_ports(&mut config.udp_bind)?;
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let workers = config.workers();
    let registered = Registered {
        config,
        cluster: Cluster::new(workers),
        bind,
        seats: Mutex::new(vec![Seat::Vacant; workers]),
        reserved: Mutex::new(reserved),
        started: AtomicBool::new(false),
    };
    lock(&CLUSTERS).insert(id, Arc::new(registered));
    Ok(id)
}

/// Has the system choose a port for each address that leaves it open: one for all workers.
fn reserve_ports(addresses: &mut [SocketAddr]) -> Result<Vec<OwnedFd>, Failure> {
    let mut sockets = Vec::new();
    for address in addresses.iter_mut().filter(|address| address.port() == 0) {
        let reserved = ringline_ring::bind_datagram(*address);
        let (socket, bound) = reserved.map_err(|error| Failure::system(&error, "bind", Some(*address)))?;
        *address = bound;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// The cluster of an identifier.
///
/// # Errors
///
/// `ERR_RINGLINE_INVALID_CLUSTER` when there is none.
pub(crate) fn find(id: u32) -> Result<Arc<Registered>, Failure> {
    lock(&CLUSTERS).get(&id).cloned().ok_or_else(|| {
        Failure::new("ERR_RINGLINE_INVALID_CLUSTER", format!("there is no cluster {id}; it may have been destroyed"))
    })
}

/// Shuts a cluster down and forgets it. Nothing happens when there is none.
pub(crate) fn destroy(id: u32) {
    let registered = lock(&CLUSTERS).remove(&id);
    if let Some(registered) = registered {
        registered.shut_down();
    }
}

impl Registered {
    /// Takes the place of a worker, once.
    ///
    /// # Errors
    ///
    /// When there is no such worker, an environment has it already, or the cluster was shut down.
    pub(crate) fn enter(&self, worker: u32) -> Result<Member<OwnedFd>, Failure> {
        if self.cluster.is_stopping() {
            return Err(stopped());
        }
        let mut seats = lock(&self.seats);
        let count = seats.len();
        let seat = seats.get_mut(worker as usize).ok_or_else(|| {
            let message = format!("there is no worker {worker}; the cluster has {count}, counted from 0");
            Failure::new("ERR_RINGLINE_INVALID_WORKER", message)
        })?;
        if *seat != Seat::Vacant {
            let message = format!("worker {worker} was attached already; each belongs to one environment, once");
            return Err(Failure::new("ERR_RINGLINE_WORKER_ATTACHED", message));
        }
        *seat = Seat::Taken;
        Ok(self.cluster.member(worker as usize))
    }

    /// The ring of a worker stands.
    pub(crate) fn ready(&self, worker: u32) {
        lock(&self.seats)[worker as usize] = Seat::Ready;
    }

    /// Begins to listen and to accept, with `turn` to turn the workers that this thread owns; for a cluster without an address, nothing is left to begin.
    ///
    /// # Errors
    ///
    /// When workers are missing, the cluster was started before, an address is to be bound and the cluster was shut down, or
    /// the address cannot be had. In the last case every worker is shut down.
    pub(crate) fn start(&self, turn: &dyn Fn()) -> Result<Option<SocketAddr>, Failure> {
        if self.cluster.is_stopping() {
            return if self.bind.is_some() { Err(stopped()) } else { Ok(None) };
        }
        let seats: Vec<_> = lock(&self.seats).iter().copied().enumerate().collect();
        let missing = seats.iter().filter(|(_, seat)| *seat != Seat::Ready).map(|(worker, _)| worker.to_string());
        let missing: Vec<_> = missing.collect();
        if !missing.is_empty() {
            let message = format!("these workers are not attached: {}", missing.join(", "));
            return Err(Failure::new("ERR_RINGLINE_WORKERS_MISSING", message));
        }
        if self.started.swap(true, Ordering::AcqRel) {
            return Err(Failure::new("ERR_RINGLINE_CLUSTER_STARTED", "the cluster was started already".to_owned()));
        }
        lock(&self.reserved).clear();
        let Some(address) = self.bind else { return Ok(None) };
        let everywhere = self.config.reuse_port;
        let cluster = &self.cluster;
        let bound = if everywhere { cluster.listen_everywhere(address, turn) } else { cluster.listen(address, turn) };
        bound.map(Some).map_err(|error| {
            self.shut_down();
            Failure::system(&error, "listen", Some(address))
        })
    }

    /// Asks every worker to close everything and to end.
    pub(crate) fn shut_down(&self) {
        lock(&self.reserved).clear();
        self.cluster.shutdown();
    }
}

fn stopped() -> Failure {
    Failure::new("ERR_RINGLINE_WORKER_STOPPED", "the runtime was asked to shut down while it was starting".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is changed in single steps, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringline::ConfigBuilder;

    fn registered(workers: usize) -> (u32, Arc<Registered>) {
        let config = ConfigBuilder::new().workers(workers).build().unwrap();
        let id = create(config, Some("127.0.0.1:0".parse().unwrap())).unwrap();
        (id, find(id).unwrap())
    }

    fn code<T>(result: Result<T, Failure>) -> String {
        result.err().map(|failure| failure.code().to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_worker_is_attached_once_and_only_if_it_exists() {
        let (id, cluster) = registered(2);
        let _member = cluster.enter(1).unwrap();
        assert_eq!(code(cluster.enter(1)), "ERR_RINGLINE_WORKER_ATTACHED");
        assert_eq!(code(cluster.enter(2)), "ERR_RINGLINE_INVALID_WORKER");
        destroy(id);
        assert_eq!(code(find(id)), "ERR_RINGLINE_INVALID_CLUSTER");
        assert_eq!(code(cluster.enter(0)), "ERR_RINGLINE_WORKER_STOPPED");
        destroy(id);
    }

    #[test]
    fn a_cluster_with_missing_workers_does_not_start_and_names_them() {
        let (id, cluster) = registered(3);
        let _member = cluster.enter(1).unwrap();
        cluster.ready(1);
        let failure = cluster.start(&|| {}).unwrap_err();
        assert_eq!(failure.code(), "ERR_RINGLINE_WORKERS_MISSING");
        assert!(failure.message().ends_with("0, 2"), "{}", failure.message());
        destroy(id);
    }
}
