//! The state of one connection, in one place.
//!
//! Each field is a small machine of its own; which step comes next is decided by `Driver::advance` alone. A slot is
//! freed only when its file is closed and no operation of it is in flight, so a late completion cannot meet a new
//! occupant; the generation in every tag stands behind that as a second check.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use ringline_ring::SocketAddress;

use super::pipe::NO_PIPE;
use super::send::Gather;
use super::send_queue::SendQueue;
use super::timers::TimerId;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The connect is in flight.
    Connecting,
    /// Bytes flow.
    Open,
    /// Closed from this side: what is queued goes out, then FIN.
    Flushing,
    /// FIN is out; the peer's bytes are discarded until its FIN, for a limited time. Closing earlier would make the
    /// kernel answer unread bytes with a reset, which destroys what the peer has not read yet.
    Lingering,
    /// Every operation is being ended.
    Ending,
    /// The close of the file is in flight.
    Closing,
}

/// The receiving direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    /// No receive is armed.
    Off,
    /// The multishot receive is armed; when it is `cancelled`, a cancel of it is in flight.
    Armed { cancelled: bool },
    /// It ended for want of buffers; armed again when there are some.
    Parked,
    /// The peer's FIN has come, or the connection failed.
    Ended,
}

/// The sending direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// No send is in flight.
    Idle,
    /// A send is in flight.
    InFlight,
    /// The socket is full; a poll tells when it takes bytes again. When it is `cancelled`, a cancel of it is in flight.
    Blocked { cancelled: bool },
    /// As `Blocked`, but a timer tells when to try again: after the peer's FIN a poll completes at once, room or not.
    Waiting,
}

/// The FIN of this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fin {
    /// Nobody asked for it.
    No,
    /// It is to follow the last queued byte.
    Wanted,
    /// It is out.
    Done,
}

/// Why a connect is being given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// Its time passed.
    TimedOut,
    /// The host asked.
    Cancelled,
}

/// What only a connection that is being made needs.
pub(super) struct Connecting {
    /// The peer, at the place that the kernel reads it from.
    pub(super) address: SocketAddress,
    pub(super) given_up: Option<GivenUp>,
}

/// The address of the other side, in half the room of a `SocketAddr`.
pub(super) enum Peer {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl Peer {
    pub(super) fn get(&self) -> SocketAddr {
        match self {
            Self::V4(address) => SocketAddr::V4(*address),
            Self::V6(address) => SocketAddr::V6(**address),
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(address),
            SocketAddr::V6(address) => Self::V6(Box::new(address)),
        }
    }
}

/// One connection. There are many, most of them idle, so it is kept small: what is rare is boxed or asked of the kernel.
pub(super) struct Connection<S> {
    pub(super) phase: Phase,
    pub(super) receive: Receive,
    /// Whether the host wants bytes: false while it has paused receiving.
    pub(super) receive_wanted: bool,
    pub(super) sending: Sending,
    /// The newest piece of the queue is part of the send in flight and may not grow.
    pub(super) tail_in_flight: bool,
    /// The queue holds chains, or one is in flight.
    pub(super) chained: bool,
    /// Bytes of the send in flight.
    pub(super) in_flight: u32,
    /// How many times in a row a timer had to be waited for without room.
    pub(super) waits: u8,
    pub(super) fin: Fin,
    /// Stands on the list of connections to advance before the next enter.
    pub(super) dirty: bool,
    pub(super) outbound: bool,
    /// The kernel has to copy what goes to this peer: zero-copy sends cost more than plain ones.
    pub(super) copied: bool,
    /// The host knows of the connection and is told when it closes.
    pub(super) announced: bool,
    /// Operations whose last completion has not come.
    pub(super) operations: u8,
    /// The errno that ended it, or 0.
    pub(super) error: u16,
    pub(super) queue: SendQueue,
    /// Bytes ever queued.
    pub(super) queued: u64,
    /// Bytes ever taken by the kernel.
    pub(super) sent: u64,
    /// The limit of the connect or of the lingering, or the next look for room.
    pub(super) timer: Option<TimerId>,
    pub(super) gather: Option<Box<Gather>>,
    /// The pipe that takes what is received, or `NO_PIPE`.
    pub(super) pipe_out: u32,
    /// The pipe that brings what is sent, or `NO_PIPE`.
    pub(super) pipe_in: u32,
    /// The socket beside its place in the file table, for the calls that are no operations.
    pub(super) socket: Option<S>,
    pub(super) peer: Peer,
}

// Memory per idle connection is a promise of the documentation.
const _: () = assert!(size_of::<Connection<std::os::fd::OwnedFd>>() <= 88);

impl<S> Connection<S> {
    /// A connection that stands.
    pub(super) fn open(peer: SocketAddr) -> Self {
        Self { announced: true, ..Self::new(Phase::Open, peer, false) }
    }

    /// A connection that is being made.
    pub(super) fn connecting(peer: SocketAddr) -> Self {
        Self::new(Phase::Connecting, peer, true)
    }

    fn new(phase: Phase, peer: SocketAddr, outbound: bool) -> Self {
        Self {
            phase,
            receive: Receive::Off,
            receive_wanted: true,
            sending: Sending::Idle,
            tail_in_flight: false,
            chained: false,
            in_flight: 0,
            waits: 0,
            fin: Fin::No,
            dirty: false,
            outbound,
            copied: false,
            announced: false,
            operations: 0,
            error: 0,
            queue: SendQueue::EMPTY,
            queued: 0,
            sent: 0,
            timer: None,
            gather: None,
            pipe_out: NO_PIPE,
            pipe_in: NO_PIPE,
            socket: None,
            peer: peer.into(),
        }
    }

    /// Whether what is queued may be submitted.
    #[inline]
    pub(super) fn may_begin_send(&self) -> bool {
        self.sending == Sending::Idle && matches!(self.phase, Phase::Open | Phase::Flushing)
    }

    /// Whether the host may still queue bytes.
    #[inline]
    pub(super) fn accepts_sends(&self) -> bool {
        self.phase == Phase::Open && self.fin == Fin::No
    }
}
