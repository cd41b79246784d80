//! Anonymous memory from the kernel: the ground of every pool that the kernel reads or writes.
//!
//! A [`Region`] owns its mapping and nothing else. It does not know what its bytes are used for, and it never touches
//! them itself: pages come into being when they are first written.

use std::io;
use std::ptr::NonNull;

/// Bytes of a huge page, where pages are 4 KiB; elsewhere a mapping of this length is only as good as any other.
pub const HUGE_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// The size of a memory page in bytes.
pub fn page_size() -> usize {
    // SAFETY: sysconf takes no pointers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("the kernel always knows its page size")
}

/// A private anonymous mapping, zeroed, page-aligned, unmapped on drop.
///
/// Two choices are made for the kernel with `madvise`:
///
/// * `MADV_NOHUGEPAGE`: with transparent huge pages set to `always`, the first byte written to a pool would make 2 MiB
///   resident. Pools are sized for the worst case and mostly idle, so small pages are what keeps an idle worker small.
///   Memory that bulk data passes through is mapped by [`Region::huge`] and gets `MADV_HUGEPAGE`.
/// * `MADV_DONTFORK`: a child process has no business with memory that a ring writes, and without the advice each
///   `fork` would copy the page tables and make the next write to every page a fault.
///
/// Both are advice: a kernel that does not know them changes nothing but cost.
#[derive(Debug)]
pub struct Region {
    start: NonNull<u8>,
    len: usize,
}

impl Region {
    /// Maps `len` bytes, rounded up to whole pages; at least one page.
    ///
    /// # Errors
    ///
    /// ENOMEM when the address space or the memory commitment of the process is exhausted.
    pub fn new(len: usize) -> io::Result<Self> {
        let this = Self::map(len.max(1).checked_next_multiple_of(page_size()).ok_or(io::ErrorKind::OutOfMemory)?)?;
        this.advise(libc::MADV_NOHUGEPAGE);
        Ok(this)
    }

    /// Maps `len` bytes, rounded up to whole huge pages, which it begins at and consists of where the system has some to
    /// give. Memory that much data passes through costs fewer address translations that way, and becomes resident by
    /// [`HUGE_PAGE_BYTES`] at a time.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn huge(len: usize) -> io::Result<Self> {
        let len = len.max(1).checked_next_multiple_of(HUGE_PAGE_BYTES).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut before = Self::map(len.checked_add(HUGE_PAGE_BYTES).ok_or(io::ErrorKind::OutOfMemory)?)?;
        let mut this = before.split_off(before.as_ptr().align_offset(HUGE_PAGE_BYTES));
        drop(this.split_off(len));
        this.advise(libc::MADV_HUGEPAGE);
        Ok(this)
    }

    /// `len` is a multiple of the page size and not 0.
    fn map(len: usize) -> io::Result<Self> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let this = Self { start: NonNull::new(start.cast()).expect("mmap chooses no null address"), len };
        this.advise(libc::MADV_DONTFORK);
        Ok(this)
    }

    /// Cuts the region in two at a multiple of the page size.
    fn split_off(&mut self, at: usize) -> Self {
        // SAFETY: the cut lies in the mapping, or at its end.
        let start = unsafe { self.start.add(at) };
        let behind = Self { start, len: self.len - at };
        self.len = at;
        behind
    }

    fn advise(&self, advice: i32) {
        // SAFETY: the range is mapped, and no advice that is given here changes what its bytes hold.
        unsafe { libc::madvise(self.as_ptr().cast(), self.len, advice) };
    }

    /// The first byte. The pointer may be used for the whole region while the region lives.
    #[inline]
    pub const fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Number of bytes, a multiple of the page size.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Gives the pages of a range back to the system; they read as zero afterwards. `offset` is rounded up and the
    /// end is rounded down to whole pages, so that no byte outside the range is lost.
    ///
    /// # Panics
    ///
    /// When the range does not lie in the region.
    ///
    /// # Safety
    ///
    /// Nobody, the kernel included, may be using the bytes of the range.
    pub unsafe fn discard(&self, offset: usize, len: usize) {
        let end = offset.checked_add(len).filter(|&end| end <= self.len);
        let end = end.unwrap_or_else(|| panic!("{len} bytes at {offset} lie outside a region of {} bytes", self.len));
        let page = page_size();
        let (first, last) = (offset.next_multiple_of(page), end - end % page);
        if first < last {
            // SAFETY: the pages lie within the mapping, and the caller promises that nobody uses them.
            unsafe { libc::madvise(self.as_ptr().add(first).cast(), last - first, libc::MADV_DONTNEED) };
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: this value owns the mapping; whoever handed out pointers into it promised that they are dead by now.
        unsafe { libc::munmap(self.as_ptr().cast(), self.len) };
    }
}

// SAFETY: a region is an address range that belongs to no thread; all access goes through raw pointers.
unsafe impl Send for Region {}
// SAFETY: as above; `&Region` gives out nothing but numbers and a raw pointer.
unsafe impl Sync for Region {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zeroed_and_writable_to_the_last_byte() {
        let region = Region::new(page_size() + 1).unwrap();
        assert_eq!(region.len(), 2 * page_size());
        let last = region.as_ptr().wrapping_add(region.len() - 1);
        // SAFETY: the byte is the last one of the region, which nobody else uses.
        unsafe {
            assert_eq!(last.read(), 0);
            last.write(7);
            assert_eq!(last.read(), 7);
        }
    }

    #[test]
    fn discarding_loses_whole_pages_of_the_range_and_nothing_else() {
        let page = page_size();
        let region = Region::new(3 * page).unwrap();
        // SAFETY: all accesses lie within the region, which nobody else uses.
        unsafe {
            region.as_ptr().write_bytes(1, region.len());
            region.discard(1, 2 * page);
            let at = |offset: usize| region.as_ptr().add(offset).read();
            assert_eq!((at(page - 1), at(page), at(2 * page - 1), at(2 * page)), (1, 0, 0, 1));
        }
    }

    #[test]
    fn huge_memory_begins_at_a_huge_page_and_is_writable_to_the_last_byte() {
        let regions: Vec<Region> = (0..4).map(|_| Region::huge(HUGE_PAGE_BYTES + 1).unwrap()).collect();
        for region in &regions {
            assert_eq!((region.len(), region.as_ptr().addr() % HUGE_PAGE_BYTES), (2 * HUGE_PAGE_BYTES, 0));
            // SAFETY: both bytes lie in the region, which nobody else uses.
            unsafe {
                region.as_ptr().write(1);
                region.as_ptr().add(region.len() - 1).write(2);
            }
        }
    }

    #[test]
    fn a_size_beyond_the_address_space_is_an_error() {
        assert!(Region::new(usize::MAX).is_err());
        assert!(Region::new(1 << 60).is_err());
        assert!(Region::huge(usize::MAX).is_err());
        assert!(Region::huge(usize::MAX - 2 * HUGE_PAGE_BYTES).is_err());
    }
}
