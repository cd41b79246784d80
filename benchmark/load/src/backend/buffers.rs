//! The provided-buffer ring of the load: buffers the kernel fills on receive. Received bytes are verified at once and the
//! buffer goes straight back, so a few are enough.

use std::alloc::{self, Layout};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

pub(super) const GROUP: u16 = 0;
const COUNT: u16 = 64; // a power of two
const BUFFER_BYTES: usize = 64 * 1024;
/// An odd number of cache lines more than the buffer, so that the first lines of all buffers do not share cache sets.
const STRIDE_BYTES: usize = BUFFER_BYTES + 5 * 64;
const PAGE_BYTES: usize = 4096;

pub(super) struct Buffers {
    ring: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    tail: u16,
}

fn ring_layout() -> Layout {
    Layout::from_size_align(COUNT as usize * size_of::<BufRingEntry>(), PAGE_BYTES).expect("constant and legal")
}

fn memory_layout() -> Layout {
    Layout::from_size_align(COUNT as usize * STRIDE_BYTES, PAGE_BYTES).expect("constant and legal")
}

impl Buffers {
    pub(super) fn new() -> Self {
        let allocate = |layout| {
            // SAFETY: both layouts have a size above zero.
            let memory = unsafe { alloc::alloc_zeroed(layout) };
            NonNull::new(memory).unwrap_or_else(|| alloc::handle_alloc_error(layout))
        };
        let mut buffers = Buffers { ring: allocate(ring_layout()).cast(), memory: allocate(memory_layout()), tail: 0 };
        (0..COUNT).for_each(|id| buffers.give_back(id));
        buffers.publish();
        buffers
    }

    /// Makes the buffers known to the ring of `submitter`.
    ///
    /// # Safety
    ///
    /// `self` must outlive that ring: the kernel writes to the buffers until the ring is closed.
    pub(super) unsafe fn register(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        // SAFETY: the entries are page-aligned, COUNT of them, and the caller keeps them alive.
        unsafe { submitter.register_buf_ring_with_flags(self.ring.as_ptr() as u64, COUNT, GROUP, 0) }
    }

    /// The first `length` bytes of buffer `id`, which the kernel has filled.
    ///
    /// # Safety
    ///
    /// `id` and `length` must come from a completion, and the buffer must not have been given back since.
    pub(super) unsafe fn filled(&self, id: u16, length: usize) -> &[u8] {
        debug_assert!(id < COUNT && length <= BUFFER_BYTES);
        // SAFETY: the buffer lies within `memory`, was zeroed at first, and belongs to us until it is given back.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(id as usize * STRIDE_BYTES), length) }
    }

    /// Queues buffer `id` for the kernel, which sees it after the next `publish`.
    pub(super) fn give_back(&mut self, id: u16) {
        // SAFETY: the place is within the ring, and the kernel does not read it before the tail has passed it.
        let entry = unsafe { self.ring.add((self.tail & (COUNT - 1)) as usize).as_mut() };
        // SAFETY: `id` is below COUNT, so the address lies within `memory`.
        let address = unsafe { self.memory.add(id as usize * STRIDE_BYTES) };
        entry.set_addr(address.as_ptr() as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel every buffer given back so far.
    pub(super) fn publish(&self) {
        // SAFETY: `ring` is the page-aligned first entry; the tail shares its memory as the kernel defines it, is aligned
        // for u16, and only this thread writes it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with these layouts; `register` demands that the ring is closed by now.
        unsafe {
            alloc::dealloc(self.ring.as_ptr().cast(), ring_layout());
            alloc::dealloc(self.memory.as_ptr(), memory_layout());
        }
    }
}
