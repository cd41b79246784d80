//! Thread-per-core io_uring runtime.

pub mod driver;
