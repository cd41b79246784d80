//! One small test for each behaviour of the kernel that the runtime relies on or works around.

mod buffers;
mod chains;
mod closing;
mod doorbell;
mod echo;
mod fixture;
mod links;
mod release;
mod seccomp;
mod sending;
mod settings;
mod silent_sends;
mod sockets;
mod waiting;
mod zero_copy;
