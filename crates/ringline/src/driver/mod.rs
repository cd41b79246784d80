//! The event loop and the state of connections, as plain code: completions and commands in, submissions and
//! [`Host`] events out. Nothing here assumes whose thread it runs on: whoever owns the driver calls
//! [`turn`](Driver::turn), a worker thread in a loop or a JavaScript thread when its own loop finds work.
//!
//! One operation family per file; `advance.rs` is the one place that moves a connection from phase to phase.

mod accept;
mod advance;
mod ahead;
mod arena;
mod busy_poll;
mod chains;
mod connect;
mod connection;
mod dispatch;
mod ending;
mod file_refused;
mod files;
mod fixed_buffers;
mod handles;
mod host;
mod kind;
mod metrics;
mod nvme;
mod nvme_refused;
mod nvme_status;
mod outer;
mod peers;
mod pipe;
mod receive;
mod receive_buffers;
mod send;
mod send_memory;
mod send_queue;
mod settings;
mod silent_send;
mod slab_handle;
mod slabs;
mod slots;
mod stock;
mod submitter;
mod timers;
mod token;
mod udp;
mod udp_send;
mod zero_copy;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringline_ring::{Doorbell, Entered, FileIndex, Kernel, Op, SLOT_MAX, Tag, Wait};

pub use accept::AdoptError;
pub use arena::{Arena, Stored};
pub use chains::CHAIN_LINKS_MAX;
pub use connect::ConnectError;
pub use file_refused::{FileRefused, Misaligned, Place};
pub use files::{FileCompletion, FileOp, FileToken};
pub use host::Host;
pub use metrics::Metrics;
pub use nvme::{CommandCompletion, DeviceToken, NvmeOp};
pub use nvme_refused::{NvmeError, NvmeRefused};
pub use nvme_status::NvmeStatus;
pub use pipe::{PipeEnd, PipeRefused};
pub use receive_buffers::SLAB_BYTES;
pub use send::{GATHER_MAX, SendRefused};
pub use send_memory::SendMemory;
pub use settings::{DiskLimits, DriverSettings};
pub use slab_handle::SlabHandle;
pub use slabs::Chunk;
pub(crate) use slots::Slots;
pub use timers::TimerId;
pub use token::ConnToken;
pub use udp::{DATAGRAM_BYTES_MAX, DatagramRefused, UdpToken};

use accept::Acceptor;
use ahead::Batch;
use chains::Chains;
use connection::{Connecting, Connection};
use files::Files;
use kind::Kind;
use nvme::Devices;
use outer::Outer;
use peers::Peers;
use pipe::Pipes;
use receive_buffers::ReceiveBuffers;
use send::{Gather, Gathered};
use send_queue::{Listed, Pieces};
use submitter::Submitter;
use timers::Timers;
use udp::Udp;
use zero_copy::ZeroCopy;

/// Of so many sends of one turn, at most, the host is asked whether it awaits them. With more, to look at all of them before
/// the wait costs no more than to ask, and their memory is used again while it is warm.
const ASKED_SENDS_MAX: usize = 8;

/// What the driver itself arms timers for.
#[derive(Debug, PartialEq)]
enum Due {
    /// A connect has taken too long.
    Connect(ConnToken),
    /// A lingering connection has waited long enough for its peer.
    Linger(ConnToken),
    /// A connection whose peer has finished may have room again.
    Room(ConnToken),
    /// Accepting resumes.
    Accept,
    /// There was no memory for buffers: look again.
    Buffers,
    /// Much memory is free: give back what is not needed.
    Trim,
    /// The receive of a UDP socket is to be armed again.
    Datagrams(u32),
    /// A timer of the host's, with its key.
    Host(u64),
}

/// What a turn left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// More completions are waiting, or submissions did not fit: come again without blocking.
    pub more: bool,
    /// Neither did something complete, or was sent, nor was a timer due. Only after such a turn may a thread wait elsewhere: what
    /// follows from a completion is submitted at the start of the turn after it.
    pub quiet: bool,
}

/// The event loop of one worker, and all its connections.
///
/// The kernel is the first field, so it is dropped first: every operation has ended before the memory that operations
/// name is released.
pub struct Driver<K: Kernel> {
    submitter: Submitter<K>,
    connections: Slots<Connection<K::Socket>>,
    peers: Peers,
    /// What those that are being made need beside.
    connecting: HashMap<ConnToken, Box<Connecting>>,
    buffers: ReceiveBuffers,
    /// Connections whose receive waits for buffers.
    parked: std::collections::VecDeque<ConnToken>,
    buffers_timer: bool,
    trim_timer: bool,
    /// What is queued, and the connections to advance before the next enter.
    pieces: Pieces,
    /// The silent sends in flight, and nobody in the place of what was advanced otherwise.
    silent: Vec<Listed>,
    /// Connections with a silent send of which the last enter told nothing.
    doubtful: Vec<ConnToken>,
    /// Queued pieces that hold a slab.
    slab_pieces: usize,
    /// Boxed, because each keeps its place while it is in flight.
    #[allow(clippy::vec_box)]
    gathers: Vec<Box<Gather>>,
    /// Those in flight.
    gathered: Slots<Gathered>,
    chains: Chains,
    pipes: Pipes,
    send_memory: Arc<SendMemory>,
    acceptor: Acceptor,
    udp: Udp,
    files: Files,
    devices: Devices,
    /// The number of the disk operation that was begun last.
    disk_seq: u64,
    batch: Batch,
    zero_copy: ZeroCopy,
    outer: Outer,
    timers: Timers<Due>,
    settings: DriverSettings,
    linger_ns: u64,
    /// Sends were submitted since the last enter of which somebody wants to hear. The kernel ends them while it takes them,
    /// and a wait does not end for them, so they are looked at before the next wait.
    sends_awaited: bool,
    /// Whether the kernel takes silent sends.
    silent_sends: bool,
    now: u64,
    metrics: Metrics,
}

impl<K: Kernel> Driver<K> {
    /// Makes the pools and arms the doorbell.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the buffer ring, or there is no memory for the pools.
    pub fn new(mut kernel: K, settings: DriverSettings) -> io::Result<Self> {
        let buffers = ReceiveBuffers::new(
            &mut kernel,
            settings.receive_group,
            settings.receive_entries,
            settings.receive_buffer_size,
            settings.receive_for_keeps,
        )?;
        let send_memory = Arc::new(SendMemory::new(settings.send_slots, settings.send_slot_size)?);
        let now = kernel.now();
        let silent_sends = kernel.takes_silent_sends();
        let mut submitter = Submitter::new(kernel);
        submitter.push(Op::PollDoorbell, Kind::Doorbell, 0, 0);
        Ok(Self {
            submitter,
            connections: Slots::new(settings.max_connections),
            peers: Peers::default(),
            connecting: HashMap::new(),
            buffers,
            parked: std::collections::VecDeque::new(),
            buffers_timer: false,
            trim_timer: false,
            pieces: Pieces::new(),
            silent: Vec::new(),
            doubtful: Vec::new(),
            slab_pieces: 0,
            gathers: Vec::new(),
            gathered: Slots::new(SLOT_MAX),
            chains: Chains::new(),
            pipes: Pipes::new(),
            send_memory,
            acceptor: Acceptor::new(),
            zero_copy: ZeroCopy::new(settings.guards_max, settings.zero_copy_threshold),
            udp: Udp::new(settings.receive_group.wrapping_add(1)),
            files: Files::new(settings.disk.files_max, settings.disk.file_operations_max),
            devices: Devices::new(settings.disk.devices_max, settings.disk.commands_max),
            disk_seq: 0,
            batch: Batch::default(),
            outer: Outer::default(),
            timers: Timers::new(),
            linger_ns: advance::LINGER_NS,
            sends_awaited: false,
            silent_sends,
            settings,
            now,
            metrics: Metrics::default(),
        })
    }

    /// One turn of the loop: submits what is queued, waits as asked (less long when a timer is due earlier, not at all
    /// when work is left), and tells the host what happened. Bounded in work; see [`Turn::more`].
    ///
    /// # Errors
    ///
    /// When the ring is broken. The driver is then only good for being dropped.
    pub fn turn<H: Host<K>>(&mut self, host: &mut H, wait: Wait) -> io::Result<Turn> {
        self.prepare(host);
        let stuck = self.submitter.retry();
        let awaited = std::mem::take(&mut self.sends_awaited);
        let waiting = self.receives_wait();
        let told = self.pipes.has_news();
        if told {
            self.tell_pipes(host);
        }
        let wait = if stuck || awaited || waiting || told { Wait::Poll } else { self.limit_wait(wait) };
        self.metrics.enters += 1;
        let entered = self.submitter.kernel.enter(wait)?;
        self.now = self.submitter.kernel.now();
        // What is stuck was not submitted.
        let known = !stuck && entered != Entered::Backpressure;
        let silent = known && self.has_silent_sends();
        if silent {
            self.end_silent_sends(host);
        } else if !known {
            self.doubt_silent_sends();
        }
        let completions = self.metrics.completions;
        let more = self.process_completions(host);
        let fired = self.fire_timers(host);
        Ok(Turn {
            more: more || stuck || waiting || entered == Entered::Backpressure,
            quiet: !fired && !silent && completions == self.metrics.completions,
        })
    }

    /// Turns what the host asked for since the last turn into submissions.
    fn prepare<H: Host<K>>(&mut self, host: &mut H) {
        self.submitter.retry();
        // A receive that waits for buffers may wait for those that are being sent.
        let sends = self.pieces.listed();
        self.sends_awaited |= sends > ASKED_SENDS_MAX || (sends > 0 && !self.parked.is_empty());
        self.advance_listed(host);
        if self.buffers.wants_buffers() {
            self.buffers.replenish(&mut self.submitter.kernel);
        }
        if !self.parked.is_empty() {
            self.unpark();
        }
        if self.buffers.slabs().wants_trim() {
            self.trim_later();
        }
        if self.udp.has_work() {
            self.prepare_udp();
        }
    }

    fn limit_wait(&mut self, wait: Wait) -> Wait {
        if self.timers.is_empty() {
            return wait;
        }
        // The clock is read anew: the host may have worked for a while since the last turn.
        let now = self.submitter.kernel.now();
        let Some(deadline) = self.timers.next_deadline(now) else { return wait };
        let left = deadline.saturating_sub(now);
        match wait {
            Wait::Poll => Wait::Poll,
            _ if left == 0 => Wait::Poll,
            Wait::Forever => Wait::AtMost(left),
            Wait::AtMost(limit) => Wait::AtMost(limit.min(left)),
        }
    }

    /// The connection of a token, unless the token is stale.
    #[inline]
    fn connection(&mut self, conn: ConnToken) -> Option<&mut Connection<K::Socket>> {
        self.connections.get_mut(conn.slot(), conn.generation())
    }

    /// Puts a connection on the list of those to advance before the next enter.
    #[inline]
    fn touch(&mut self, conn: ConnToken) {
        if let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation())
            && !connection.dirty
        {
            connection.dirty = true;
            self.pieces.list(conn);
        }
    }

    /// Queues an operation of a connection and counts it.
    fn submit(&mut self, op: Op, kind: Kind, conn: ConnToken) {
        if let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) {
            connection.operations += 1;
            self.submitter.push(op, kind, conn.slot(), conn.generation());
        }
    }

    /// Nanoseconds of the monotonic clock at the end of the last wait.
    #[inline]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Nanoseconds of the monotonic clock, read now.
    #[inline]
    pub fn clock(&self) -> u64 {
        self.submitter.kernel.now()
    }

    /// Whether a turn would find completions, as far as that can be told without a system call.
    #[inline]
    pub fn is_ready(&mut self) -> bool {
        self.submitter.kernel.has_completed()
    }

    /// How long until the next timer is due, if one is armed.
    pub fn time_to_timer(&mut self) -> Option<Duration> {
        let now = self.clock();
        self.timers.next_deadline(now).map(|deadline| Duration::from_nanos(deadline.saturating_sub(now)))
    }

    /// Arms a timer: [`Host::timer`] gets `key` when the clock has reached `deadline` (nanoseconds).
    pub fn arm_timer(&mut self, deadline: u64, key: u64) -> TimerId {
        self.timers.arm(deadline, Due::Host(key))
    }

    /// Disarms a timer; nothing happens when it has fired.
    pub fn cancel_timer(&mut self, timer: TimerId) {
        self.timers.cancel(timer);
    }

    /// What other threads ring to end a wait.
    pub fn doorbell(&self) -> Doorbell {
        self.submitter.kernel.doorbell()
    }

    /// Connections that there may be at a time.
    pub fn max_connections(&self) -> u32 {
        self.settings.max_connections
    }

    /// Connections that occupy a slot, those that are closing included.
    pub fn open_connections(&self) -> u32 {
        self.connections.used()
    }

    /// The tokens of all connections that occupy a slot.
    pub fn tokens(&self) -> Vec<ConnToken> {
        self.connections.occupied().map(|(slot, generation)| ConnToken::from_parts(slot, generation)).collect()
    }

    /// Whether the connection is neither closed nor being closed from this side.
    pub fn is_open(&self, conn: ConnToken) -> bool {
        let connection = self.connections.get(conn.slot(), conn.generation());
        connection.is_some_and(Connection::is_open)
    }

    /// The address of the other side.
    pub fn peer_addr(&self, conn: ConnToken) -> Option<SocketAddr> {
        let connection = self.connections.get(conn.slot(), conn.generation())?;
        self.peers.get(conn.slot(), connection.peer)
    }

    /// The address of this side, which the kernel is asked for; none before an outbound connection stands, and when the
    /// connection is ending.
    pub fn local_addr(&self, conn: ConnToken) -> Option<SocketAddr> {
        let connection = self.connections.get(conn.slot(), conn.generation())?;
        let socket = connection.socket.as_ref().filter(|_| connection.phase != connection::Phase::Connecting)?;
        self.submitter.kernel.local_address(socket)
    }

    /// Whether this side made the connection.
    pub fn is_outbound(&self, conn: ConnToken) -> Option<bool> {
        self.connections.get(conn.slot(), conn.generation()).map(|connection| connection.outbound)
    }

    /// The copy pool. A host that shows it to somebody else keeps it by a clone for as long as that lasts.
    pub fn send_memory(&self) -> &Arc<SendMemory> {
        &self.send_memory
    }

    /// Counters since the start.
    pub fn metrics(&self) -> Metrics {
        let (bytes_received, chunks) = self.buffers.arrived();
        Metrics { bytes_received, chunks, ..self.metrics }
    }

    /// The kernel, for tests that hold the other end of it.
    pub fn kernel_mut(&mut self) -> &mut K {
        &mut self.submitter.kernel
    }
}

/// The connection that a tag names.
#[inline]
const fn conn_of(tag: Tag) -> ConnToken {
    ConnToken::from_parts(tag.slot(), tag.generation())
}

/// The fixed file of a connection: its slot.
#[inline]
const fn file_of(conn: ConnToken) -> FileIndex {
    FileIndex(conn.slot())
}
