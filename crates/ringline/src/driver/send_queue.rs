//! What waits to be sent, piece by piece, for all connections of a worker.
//!
//! Pieces live in one arena and are chained per connection by index, so that queuing a send allocates nothing once the
//! arena has grown to its working size, and an idle connection pays eight bytes.

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
    next: u32,
}

/// The pieces of one connection, oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendQueue {
    head: u32,
    tail: u32,
}

impl SendQueue {
    pub(super) const EMPTY: Self = Self { head: NONE, tail: NONE };

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head == NONE
    }
}

/// A position in a queue.
pub(super) struct Cursor(u32);

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
        let node = Node { piece, next: NONE };
        let index = if self.free == NONE {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = self.nodes[index as usize].next;
            self.nodes[index as usize] = node;
            index
        };
        if queue.head == NONE {
            queue.head = index;
        } else {
            self.nodes[queue.tail as usize].next = index;
        }
        queue.tail = index;
    }

    /// The oldest piece.
    #[inline]
    pub(super) fn first(&mut self, queue: &SendQueue) -> Option<&mut Piece> {
        self.nodes.get_mut(queue.head as usize).map(|node| &mut node.piece)
    }

    /// The piece of a queue that has exactly one.
    #[inline]
    pub(super) fn only(&self, queue: &SendQueue) -> Option<&Piece> {
        if queue.head == queue.tail { self.nodes.get(queue.head as usize).map(|node| &node.piece) } else { None }
    }

    /// The newest piece.
    #[inline]
    pub(super) fn last(&mut self, queue: &SendQueue) -> Option<&mut Piece> {
        self.nodes.get_mut(queue.tail as usize).map(|node| &mut node.piece)
    }

    /// Takes the oldest piece off.
    #[inline]
    pub(super) fn pop(&mut self, queue: &mut SendQueue) -> Option<Piece> {
        self.pop_if(queue, |_| true)
    }

    /// Takes the oldest piece off if it satisfies a condition.
    #[inline(always)]
    pub(super) fn pop_if(&mut self, queue: &mut SendQueue, condition: impl FnOnce(&Piece) -> bool) -> Option<Piece> {
        let index = queue.head;
        // There is no node at `NONE`.
        let node = self.nodes.get_mut(index as usize)?;
        let piece = node.piece;
        if !condition(&piece) {
            return None;
        }
        queue.head = node.next;
        node.next = self.free;
        self.free = index;
        if queue.head == NONE {
            queue.tail = NONE;
        }
        Some(piece)
    }

    /// A position before the oldest piece, for [`next`](Self::next).
    pub(super) fn cursor(&self, queue: &SendQueue) -> Cursor {
        Cursor(queue.head)
    }

    /// The piece behind a position, which moves on.
    pub(super) fn next(&mut self, cursor: &mut Cursor) -> Option<&mut Piece> {
        let node = self.nodes.get_mut(cursor.0 as usize)?;
        cursor.0 = node.next;
        Some(&mut node.piece)
    }

    /// Whether one of the oldest pieces, as many as one send gathers, satisfies a condition.
    pub(super) fn any(&self, queue: &SendQueue, most: usize, condition: impl Fn(&Piece) -> bool) -> bool {
        let mut index = queue.head;
        for _ in 0..most {
            let Some(node) = self.nodes.get(index as usize) else { return false };
            if condition(&node.piece) {
                return true;
            }
            index = node.next;
        }
        false
    }

    /// Whether a queue has more than so many pieces.
    pub(super) fn exceeds(&self, queue: &SendQueue, most: usize) -> bool {
        let mut index = queue.head;
        for _ in 0..most {
            let Some(node) = self.nodes.get(index as usize) else { return false };
            index = node.next;
        }
        index != NONE
    }

    /// Names up to `into.len()` of the oldest pieces as vectors; returns how many, and whether the queue ends there.
    pub(super) fn gather(&self, queue: &SendQueue, into: &mut [libc::iovec]) -> (usize, bool) {
        let mut index = queue.head;
        let mut count = 0;
        while index != NONE && count < into.len() {
            let Node { piece, next } = &self.nodes[index as usize];
            into[count] = libc::iovec { iov_base: piece.address.cast_mut().cast(), iov_len: piece.len as usize };
            count += 1;
            index = *next;
        }
        (count, index == NONE)
    }

    /// Names the pieces behind a cursor as vectors, at most up to a position of the stream that is the end of a piece.
    /// Cursor and position move on; returns how many vectors there are.
    pub(super) fn gather_until(
        &mut self,
        cursor: &mut Cursor,
        position: &mut u64,
        end: u64,
        into: &mut [libc::iovec],
    ) -> usize {
        let mut count = 0;
        while *position < end && count < into.len() {
            let Some(piece) = self.next(cursor) else { break };
            into[count] = libc::iovec { iov_base: piece.address.cast_mut().cast(), iov_len: piece.len as usize };
            *position += u64::from(piece.len);
            count += 1;
        }
        debug_assert!(*position <= end, "a piece reaches beyond its link");
        count
    }
}

impl Piece {
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
