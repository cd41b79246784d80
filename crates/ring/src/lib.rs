//! The kernel boundary of ringline.
//!
//! Submissions are [`Op`]s with a [`Tag`], completions are [`Completion`]s, and [`Kernel`] is the seam at which the
//! real ring can be exchanged for a simulated one. Practically all `unsafe` of the project lives here. Nothing here
//! knows what a connection is.

mod address;
mod completion;
mod doorbell;
mod kernel;
mod op;
mod tag;

pub use address::SocketAddress;
pub use completion::{BUFFER_ID_SHIFT, Completion, FLAG_BUFFER, FLAG_BUFFER_MORE, FLAG_MORE, FLAG_NOTIFICATION};
pub use doorbell::Doorbell;
pub use kernel::{Adopted, Entered, Kernel, ProvidedBuffer, QueueFull, SocketOptions, Wait};
pub use op::{Direction, FileIndex, Op, PinnedAddress, PinnedBytes, PinnedMessage};
pub use tag::{SLOT_BITS, SLOT_MAX, Tag};
