//! The memory that the runtime lends to the kernel. All `unsafe` of the simulator is here.
//!
//! A [`Snapshot`] remembers what an operation's memory held when it was pushed; a [`Region`] is a provided buffer,
//! filled with poison for as long as the kernel owns it. Both find a runtime that writes where it must not.

use std::net::SocketAddr;
use std::ops::Range;

use ringline_ring::{Op, PinnedAddress, PinnedBytes, PinnedMessage};

/// What a provided buffer holds while the kernel owns it. A runtime that reads too much reads this.
pub const POISON: u8 = 0xDB;

/// Poison to compare with, in pieces that a debug build compares quickly.
static POISONED: [u8; 4096] = [POISON; 4096];

/// The memory of an operation, and what it held when the operation was pushed.
///
/// It must not outlive the operation: whoever keeps one drops it with the operation's last completion. That, and the
/// promise made to the constructors of the `Pinned…` types, is what makes its reads sound.
pub(crate) enum Snapshot {
    Nothing,
    Bytes(PinnedBytes, Vec<u8>),
    Message(PinnedMessage, Vec<u8>),
    Address(PinnedAddress, SocketAddr),
}

impl Snapshot {
    pub(crate) fn of(op: &Op) -> Self {
        match *op {
            Op::Send { bytes, .. } | Op::SendSilently { bytes, .. } => Self::Bytes(bytes, copy(bytes)),
            Op::SendMessage { message, .. } => Self::Message(message, gather(message)),
            Op::Connect { address, .. } => Self::Address(address, read(address)),
            _ => Self::Nothing,
        }
    }

    /// Whether the memory still holds what it held.
    pub(crate) fn unchanged(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Bytes(bytes, before) => copy(*bytes) == *before,
            Self::Message(message, before) => gather(*message) == *before,
            Self::Address(address, before) => read(*address) == *before,
        }
    }
}

/// How many pieces a message has; to be asked only while a snapshot of it could be taken.
#[allow(clippy::unnecessary_cast, reason = "the field is a usize with glibc and an int with musl")]
pub(crate) fn pieces(message: PinnedMessage) -> usize {
    // SAFETY: the header stays allocated until the operation has completed, and nobody asks afterwards.
    unsafe { (*message.address()).msg_iovlen as usize }
}

fn copy(bytes: PinnedBytes) -> Vec<u8> {
    if bytes.len() == 0 {
        return Vec::new();
    }
    // SAFETY: the bytes stay allocated and unwritten until the operation has completed, and a snapshot ends before.
    unsafe { std::slice::from_raw_parts(bytes.address(), bytes.len() as usize) }.to_vec()
}

fn gather(message: PinnedMessage) -> Vec<u8> {
    // SAFETY: the header stays allocated and unchanged until the operation has completed, and a snapshot ends before.
    let header = unsafe { &*message.address() };
    let count = pieces(message);
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: as for the header, of which the vectors are part.
    let vectors = unsafe { std::slice::from_raw_parts(header.msg_iov, count) };
    let mut gathered = Vec::new();
    for vector in vectors.iter().filter(|vector| vector.iov_len > 0) {
        // SAFETY: as for the header: the promise covers the bytes of its vectors.
        gathered.extend_from_slice(unsafe { std::slice::from_raw_parts(vector.iov_base.cast(), vector.iov_len) });
    }
    gathered
}

fn read(address: PinnedAddress) -> SocketAddr {
    // SAFETY: the address stays allocated until the operation has completed, and a snapshot ends before.
    unsafe { address.read() }
}

/// The memory of one provided buffer, owned by the kernel for as long as the value lives.
pub(crate) struct Region {
    address: *mut u8,
    len: usize,
}

impl Region {
    /// Takes the memory over and poisons it.
    ///
    /// # Safety
    ///
    /// The bytes must stay allocated, and nobody else may touch them, until the value is dropped.
    pub(crate) unsafe fn take(address: *mut u8, len: usize) -> Self {
        // SAFETY: the caller lends the bytes to the kernel.
        unsafe { address.write_bytes(POISON, len) };
        Self { address, len }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn addresses(&self) -> Range<usize> {
        let start = self.address.addr();
        start..start + self.len
    }

    /// Whether the bytes from `from` on still hold the poison.
    pub(crate) fn poisoned(&self, from: usize) -> bool {
        assert!(from <= self.len, "within the region");
        // SAFETY: the bytes are the kernel's until the value is dropped, and `from` lies within them.
        let rest = unsafe { std::slice::from_raw_parts(self.address.add(from), self.len - from) };
        rest.chunks(POISONED.len()).all(|piece| *piece == POISONED[..piece.len()])
    }

    /// Writes received bytes at `at`.
    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        assert!(bytes.len() <= self.len - at, "within the region");
        // SAFETY: the bytes are the kernel's until the value is dropped, and the range lies within them.
        unsafe { self.address.add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
}
