//! Thread-per-core io_uring runtime.
