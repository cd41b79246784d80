//! Chains: sends that the kernel runs one after the other, and of which a failing one cancels those behind it.
//!
//! For the rule that one send of a connection is in flight at a time, a chain is one send: it starts when everything that
//! was queued before it is out, and what was queued after it starts when its last link has completed. Its links wait for
//! room by themselves, because a link that came back short would break the chain. Where one does all the same (Linux 6.18
//! gives up after it has waited for room 128 times), what it has sent is taken off the queue, and the rest goes out as
//! plain sends. An error ends the connection, as that of any send.

use std::collections::{HashMap, VecDeque};

use ringline_ring::{Completion, Kernel, Op, PinnedMessage, Tag};

use super::connection::{Receive, Sending};
use super::kind::Kind;
use super::send::Gather;
use super::{ConnToken, Driver, Host, conn_of, file_of};

/// Links of a chain at most.
pub const CHAIN_LINKS_MAX: usize = 64;

/// Bytes of a chain at most: the results of its links are added up, and a result has 31 bits. What is longer goes out
/// plainly.
const CHAIN_BYTES_MAX: u64 = 1 << 30;

// A connection counts its operations in eight bits: a chain, and some beside it.
const _: () = assert!(CHAIN_LINKS_MAX <= 200);

/// The chains of those connections that have any, by slot.
pub(super) struct Chains {
    by_slot: HashMap<u32, Chained>,
}

#[derive(Default)]
struct Chained {
    /// Chains that are queued, oldest first.
    waiting: VecDeque<Chain>,
    active: Option<Active>,
}

/// Where a chain lies in the stream of its connection.
struct Chain {
    begin: u64,
    /// The end of each link.
    ends: Vec<u64>,
}

impl Chain {
    fn bytes(&self) -> u64 {
        self.ends.last().map_or(0, |end| end - self.begin)
    }
}

/// A chain in flight.
struct Active {
    /// Links whose completion has not come.
    pending: usize,
    sent: u32,
    /// The errno of the link that failed, or 0.
    error: i32,
    /// Boxed, because each keeps its place while it is in flight.
    #[allow(clippy::vec_box)]
    gathers: Vec<Box<Gather>>,
    /// A cancel is in flight.
    cancelled: bool,
}

impl Chains {
    pub(super) fn new() -> Self {
        Self { by_slot: HashMap::new() }
    }

    /// How many bytes of a connection that has sent `sent` may go out plainly before its next chain; none when it has no
    /// chain.
    pub(super) fn before_next(&self, conn: ConnToken, sent: u64) -> Option<u64> {
        let next = self.by_slot.get(&conn.slot())?.waiting.front()?;
        Some(next.begin - sent)
    }

    /// Whether the last chain ends at a position.
    pub(super) fn end_at(&self, conn: ConnToken, position: u64) -> bool {
        let last = self.by_slot.get(&conn.slot()).and_then(|chained| chained.waiting.back());
        last.is_some_and(|chain| chain.ends.last() == Some(&position))
    }

    /// Forgets the chains of a connection whose queue was dropped.
    pub(super) fn forget(&mut self, conn: ConnToken) {
        let forgotten = self.by_slot.remove(&conn.slot());
        debug_assert!(forgotten.is_none_or(|chained| chained.active.is_none()), "a chain in flight keeps its memory");
    }
}

impl<K: Kernel> Driver<K> {
    /// Submissions of a chain at most; 0 when chains are disabled.
    pub fn chain_links_max(&self) -> usize {
        self.settings.chain_links_max as usize
    }

    /// Keeps the bytes that were queued last to themselves: what is queued next does not share their slot.
    pub fn seal(&mut self, conn: ConnToken) {
        if let Some(connection) = self.connection(conn) {
            connection.tail_sealed = true;
        }
    }

    /// Bytes that were ever queued on a connection: where the next ones begin in its stream.
    pub fn queued(&self, conn: ConnToken) -> Option<u64> {
        self.connections.get(conn.slot(), conn.generation()).map(|connection| connection.queued)
    }

    /// Makes the bytes that were queued from position `begin` on a chain, whose links end at `ends`. The caller has
    /// [sealed](Self::seal) the queue before each link, and the last one ends where the queue does.
    ///
    /// # Panics
    ///
    /// When the chain is not the end of the queue, or has no links.
    pub fn chain(&mut self, conn: ConnToken, begin: u64, ends: Vec<u64>) {
        let Some(connection) = self.connection(conn) else { return };
        assert_eq!(ends.last(), Some(&connection.queued), "a chain is made of what was queued last");
        connection.change_rare(|rare| rare.chained = true);
        self.chains.by_slot.entry(conn.slot()).or_default().waiting.push_back(Chain { begin, ends });
    }

    /// Submits the chain at the front of the queue.
    pub(super) fn start_chain(&mut self, conn: ConnToken) {
        let Some(connection) = self.connections.get_mut(conn.slot(), conn.generation()) else { return };
        let Some(chained) = self.chains.by_slot.get_mut(&conn.slot()) else { return };
        let Some(chain) = chained.waiting.pop_front() else { return };
        let (file, bytes) = (file_of(conn), chain.bytes());
        let tag = Tag::new(Kind::Chain as u8, conn.slot(), conn.generation());
        let mut links: Vec<(Op, Tag)> = Vec::new();
        let mut gathers = Vec::new();
        let (mut cursor, mut position) = (self.pieces.cursor(&connection.queue), chain.begin);
        for link_end in chain.ends {
            while position < link_end {
                let mut gather = self.gathers.pop().unwrap_or_else(Gather::new);
                let count = self.pieces.gather_until(&mut cursor, &mut position, link_end, &mut gather.vectors);
                gather.header.msg_iov = gather.vectors.as_mut_ptr();
                gather.header.msg_iovlen = count as _;
                // SAFETY: the gather is boxed and kept until the chain has completed; pieces leave the queue only then.
                let message = unsafe { PinnedMessage::new(&raw const gather.header) };
                links.push((Op::SendMessageAll { file, message }, tag));
                gathers.push(gather);
            }
        }
        connection.sending = Sending::InFlight;
        connection.in_flight = bytes as u32;
        connection.tail_sealed = connection.queued == chain.begin + bytes;
        chained.active = Some(Active { pending: links.len(), sent: 0, error: 0, gathers, cancelled: false });
        self.metrics.sends += links.len() as u64;
        self.submitter.push_chain(links);
    }

    /// Lets the chain at the front of the queue go out plainly if it has to: when it is too long, or after the peer's FIN,
    /// when the kernel's own wait for room ends at once, room or not, and would keep it busy.
    pub(super) fn loosen_chain(&mut self, conn: ConnToken) -> bool {
        let Some(connection) = self.connections.get(conn.slot(), conn.generation()) else { return false };
        let Some(chained) = self.chains.by_slot.get_mut(&conn.slot()) else { return false };
        let too_long = chained.waiting.front().is_some_and(|chain| chain.bytes() > CHAIN_BYTES_MAX);
        let loosened = too_long || connection.receive == Receive::Ended;
        if loosened {
            chained.waiting.pop_front();
            self.forget_if_done(conn);
        }
        loosened
    }

    /// Drops the entry of a connection that has neither a chain in its queue nor one in flight.
    fn forget_if_done(&mut self, conn: ConnToken) {
        let done = |chained: &Chained| chained.waiting.is_empty() && chained.active.is_none();
        if self.chains.by_slot.get(&conn.slot()).is_some_and(done) {
            self.chains.by_slot.remove(&conn.slot());
            if let Some(connection) = self.connection(conn) {
                connection.change_rare(|rare| rare.chained = false);
            }
        }
    }

    pub(super) fn chain_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let conn = conn_of(completion.tag);
        if self.connection(conn).is_none() {
            self.metrics.stale_completions += 1;
            return;
        }
        let Some(chained) = self.chains.by_slot.get_mut(&conn.slot()) else { return };
        let Some(active) = &mut chained.active else { return };
        active.pending -= 1;
        match completion.result {
            sent @ 0.. => active.sent += sent as u32,
            // Behind a link that failed, and told by that one; or the whole chain was cancelled.
            result if result == -libc::ECANCELED => {}
            result if active.error == 0 => active.error = -result,
            _ => {}
        }
        if active.pending > 0 {
            return;
        }
        let Some(active) = chained.active.take() else { return };
        self.forget_if_done(conn);
        self.gathers.extend(active.gathers);
        match (active.error, active.sent) {
            (0, 0) => self.send_finished(host, conn, -libc::ECANCELED),
            (0, sent) => self.send_finished(host, conn, sent as i32),
            (errno, sent) => {
                if sent > 0 {
                    self.bytes_sent(host, conn, sent);
                }
                self.send_finished(host, conn, -errno);
            }
        }
    }

    /// Ends a chain that is in flight on a connection that is being ended.
    pub(super) fn cancel_chain(&mut self, conn: ConnToken) {
        let active = self.chains.by_slot.get_mut(&conn.slot()).and_then(|chained| chained.active.as_mut());
        let Some(active) = active else { return };
        if !std::mem::replace(&mut active.cancelled, true) {
            let target = Tag::new(Kind::Chain as u8, conn.slot(), conn.generation());
            self.submit(Op::Cancel { target }, Kind::CancelChain, conn);
        }
    }

    pub(super) fn chain_cancel_completed<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let Some(conn) = self.completed(completion) else { return };
        // Between two links there is nothing that a cancel could find: it is tried again.
        if let Some(chained) = self.chains.by_slot.get_mut(&conn.slot())
            && let Some(active) = &mut chained.active
        {
            active.cancelled = false;
        }
        self.advance(host, conn);
    }
}
