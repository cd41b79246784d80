//! The name of a connection: a slot and the generation of its occupant.

use std::fmt;

/// Names one connection of one worker. It stays unique when the slot is used again, so a token that was kept too long
/// is recognised as stale and refused.
///
/// The slot is in the upper half of one number, the generation in the lower, so that it is copied in one piece and lies
/// in the tags of its operations as it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnToken(u64);

impl ConnToken {
    /// No connection: a generation is never 0.
    pub(super) const NOBODY: Self = Self(0);

    /// A token from its two parts.
    #[inline]
    pub const fn from_parts(slot: u32, generation: u32) -> Self {
        Self((slot as u64) << 32 | generation as u64)
    }

    /// The slot, below the worker's `max_connections`.
    #[inline]
    pub const fn slot(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The generation of the slot, raised each time the slot is freed.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Debug for ConnToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnToken({}#{})", self.slot(), self.generation())
    }
}
