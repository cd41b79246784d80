//! The UDP sockets of a worker on their way to and from JavaScript: received datagrams are copied once, into slabs of an
//! arena that JavaScript sees, and datagrams to be sent stand in send slots.
//!
//! UDP has no back-pressure. When JavaScript does not keep up, the newest datagrams are dropped here and counted; what
//! waits is bounded in bytes, and in number by what one turn brings. That may be many, where they come joined: they are no
//! sign that JavaScript is late, which has had no chance to read them yet.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ringline::driver::{Arena, Chunk, Driver, UdpToken};
use ringline_ring::Kernel;

use crate::addresses::{bytes_of, words_of};
use crate::protocol::size::DATAGRAM_SLABS;
use crate::protocol::{Record, completion};
use crate::send_slots::SendSlots;
use crate::shared_memory::{Part, SharedMemory};
use crate::shared_ring::Producer;
use crate::slabs::{Exports, OfferedSlabs};

/// With so many datagrams left for want of room in the completion ring, no more are taken.
const LEFT_MAX: u32 = 2048;
/// Bytes of the datagrams that may wait for room.
const PENDING_BYTES_MAX: usize = 4 << 20;
/// Full slabs that JavaScript may have left unread: 8 MiB.
const UNREAD_SLABS_MAX: usize = 128;

/// A datagram that waits for room in the completion ring.
pub(crate) struct Waiting {
    udp: u32,
    peer: SocketAddr,
    chunk: Chunk,
}

/// What was told of a datagram before its own record: it came in pieces.
#[derive(Default)]
struct Announced {
    /// Full slots, in order.
    slots: Vec<u32>,
    /// The IPv6 address and scope of its receiver.
    to: Option<(Ipv6Addr, u32)>,
}

#[derive(Default)]
struct Socket {
    dropped: u32,
    failed: u32,
    /// A DATAGRAMS_LOST is waiting to be written.
    lost_queued: bool,
}

/// The UDP sockets of one worker.
pub(crate) struct Datagrams {
    memory: Arc<SharedMemory>,
    /// The word of `sentBytes` that counts what has left the first socket.
    first_word: u32,
    sockets: Vec<Socket>,
    arena: Arena,
    exports: Exports,
    pending: u32,
    pending_bytes: usize,
    /// So many of them found no room when events were last told.
    left: u32,
    announced: Announced,
    /// By send slot: one more than the index of the socket whose datagram ends in it. Empty without sockets.
    ends: Vec<u32>,
}

/// What became of a datagram that arrived.
pub(crate) enum Arrival {
    /// It waits for room; the slab, if there is one, is retired as soon as everything before it is told.
    Stored(Option<u32>, Waiting),
    /// It was dropped, and that has yet to be told.
    Dropped,
    /// It was dropped, and that waits to be told already.
    DroppedToo,
}

impl Datagrams {
    /// The UDP sockets that a driver has bound.
    pub(crate) fn new<K: Kernel>(driver: &Driver<K>, memory: Arc<SharedMemory>, offers: OfferedSlabs) -> Self {
        let bound = |index: &u32| driver.udp_addr(UdpToken::from_index(*index)).is_some();
        let sockets: Vec<Socket> = (0..).take_while(bound).map(|_| Socket::default()).collect();
        let ends = if sockets.is_empty() { 0 } else { driver.send_memory().slots() as usize };
        Self {
            first_word: memory.words(Part::SentBytes) - sockets.len() as u32,
            memory,
            sockets,
            arena: Arena::new(driver.doorbell()),
            exports: Exports::new(offers, DATAGRAM_SLABS),
            pending: 0,
            pending_bytes: 0,
            left: 0,
            announced: Announced::default(),
            ends: vec![0; ends],
        }
    }

    /// Whether there is such a socket.
    pub(crate) fn has(&self, udp: u32) -> bool {
        (udp as usize) < self.sockets.len()
    }

    /// Keeps a datagram, unless too much waits already.
    #[inline]
    pub(crate) fn arrived(&mut self, udp: u32, peer: SocketAddr, payload: &[u8]) -> Arrival {
        let full = self.left >= LEFT_MAX
            || self.pending_bytes + payload.len() > PENDING_BYTES_MAX
            || self.exports.unread() >= UNREAD_SLABS_MAX;
        let stored = if full { None } else { self.arena.store(payload) };
        let Some(stored) = stored else {
            let socket = &mut self.sockets[udp as usize];
            socket.dropped = socket.dropped.wrapping_add(1);
            return if std::mem::replace(&mut socket.lost_queued, true) {
                Arrival::DroppedToo
            } else {
                Arrival::Dropped
            };
        };
        self.pending += 1;
        self.pending_bytes += payload.len();
        Arrival::Stored(stored.retired, Waiting { udp, peer, chunk: stored.chunk })
    }

    /// Counts a datagram that could not be sent. Answers whether that has yet to be told.
    pub(crate) fn failed(&mut self, udp: u32) -> bool {
        let socket = &mut self.sockets[udp as usize];
        socket.failed = socket.failed.wrapping_add(1);
        !std::mem::replace(&mut socket.lost_queued, true)
    }

    /// The records of a datagram; the first is only needed for an IPv6 sender.
    #[inline]
    pub(crate) fn records(&mut self, waiting: Waiting) -> (Option<Record>, Record) {
        let Waiting { udp, peer, chunk } = waiting;
        self.pending -= 1;
        self.pending_bytes -= chunk.len() as usize;
        if !self.exports.is_offered(chunk.slab()) {
            self.exports.offer(self.arena.share(&chunk));
        }
        let (family, word, from) = match peer {
            SocketAddr::V4(v4) => (4, u32::from_le_bytes(v4.ip().octets()), None),
            SocketAddr::V6(v6) => {
                let [a, b, c, d] = words_of(*v6.ip());
                (6, 0, Some(Record::new(completion::DATAGRAM_FROM, udp, v6.scope_id(), [a, b, c, d, 0])))
            }
        };
        let meta = family << 8 | u32::from(peer.port()) << 16;
        let values = [DATAGRAM_SLABS | chunk.slab(), chunk.offset(), chunk.len(), word, 0];
        self.arena.release(chunk);
        (from, Record::new(completion::DATAGRAM, udp, meta, values))
    }

    /// The record that tells what a socket has lost.
    pub(crate) fn lost_record(&mut self, udp: u32) -> Record {
        let socket = &mut self.sockets[udp as usize];
        socket.lost_queued = false;
        Record::new(completion::DATAGRAMS_LOST, udp, 0, [socket.dropped, socket.failed, 0, 0, 0])
    }

    /// The record of a retired slab, to be written at `position`; none when JavaScript has never heard of it.
    pub(crate) fn retire(&mut self, slab: u32, position: u32) -> Option<Record> {
        if !self.exports.is_offered(slab) {
            return None;
        }
        self.exports.retire(slab, position.wrapping_add(1));
        Some(Record::of_worker(completion::SLAB_RETIRED, DATAGRAM_SLABS | slab))
    }

    /// Everything that there is room for was told.
    #[inline]
    pub(crate) fn note_left(&mut self) {
        self.left = self.pending;
    }

    /// Withdraws slabs that JavaScript knows to be retired.
    #[inline]
    pub(crate) fn withdraw(&mut self, ring: &mut Producer) {
        self.exports.withdraw(ring);
    }

    /// Whether many slabs are free that keep their pages.
    #[inline]
    pub(crate) fn wants_trim(&mut self) -> bool {
        self.arena.wants_trim()
    }

    /// Gives back the pages of slabs that were not needed since the last call. Answers whether many still keep theirs.
    pub(crate) fn trim(&mut self) -> bool {
        self.arena.trim();
        self.arena.wants_trim()
    }

    /// The next datagram goes to this IPv6 address.
    pub(crate) fn announce_receiver(&mut self, words: [u32; 4], scope: u32) {
        self.announced.to = Some((Ipv6Addr::from(bytes_of(words)), scope));
    }

    /// The next datagram fills this slot.
    pub(crate) fn announce_slot(&mut self, slot: u32) {
        self.announced.slots.push(slot);
    }

    /// Bytes that the next datagram may have at most, and must have more than, by the slots that were announced for it.
    pub(crate) fn lengths(&self, slot_size: u32) -> (u32, u32) {
        let announced = self.announced.slots.len() as u32;
        (announced.saturating_mul(slot_size), announced.saturating_add(1).saturating_mul(slot_size))
    }

    /// Whom the announced datagram is for; none when an IPv6 receiver was not announced.
    pub(crate) fn receiver(&mut self, meta: u32, word: u32) -> Option<SocketAddr> {
        let port = (meta >> 16) as u16;
        let to = self.announced.to.take();
        if meta >> 8 & 0xff == 4 {
            return Some(SocketAddrV4::new(Ipv4Addr::from(word.to_le_bytes()), port).into());
        }
        to.map(|(ip, scope)| SocketAddrV6::new(ip, port, 0, scope).into())
    }

    /// Queues the announced datagram, which ends in the slot announced last. When it cannot be sent, it is counted as
    /// failed, its slots are free again, and the answer is false.
    pub(crate) fn send<K: Kernel>(
        &mut self,
        driver: &mut Driver<K>,
        slots: &mut SendSlots,
        udp: u32,
        to: SocketAddr,
        len: u32,
    ) -> bool {
        let used = &self.announced.slots;
        self.ends[used[used.len() - 1] as usize] = udp + 1;
        let sent = driver.send_datagram_slots(UdpToken::from_index(udp), to, len as usize, used).is_ok();
        if !sent {
            for index in 0..self.announced.slots.len() {
                let slot = self.announced.slots[index];
                slots.give_back(slot);
                self.slot_freed(slot);
            }
        }
        self.announced.slots.clear();
        sent
    }

    /// A send slot is free: when a datagram ended in it, that datagram has left its socket.
    #[inline]
    pub(crate) fn slot_freed(&mut self, slot: u32) {
        if self.ends.is_empty() {
            return;
        }
        let ends = std::mem::take(&mut self.ends[slot as usize]);
        if ends > 0 {
            let word = self.memory.word(Part::SentBytes, self.first_word + ends - 1);
            word.store(word.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }
}
