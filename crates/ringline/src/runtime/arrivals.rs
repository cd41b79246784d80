//! The chunks that one turn brought, per connection in order of arrival.
//!
//! They live for one pass over the ready tasks: what no task consumes is copied out at its end, and the chunks go back
//! to the driver before the next wait. So the list is emptied each turn and its memory is used again.

use crate::driver::{Chunk, ConnToken};

/// No chunk.
pub(crate) const NONE: u32 = u32::MAX;

/// Its length is a power of two, so that its place in the list is found by a shift.
#[repr(align(8))]
struct Arrival {
    conn: ConnToken,
    /// None once it is consumed, or while it is lent out.
    chunk: Option<Chunk>,
    /// The one behind it; the first one, behind the last.
    next: u32,
}

/// The chunks of a connection, named by the last one: the others follow it in a circle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    last: u32,
}

impl Chain {
    pub(crate) const EMPTY: Self = Self { last: NONE };
}

/// All chunks of the turn.
pub(crate) struct Arrivals {
    list: Vec<Arrival>,
    /// Chunks in the list that somebody has to give back.
    held: usize,
}

impl Arrivals {
    pub(crate) fn new() -> Self {
        Self { list: Vec::new(), held: 0 }
    }

    /// Appends a chunk to a connection's chain.
    #[inline]
    pub(crate) fn push(&mut self, chain: &mut Chain, conn: ConnToken, chunk: Chunk) {
        let index = self.list.len() as u32;
        let next = match self.list.get_mut(chain.last as usize) {
            Some(last) => std::mem::replace(&mut last.next, index),
            None => index,
        };
        self.list.push(Arrival { conn, chunk: Some(chunk), next });
        self.held += 1;
        chain.last = index;
    }

    /// The first of a chain that is not empty.
    #[inline]
    fn first(&self, chain: Chain) -> usize {
        self.list[chain.last as usize].next as usize
    }

    /// Whether a chain has more than one chunk.
    #[inline]
    pub(crate) fn is_long(&self, chain: Chain) -> bool {
        self.list.get(chain.last as usize).is_some_and(|last| last.next != chain.last)
    }

    /// Takes the first chunk of a chain; its place stays, for [`put_back`](Self::put_back).
    #[inline]
    pub(crate) fn lend(&mut self, chain: Chain) -> Option<Chunk> {
        let first = self.list.get(chain.last as usize)?.next;
        let chunk = self.list[first as usize].chunk.take()?;
        self.held -= 1;
        Some(chunk)
    }

    /// Puts what is left of the lent chunk back into its place.
    #[inline]
    pub(crate) fn put_back(&mut self, chain: Chain, chunk: Chunk) {
        let first = self.first(chain);
        self.list[first].chunk = Some(chunk);
        self.held += 1;
    }

    /// Drops the place of the first chunk, which was lent out and consumed.
    #[inline]
    pub(crate) fn pass(&mut self, chain: &mut Chain) {
        let first = self.first(*chain);
        debug_assert!(self.list[first].chunk.is_none());
        if first as u32 == chain.last {
            *chain = Chain::EMPTY;
        } else {
            self.list[chain.last as usize].next = self.list[first].next;
        }
    }

    /// Takes the first chunk of a chain for good.
    pub(crate) fn pop(&mut self, chain: &mut Chain) -> Option<Chunk> {
        let chunk = self.lend(*chain)?;
        self.pass(chain);
        Some(chunk)
    }

    /// Empties the list; the chunks that were left go to `each`, in order of arrival.
    #[inline]
    pub(crate) fn drain(&mut self, mut each: impl FnMut(ConnToken, Chunk)) {
        if self.held > 0 {
            for arrival in &mut self.list {
                if let Some(chunk) = arrival.chunk.take() {
                    each(arrival.conn, chunk);
                }
            }
            self.held = 0;
        }
        self.list.clear();
    }
}
