//! The heap of the C library, which keeps what is freed for the next time.

/// Gives free memory of the heap back to the system, wherever in the heap it lies. It takes milliseconds when there is much
/// of it, and what was given back has to be faulted in again: only for times of rest. Does nothing where the C library is
/// not glibc, or the program has another allocator.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, and keeps out of the way of other threads by the heap's own locks.
    unsafe {
        libc::malloc_trim(0)
    };
}
