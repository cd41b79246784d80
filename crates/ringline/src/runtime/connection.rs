//! What the runtime knows of a connection beside the driver's state: buffered bytes, and who waits.

use std::io;

use super::accumulator::Accumulator;
use super::arrivals::Chain;
use super::sink::Sink;
use super::waiters::Waiters;
use crate::Error;
use crate::driver::ConnToken;

/// The generation of a slot that had no occupant yet; the driver counts from 1.
const NO_GENERATION: u32 = 0;

/// Where a connection is in its life, as its tasks see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The connect is in flight.
    Connecting,
    /// Bytes flow.
    Open,
    /// Closed by a task; queued sends are still going out.
    Closing,
    /// Gone. The record stays until the slot is used again, so that waiting futures learn how it ended.
    Closed,
}

/// What becomes of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sends {
    /// It is queued.
    Open,
    /// It is refused: a pipe sends.
    Piped,
    /// It is refused: FIN was asked for.
    Ended,
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) generation: u32,
    pub(crate) phase: Phase,
    /// The peer's FIN has come: what is buffered is all there will be.
    pub(crate) receive_ended: bool,
    /// The driver was asked to stop receiving.
    pub(crate) paused: bool,
    /// Whether tasks may send.
    pub(crate) sends: Sends,
    /// The buffered bytes are with a closure of the user's.
    pub(crate) lent: bool,
    /// How often pending receives were cancelled.
    pub(crate) cancels: u32,
    /// Chunks of this turn.
    pub(crate) chunks: Chain,
    /// Bytes in those chunks.
    pub(crate) chunk_bytes: u32,
    /// Bytes from earlier turns; they precede the chunks.
    pub(crate) accumulator: Option<Box<Accumulator>>,
    /// Memory of the user's that takes bytes before they are buffered.
    pub(super) sink: Option<Box<Sink>>,
    /// Bytes ever received.
    pub(crate) received: u64,
    /// Bytes that the kernel has taken.
    pub(crate) sent: u64,
    pub(crate) readers: Waiters,
    pub(crate) senders: Waiters,
    /// Why it ended, if it was not closed from this side.
    pub(crate) error: Option<io::Error>,
}

impl Connection {
    pub(crate) fn new(generation: u32, phase: Phase) -> Self {
        Self {
            generation,
            phase,
            receive_ended: false,
            paused: false,
            sends: Sends::Open,
            lent: false,
            cancels: 0,
            chunks: Chain::EMPTY,
            chunk_bytes: 0,
            accumulator: None,
            sink: None,
            received: 0,
            sent: 0,
            readers: Waiters::new(),
            senders: Waiters::new(),
            error: None,
        }
    }

    /// Whether a task may send.
    #[inline]
    pub(crate) fn check_sends(&self) -> Result<(), Error> {
        match (self.phase, self.sends) {
            (Phase::Open, Sends::Open) => Ok(()),
            (Phase::Open, Sends::Piped) => Err(Error::PipeBusy),
            (Phase::Open, Sends::Ended) => Err(Error::Io(io::ErrorKind::BrokenPipe.into())),
            _ => Err(Error::InvalidConnection),
        }
    }

    /// Bytes that a reader could have.
    #[inline]
    pub(crate) fn buffered(&self) -> usize {
        self.chunk_bytes as usize + self.accumulator.as_ref().map_or(0, |accumulator| accumulator.len())
    }
}

/// How a connection ended whose slot already has its next occupant.
struct Departed {
    conn: ConnToken,
    sent: u64,
    error: Option<io::Error>,
}

/// The connections of a worker by slot. Memory is taken as slots are first used.
pub(crate) struct Connections {
    slots: Vec<Connection>,
    departed: Vec<Departed>,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), departed: Vec::new() }
    }

    /// Starts the record of a connection. It replaces the one of the slot's past occupant.
    pub(crate) fn open(&mut self, conn: ConnToken, phase: Phase) {
        let index = conn.slot() as usize;
        while index >= self.slots.len() {
            self.slots.push(Connection::new(NO_GENERATION, Phase::Closed));
        }
        let past = std::mem::replace(&mut self.slots[index], Connection::new(conn.generation(), phase));
        debug_assert_eq!(past.phase, Phase::Closed, "a slot has one occupant at a time");
        let past_conn = ConnToken::from_parts(conn.slot(), past.generation);
        self.departed.push(Departed { conn: past_conn, sent: past.sent, error: past.error });
    }

    /// The connection of a token, unless the token is stale. It may be closed already.
    #[inline]
    pub(crate) fn get(&mut self, conn: ConnToken) -> Option<&mut Connection> {
        match self.slots.get_mut(conn.slot() as usize) {
            Some(connection) if connection.generation == conn.generation() => Some(connection),
            _ => None,
        }
    }

    /// Bytes sent by, and error of, a connection whose slot was given away in this pass.
    pub(crate) fn departed(&self, conn: ConnToken) -> Option<(u64, Option<io::Error>)> {
        let departed = self.departed.iter().find(|departed| departed.conn == conn)?;
        Some((departed.sent, departed.error.as_ref().map(duplicate)))
    }

    /// Every task that waited on a departed connection has been polled.
    #[inline]
    pub(crate) fn forget_departed(&mut self) {
        if !self.departed.is_empty() {
            self.departed.clear();
        }
    }

    /// The tokens of all connections that are not closed.
    pub(crate) fn living(&self) -> Vec<ConnToken> {
        let slots = self.slots.iter().enumerate().filter(|(_, connection)| connection.phase != Phase::Closed);
        slots.map(|(slot, connection)| ConnToken::from_parts(slot as u32, connection.generation)).collect()
    }
}

/// The same error once more, for the next who asks.
pub(crate) fn duplicate(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
