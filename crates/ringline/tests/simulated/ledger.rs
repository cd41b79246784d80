//! The host of every test here: it keeps the events in order, and fails at once when one comes that must not: out of
//! order, for a connection that is over, or about memory that has another owner.

use std::collections::{BTreeMap, HashMap};
use std::io;

use ringline::driver::{Chunk, ConnToken, Host};
use ringline_ring::Kernel;
use ringline_sim::SimSocket;

use crate::events::Event;

/// What the host knows of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Connecting,
    Open,
    /// Open, and the peer has finished.
    Ended,
    /// Closed by the host: no more bytes are told.
    Closing,
    /// Its last event has come.
    Over,
}

/// Events, and who owns what.
pub(crate) struct Ledger {
    /// What has happened since somebody looked.
    pub(crate) events: Vec<Event>,
    lives: HashMap<ConnToken, Life>,
    sent: HashMap<ConnToken, u64>,
    /// Received bytes that the host owns: end by slab and start.
    spans: BTreeMap<(u32, u32), u32>,
    free_slots: Vec<u32>,
    slots: u32,
    /// Whether it has to be told at once what was sent.
    pub(crate) awaits_sent: bool,
}

impl Ledger {
    pub(crate) fn new(send_slots: u32) -> Self {
        Self {
            events: Vec::new(),
            lives: HashMap::new(),
            sent: HashMap::new(),
            spans: BTreeMap::new(),
            free_slots: (0..send_slots).collect(),
            slots: send_slots,
            awaits_sent: true,
        }
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    // ---- connections ----------------------------------------------------------------------------------------------

    /// What is known of a token; none if no connection ever had it.
    pub(crate) fn life(&self, conn: ConnToken) -> Option<Life> {
        self.lives.get(&conn).copied()
    }

    /// A connection was adopted, or a connect begun.
    pub(crate) fn began(&mut self, conn: ConnToken, life: Life) {
        let before = self.lives.insert(conn, life);
        assert_eq!(before, None, "{conn:?} was given out twice");
    }

    /// The host has closed a connection.
    pub(crate) fn close(&mut self, conn: ConnToken) {
        match self.lives[&conn] {
            // A connect that is closed ends without an event.
            Life::Connecting => self.step(conn, "close", &[Life::Connecting], Life::Over),
            Life::Closing => {}
            _ => self.step(conn, "close", &[Life::Open, Life::Ended], Life::Closing),
        }
    }

    fn step(&mut self, conn: ConnToken, what: &str, from: &[Life], to: Life) {
        let life = self.lives.get_mut(&conn).unwrap_or_else(|| panic!("{what} of {conn:?}, which nobody knows"));
        assert!(from.contains(life), "{what} of {conn:?}, which is {life:?}");
        *life = to;
    }

    fn check(&self, conn: ConnToken, what: &str, lives: &[Life]) {
        let life = self.life(conn);
        assert!(life.is_some_and(|life| lives.contains(&life)), "{what} of {conn:?}, which is {life:?}");
    }

    // ---- memory ---------------------------------------------------------------------------------------------------

    pub(crate) fn take_slot(&mut self) -> Option<u32> {
        self.free_slots.pop()
    }

    pub(crate) fn give_slot_back(&mut self, slot: u32) {
        assert!(slot < self.slots && !self.free_slots.contains(&slot), "send slot {slot} came back twice");
        self.free_slots.push(slot);
    }

    pub(crate) fn slots_out(&self) -> usize {
        self.slots as usize - self.free_slots.len()
    }

    /// The host owns these bytes from now on.
    pub(crate) fn own(&mut self, chunk: &Chunk) {
        let (slab, start, end) = (chunk.slab(), chunk.offset(), chunk.offset() + chunk.len());
        let below = self.spans.range((slab, 0)..(slab, end)).next_back();
        assert!(below.is_none_or(|(_, &other)| other <= start), "{chunk:?} holds bytes that were handed out before");
        self.spans.insert((slab, start), end);
    }

    /// The host gives these bytes up.
    pub(crate) fn disown(&mut self, chunk: &Chunk) {
        let end = self.spans.remove(&(chunk.slab(), chunk.offset()));
        assert_eq!(end, Some(chunk.offset() + chunk.len()), "{chunk:?} is not owned");
    }

    pub(crate) fn chunks_owned(&self) -> usize {
        self.spans.len()
    }
}

impl<K: Kernel<Socket = SimSocket>> Host<K> for Ledger {
    fn incoming(&mut self, socket: SimSocket) {
        self.events.push(Event::Incoming(socket));
    }

    fn connected(&mut self, conn: ConnToken) {
        self.step(conn, "connected", &[Life::Connecting], Life::Open);
        self.events.push(Event::Connected(conn));
    }

    fn connect_failed(&mut self, conn: ConnToken, error: io::Error) {
        self.step(conn, "connect_failed", &[Life::Connecting], Life::Over);
        assert!(error.raw_os_error().is_some() || error.kind() == io::ErrorKind::TimedOut, "{error:?}");
        self.events.push(Event::ConnectFailed(conn, error.raw_os_error().unwrap_or(0)));
    }

    fn received(&mut self, conn: ConnToken, chunk: Chunk) {
        self.check(conn, "received", &[Life::Open]);
        assert!(chunk.len() > 0, "{conn:?} received nothing");
        self.own(&chunk);
        self.events.push(Event::Received(conn, chunk));
    }

    fn receive_ended(&mut self, conn: ConnToken) {
        self.step(conn, "receive_ended", &[Life::Open], Life::Ended);
        self.events.push(Event::ReceiveEnded(conn));
    }

    fn sent(&mut self, conn: ConnToken, position: u64) {
        self.check(conn, "sent", &[Life::Open, Life::Ended, Life::Closing]);
        let before = self.sent.insert(conn, position).unwrap_or(0);
        assert!(before < position, "{conn:?} sent up to {position} after {before}");
        self.events.push(Event::Sent(conn, position));
    }

    fn awaits_sent(&self, _: ConnToken) -> bool {
        self.awaits_sent
    }

    fn send_slot_free(&mut self, slot: u32) {
        self.give_slot_back(slot);
    }

    fn slab_retired(&mut self, _: u32) {}

    fn closed(&mut self, conn: ConnToken, error: Option<io::Error>) {
        self.step(conn, "closed", &[Life::Open, Life::Ended, Life::Closing], Life::Over);
        self.events.push(Event::Closed(conn, error.map(|error| error.raw_os_error().expect("closed with an errno"))));
    }

    fn timer(&mut self, key: u64) {
        self.events.push(Event::Timer(key));
    }

    fn doorbell(&mut self) {
        self.events.push(Event::Doorbell);
    }
}
