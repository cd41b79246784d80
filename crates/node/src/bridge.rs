//! The host of a driver whose handlers are JavaScript: events become completion records.
//!
//! During a turn events are only queued. Between turns they are written to the completion ring as far as it has room;
//! what does not fit waits here. While something waits, the worker gives the kernel no new receive buffers, and from
//! [`PENDING_MAX`] on it does not turn at all: the queue cannot grow beyond that and what one more turn brings, however
//! long JavaScript is busy. Nothing is dropped but datagrams (`datagrams.rs`).

mod events;
mod received;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use ringline::driver::{Chunk, ConnToken, ConnectError, Driver};
use ringline_ring::Kernel;

use crate::datagrams::{Arrival, Datagrams, Waiting};
use crate::disk::{self, Disk};
use crate::lent::Lent;
use crate::memory::KnownMemory;
use crate::protocol::{LOCAL, PEER, Record, completion, control, storage};
use crate::send_slots::SendSlots;
use crate::shared_memory::{Part, SharedMemory};
use crate::shared_ring::{Place, Producer};
use crate::slabs::{Exports, OfferedSlabs};
use crate::timers::Timers;
use crate::worker::Wishes;
use crate::{addresses, errno};

/// Events that may wait for room before the worker stops turning.
pub(crate) const PENDING_MAX: usize = 4096;
/// Most records that one event becomes: two addresses and the connection.
const RECORDS_PER_EVENT: u32 = 3;
/// The watched position of a connection that watches nothing.
const UNWATCHED: u64 = u64::MAX;

/// Something that happened and is not in the completion ring yet.
enum Event {
    Connected {
        conn: ConnToken,
        request: u32,
        peer: SocketAddr,
        base: u32,
    },
    ConnectFailed {
        request: u32,
        errno: i32,
    },
    /// The next of [`Bridge::received`].
    Received,
    SlabRetired {
        slab: u32,
    },
    Ended {
        conn: ConnToken,
    },
    Sent {
        conn: ConnToken,
    },
    Closed {
        conn: ConnToken,
        errno: i32,
    },
    Datagram(Waiting),
    DatagramSlabRetired {
        slab: u32,
    },
    DatagramsLost {
        udp: u32,
    },
    TimerDue {
        number: u32,
    },
    Tick,
    Notified,
    /// A record that is finished already.
    Ready(Record),
}

/// Where the last TICK is.
enum Tick {
    /// JavaScript has read it, or there was none.
    Read,
    /// It waits for room.
    Queued,
    /// It is in the ring, right before this position.
    Written(u32),
}

/// What the bridge knows of a connection slot.
#[derive(Clone, Copy)]
struct Sending {
    /// The slot's word of `sentBytes` when the connection opened.
    base: u32,
    /// A SENT is waiting to be written.
    sent_queued: bool,
    /// The position from which on progress is reported.
    watch_next: u64,
    /// The furthest watched position.
    watch_last: u64,
}

impl Sending {
    const fn at(base: u32) -> Self {
        Self { base, sent_queued: false, watch_next: UNWATCHED, watch_last: 0 }
    }
}

/// The worker's side of the shared memory.
pub(crate) struct Bridge<K: Kernel> {
    memory: Arc<SharedMemory>,
    ring: Producer,
    slots: SendSlots,
    exports: Exports,
    /// What JavaScript borrows, if it does; otherwise chunks are its own.
    lent: Option<Lent>,
    datagrams: Datagrams,
    timers: Timers,
    pending: VecDeque<Event>,
    /// What was received, one for each such event. In the event it would be moved in pieces that are not read as they were
    /// written, for which a processor waits.
    received: VecDeque<(ConnToken, Chunk)>,
    /// Slabs retired since the last delivery. The driver says so before it hands out the last chunk of the slab, but
    /// JavaScript must hear of it afterwards.
    retired: Vec<u32>,
    /// By connection slot.
    sending: Vec<Sending>,
    /// Connects that are under way: the request and whom it is for.
    connecting: HashMap<ConnToken, (u32, SocketAddr)>,
    /// The same by request.
    requests: HashMap<u32, ConnToken>,
    /// Sockets that the listener accepted, for the cluster to hand out.
    pub(crate) incoming: Vec<K::Socket>,
    /// Keys of timers that fired, for the worker.
    pub(crate) due: Vec<u64>,
    /// The doorbell was rung; for the worker.
    pub(crate) rung: bool,
    /// JavaScript runs on the thread that turns the worker, and so never while that waits.
    inline: bool,
    /// The other event loop of this thread has work; for whoever turns the worker.
    pub(crate) outer_ready: bool,
    /// Receive buffers are being held back.
    holding: bool,
    tick: Tick,
    notified: bool,
    /// Memory that JavaScript owns, as far as commands have named it.
    known: KnownMemory,
    disk: Disk,
    /// The driver holds guards that are no longer needed.
    guards_released: bool,
}

impl<K: Kernel> Bridge<K> {
    /// The bridge of a worker that has not turned yet.
    pub(crate) fn new(driver: &Driver<K>, memory: Arc<SharedMemory>, offers: OfferedSlabs, wishes: Wishes) -> Self {
        let send_slots = driver.send_memory().slots();
        Self {
            ring: Producer::new(Arc::clone(&memory), Place::COMPLETIONS),
            slots: SendSlots::new(Arc::clone(&memory), send_slots),
            exports: Exports::new(offers.clone(), 0),
            lent: wishes.borrows.then(Lent::default),
            datagrams: Datagrams::new(driver, Arc::clone(&memory), offers),
            timers: Timers::default(),
            memory,
            pending: VecDeque::new(),
            received: VecDeque::new(),
            retired: Vec::new(),
            sending: Vec::new(),
            connecting: HashMap::new(),
            requests: HashMap::new(),
            incoming: Vec::new(),
            due: Vec::new(),
            rung: false,
            inline: wishes.inline,
            outer_ready: false,
            holding: false,
            tick: Tick::Read,
            notified: false,
            known: KnownMemory::default(),
            disk: Disk::default(),
            guards_released: false,
        }
    }

    /// The send slots.
    #[inline]
    pub(crate) fn slots(&mut self) -> &mut SendSlots {
        &mut self.slots
    }

    /// The UDP sockets.
    #[inline]
    pub(crate) fn datagrams(&mut self) -> &mut Datagrams {
        &mut self.datagrams
    }

    /// The timers of JavaScript.
    pub(crate) fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    /// Queues the datagram that was announced.
    pub(crate) fn send_datagram(&mut self, driver: &mut Driver<K>, udp: u32, to: SocketAddr, len: u32) {
        if !self.datagrams.send(driver, &mut self.slots, udp, to, len) {
            self.datagram_lost(udp);
        }
    }

    fn datagram_lost(&mut self, udp: u32) {
        if self.datagrams.failed(udp) {
            self.pending.push_back(Event::DatagramsLost { udp });
        }
    }

    /// Whether so much waits for room that the worker must not turn.
    #[inline]
    pub(crate) fn is_backlogged(&self) -> bool {
        self.pending.len() >= PENDING_MAX
    }

    /// Events that wait to be written.
    #[inline]
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether anything waits for room.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Reports when the kernel has taken the bytes of a connection up to `position`.
    #[inline]
    pub(crate) fn watch(&mut self, conn: ConnToken, position: u64) {
        let sending = &mut self.sending[conn.slot() as usize];
        sending.watch_next = sending.watch_next.min(position);
        sending.watch_last = position;
    }

    /// Whether there is room to tell of an accepted connection. If not, JavaScript is asked for it.
    pub(crate) fn can_adopt(&mut self) -> bool {
        !self.has_pending() && (self.ring.has_room(RECORDS_PER_EVENT) || self.ask_for_room())
    }

    /// Makes a connection of an accepted socket and tells of it. There must be room.
    pub(crate) fn adopt(&mut self, driver: &mut Driver<K>, socket: K::Socket) {
        // A full worker, and a peer that has gone again, cost that one connection; the driver counts them.
        if let Ok(conn) = driver.adopt(socket) {
            let base = self.open(conn);
            let peer = driver.peer_addr(conn).unwrap_or(addresses::UNSPECIFIED);
            self.write_opened(driver, conn, peer, completion::ACCEPTED, [base, 0, 0, 0, 0]);
        }
    }

    /// Begins an outbound connection.
    pub(crate) fn connect(
        &mut self,
        driver: &mut Driver<K>,
        request: u32,
        peer: SocketAddr,
        timeout: Option<Duration>,
    ) {
        let errno = match driver.connect(peer, timeout) {
            Ok(conn) => {
                self.connecting.insert(conn, (request, peer));
                self.requests.insert(request, conn);
                return;
            }
            Err(ConnectError::Full) => 0,
            Err(ConnectError::Io(error)) => errno::of(&error),
        };
        self.refuse_connect(request, errno);
    }

    /// Answers a connect that was not begun.
    pub(crate) fn refuse_connect(&mut self, request: u32, errno: i32) {
        self.pending.push_back(Event::ConnectFailed { request, errno });
    }

    /// Gives an outbound connection up, if it does not stand yet.
    pub(crate) fn cancel_connect(&mut self, driver: &mut Driver<K>, request: u32) {
        if let Some(&conn) = self.requests.get(&request) {
            driver.cancel_connect(conn);
        }
    }

    /// Tells JavaScript that the worker was notified. Notifications that were not told yet count as one.
    pub(crate) fn notify(&mut self) {
        if !std::mem::replace(&mut self.notified, true) {
            self.pending.push_back(Event::Notified);
        }
    }

    /// Tells JavaScript that the tick time has passed, unless it has not read the last such record yet.
    pub(crate) fn tick(&mut self) {
        let read = match self.tick {
            Tick::Read => true,
            Tick::Queued => false,
            Tick::Written(position) => self.ring.consumed(position),
        };
        if read {
            self.tick = Tick::Queued;
            self.pending.push_back(Event::Tick);
        }
    }

    /// The end of a guarded send, or one that was refused.
    pub(crate) fn tell_released(&mut self, key: u32) {
        self.tell(Record::of_worker(storage::completion::GUARD_RELEASED, key));
    }

    /// Tells JavaScript something that needs no more bookkeeping.
    pub(crate) fn tell(&mut self, record: Record) {
        self.pending.push_back(Event::Ready(record));
    }

    /// Memory that JavaScript owns, and what is known of files and devices.
    pub(crate) fn storage(&mut self) -> (&mut KnownMemory, &mut Disk) {
        (&mut self.known, &mut self.disk)
    }

    /// Drops guards that the driver no longer needs.
    fn drop_guards(&mut self, driver: &mut Driver<K>) {
        let mut released = Vec::new();
        driver.take_released_guards(&mut released);
        self.guards_released = false;
    }

    /// Writes queued events to the ring as far as it has room, and gives chunks that were written back to the driver.
    #[inline]
    pub(crate) fn deliver(&mut self, driver: &mut Driver<K>) {
        for slab in self.retired.drain(..) {
            self.pending.push_back(Event::SlabRetired { slab });
        }
        if self.guards_released {
            self.drop_guards(driver);
        }
        while !self.pending.is_empty() {
            if !self.ring.has_room(RECORDS_PER_EVENT) && !self.ask_for_room() {
                break;
            }
            if let Some(event) = self.pending.pop_front() {
                self.write(driver, event);
            }
        }
        self.datagrams.note_left();
        self.exports.withdraw(&mut self.ring);
        self.datagrams.withdraw(&mut self.ring);
        if self.datagrams.wants_trim() {
            driver.trim_later();
        }
        self.hold_or_not(driver);
    }

    /// Asks JavaScript to ring when it has made room, and looks once more.
    #[cold]
    fn ask_for_room(&mut self) -> bool {
        self.memory.control(control::WANTS_ROOM).store(1, Ordering::SeqCst);
        // Either this sees the head that JavaScript published, or JavaScript sees the flag after it has published.
        fence(Ordering::SeqCst);
        self.ring.has_room(RECORDS_PER_EVENT)
    }

    /// Shows JavaScript what was written. Answers whether it has to be woken.
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        // Slots first: who reads of a send that was taken finds its slots free.
        let slots = self.slots.publish();
        let records = self.ring.publish();
        if !slots && !records {
            return false;
        }
        // Either JavaScript sees the new tails before it sleeps, or its flags are seen here.
        fence(Ordering::SeqCst);
        let asleep = records && self.claim(control::JS_ASLEEP);
        // Before it sleeps, JavaScript looks for records only. Who waits for slots is therefore woken in any case: it may
        // be on its way to sleep right now.
        let wants_slots = slots && self.claim(control::WANTS_SLOTS);
        asleep || wants_slots
    }

    /// Takes a flag away that JavaScript has set. Only a load while it is not set, so that its cache line stays there.
    #[inline]
    fn claim(&self, flag: u32) -> bool {
        let flag = self.memory.control(flag);
        flag.load(Ordering::Relaxed) == 1 && flag.swap(0, Ordering::SeqCst) == 1
    }

    /// Writes the last record. False when there is no room for it yet.
    pub(crate) fn write_stopped(&mut self, errno: i32) -> bool {
        let record = Record::of_worker(completion::STOPPED, errno as u32);
        (self.ring.has_room(1) || self.ask_for_room()) && self.ring.push(record).is_ok()
    }

    #[inline]
    fn write(&mut self, driver: &mut Driver<K>, event: Event) {
        match event {
            Event::Received => {
                if let Some((conn, chunk)) = self.received.pop_front() {
                    self.write_received(driver, conn, chunk);
                }
            }
            Event::Sent { conn } => {
                self.sending[conn.slot() as usize].sent_queued = false;
                self.write_conn(completion::SENT, conn, [0; 5]);
            }
            Event::Ended { conn } => self.write_conn(completion::END, conn, [0; 5]),
            Event::Closed { conn, errno } => self.write_conn(completion::CLOSED, conn, [errno as u32, 0, 0, 0, 0]),
            Event::Connected { conn, request, peer, base } => {
                self.write_opened(driver, conn, peer, completion::CONNECTED, [base, request, 0, 0, 0]);
            }
            Event::ConnectFailed { request, errno } => {
                self.push(Record::new(completion::CONNECT_FAILED, 0, 0, [errno as u32, request, 0, 0, 0]));
            }
            Event::SlabRetired { slab } => {
                // A slab that no record has named is not known to JavaScript.
                if self.exports.is_offered(slab) {
                    self.push(Record::of_worker(completion::SLAB_RETIRED, slab));
                    self.exports.retire(slab, self.ring.position());
                }
            }
            Event::Datagram(waiting) => self.write_datagram(waiting),
            Event::DatagramSlabRetired { slab } => {
                if let Some(record) = self.datagrams.retire(slab, self.ring.position()) {
                    self.push(record);
                }
            }
            Event::DatagramsLost { udp } => {
                let record = self.datagrams.lost_record(udp);
                self.push(record);
            }
            Event::TimerDue { number } => self.push(Record::of_worker(completion::TIMER_DUE, number)),
            Event::Tick => {
                self.push(Record::of_worker(completion::TICK, 0));
                self.tick = Tick::Written(self.ring.position());
            }
            Event::Notified => {
                self.notified = false;
                self.push(Record::of_worker(completion::NOTIFY, 0));
            }
            Event::Ready(record) => self.push(record),
        }
    }

    #[inline]
    fn write_datagram(&mut self, waiting: Waiting) {
        let (from, record) = self.datagrams.records(waiting);
        if let Some(from) = from {
            self.push(from);
        }
        self.push(record);
    }

    fn write_opened(&mut self, driver: &Driver<K>, conn: ConnToken, peer: SocketAddr, kind: u32, values: [u32; 5]) {
        let (slot, generation) = (conn.slot(), conn.generation());
        let local = driver.local_addr(conn).unwrap_or(addresses::UNSPECIFIED);
        self.push(addresses::record(slot, generation, PEER, peer));
        self.push(addresses::record(slot, generation, LOCAL, local));
        self.write_conn(kind, conn, values);
    }

    #[inline]
    fn write_conn(&mut self, kind: u32, conn: ConnToken, values: [u32; 5]) {
        self.push(Record::new(kind, conn.slot(), conn.generation(), values));
    }

    #[inline(never)]
    fn push(&mut self, record: Record) {
        self.push_usual(record);
    }

    /// The same, compiled into whoever calls it: what is passed by reference is written and read in unlike pieces. For
    /// records of which each message has one.
    #[inline(always)]
    fn push_usual(&mut self, record: Record) {
        self.ring.push(record).expect("room was made sure of before the event was taken from the queue");
    }

    /// Begins the bookkeeping of a connection and returns its word of `sentBytes`.
    fn open(&mut self, conn: ConnToken) -> u32 {
        let slot = conn.slot() as usize;
        if self.sending.len() <= slot {
            self.sending.resize(slot + 1, Sending::at(0));
        }
        let base = self.memory.word(Part::SentBytes, conn.slot()).load(Ordering::Relaxed);
        self.sending[slot] = Sending::at(base);
        base
    }

    /// The request of a connect that has come to its end.
    fn answered(&mut self, conn: ConnToken) -> Option<(u32, SocketAddr)> {
        let (request, peer) = self.connecting.remove(&conn)?;
        self.requests.remove(&request);
        Some((request, peer))
    }
}
