//! What waits to be sent, piece by piece, for all connections of a worker.
//!
//! The usual queue is one piece, which goes out with the next turn. It lies on the list of the connections that this turn
//! advances, where it is found without looking for it. All others live in one arena and are chained per connection by index, so
//! that queuing a send allocates nothing once the arena has grown to its working size. The chain is a circle that is named by its
//! newest piece, so that an idle connection pays four bytes.

use ringline_ring::{PinnedBytes, SLOT_MAX};

use super::ConnToken;

const NONE: u32 = u32::MAX;
/// With this bit the name of a queue is a place on the list, without it a place in the arena.
const ON_LIST: u32 = 1 << 31;

// Each connection is on the list once at most.
const _: () = assert!(SLOT_MAX < NONE - ON_LIST);

/// Where the bytes of a piece come from, and so who is told when they are no longer needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A slot of the send memory.
    Slot(u32),
    /// A slab that was received into.
    Slab(u32),
    /// Memory with several users: a guard, or what a zero-copy send has taken only the first part of.
    Shared(u32),
}

/// Bytes that are to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) address: *const u8,
    pub(super) len: u32,
    pub(super) origin: Origin,
}

/// A connection that is to be advanced before the next enter, and the piece of its queue, if that is the only one.
pub(super) struct Listed {
    pub(super) conn: ConnToken,
    /// Without bytes when the queue is empty, or in the arena.
    pub(super) piece: Piece,
}

struct Node {
    piece: Piece,
    /// The one behind it; behind the newest, the oldest. Of a free node, the next free one.
    next: u32,
}

/// The pieces of one connection, oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendQueue {
    /// The place of the newest piece.
    newest: u32,
}

impl SendQueue {
    pub(super) const EMPTY: Self = Self { newest: NONE };

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.newest == NONE
    }

    /// Whether it is one piece that lies on the list.
    #[inline]
    pub(super) fn is_listed(&self) -> bool {
        self.newest & ON_LIST != 0 && !self.is_empty()
    }
}

/// A position in a queue.
pub(super) struct Cursor {
    next: u32,
    newest: u32,
}

/// The list of connections to advance, and the arena of pieces.
pub(super) struct Pieces {
    listed: Vec<Listed>,
    nodes: Vec<Node>,
    free: u32,
}

impl Pieces {
    pub(super) fn new() -> Self {
        Self { listed: Vec::new(), nodes: Vec::new(), free: NONE }
    }

    /// Number of connections on the list.
    #[inline]
    pub(super) fn listed(&self) -> usize {
        self.listed.len()
    }

    /// Takes the list. The queues whose pieces lie on it are to be emptied, or [moved](Self::unlist_from).
    #[inline]
    pub(super) fn take_list(&mut self) -> Vec<Listed> {
        std::mem::take(&mut self.listed)
    }

    /// Gives the memory of a list back, unless there is a new one.
    #[inline]
    pub(super) fn give_list(&mut self, list: Vec<Listed>) {
        debug_assert!(list.is_empty());
        if self.listed.is_empty() {
            self.listed = list;
        }
    }

    /// Puts a connection that is not on the list there.
    pub(super) fn list(&mut self, conn: ConnToken) {
        self.listed.push(Listed { conn, piece: Piece::NOTHING });
    }

    /// Puts a connection that is not on the list there, with the only piece of its queue.
    #[inline(always)]
    pub(super) fn list_only(&mut self, conn: ConnToken, queue: &mut SendQueue, piece: Piece) {
        debug_assert!(queue.is_empty());
        let place = self.listed.len() as u32;
        self.listed.push(Listed { conn, piece });
        queue.newest = ON_LIST | place;
    }

    /// Moves the piece of a queue to the arena, if it lies on the list. While that is taken, it is for those that are not on it.
    pub(super) fn unlist(&mut self, queue: &mut SendQueue) {
        if queue.is_listed() {
            let place = (queue.newest & !ON_LIST) as usize;
            let piece = std::mem::replace(&mut self.listed[place].piece, Piece::NOTHING);
            queue.newest = self.node(piece);
        }
    }

    /// As [`unlist`](Self::unlist), for a connection on a list that was taken.
    pub(super) fn unlist_from(&mut self, listed: &mut Listed, queue: &mut SendQueue) {
        if queue.is_listed() {
            queue.newest = self.node(std::mem::replace(&mut listed.piece, Piece::NOTHING));
        }
    }

    /// Appends a piece to a queue.
    pub(super) fn push(&mut self, queue: &mut SendQueue, piece: Piece) {
        self.unlist(queue);
        let index = self.node(piece);
        if let Some(newest) = self.nodes.get_mut(queue.newest as usize) {
            let oldest = std::mem::replace(&mut newest.next, index);
            self.nodes[index as usize].next = oldest;
        }
        queue.newest = index;
    }

    /// A node that is its own neighbour.
    fn node(&mut self, piece: Piece) -> u32 {
        match self.nodes.get_mut(self.free as usize) {
            Some(node) => {
                let index = std::mem::replace(&mut self.free, node.next);
                *node = Node { piece, next: index };
                index
            }
            None => {
                let index = self.nodes.len() as u32;
                self.nodes.push(Node { piece, next: index });
                index
            }
        }
    }

    #[inline]
    fn oldest(&self, queue: &SendQueue) -> Option<u32> {
        self.nodes.get(queue.newest as usize).map(|newest| newest.next)
    }

    /// The oldest piece.
    #[inline]
    pub(super) fn first(&mut self, queue: &SendQueue) -> Option<&mut Piece> {
        let oldest = self.oldest(queue)?;
        Some(&mut self.nodes[oldest as usize].piece)
    }

    /// The newest piece, wherever it lies.
    #[inline]
    pub(super) fn last(&mut self, queue: &SendQueue) -> Option<&mut Piece> {
        if queue.is_listed() {
            return self.listed.get_mut((queue.newest & !ON_LIST) as usize).map(|listed| &mut listed.piece);
        }
        self.nodes.get_mut(queue.newest as usize).map(|node| &mut node.piece)
    }

    /// Takes the oldest piece off.
    pub(super) fn pop(&mut self, queue: &mut SendQueue) -> Option<Piece> {
        let oldest = self.oldest(queue)?;
        let node = &mut self.nodes[oldest as usize];
        let (piece, next) = (node.piece, std::mem::replace(&mut node.next, self.free));
        self.free = oldest;
        if queue.newest == oldest {
            *queue = SendQueue::EMPTY;
        } else {
            self.nodes[queue.newest as usize].next = next;
        }
        Some(piece)
    }

    /// A position before the oldest piece, for [`next`](Self::next).
    pub(super) fn cursor(&self, queue: &SendQueue) -> Cursor {
        Cursor { next: self.oldest(queue).unwrap_or(NONE), newest: queue.newest }
    }

    /// The piece behind a position, which moves on.
    pub(super) fn next(&mut self, cursor: &mut Cursor) -> Option<&mut Piece> {
        let index = self.step(cursor)?;
        Some(&mut self.nodes[index].piece)
    }

    #[inline]
    fn step(&self, cursor: &mut Cursor) -> Option<usize> {
        let index = cursor.next;
        let node = self.nodes.get(index as usize)?;
        cursor.next = if index == cursor.newest { NONE } else { node.next };
        Some(index as usize)
    }

    /// The pieces of a queue, oldest first.
    fn iter(&self, queue: &SendQueue) -> impl Iterator<Item = &Piece> {
        let mut cursor = self.cursor(queue);
        std::iter::from_fn(move || self.step(&mut cursor).map(|index| &self.nodes[index].piece))
    }

    /// Whether one of the oldest pieces, as many as one send gathers, satisfies a condition.
    pub(super) fn any(&self, queue: &SendQueue, most: usize, condition: impl Fn(&Piece) -> bool) -> bool {
        self.iter(queue).take(most).any(condition)
    }

    /// Whether a queue has more than so many pieces.
    pub(super) fn exceeds(&self, queue: &SendQueue, most: usize) -> bool {
        self.iter(queue).nth(most).is_some()
    }

    /// Names up to `into.len()` of the oldest pieces as vectors; returns how many, and whether the queue ends there.
    pub(super) fn gather(&self, queue: &SendQueue, into: &mut [libc::iovec]) -> (usize, bool) {
        let mut cursor = self.cursor(queue);
        let mut count = 0;
        while count < into.len()
            && let Some(index) = self.step(&mut cursor)
        {
            into[count] = self.nodes[index].piece.vector();
            count += 1;
        }
        (count, cursor.next == NONE)
    }

    /// Names the pieces behind a cursor as vectors, at most up to a position of the stream that is the end of a piece.
    /// Cursor and position move on; returns how many vectors there are.
    pub(super) fn gather_until(
        &self,
        cursor: &mut Cursor,
        position: &mut u64,
        end: u64,
        into: &mut [libc::iovec],
    ) -> usize {
        let mut count = 0;
        while *position < end && count < into.len() {
            let Some(index) = self.step(cursor) else { break };
            let piece = &self.nodes[index].piece;
            into[count] = piece.vector();
            *position += u64::from(piece.len);
            count += 1;
        }
        debug_assert!(*position <= end, "a piece reaches beyond its link");
        count
    }
}

impl Piece {
    const NOTHING: Self = Self { address: std::ptr::null(), len: 0, origin: Origin::Slot(NONE) };

    fn vector(&self) -> libc::iovec {
        libc::iovec { iov_base: self.address.cast_mut().cast(), iov_len: self.len as usize }
    }

    /// The piece as the kernel reads it.
    ///
    /// # Safety
    ///
    /// The piece must stay in its queue, or on the list of silent sends, until the send is over.
    #[inline]
    pub(super) unsafe fn pinned(&self) -> PinnedBytes {
        // SAFETY: slots and slabs are mapped until the kernel is gone, and what a piece names is given back only when the piece
        // leaves its place, which the caller rules out until the send is over.
        unsafe { PinnedBytes::new(self.address, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(slot: u32) -> Piece {
        Piece { address: std::ptr::null(), len: slot + 1, origin: Origin::Slot(slot) }
    }

    #[test]
    fn queues_share_the_arena_without_mixing() {
        let mut pieces = Pieces::new();
        let (mut a, mut b) = (SendQueue::EMPTY, SendQueue::EMPTY);
        for slot in 0..4 {
            pieces.push(&mut a, piece(slot));
            pieces.push(&mut b, piece(slot + 10));
        }
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 3];
        assert_eq!(pieces.gather(&a, &mut vectors), (3, false));
        assert_eq!(vectors.map(|vector| vector.iov_len), [1, 2, 3]);
        for slot in 0..4 {
            assert_eq!(pieces.pop(&mut b).unwrap().origin, Origin::Slot(slot + 10));
            assert_eq!(pieces.pop(&mut a).unwrap().origin, Origin::Slot(slot));
        }
        assert!(a.is_empty() && b.is_empty() && pieces.pop(&mut a).is_none());
        for slot in 0..8 {
            pieces.push(&mut a, piece(slot));
        }
        assert_eq!(pieces.nodes.len(), 8, "freed nodes are used again");
    }

    #[test]
    fn the_only_piece_lies_on_the_list_until_another_joins_it() {
        let mut pieces = Pieces::new();
        let conns = [1, 2].map(|slot| ConnToken::from_parts(slot, 1));
        let mut queues = [SendQueue::EMPTY; 2];
        for (slot, (conn, queue)) in (0..).zip(conns.iter().zip(&mut queues)) {
            pieces.list_only(*conn, queue, piece(slot));
        }
        let [alone, joined] = &mut queues;
        assert!(alone.is_listed() && joined.is_listed() && pieces.nodes.is_empty());
        assert_eq!(pieces.last(joined).unwrap().len, 2);
        pieces.push(joined, piece(2));
        assert_eq!([0, 1, 2].map(|_| pieces.pop(joined).map(|piece| piece.len)), [Some(2), Some(3), None]);
        let mut list = pieces.take_list();
        assert_eq!(
            list.iter().map(|listed| (listed.conn, listed.piece.len)).collect::<Vec<_>>(),
            [(conns[0], 1), (conns[1], 0)]
        );
        pieces.unlist_from(&mut list[0], alone);
        assert_eq!((list[0].piece.len, pieces.pop(alone).unwrap().len), (0, 1));
    }
}
