//! What the runtime knows of a connection beside the driver's state: buffered bytes, and who waits.

use std::io;
use std::task::Waker;

use super::accumulator::Accumulator;
use super::arrivals::Chain;
use super::ready::Ready;
use super::sink::Sink;
use super::waiters::{ForeignWakes, OtherWaiters, Waiters};
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

/// One connection. There are many, most of them idle, so it is kept small: what few have is boxed.
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
    /// How often pending receives were cancelled, modulo 2^16.
    pub(crate) cancels: u16,
    /// Chunks of this turn.
    pub(crate) chunks: Chain,
    /// Bytes in those chunks.
    pub(crate) chunk_bytes: u32,
    /// Bytes from earlier turns; they precede the chunks.
    pub(crate) accumulator: Option<Box<Accumulator>>,
    /// Bytes ever received, modulo 2^32: more than are ever buffered.
    pub(crate) received: u32,
    /// Bytes that the kernel has taken.
    pub(crate) sent: u64,
    waiters: Waiters,
    rare: Option<Box<Rare>>,
}

/// What few connections have.
#[derive(Default)]
struct Rare {
    /// Memory of the user's that takes bytes before they are buffered.
    sink: Option<Sink>,
    /// Why it ended, if it was not closed from this side.
    error: Option<io::Error>,
    waiters: OtherWaiters,
}

// Memory per idle connection is a promise of the documentation.
const _: () = assert!(size_of::<Connection>() <= 64);

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
            received: 0,
            sent: 0,
            waiters: Waiters::new(),
            rare: None,
        }
    }

    #[inline]
    pub(super) fn sink(&mut self) -> Option<&mut Sink> {
        self.rare.as_mut()?.sink.as_mut()
    }

    pub(super) fn set_sink(&mut self, sink: Sink) {
        self.rare.get_or_insert_default().sink = Some(sink);
    }

    pub(super) fn take_sink(&mut self) -> Option<Sink> {
        self.rare.as_mut()?.sink.take()
    }

    /// Why it ended, if it was not closed from this side.
    pub(crate) fn error(&self) -> Option<&io::Error> {
        self.rare.as_ref()?.error.as_ref()
    }

    /// Notes why it ended. The first reason counts.
    pub(crate) fn set_error(&mut self, error: io::Error) {
        self.rare.get_or_insert_default().error.get_or_insert(error);
    }

    /// Has a reader woken when there is something to read. `task` is what its waker wakes, if it is one of this worker's.
    #[inline]
    pub(super) fn wait_to_read(&mut self, task: Option<u32>, waker: &Waker) {
        if !task.is_some_and(|task| self.waiters.read(task)) {
            self.others().read(waker);
        }
    }

    /// Has a task woken when the stream is sent up to `due`.
    #[inline]
    pub(super) fn wait_until_sent(&mut self, due: u64, task: Option<u32>, waker: &Waker) {
        if !task.is_some_and(|task| self.waiters.send(task, due)) {
            self.others().send(due, waker);
        }
    }

    #[cold]
    fn others(&mut self) -> &mut OtherWaiters {
        &mut self.rare.get_or_insert_default().waiters
    }

    /// Whether anybody waits to read.
    pub(super) fn is_read(&self) -> bool {
        self.waiters.is_read() || self.rare.as_ref().is_some_and(|rare| rare.waiters.are_reading())
    }

    /// Whether anybody waits until the stream is sent up to some position.
    #[inline]
    pub(super) fn is_sent_awaited(&self) -> bool {
        self.waiters.awaits_sent() || self.rare.as_ref().is_some_and(|rare| rare.waiters.await_sent())
    }

    /// There is something to read, or never will be.
    #[inline]
    pub(super) fn wake_readers(&mut self, ready: &Ready, foreign: &mut ForeignWakes) {
        self.waiters.wake_reader(ready);
        if let Some(rare) = &mut self.rare {
            rare.waiters.wake_readers(foreign);
        }
    }

    /// The stream is sent up to `position`.
    #[inline]
    pub(super) fn wake_senders(&mut self, position: u64, ready: &Ready, foreign: &mut ForeignWakes) {
        self.waiters.wake_sender(position, ready);
        if let Some(rare) = &mut self.rare {
            rare.waiters.wake_senders(position, foreign);
        }
    }

    /// Whether a task may send.
    #[inline]
    pub(crate) fn takes_sends(&self) -> bool {
        self.phase == Phase::Open && self.sends == Sends::Open
    }

    /// Whether a task may send, and why not.
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
        self.departed.push(Departed { conn: past_conn, sent: past.sent, error: past.rare.and_then(|rare| rare.error) });
    }

    /// The connection of a token, if it is open.
    #[inline(always)]
    pub(crate) fn open_one(&mut self, conn: ConnToken) -> Option<&mut Connection> {
        self.get(conn).filter(|connection| connection.phase == Phase::Open)
    }

    /// The connection of a token, unless the token is stale. It may be closed already.
    #[inline(always)]
    pub(crate) fn get(&mut self, conn: ConnToken) -> Option<&mut Connection> {
        match self.slots.get_mut(conn.slot() as usize) {
            Some(connection) if connection.generation == conn.generation() => Some(connection),
            _ => None,
        }
    }

    /// As [`get`](Self::get), without changing it.
    #[inline]
    pub(crate) fn look(&self, conn: ConnToken) -> Option<&Connection> {
        self.slots.get(conn.slot() as usize).filter(|connection| connection.generation == conn.generation())
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
