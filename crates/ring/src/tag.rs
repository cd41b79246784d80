//! The tag that travels with a submission and comes back with its completions.
//!
//! It names the kind of operation, the slot that the operation belongs to and the generation of that slot, so that a
//! completion for a past owner of a slot is recognised before it touches anything.

/// Number of bits that hold a slot number, and therefore the bound on connections of one worker.
pub const SLOT_BITS: u32 = 24;
/// The largest slot number that a [`Tag`] can carry.
pub const SLOT_MAX: u32 = (1 << SLOT_BITS) - 1;

/// `kind` (8 bits), `slot` (24 bits) and `generation` (32 bits) in the 64 bits of a submission's user data.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(u64);

impl Tag {
    /// The kinds from this one on are those of [silent](crate::Op::SendSilently) operations.
    pub const SILENT: u8 = 0x80;

    /// Packs the three parts. `slot` must not exceed [`SLOT_MAX`].
    #[inline]
    pub const fn new(kind: u8, slot: u32, generation: u32) -> Self {
        debug_assert!(slot <= SLOT_MAX);
        Self(((kind as u64) << 56) | ((slot as u64) << 32) | generation as u64)
    }

    /// A tag from the user data of a completion.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The user data of a submission.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The kind of operation, in the numbering of whoever submitted it.
    #[inline]
    pub const fn kind(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// Whether the operation is a silent one.
    #[inline]
    pub const fn is_silent(self) -> bool {
        self.kind() >= Self::SILENT
    }

    /// The slot that the operation belongs to.
    #[inline]
    pub const fn slot(self) -> u32 {
        ((self.0 >> 32) as u32) & SLOT_MAX
    }

    /// The generation of the slot at the time of the submission.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.0 as u32
    }
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tag({}:{}#{})", self.kind(), self.slot(), self.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_packing() {
        for (kind, slot, generation) in [(0, 0, 0), (255, SLOT_MAX, u32::MAX), (7, 42, 1 << 31)] {
            let tag = Tag::from_bits(Tag::new(kind, slot, generation).bits());
            assert_eq!((tag.kind(), tag.slot(), tag.generation()), (kind, slot, generation));
        }
    }
}
