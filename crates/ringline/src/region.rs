//! Memory that the kernel is told of once, so that sends from it need no look-up of its pages.
//!
//! A region owns or names memory and does nothing else: what its bytes mean, and who may write them when, is the
//! user's business.

use std::fmt;
use std::sync::Arc;

use ringline_ring::Region;

use crate::Error;
use crate::guard::{RegionId, SendGuard};

/// Memory for zero-copy sends and direct I/O. Every worker registers the regions of
/// [`Config::registered_regions`](crate::Config::registered_regions) as fixed buffers, which counts against
/// RLIMIT_MEMLOCK where that applies.
///
/// Clones mean the same memory; it is unmapped with the last of them, and workers hold one each.
///
/// ```
/// use ringline::{ConfigBuilder, MemoryRegion};
///
/// let arena = MemoryRegion::allocate(1 << 20)?;
/// // SAFETY: nobody else uses the region yet.
/// unsafe { arena.as_ptr().copy_from_nonoverlapping(b"hello".as_ptr(), 5) };
/// let config = ConfigBuilder::new().registered_regions(vec![arena]).build()?;
/// # assert_eq!(config.registered_regions.len(), 1);
/// # Ok::<(), ringline::Error>(())
/// ```
#[derive(Clone)]
pub struct MemoryRegion(Arc<Memory>);

enum Memory {
    Shared(Arc<Region>),
    Named { address: *mut u8, len: usize },
}

// SAFETY: a region is an address range; every access goes through raw pointers, whose users answer for it.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl MemoryRegion {
    /// Maps `len` bytes of zeroed memory, rounded up to whole pages. Pages become resident when they are first written,
    /// or when a worker registers the region.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] (ENOMEM) when there is no memory.
    pub fn allocate(len: usize) -> Result<Self, Error> {
        Ok(Self(Arc::new(Memory::Shared(Arc::new(Region::new(len)?)))))
    }

    /// Names memory of the caller's: a mapped arena, for example.
    ///
    /// # Safety
    ///
    /// The memory must stay mapped until this value and all its clones are gone: those in configurations, and those of
    /// the workers, which last until the workers' threads have ended.
    pub unsafe fn from_raw(address: *mut u8, len: usize) -> Self {
        Self(Arc::new(Memory::Named { address, len }))
    }

    /// The first byte.
    pub fn as_ptr(&self) -> *mut u8 {
        match &*self.0 {
            Memory::Shared(region) => region.as_ptr(),
            Memory::Named { address, .. } => *address,
        }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        match &*self.0 {
            Memory::Shared(region) => region.len(),
            Memory::Named { len, .. } => *len,
        }
    }

    /// Whether the region has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A guard for `len` bytes at `offset`, to be sent without a copy. `id` is the position of this region among
    /// [`Config::registered_regions`](crate::Config::registered_regions), or [`RegionId::UNREGISTERED`].
    ///
    /// # Panics
    ///
    /// When the bytes do not lie in the region.
    ///
    /// # Safety
    ///
    /// The bytes must not change until the guard is dropped.
    pub unsafe fn guard(&self, id: RegionId, offset: usize, len: u32) -> RegionGuard {
        let inside = offset.checked_add(len as usize).is_some_and(|end| end <= self.len());
        assert!(inside, "{len} bytes at {offset} do not lie in a region of {} bytes", self.len());
        RegionGuard { region: self.clone(), offset, len, id }
    }

    /// The mapping, where it is not memory of the caller's.
    pub(crate) fn mapping(&self) -> Option<&Arc<Region>> {
        match &*self.0 {
            Memory::Shared(region) => Some(region),
            Memory::Named { .. } => None,
        }
    }

    /// Whether both mean the same memory.
    fn is_same(&self, other: &Self) -> bool {
        self.as_ptr() == other.as_ptr() && self.len() == other.len()
    }
}

impl From<Arc<Region>> for MemoryRegion {
    /// The same memory as a mapping that others know too.
    fn from(region: Arc<Region>) -> Self {
        Self(Arc::new(Memory::Shared(region)))
    }
}

impl PartialEq for MemoryRegion {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

impl Eq for MemoryRegion {}

impl fmt::Debug for MemoryRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRegion").field("address", &self.as_ptr()).field("len", &self.len()).finish()
    }
}

/// Bytes of a [`MemoryRegion`] on their way out; see [`MemoryRegion::guard`]. It keeps the region mapped.
#[derive(Debug)]
pub struct RegionGuard {
    region: MemoryRegion,
    offset: usize,
    len: u32,
    id: RegionId,
}

// SAFETY: the region is mapped for as long as the guard holds it, and stays where it is; that its bytes do not change
// was promised when the guard was made.
unsafe impl SendGuard for RegionGuard {
    fn as_ptr_len(&self) -> (*const u8, u32) {
        (self.region.as_ptr().wrapping_add(self.offset), self.len)
    }

    fn region(&self) -> RegionId {
        self.id
    }
}
