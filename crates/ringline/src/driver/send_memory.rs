//! The copy pool of a worker: equal slots that sends are copied into.
//!
//! Who owns which slot is the host's business: the runtime keeps a free list, JavaScript keeps its own. The driver only
//! sends from slots and says when it is done with one.

use std::io;

use ringline_ring::Region;

/// Slots start this much further apart than they are long, so that the first lines of neighbouring slots fall into
/// different cache sets: small messages touch only those.
const COLOUR_BYTES: u32 = 64;

/// Send slots, in one mapping that is touched only as slots are used.
pub struct SendMemory {
    region: Region,
    slots: u32,
    slot_size: u32,
    slot_stride: usize,
}

impl SendMemory {
    /// Maps `slots` slots of `slot_size` bytes.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub fn new(slots: u32, slot_size: u32) -> io::Result<Self> {
        let slot_stride = slot_size.next_multiple_of(COLOUR_BYTES) as usize + COLOUR_BYTES as usize;
        Ok(Self { region: Region::new(slots as usize * slot_stride)?, slots, slot_size, slot_stride })
    }

    /// Number of slots.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Bytes of a slot.
    pub fn slot_size(&self) -> u32 {
        self.slot_size
    }

    /// Distance in bytes between the starts of two slots.
    pub fn slot_stride(&self) -> usize {
        self.slot_stride
    }

    /// The whole mapping.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The first byte of a slot.
    ///
    /// # Panics
    ///
    /// When there is no such slot.
    #[inline(always)]
    pub fn slot_address(&self, slot: u32) -> *mut u8 {
        assert!(slot < self.slots, "send slot {slot} of {}", self.slots);
        self.region.as_ptr().wrapping_add(slot as usize * self.slot_stride)
    }

    /// Copies `bytes` into a slot, `offset` bytes behind its start. Answers where they are.
    ///
    /// # Panics
    ///
    /// When the bytes do not fit.
    #[inline(always)]
    pub(super) fn write(&self, slot: u32, offset: u32, bytes: &[u8]) -> *const u8 {
        assert!(offset as usize + bytes.len() <= self.slot_size as usize, "{} bytes at {offset}", bytes.len());
        let target = self.slot_address(slot).wrapping_add(offset as usize);
        // SAFETY: the range lies within the slot, checked above; callers borrow the driver exclusively, and its rule that
        // bytes in flight are not appended to keeps the kernel away; `bytes` cannot lie in the range,
        // because the driver gives out no references into send memory.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
        target
    }
}
