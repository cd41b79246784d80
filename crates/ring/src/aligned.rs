//! Buffers for direct I/O: memory that starts on a page, which is aligned enough for every disk.
//!
//! A buffer owns its bytes, or its share of a larger region; nobody else reads or writes them while it exists. It does
//! not know what it is used for.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::Region;

/// Bytes for direct I/O and NVMe commands, zeroed when they are made. The address is a multiple of the page size.
///
/// Making one maps memory, which costs a few microseconds: use buffers again, or make a large one and
/// [split](Self::split_to) it. From the second read or write of a file on, a worker also has the kernel know the memory
/// (a fixed buffer), which spares the look-up of its pages.
pub struct AlignedBuffer {
    start: NonNull<u8>,
    len: usize,
    /// Keeps the bytes mapped. Unmapping them is harmless even while a device still writes: the kernel holds the pages
    /// of direct I/O until then.
    memory: Arc<Region>,
}

impl AlignedBuffer {
    /// Makes a buffer of `len` zeroed bytes.
    ///
    /// # Errors
    ///
    /// ENOMEM when the address space or the memory commitment of the process is exhausted.
    pub fn new(len: usize) -> io::Result<Self> {
        let memory = Arc::new(Region::new(len)?);
        let start = NonNull::new(memory.as_ptr()).expect("a region starts at no null address");
        Ok(Self { start, len, memory })
    }

    /// A buffer over a part of a region that others know too.
    ///
    /// # Panics
    ///
    /// When the range does not lie in the region.
    ///
    /// # Safety
    ///
    /// Nobody else may read or write the bytes of the range while the buffer exists. (JavaScript may: what it then sees
    /// or changes is its own affair, and no reference of Rust's to the bytes may be made meanwhile.)
    pub unsafe fn over(memory: Arc<Region>, offset: usize, len: usize) -> Self {
        let end = offset.checked_add(len);
        assert!(end.is_some_and(|end| end <= memory.len()), "{len} bytes at {offset} of {}", memory.len());
        let start = NonNull::new(memory.as_ptr().wrapping_add(offset)).expect("a region starts at no null address");
        Self { start, len, memory }
    }

    /// Splits the first `at` bytes off, without copying. What is left begins behind them, so `at` has to be a multiple
    /// of the block size for it to stay usable.
    ///
    /// # Panics
    ///
    /// When the buffer is shorter.
    #[must_use]
    pub fn split_to(&mut self, at: usize) -> Self {
        assert!(at <= self.len, "{at} bytes of {}", self.len);
        let first = Self { start: self.start, len: at, memory: Arc::clone(&self.memory) };
        // SAFETY: `at` was checked, so the result lies within the region or just behind it.
        self.start = unsafe { self.start.add(at) };
        self.len -= at;
        first
    }

    /// The region that the bytes lie in.
    #[inline]
    pub const fn memory(&self) -> &Arc<Region> {
        &self.memory
    }

    /// The address of the first byte.
    #[inline]
    pub const fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Number of bytes.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range lies in the mapped region, is initialised (zeroed pages) and belongs to this value alone.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuffer({} bytes at {:p})", self.len, self.start)
    }
}

// SAFETY: the bytes belong to this value alone, whichever thread it is on.
unsafe impl Send for AlignedBuffer {}
// SAFETY: through a shared reference the bytes can only be read.
unsafe impl Sync for AlignedBuffer {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page_size;

    #[test]
    fn a_buffer_starts_on_a_page_zeroed() {
        let buffer = AlignedBuffer::new(5000).unwrap();
        assert_eq!(buffer.as_ptr() as usize % page_size(), 0);
        assert_eq!(buffer.len(), 5000);
        assert!(buffer.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn parts_are_apart_and_outlive_each_other() {
        let mut rest = AlignedBuffer::new(3 * 512).unwrap();
        let mut first = rest.split_to(512);
        first.fill(1);
        rest.fill(2);
        assert_eq!((first.len(), rest.len()), (512, 1024));
        assert!(first.iter().all(|&byte| byte == 1));
        drop(first);
        assert!(rest.iter().all(|&byte| byte == 2));
    }

    #[test]
    #[should_panic(expected = "8192 bytes at 0 of 4096")]
    fn a_range_outside_of_its_region_is_refused() {
        let region = Arc::new(Region::new(4096).unwrap());
        assert_eq!(region.len(), 4096, "the test assumes pages of 4 KiB");
        // SAFETY: nobody else knows the region.
        drop(unsafe { AlignedBuffer::over(region, 0, 8192) });
    }
}
