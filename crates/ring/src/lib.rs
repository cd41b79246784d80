//! The kernel boundary of ringline.
//!
//! Submissions are [`Op`]s with a [`Tag`], completions are [`Completion`]s, and [`Kernel`] is the seam at which the
//! real ring, [`Uring`], can be exchanged for a simulated one. Practically all `unsafe` of the project lives here.
//! Nothing here knows what a connection is.
//!
//! Setting the environment variable `RINGLINE_NO_INCREMENTAL_BUFFERS` to `1` makes the process do without incrementally
//! consumed buffers, as on kernels before 6.12; otherwise a trial at start-up decides.
//!
//! The crate compiles on Linux only. A product that is also loaded elsewhere has to decide before it loads this; the
//! words for that case are in [`Unavailable::Platform`].

mod address;
mod affinity;
mod alarm;
mod aligned;
mod buffer_group;
mod buffer_test;
pub mod clock;
mod completion;
mod datagram;
mod descriptors;
mod doorbell;
mod file_test;
mod files;
mod heap;
mod kernel;
mod limits;
mod memory;
mod nvme;
mod op;
mod opened;
mod probe;
mod queues;
mod setup;
mod sockets;
mod submission;
mod tag;
mod uring;

pub use address::SocketAddress;
pub use affinity::{available_cores, pin_to_core};
pub use alarm::Alarm;
pub use aligned::AlignedBuffer;
pub use buffer_group::BUFFER_GROUP_ENTRIES_MAX;
pub use completion::{BUFFER_ID_SHIFT, Completion, FLAG_BUFFER, FLAG_BUFFER_MORE, FLAG_MORE, FLAG_NOTIFICATION};
pub use datagram::{DATAGRAM_OVERHEAD, DatagramTemplate, Datagrams, JOINED_BYTES_MAX, SegmentControl};
pub use doorbell::{Doorbell, WeakDoorbell};
pub use files::FileFacts;
pub use heap::trim_heap;
pub use kernel::{Entered, Kernel, ProvidedBuffer, QueueFull, SocketOptions, Wait};
pub use limits::{OpenFilesLimit, leave_room, locked_memory, raise_open_files};
pub use memory::{HUGE_PAGE_BYTES, Region, page_size};
pub use nvme::{DeviceFacts, NVME_URING_CMD_IO, NvmeCommand};
pub use op::{
    Direction, FileIndex, Op, OpenHow, PinnedAddress, PinnedBuffer, PinnedBytes, PinnedCommand, PinnedMessage,
    PinnedPath,
};
pub use probe::{Capabilities, Unavailable, probe};
pub use setup::{RingSettings, SetupError, SubmissionPolling};
pub use sockets::bind_datagram;
pub use tag::{SLOT_BITS, SLOT_MAX, Tag};
pub use uring::Uring;
