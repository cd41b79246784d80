//! The chunks that one turn brought, per connection in order of arrival.
//!
//! They live for one pass over the ready tasks: what no task consumes is copied out at its end, and the chunks go back
//! to the driver before the next wait. So the list is emptied each turn and its memory is used again.

use crate::driver::{Chunk, ConnToken};

/// The end of a connection's chain.
pub(crate) const NONE: u32 = u32::MAX;

struct Arrival {
    conn: ConnToken,
    /// None once it is consumed, or while it is lent out.
    chunk: Option<Chunk>,
    next: u32,
}

/// The first and last chunk of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    first: u32,
    last: u32,
}

impl Chain {
    pub(crate) const EMPTY: Self = Self { first: NONE, last: NONE };

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.first == NONE
    }

    /// Whether there is more than one chunk.
    #[inline]
    pub(crate) fn is_long(self) -> bool {
        self.first != self.last
    }
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
        self.list.push(Arrival { conn, chunk: Some(chunk), next: NONE });
        self.held += 1;
        if chain.first == NONE {
            chain.first = index;
        } else {
            self.list[chain.last as usize].next = index;
        }
        chain.last = index;
    }

    /// Takes the first chunk of a chain; its place stays, for [`put_back`](Self::put_back).
    #[inline]
    pub(crate) fn lend(&mut self, chain: Chain) -> Option<Chunk> {
        let chunk = self.list.get_mut(chain.first as usize)?.chunk.take()?;
        self.held -= 1;
        Some(chunk)
    }

    /// Puts what is left of the lent chunk back into its place.
    #[inline]
    pub(crate) fn put_back(&mut self, chain: Chain, chunk: Chunk) {
        self.list[chain.first as usize].chunk = Some(chunk);
        self.held += 1;
    }

    /// Drops the place of the first chunk, which was lent out and consumed.
    #[inline]
    pub(crate) fn pass(&mut self, chain: &mut Chain) {
        debug_assert!(self.list[chain.first as usize].chunk.is_none());
        chain.first = self.list[chain.first as usize].next;
        if chain.first == NONE {
            *chain = Chain::EMPTY;
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
