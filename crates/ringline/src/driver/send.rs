//! Sending: at most one send per connection is in flight, so its bytes reach the wire in the order they were queued.
//!
//! Pieces that were queued since the last turn go out as one gathered send. The kernel is asked not to wait: a socket
//! that takes fewer bytes than offered is polled for room, and the rest follows.
//!
//! The usual send, of one piece, is that of `silent_send.rs`. With all other sends, and where somebody depends on what is sent, the
//! driver looks once more before it waits.

use ringline_ring::{Completion, Kernel, Op, PinnedMessage};

use super::connection::{Connection, Phase, Receive, Sending};
use super::kind::Kind;
use super::pipe::NO_PIPE;
use super::send_queue::{Origin, Piece, Pieces, SendQueue};
use super::slabs::Chunk;
use super::{ConnToken, Driver, Due, Host, conn_of, file_of};

/// How long a connection whose peer has finished waits for room before it tries again, doubled each time in vain.
const ROOM_NS: u64 = 500_000;
/// The longest such pause.
const ROOM_NS_MAX: u64 = 16_000_000;
/// Pieces that one send gathers at most.
pub const GATHER_MAX: usize = 64;

/// A message header and its vectors, at one place while a send is in flight.
pub(super) struct Gather {
    pub(super) header: libc::msghdr,
    pub(super) vectors: [libc::iovec; GATHER_MAX],
}

/// A gathered send in flight.
pub(super) struct Gathered {
    conn: ConnToken,
    gather: Box<Gather>,
}

impl Gather {
    pub(super) fn new() -> Box<Self> {
        // SAFETY: both are plain integers and pointers, for which zero is a value.
        Box::new(unsafe { std::mem::zeroed() })
    }
}

/// Why bytes were not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendRefused {
    /// The connection is closed, closing, or its sending direction was shut down; or the token is stale.
    Closed,
}

impl<K: Kernel> Driver<K> {
    /// Queues `len` bytes of a send slot, from its start. Returns the position of their end in the stream of this
    /// connection, to compare with [`Host::sent`]. The slot comes back through [`Host::send_slot_free`].
    ///
    /// # Errors
    ///
    /// When the connection takes no more bytes. The slot then stays with the caller.
    ///
    /// # Panics
    ///
    /// When there is no such slot, or it is shorter.
    #[inline]
    pub fn send_slot(&mut self, conn: ConnToken, slot: u32, len: u32) -> Result<u64, SendRefused> {
        assert!(len <= self.send_memory.slot_size(), "{len} bytes of a slot of {}", self.send_memory.slot_size());
        let address = self.send_memory.slot_address(slot);
        self.enqueue(conn, Piece { address, len, origin: Origin::Slot(slot) })
    }

    /// Copies bytes into the slot of `take_slot` and queues it, if that is the usual: the connection takes bytes, has none
    /// queued, and there is a slot. Otherwise none, and nothing is done.
    ///
    /// # Panics
    ///
    /// When there is no such slot, or the bytes do not fit into it.
    #[inline(always)]
    pub fn send_copy_alone(
        &mut self,
        conn: ConnToken,
        bytes: &[u8],
        take_slot: impl FnOnce() -> Option<u32>,
    ) -> Option<u64> {
        let connection = self.connections.get_mut(conn.slot(), conn.generation())?;
        if !connection.queue.is_empty() || !connection.accepts_sends() {
            return None;
        }
        let slot = take_slot()?;
        let address = self.send_memory.write(slot, 0, bytes);
        let piece = Piece { address, len: bytes.len() as u32, origin: Origin::Slot(slot) };
        Some(append(conn, connection, &mut self.pieces, piece))
    }

    /// Copies bytes into a free send slot of the caller's choice and queues it.
    ///
    /// # Errors
    ///
    /// When the connection takes no more bytes. The slot then stays with the caller.
    ///
    /// # Panics
    ///
    /// When the bytes do not fit into the slot.
    #[inline]
    pub fn send_copy(&mut self, conn: ConnToken, slot: u32, bytes: &[u8]) -> Result<u64, SendRefused> {
        let address = self.send_memory.write(slot, 0, bytes);
        self.enqueue(conn, Piece { address, len: bytes.len() as u32, origin: Origin::Slot(slot) })
    }

    /// How many bytes [`append`](Self::append) would take: the rest of the slot that was queued last, while it is not
    /// in flight.
    #[inline]
    pub fn appendable(&mut self, conn: ConnToken) -> u32 {
        let Some(connection) = self.connections.get(conn.slot(), conn.generation()) else { return 0 };
        if connection.queue.is_empty() { 0 } else { self.room_in_tail(conn) }
    }

    fn room_in_tail(&mut self, conn: ConnToken) -> u32 {
        let slot_size = self.send_memory.slot_size();
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return 0 };
        if connection.tail_sealed || !connection.accepts_sends() {
            return 0;
        }
        if connection.rare().chained && self.chains.end_at(conn, connection.queued) {
            return 0;
        }
        match self.pieces.last(&connection.queue) {
            Some(Piece { address, len, origin: Origin::Slot(slot) }) => {
                let offset = *address as usize - self.send_memory.slot_address(*slot) as usize;
                slot_size - offset as u32 - *len
            }
            _ => 0,
        }
    }

    /// Copies bytes behind those that were queued last, into the same slot.
    ///
    /// # Errors
    ///
    /// When there is less than that [`appendable`](Self::appendable).
    pub fn append(&mut self, conn: ConnToken, bytes: &[u8]) -> Result<u64, SendRefused> {
        if (self.appendable(conn) as usize) < bytes.len() {
            return Err(SendRefused::Closed);
        }
        let connection = self.connections.get_mut(conn.slot(), conn.generation()).ok_or(SendRefused::Closed)?;
        let Some(piece) = self.pieces.last(&connection.queue) else { return Err(SendRefused::Closed) };
        let Origin::Slot(slot) = piece.origin else { return Err(SendRefused::Closed) };
        let offset = piece.address as usize - self.send_memory.slot_address(slot) as usize + piece.len as usize;
        self.send_memory.write(slot, offset as u32, bytes);
        piece.len += bytes.len() as u32;
        connection.queued += bytes.len() as u64;
        Ok(connection.queued)
    }

    /// Queues received bytes as they lie, without a copy. Otherwise as [`send_slot`](Self::send_slot).
    ///
    /// # Errors
    ///
    /// When the connection takes no more bytes; the chunk comes back.
    #[inline(always)]
    pub fn send_chunk(&mut self, conn: ConnToken, chunk: Chunk) -> Result<u64, Chunk> {
        let address = self.chunk_bytes(&chunk).as_ptr();
        let piece = Piece { address, len: chunk.len(), origin: Origin::Slab(chunk.slab()) };
        self.enqueue(conn, piece).map_err(|_| chunk)
    }

    /// Queued pieces of received memory, each of which holds a slab.
    #[inline]
    pub fn slab_pieces(&self) -> usize {
        self.slab_pieces
    }

    /// Bytes that were queued and not yet taken by the kernel.
    pub fn unsent(&self, conn: ConnToken) -> Option<u64> {
        self.connections.get(conn.slot(), conn.generation()).map(|connection| connection.queued - connection.sent)
    }

    #[inline(always)]
    pub(super) fn enqueue(&mut self, conn: ConnToken, piece: Piece) -> Result<u64, SendRefused> {
        let connection = self.connections.get_mut(conn.slot(), conn.generation()).ok_or(SendRefused::Closed)?;
        if !connection.accepts_sends() {
            return Err(SendRefused::Closed);
        }
        self.slab_pieces += usize::from(matches!(piece.origin, Origin::Slab(_)));
        Ok(append(conn, connection, &mut self.pieces, piece))
    }

    /// Submits what is queued, as far as one send can hold it.
    pub(super) fn start_send<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken) {
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        let mut until_chain = None;
        if connection.rare().chained {
            let sent = connection.sent;
            until_chain = self.chains.before_next(conn, sent);
            if until_chain == Some(0) {
                if !self.loosen_chain(conn) {
                    return self.start_chain(conn);
                }
                until_chain = self.chains.before_next(conn, sent);
            }
        }
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        let mut gather = self.gathers.pop().unwrap_or_else(Gather::new);
        let (count, all) = match until_chain {
            None => self.pieces.gather(&connection.queue, &mut gather.vectors),
            Some(bytes) => {
                let (mut cursor, mut position) = (self.pieces.cursor(&connection.queue), 0);
                (self.pieces.gather_until(&mut cursor, &mut position, bytes, &mut gather.vectors), false)
            }
        };
        let bytes: usize = gather.vectors[..count].iter().map(|vector| vector.iov_len).sum();
        if bytes == 0 {
            self.gathers.push(gather);
            return self.skip_empty(host, conn);
        }
        connection.sending = Sending::InFlight;
        connection.tail_sealed = all;
        // The kernel takes less than this limit at a time, and so no error number can be mistaken for a whole send.
        connection.in_flight = bytes.min(i32::MAX as usize) as u32;
        self.sends_awaited = true;
        self.metrics.sends += 1;
        let zero_copy = self.wants_zero_copy(conn, count);
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        if count == 1 && !zero_copy {
            self.gathers.push(gather);
            let Some(piece) = self.pieces.first(&connection.queue) else { return };
            // SAFETY: pieces leave the queue only in `send_finished`, or in `drop_queue` when no send is in flight.
            let op = Op::Send { file: file_of(conn), bytes: unsafe { piece.pinned() } };
            return self.submitter.push(op, Kind::Send, conn.slot(), conn.generation());
        }
        gather.header.msg_iov = gather.vectors.as_mut_ptr();
        gather.header.msg_iovlen = count as _;
        if zero_copy {
            return self.start_zero_copy(conn, count, gather);
        }
        // SAFETY: the gather is boxed and stays in the table until `gathered_completed`; for the bytes, as above.
        let message = unsafe { PinnedMessage::new(&raw const gather.header) };
        let (slot, generation) =
            self.gathered.insert(Gathered { conn, gather }).expect("as many as connections at most");
        self.submitter.push(Op::SendMessage { file: file_of(conn), message }, Kind::Gathered, slot, generation);
    }

    pub(super) fn gathered_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let (slot, generation) = (completion.tag.slot(), completion.tag.generation());
        let Some(Gathered { conn, gather }) = self.gathered.remove(slot, generation) else {
            self.metrics.stale_completions += 1;
            return;
        };
        self.gathers.push(gather);
        self.send_finished(host, conn, completion.result);
    }

    /// Takes the pieces without bytes off the front of the queue: the kernel answers 0 to a send of nothing.
    #[cold]
    fn skip_empty<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken) {
        while let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation())
            && self.pieces.first(&connection.queue).is_some_and(|piece| piece.len == 0)
            && let Some(piece) = self.pieces.pop(&mut connection.queue)
        {
            self.release_origin(host, piece.origin);
        }
        self.advance(host, conn);
    }

    pub(super) fn send_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let conn = conn_of(completion.tag);
        match self.connection(conn) {
            Some(_) => self.send_finished(host, conn, completion.result),
            None => self.metrics.stale_completions += 1,
        }
    }

    /// The result of a connection's send is there.
    #[inline(never)]
    pub(super) fn send_finished<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken, result: i32) {
        let Some(connection) = self.connection(conn) else { return };
        connection.sending = Sending::Idle;
        connection.tail_sealed = false;
        let offered = connection.in_flight;
        match result {
            sent @ 1.. => {
                self.bytes_sent(host, conn, sent as u32);
                if (sent as u32) < offered { self.wait_for_room(host, conn) } else { self.advance(host, conn) }
            }
            result if result == -libc::EAGAIN => self.wait_for_room(host, conn),
            result if result == -libc::EINTR => self.advance(host, conn),
            // A send of at least one byte that takes none and names no error would be repeated for ever.
            0 => self.fail(host, conn, libc::EIO),
            result => self.fail(host, conn, -result),
        }
    }

    /// Takes sent bytes off the queue and gives their memory back.
    pub(super) fn bytes_sent<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken, sent: u32) {
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        let mut queue = connection.queue;
        let mut left = sent;
        while left > 0 {
            let Some(piece) = self.pieces.first(&queue) else { break };
            if piece.len > left {
                piece.address = piece.address.wrapping_add(left as usize);
                piece.len -= left;
                break;
            }
            left -= piece.len;
            let origin = piece.origin;
            self.pieces.pop(&mut queue);
            self.release_origin(host, origin);
        }
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        connection.queue = queue;
        if connection.rare().waits > 0 {
            connection.change_rare(|rare| rare.waits = 0);
        }
        connection.sent += u64::from(sent);
        self.metrics.bytes_sent += u64::from(sent);
        let pipe = connection.rare().pipe_in;
        host.sent(conn, connection.sent);
        if pipe != NO_PIPE {
            self.target_sent(pipe);
        }
    }

    fn wait_for_room<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken) {
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        if connection.queue.is_empty() || connection.phase == Phase::Ending {
            return self.advance(host, conn);
        }
        if connection.receive == Receive::Ended {
            return self.wait_by_timer(conn);
        }
        connection.sending = Sending::Blocked { cancelled: false };
        self.submit(Op::PollWritable { file: file_of(conn) }, Kind::Writable, conn);
    }

    fn wait_by_timer(&mut self, conn: ConnToken) {
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        connection.sending = Sending::Waiting;
        let pause = (ROOM_NS << connection.rare().waits).min(ROOM_NS_MAX);
        let timer = self.timers.arm(self.now + pause, Due::Room(conn));
        connection.change_rare(|rare| {
            rare.waits = (rare.waits + 1).min(8);
            rare.timer = Some(timer);
        });
    }

    pub(super) fn writable_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let Some(conn) = self.completed(completion) else { return };
        let Some(connection) = self.connection(conn) else { return };
        connection.sending = Sending::Idle;
        // The peer has finished, which a paused or parked receive has not told: a poll would end like this each time.
        if completion.result == i32::from(libc::POLLRDHUP) && connection.phase != Phase::Ending {
            return self.wait_by_timer(conn);
        }
        // An error or hang-up ends the poll as well; the send that follows tells which.
        self.advance(host, conn);
    }

    /// The pause of a connection whose peer has finished is over.
    pub(super) fn look_for_room<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken) {
        if let Some(connection) = self.connection(conn) {
            connection.take_timer();
            if connection.sending == Sending::Waiting {
                connection.sending = Sending::Idle;
            }
            self.advance(host, conn);
        }
    }

    /// Drops everything that is queued. No send may be in flight.
    pub(super) fn drop_queue<H: Host<K>>(&mut self, host: &mut H, conn: ConnToken) {
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        debug_assert!(!connection.has_send_in_flight());
        if connection.rare().chained {
            connection.change_rare(|rare| rare.chained = false);
            self.chains.forget(conn);
        }
        let mut queue = std::mem::replace(&mut connection.queue, SendQueue::EMPTY);
        while let Some(piece) = self.pieces.pop(&mut queue) {
            self.release_origin(host, piece.origin);
        }
    }
}

/// Appends a piece to the queue of a connection that takes bytes; the position of its end in the stream.
#[inline(always)]
fn append<S>(conn: ConnToken, connection: &mut Connection<S>, pieces: &mut Pieces, piece: Piece) -> u64 {
    connection.tail_sealed = false;
    connection.queued += u64::from(piece.len);
    let is_shared = matches!(piece.origin, Origin::Shared(_));
    if connection.queue.is_empty() && !connection.dirty && !is_shared {
        connection.dirty = true;
        pieces.list_only(conn, &mut connection.queue, piece);
    } else {
        // In pieces: what is lent to a function has to lie in memory from the beginning.
        let Piece { address, len, origin } = piece;
        append_behind(conn, connection, pieces, address, len, origin);
    }
    connection.queued
}

/// Appends a piece to a queue that has others, or that is not the usual one.
#[inline(never)]
fn append_behind<S>(
    conn: ConnToken,
    connection: &mut Connection<S>,
    pieces: &mut Pieces,
    address: *const u8,
    len: u32,
    origin: Origin,
) {
    pieces.push(&mut connection.queue, Piece { address, len, origin });
    if connection.sending == Sending::Idle && !connection.dirty {
        connection.dirty = true;
        pieces.list(conn);
    }
}
