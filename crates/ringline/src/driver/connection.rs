//! The state of one connection, in one place.
//!
//! Each field is a small machine of its own; which step comes next is decided by `Driver::advance` alone. A slot is
//! freed only when its file is closed and no operation of it is in flight, so a late completion cannot meet a new
//! occupant; the generation in every tag stands behind that as a second check.

use ringline_ring::SocketAddress;

use super::peers::Peer;
use super::pipe::NO_PIPE;
use super::send_queue::SendQueue;
use super::timers::TimerId;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The connect is in flight.
    Connecting,
    /// Bytes flow.
    Open,
    /// Shut down for writing: what is queued goes out, then FIN. Bytes still come.
    Finishing,
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
    /// A send is in flight, and its completion will tell.
    InFlight,
    /// A send is in flight, and unless its completion comes with the next enter, all of it is sent then. Its piece lies on the list
    /// of silent sends.
    Silent,
    /// As `Silent`, but the last enter told nothing: the next one may. The piece is in the queue.
    Doubtful,
    /// The socket is full; a poll tells when it takes bytes again. When it is `cancelled`, a cancel of it is in flight.
    Blocked { cancelled: bool },
    /// As `Blocked`, but a timer tells when to try again: after the peer's FIN a poll completes at once, room or not.
    Waiting,
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

/// What few connections have at a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rare {
    /// The limit of the connect or of the lingering, or the next look for room.
    pub(super) timer: Option<TimerId>,
    /// The pipe that takes what is received, or `NO_PIPE`.
    pub(super) pipe_out: u32,
    /// The pipe that brings what is sent, or `NO_PIPE`.
    pub(super) pipe_in: u32,
    /// The queue holds chains, or one is in flight.
    pub(super) chained: bool,
    /// How many times in a row a timer had to be waited for without room.
    pub(super) waits: u8,
    /// The errno that ended it, or 0.
    pub(super) error: u16,
}

impl Rare {
    /// What all the others have.
    const NOTHING: Self = Self { timer: None, pipe_out: NO_PIPE, pipe_in: NO_PIPE, chained: false, waits: 0, error: 0 };
}

/// One connection. There are many, most of them idle, so it is kept small: what is rare is boxed, in a table of its own, or
/// asked of the kernel.
pub(super) struct Connection<S> {
    pub(super) phase: Phase,
    pub(super) receive: Receive,
    /// Whether the host wants bytes: false while it has paused receiving.
    pub(super) receive_wanted: bool,
    pub(super) sending: Sending,
    /// The newest piece of the queue may not grow: it is part of the send in flight, or sealed.
    pub(super) tail_sealed: bool,
    /// The FIN of this side is out.
    pub(super) fin_sent: bool,
    /// Stands on the list of connections to advance before the next enter.
    pub(super) dirty: bool,
    pub(super) outbound: bool,
    /// The kernel has to copy what goes to this peer: zero-copy sends cost more than plain ones.
    pub(super) copied: bool,
    /// The host knows of the connection and is told when it closes.
    pub(super) announced: bool,
    /// Operations whose last completion has not come, the send in flight excepted.
    pub(super) operations: u8,
    /// Bytes of the send in flight.
    pub(super) in_flight: u32,
    pub(super) queue: SendQueue,
    /// Bytes ever queued.
    pub(super) queued: u64,
    /// Bytes ever taken by the kernel.
    pub(super) sent: u64,
    /// The socket beside its place in the file table, for the calls that are no operations.
    pub(super) socket: Option<S>,
    pub(super) peer: Peer,
    /// None stands for [`Rare::NOTHING`].
    rare: Option<Box<Rare>>,
}

// Memory per idle connection is a promise of the documentation. With its generation a connection is as long as a cache line.
const _: () = assert!(size_of::<Connection<std::os::fd::OwnedFd>>() <= 56);

impl<S> Connection<S> {
    /// A connection that stands.
    pub(super) fn open() -> Self {
        Self { announced: true, ..Self::new(Phase::Open, false) }
    }

    /// A connection that is being made.
    pub(super) fn connecting() -> Self {
        Self::new(Phase::Connecting, true)
    }

    fn new(phase: Phase, outbound: bool) -> Self {
        Self {
            phase,
            receive: Receive::Off,
            receive_wanted: true,
            sending: Sending::Idle,
            tail_sealed: false,
            fin_sent: false,
            dirty: false,
            outbound,
            copied: false,
            announced: false,
            operations: 0,
            in_flight: 0,
            queue: SendQueue::EMPTY,
            queued: 0,
            sent: 0,
            socket: None,
            peer: Peer::UNKNOWN,
            rare: None,
        }
    }

    /// Whether it has nothing rare: no pipe and no chain in particular.
    #[inline(always)]
    pub(super) fn is_plain(&self) -> bool {
        self.rare.is_none()
    }

    /// What is rare.
    #[inline]
    pub(super) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&Rare::NOTHING)
    }

    /// Changes what is rare.
    pub(super) fn change_rare<R>(&mut self, change: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_else(|| Box::new(Rare::NOTHING));
        let answer = change(&mut rare);
        self.rare = (*rare != Rare::NOTHING).then_some(rare);
        answer
    }

    /// Takes the timer, to disarm it or because it has fired.
    pub(super) fn take_timer(&mut self) -> Option<TimerId> {
        if self.is_plain() { None } else { self.change_rare(|rare| rare.timer.take()) }
    }

    /// Whether the kernel has been given bytes of the queue, and has not told what it has taken.
    #[inline]
    pub(super) fn has_send_in_flight(&self) -> bool {
        matches!(self.sending, Sending::InFlight | Sending::Silent | Sending::Doubtful)
    }

    /// Whether the host may be told of bytes: it has not closed the connection, and nothing has failed.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Finishing)
    }

    /// Whether the host may still queue bytes.
    #[inline]
    pub(super) fn accepts_sends(&self) -> bool {
        self.phase == Phase::Open
    }
}
