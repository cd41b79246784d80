//! Memory that Rust owns and JavaScript asked for: the bytes of guarded sends and of direct I/O.
//!
//! Each object is a mapping of its own, seen by JavaScript as one ArrayBuffer, and has a number by which commands name
//! it. The ArrayBuffer keeps the object, and so does whatever the kernel does with it: collecting or detaching the
//! ArrayBuffer early unmaps nothing that is in use. No reference to the bytes is ever made, because JavaScript may change
//! them at any time; what it then sends or writes is its own affair.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use napi::Env;
use ringline::{MemoryRegion, RegionId, SendGuard};
use ringline_ring::{AlignedBuffer, Region, page_size};

use crate::errors::Failure;
use crate::{AllocatedMemory, external_memory};

/// Most bytes of an object; the kernel's bound for a registered region.
const BYTES_MAX: u32 = 1 << 30;
/// Most that an object can be aligned to: a huge page.
const ALIGNMENT_MAX: u32 = 2 << 20;

/// The objects that JavaScript can name. It is looked up once per object and worker, not once per command.
static OBJECTS: RwLock<BTreeMap<u32, Weak<Memory>>> = RwLock::new(BTreeMap::new());

/// A range of mapped memory.
pub(crate) struct Memory {
    region: Arc<Region>,
    start: usize,
    len: usize,
}

impl Memory {
    fn new(len: u32, alignment: u32) -> std::io::Result<Self> {
        let (len, alignment) = (len as usize, alignment as usize);
        // A mapping starts on a page; for more, the aligned part of a longer one is used.
        let more = if alignment > page_size() { alignment } else { 0 };
        let region = Arc::new(Region::new(len + more)?);
        let start = (region.as_ptr() as usize).next_multiple_of(alignment.max(1)) - region.as_ptr() as usize;
        Ok(Self { region, start, len })
    }

    /// The address of the first byte.
    fn address(&self) -> *mut u8 {
        self.region.as_ptr().wrapping_add(self.start)
    }

    /// The whole mapping, to be registered with the kernel.
    pub(crate) fn mapping(&self) -> MemoryRegion {
        MemoryRegion::from(Arc::clone(&self.region))
    }

    fn contains(&self, offset: u32, len: u32) -> bool {
        offset as usize + len as usize <= self.len
    }

    /// A range as the buffer of an operation. None when it does not lie in the memory.
    pub(crate) fn buffer(&self, offset: u32, len: u32) -> Option<AlignedBuffer> {
        self.contains(offset, len).then(|| {
            // SAFETY: only JavaScript and the kernel use the bytes; operations of JavaScript's own that overlap see
            // whatever the kernel makes of it.
            unsafe { AlignedBuffer::over(Arc::clone(&self.region), self.start + offset as usize, len as usize) }
        })
    }
}

/// The object of an identifier.
pub(crate) fn find(id: u32) -> Option<Arc<Memory>> {
    OBJECTS.read().unwrap_or_else(PoisonError::into_inner).get(&id)?.upgrade()
}

/// Bytes on their way out.
pub(crate) struct MemoryGuard {
    memory: Arc<Memory>,
    offset: u32,
    len: u32,
    region: RegionId,
}

// SAFETY: the guard keeps the mapping, which does not move. JavaScript may change the bytes: no reference to them exists
// in Rust, and the kernel then sends either what was there or what is there now, from this mapping alone.
unsafe impl SendGuard for MemoryGuard {
    fn as_ptr_len(&self) -> (*const u8, u32) {
        (self.memory.address().wrapping_add(self.offset as usize), self.len)
    }

    fn region(&self) -> RegionId {
        self.region
    }
}

/// The objects that commands of one worker have named.
#[derive(Default)]
pub(crate) struct KnownMemory {
    objects: HashMap<u32, (Weak<Memory>, RegionId)>,
    /// So many entries make it worth looking for those whose object is gone.
    sweep_at: usize,
}

impl KnownMemory {
    /// The object of an identifier. `regions` are the ones that this worker has registered.
    pub(crate) fn get(&mut self, id: u32, regions: &[MemoryRegion]) -> Option<(Arc<Memory>, RegionId)> {
        if let Some((memory, region)) = self.objects.get(&id) {
            return Some((memory.upgrade()?, *region));
        }
        let memory = find(id)?;
        let mapping = memory.mapping();
        let index = regions.iter().position(|region| *region == mapping);
        let region = index.and_then(|index| u16::try_from(index).ok()).map_or(RegionId::UNREGISTERED, RegionId::new);
        if self.objects.len() >= self.sweep_at {
            self.objects.retain(|_, (memory, _)| memory.strong_count() > 0);
            self.sweep_at = (2 * self.objects.len()).max(64);
        }
        self.objects.insert(id, (Arc::downgrade(&memory), region));
        Some((memory, region))
    }

    /// A guard for a range of an object. None when there is no such object or the range does not lie in it.
    pub(crate) fn guard(&mut self, id: u32, offset: u32, len: u32, regions: &[MemoryRegion]) -> Option<MemoryGuard> {
        let (memory, region) = self.get(id, regions)?;
        memory.contains(offset, len).then_some(MemoryGuard { memory, offset, len, region })
    }
}

/// What the ArrayBuffer of an object keeps: with it the number ends.
struct Owner {
    id: u32,
    _memory: Arc<Memory>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        OBJECTS.write().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// Maps zeroed memory of so many bytes, aligned to a power of two.
///
/// # Errors
///
/// When the numbers are not possible, or there is no memory.
pub(crate) fn allocate(env: &Env, bytes: u32, alignment: u32) -> Result<AllocatedMemory<'_>, Failure> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    if bytes == 0 || bytes > BYTES_MAX || !alignment.is_power_of_two() || alignment > ALIGNMENT_MAX {
        let message = format!("{bytes} bytes, aligned to {alignment}, cannot be had");
        return Err(Failure::new("ERR_RINGLINE_INVALID_ARGUMENT", message));
    }
    let memory = Memory::new(bytes, alignment).map_err(|error| Failure::system(&error, "mmap", None))?;
    let memory = Arc::new(memory);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let (address, owner) = (memory.address(), Owner { id, _memory: Arc::clone(&memory) });
    // SAFETY: the owner keeps the mapping, which no other ArrayBuffer covers: it is new, and its address is used again
    // only after the owner has gone.
    let array_buffer = unsafe { external_memory::array_buffer(env, address, bytes as usize, owner) }?;
    OBJECTS.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::downgrade(&memory));
    Ok(AllocatedMemory { id, memory: array_buffer })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(len: u32, alignment: u32, id: u32) -> Arc<Memory> {
        let memory = Arc::new(Memory::new(len, alignment).unwrap());
        OBJECTS.write().unwrap().insert(id, Arc::downgrade(&memory));
        memory
    }

    #[test]
    fn memory_is_aligned_beyond_a_page() {
        for alignment in [512, 4096, 1 << 16, 2 << 20] {
            let memory = Memory::new(10_000, alignment).unwrap();
            assert_eq!(memory.address() as usize % alignment as usize, 0);
            assert!(memory.start + memory.len <= memory.region.len());
        }
    }

    #[test]
    fn a_range_beyond_the_memory_and_a_stale_number_are_refused() {
        let id = u32::MAX - 1;
        let memory = listed(1000, 4096, id);
        let mut known = KnownMemory::default();
        assert!(known.guard(id, 0, 1000, &[]).is_some());
        assert!(known.guard(id, 1, 1000, &[]).is_none());
        assert!(known.guard(id, u32::MAX, u32::MAX, &[]).is_none());
        assert!(memory.buffer(512, 488).is_some());
        assert!(memory.buffer(512, 489).is_none());
        drop(memory);
        assert!(known.guard(id, 0, 1, &[]).is_none());
        assert!(known.guard(id - 1, 0, 1, &[]).is_none());
    }

    #[test]
    fn all_buffers_of_an_object_lie_in_the_one_mapping_that_the_kernel_is_told_of() {
        let memory = listed(4096, 512, u32::MAX - 7);
        let (one, other) = (memory.buffer(0, 512).unwrap(), memory.buffer(1024, 512).unwrap());
        assert!(Arc::ptr_eq(one.memory(), &memory.region) && Arc::ptr_eq(other.memory(), &memory.region));
    }

    #[test]
    fn a_guard_keeps_the_memory_that_nobody_else_wants() {
        let id = u32::MAX - 3;
        let memory = listed(4096, 4096, id);
        let region = Arc::downgrade(&memory.region);
        let guard = KnownMemory::default().guard(id, 0, 4096, &[]).unwrap();
        drop(memory);
        assert!(region.upgrade().is_some());
        drop(guard);
        assert!(region.upgrade().is_none());
    }

    #[test]
    fn registered_memory_is_known_by_its_position() {
        let id = u32::MAX - 5;
        let memory = listed(4096, 4096, id);
        let other = MemoryRegion::allocate(4096).unwrap();
        let guard = KnownMemory::default().guard(id, 0, 1, &[other, memory.mapping()]).unwrap();
        assert_eq!(guard.region(), RegionId::new(1));
    }
}
