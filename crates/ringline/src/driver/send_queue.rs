//! What waits to be sent, piece by piece, for all connections of a worker.
//!
//! Pieces live in one arena and are chained per connection by index, so that queuing a send allocates nothing once the
//! arena has grown to its working size. The chain is a circle that is named by its newest piece: an idle connection pays four
//! bytes, and a queue of one piece, the usual, is its own neighbour.

use ringline_ring::PinnedBytes;

const NONE: u32 = u32::MAX;

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

struct Node {
    piece: Piece,
    /// The one behind it; behind the newest, the oldest. Of a free node, the next free one.
    next: u32,
}

/// The pieces of one connection, oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendQueue {
    newest: u32,
}

impl SendQueue {
    pub(super) const EMPTY: Self = Self { newest: NONE };

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.newest == NONE
    }
}

/// A position in a queue.
pub(super) struct Cursor {
    next: u32,
    newest: u32,
}

/// The arena of pieces.
pub(super) struct Pieces {
    nodes: Vec<Node>,
    free: u32,
}

impl Pieces {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), free: NONE }
    }

    /// Appends a piece to a queue.
    #[inline(always)]
    pub(super) fn push(&mut self, queue: &mut SendQueue, piece: Piece) {
        // There is no node at `NONE`.
        while self.nodes.len() <= self.free as usize {
            self.grow();
        }
        let index = self.free;
        let node = &mut self.nodes[index as usize];
        self.free = node.next;
        *node = Node { piece, next: index };
        if queue.newest != NONE {
            self.link(queue.newest, index);
        }
        queue.newest = index;
    }

    /// Makes a free node, when there is none.
    #[cold]
    fn grow(&mut self) {
        let nothing = Piece { address: std::ptr::null(), len: 0, origin: Origin::Slot(NONE) };
        self.free = self.nodes.len() as u32;
        self.nodes.push(Node { piece: nothing, next: NONE });
    }

    /// Puts a node, which is its own neighbour, behind the newest of a queue.
    #[inline(never)]
    fn link(&mut self, newest: u32, index: u32) {
        let oldest = std::mem::replace(&mut self.nodes[newest as usize].next, index);
        self.nodes[index as usize].next = oldest;
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

    /// The piece of a queue that has exactly one.
    #[inline]
    pub(super) fn only(&self, queue: &SendQueue) -> Option<&Piece> {
        let newest = self.nodes.get(queue.newest as usize)?;
        (newest.next == queue.newest).then_some(&newest.piece)
    }

    /// The newest piece.
    #[inline]
    pub(super) fn last(&mut self, queue: &SendQueue) -> Option<&mut Piece> {
        self.nodes.get_mut(queue.newest as usize).map(|node| &mut node.piece)
    }

    /// Takes the piece off a queue that has exactly one.
    #[inline(always)]
    pub(super) fn pop_only(&mut self, queue: &mut SendQueue) -> Option<&Piece> {
        let newest = self.nodes.get_mut(queue.newest as usize).filter(|newest| newest.next == queue.newest)?;
        newest.next = std::mem::replace(&mut self.free, queue.newest);
        *queue = SendQueue::EMPTY;
        Some(&newest.piece)
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
    fn vector(&self) -> libc::iovec {
        libc::iovec { iov_base: self.address.cast_mut().cast(), iov_len: self.len as usize }
    }

    /// The piece as the kernel reads it.
    ///
    /// # Safety
    ///
    /// The piece must stay in its queue until the send has completed.
    #[inline]
    pub(super) unsafe fn pinned(&self) -> PinnedBytes {
        // SAFETY: slots and slabs are mapped until the kernel is gone, and what a queued piece names is given back
        // only when the piece leaves its queue, which the caller rules out until completion.
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
}
