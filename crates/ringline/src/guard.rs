//! Memory that is sent without a copy, and who keeps it alive meanwhile.

use std::fmt;
use std::mem::MaybeUninit;

/// Bytes of a guard that a [`GuardBox`] stores inline.
pub const GUARD_BYTES_MAX: usize = 64;

/// Names a memory region that was registered with the kernel: its position in
/// [`Config::registered_regions`](crate::Config::registered_regions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegionId(u16);

impl RegionId {
    /// The memory is not registered: the kernel looks its pages up for each send, and nothing is checked.
    pub const UNREGISTERED: Self = Self(u16::MAX);

    /// The region at a position of `registered_regions`.
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// The position, unless it is [`UNREGISTERED`](Self::UNREGISTERED).
    pub const fn index(self) -> Option<u16> {
        if self.0 == u16::MAX { None } else { Some(self.0) }
    }
}

/// Keeps memory alive and unchanged while the kernel sends it.
///
/// The guard is dropped when the kernel has said that it no longer looks at the memory: for a zero-copy send, that is
/// its notification, which comes when the peer has acknowledged the bytes and so later than the result of the send.
///
/// # Safety
///
/// The pointer must be valid for reads of the length, and the bytes must not change, from the moment the guard is handed
/// over until it is dropped, also when the guard itself is moved. Both functions must answer the same each time, and must
/// not use the runtime.
///
/// `Bytes`, vectors and static slices (of less than 4 GiB) and [`RegionGuard`](crate::RegionGuard) are guards already:
///
/// ```
/// # use ringline::GuardBox;
/// let guard = GuardBox::new(bytes::Bytes::from(vec![7; 100_000]));
/// assert_eq!(guard.as_ptr_len().1, 100_000);
/// ```
pub unsafe trait SendGuard: 'static {
    /// The first byte and the number of bytes.
    fn as_ptr_len(&self) -> (*const u8, u32);

    /// The registered region that the bytes lie in, or [`RegionId::UNREGISTERED`].
    fn region(&self) -> RegionId;
}

/// What a [`GuardBox`] must know of the type it holds.
struct Table {
    as_ptr_len: unsafe fn(*const u8) -> (*const u8, u32),
    region: unsafe fn(*const u8) -> RegionId,
    drop: unsafe fn(*mut u8),
}

/// Any guard of up to 64 bytes and the alignment of a `u64`, stored inline, without an allocation.
pub struct GuardBox {
    storage: [MaybeUninit<u64>; GUARD_BYTES_MAX / 8],
    table: &'static Table,
}

impl GuardBox {
    /// Stores a guard. One that is too large does not compile.
    ///
    /// ```compile_fail
    /// # use ringline::{GuardBox, RegionId, SendGuard};
    /// struct TooLarge([u8; 65]);
    /// unsafe impl SendGuard for TooLarge {
    ///     fn as_ptr_len(&self) -> (*const u8, u32) { (std::ptr::null(), 0) }
    ///     fn region(&self) -> RegionId { RegionId::UNREGISTERED }
    /// }
    /// GuardBox::new(TooLarge([0; 65]));
    /// ```
    pub fn new<G: SendGuard>(guard: G) -> Self {
        const {
            assert!(
                size_of::<G>() <= GUARD_BYTES_MAX,
                "a guard has at most 64 bytes: put what is larger behind a pointer"
            );
            assert!(align_of::<G>() <= align_of::<u64>(), "a guard is aligned like a u64 at most");
        }
        let mut storage = [MaybeUninit::uninit(); GUARD_BYTES_MAX / 8];
        // SAFETY: size and alignment were checked above; the storage owns the guard from here on.
        unsafe { storage.as_mut_ptr().cast::<G>().write(guard) };
        Self { storage, table: const { &Self::table::<G>() } }
    }

    const fn table<G: SendGuard>() -> Table {
        Table {
            // SAFETY: the table is only kept beside storage that holds a `G`.
            as_ptr_len: |guard| unsafe { (*guard.cast::<G>()).as_ptr_len() },
            // SAFETY: as above.
            region: |guard| unsafe { (*guard.cast::<G>()).region() },
            // SAFETY: as above; it is called once, when the box is dropped.
            drop: |guard| unsafe { guard.cast::<G>().drop_in_place() },
        }
    }

    /// The first byte and the number of bytes.
    #[inline]
    pub fn as_ptr_len(&self) -> (*const u8, u32) {
        // SAFETY: the storage holds the guard that the table was made for.
        unsafe { (self.table.as_ptr_len)(self.storage.as_ptr().cast()) }
    }

    /// The registered region that the bytes lie in, or [`RegionId::UNREGISTERED`].
    #[inline]
    pub fn region(&self) -> RegionId {
        // SAFETY: as above.
        unsafe { (self.table.region)(self.storage.as_ptr().cast()) }
    }
}

impl Drop for GuardBox {
    fn drop(&mut self) {
        // SAFETY: the storage holds the guard that the table was made for, and is not used again.
        unsafe { (self.table.drop)(self.storage.as_mut_ptr().cast()) };
    }
}

impl fmt::Debug for GuardBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, len) = self.as_ptr_len();
        f.debug_struct("GuardBox")
            .field("address", &address)
            .field("len", &len)
            .field("region", &self.region())
            .finish()
    }
}

// SAFETY: a vector's bytes stay where they are when the vector moves, and nobody can change them through the box.
unsafe impl SendGuard for Vec<u8> {
    fn as_ptr_len(&self) -> (*const u8, u32) {
        (self.as_ptr(), u32::try_from(self.len()).expect("a guard names less than 4 GiB"))
    }

    fn region(&self) -> RegionId {
        RegionId::UNREGISTERED
    }
}

// SAFETY: the bytes behind a `Bytes` are immutable, stay where they are, and live as long as it does.
unsafe impl SendGuard for bytes::Bytes {
    fn as_ptr_len(&self) -> (*const u8, u32) {
        (self.as_ptr(), u32::try_from(self.len()).expect("a guard names less than 4 GiB"))
    }

    fn region(&self) -> RegionId {
        RegionId::UNREGISTERED
    }
}

// SAFETY: static bytes neither move nor change.
unsafe impl SendGuard for &'static [u8] {
    fn as_ptr_len(&self) -> (*const u8, u32) {
        (self.as_ptr(), u32::try_from(self.len()).expect("a guard names less than 4 GiB"))
    }

    fn region(&self) -> RegionId {
        RegionId::UNREGISTERED
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    struct Counted {
        bytes: Rc<[u8]>,
        padding: [u64; 5],
    }

    // SAFETY: the bytes are shared, immutable and counted.
    unsafe impl SendGuard for Counted {
        fn as_ptr_len(&self) -> (*const u8, u32) {
            (self.bytes.as_ptr(), self.bytes.len() as u32)
        }

        fn region(&self) -> RegionId {
            RegionId::new(self.padding[4] as u16)
        }
    }

    #[test]
    fn a_guard_is_kept_inline_and_dropped_once() {
        assert_eq!(size_of::<Counted>(), 56);
        let bytes: Rc<[u8]> = Rc::from(&b"kept"[..]);
        let guard = GuardBox::new(Counted { bytes: Rc::clone(&bytes), padding: [0, 0, 0, 0, 3] });
        let moved = Box::new(guard);
        assert_eq!((moved.as_ptr_len(), moved.region()), ((bytes.as_ptr(), 4), RegionId::new(3)));
        assert_eq!(Rc::strong_count(&bytes), 2);
        drop(moved);
        assert_eq!(Rc::strong_count(&bytes), 1);
    }
}
