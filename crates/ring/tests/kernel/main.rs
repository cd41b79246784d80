//! One small test for each behaviour of the kernel that the runtime relies on or works around.

mod echo;
mod fixture;
