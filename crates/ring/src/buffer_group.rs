//! A provided-buffer ring: the memory it lives in, its registration, and the publishing of buffers.
//!
//! The group owns the ring of *descriptors* (16 bytes for each buffer), never the buffers themselves. The kernel reads
//! the descriptors at any time between registration and unregistration, so the owner must unregister the group, or
//! close the ring it is registered with, before the group is dropped.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::ProvidedBuffer;
use crate::memory::Region;

/// The largest number of buffers that the kernel takes in one group.
pub const BUFFER_GROUP_ENTRIES_MAX: u16 = 1 << 15;

/// `IOU_PBUF_RING_INC` of the kernel's interface (Linux 6.12).
const REGISTER_INCREMENTAL: u16 = 2;

/// One registered group of provided buffers.
#[derive(Debug)]
pub(crate) struct BufferGroup {
    group: u16,
    mask: u16,
    /// The tail as last published; counts modulo 2^16.
    tail: u16,
    ring: Region,
}

impl BufferGroup {
    /// Maps a ring of `entries` descriptors and registers it as `group`.
    ///
    /// # Errors
    ///
    /// EINVAL when `entries` is not a power of two up to [`BUFFER_GROUP_ENTRIES_MAX`] or when the kernel does not know
    /// incremental consumption, EEXIST when the group is taken, ENOMEM.
    pub(crate) fn register(ring: &Submitter<'_>, group: u16, entries: u16, incremental: bool) -> io::Result<Self> {
        if !entries.is_power_of_two() || entries > BUFFER_GROUP_ENTRIES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a buffer group of {entries} entries: must be a power of two up to {BUFFER_GROUP_ENTRIES_MAX}"),
            ));
        }
        let region = Region::new(usize::from(entries) * size_of::<BufRingEntry>())?;
        let flags = if incremental { REGISTER_INCREMENTAL } else { 0 };
        // SAFETY: the region is page-aligned and holds `entries` descriptors. `Self` keeps it mapped, and its owner
        // unregisters the group or closes the ring before `Self` is dropped.
        unsafe { ring.register_buf_ring_with_flags(region.as_ptr() as u64, entries, group, flags)? };
        Ok(Self { group, mask: entries - 1, tail: 0, ring: region })
    }

    /// The number that submissions name the group by.
    pub(crate) fn group(&self) -> u16 {
        self.group
    }

    /// Hands buffers to the kernel.
    ///
    /// # Safety
    ///
    /// As for [`Kernel::provide_buffers`](crate::Kernel::provide_buffers).
    #[inline]
    pub(crate) unsafe fn provide(&mut self, buffers: &[ProvidedBuffer]) {
        let descriptors: *mut BufRingEntry = self.ring.as_ptr().cast();
        for buffer in buffers {
            // SAFETY: the index is masked into the ring. The slot is outside the window between the kernel's head and
            // the published tail, because the caller never has more than `entries` buffers in the group: only this
            // thread touches it. The tail field shares the first slot but not the fields written here.
            let descriptor = unsafe { &mut *descriptors.add(usize::from(self.tail & self.mask)) };
            descriptor.set_addr(buffer.address as u64);
            descriptor.set_len(buffer.len);
            descriptor.set_bid(buffer.id);
            self.tail = self.tail.wrapping_add(1);
        }
        // SAFETY: the tail is a u16 within the mapped first descriptor, aligned, and this process accesses it only
        // through this atomic.
        let tail = unsafe { &*BufRingEntry::tail(descriptors).cast::<AtomicU16>() };
        // Release: the kernel reads the tail with acquire and must then see the descriptors.
        tail.store(self.tail, Ordering::Release);
    }
}
