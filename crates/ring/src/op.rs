//! The operations that the runtime asks of the kernel, as data.
//!
//! An operation names memory only through [`PinnedBytes`], [`PinnedMessage`] and [`PinnedAddress`], whose constructors
//! are unsafe: whoever makes one promises that the memory stays where it is until the operation has completed. Pushing
//! an operation is therefore safe.

use std::net::SocketAddr;
use std::os::fd::RawFd;

/// An entry of the ring's registered (fixed) file table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIndex(pub u32);

/// Bytes that the kernel reads while an operation is in flight.
#[derive(Clone, Copy, Debug)]
pub struct PinnedBytes {
    pub(crate) address: *const u8,
    pub(crate) len: u32,
}

impl PinnedBytes {
    /// Names `len` bytes at `address`.
    ///
    /// # Safety
    ///
    /// The bytes must stay allocated, and must not be written, until the last completion of the operation they are
    /// given to (for a zero-copy send: until its notification).
    #[inline]
    pub const unsafe fn new(address: *const u8, len: u32) -> Self {
        Self { address, len }
    }

    /// The address of the first byte.
    #[inline]
    pub const fn address(self) -> *const u8 {
        self.address
    }

    /// Number of bytes.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(self) -> u32 {
        self.len
    }
}

/// A `msghdr`, with all the memory it names, that the kernel reads while an operation is in flight.
#[derive(Clone, Copy, Debug)]
pub struct PinnedMessage(pub(crate) *const libc::msghdr);

impl PinnedMessage {
    /// Names a message header.
    ///
    /// # Safety
    ///
    /// The header, its vectors and their bytes must stay allocated and unchanged until the operation has completed.
    #[inline]
    pub const unsafe fn new(message: *const libc::msghdr) -> Self {
        Self(message)
    }

    /// The address of the header.
    #[inline]
    pub const fn address(self) -> *const libc::msghdr {
        self.0
    }
}

/// Bytes that the kernel writes while an operation is in flight.
#[derive(Clone, Copy, Debug)]
pub struct PinnedBuffer {
    pub(crate) address: *mut u8,
    pub(crate) len: u32,
}

impl PinnedBuffer {
    /// Names `len` bytes at `address`.
    ///
    /// # Safety
    ///
    /// The bytes must stay allocated, and must neither be read nor written, until the operation has completed.
    #[inline]
    pub const unsafe fn new(address: *mut u8, len: u32) -> Self {
        Self { address, len }
    }

    /// The address of the first byte.
    #[inline]
    pub const fn address(self) -> *mut u8 {
        self.address
    }

    /// Number of bytes.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(self) -> u32 {
        self.len
    }
}

/// A path that the kernel reads while a file is being opened.
#[derive(Clone, Copy, Debug)]
pub struct PinnedPath(pub(crate) *const libc::c_char);

impl PinnedPath {
    /// Names a path.
    ///
    /// # Safety
    ///
    /// The string must stay allocated and unchanged until the operation has completed.
    #[inline]
    pub const unsafe fn new(path: &std::ffi::CStr) -> Self {
        Self(path.as_ptr())
    }
}

/// An NVMe command, and the data it names, that the device reads or writes while the operation is in flight.
#[derive(Clone, Copy, Debug)]
pub struct PinnedCommand(pub(crate) *const crate::NvmeCommand);

impl PinnedCommand {
    /// Names a command.
    ///
    /// # Safety
    ///
    /// The command must stay allocated and unchanged until the operation has completed. So must the data that it names,
    /// which nobody may touch meanwhile.
    #[inline]
    pub const unsafe fn new(command: *const crate::NvmeCommand) -> Self {
        Self(command)
    }
}

/// A socket address in the kernel's layout, kept at one place while a connect is in flight.
#[derive(Clone, Copy, Debug)]
pub struct PinnedAddress(pub(crate) *const crate::SocketAddress);

impl PinnedAddress {
    /// Names an address.
    ///
    /// # Safety
    ///
    /// The address must stay allocated and unchanged until the operation has completed.
    #[inline]
    pub const unsafe fn new(address: *const crate::SocketAddress) -> Self {
        Self(address)
    }

    /// The address that is named, as the standard library writes it.
    ///
    /// # Safety
    ///
    /// As for [`PinnedAddress::new`]: the operation must not have completed yet.
    pub unsafe fn read(self) -> SocketAddr {
        // SAFETY: the caller promises that the address is still allocated.
        unsafe { (*self.0).to_std() }
    }
}

/// Which direction a [`Op::Shutdown`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// No more sends: the peer sees FIN.
    Write,
    /// Neither sends nor receives.
    Both,
}

/// How an [`Op::Open`] opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// For reading and writing; otherwise for reading alone.
    pub write: bool,
    /// Make a regular file where there is none, readable and writable as the umask of the process allows.
    pub create: bool,
    /// Past the page cache (O_DIRECT).
    pub direct: bool,
}

/// An operation.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Accept connections until cancelled; each completion's result is an ordinary file descriptor.
    AcceptMultishot {
        /// The listening socket.
        listener: FileIndex,
    },
    /// Receive into provided buffers until end of stream, error or lack of buffers.
    ReceiveMultishot {
        /// The connection.
        file: FileIndex,
        /// The buffer group to take buffers from.
        group: u16,
    },
    /// Receive datagrams into provided buffers, each laid out as [`Datagram`](crate::Datagram) says, until an error or
    /// lack of buffers.
    ReceiveDatagrams {
        /// The socket.
        file: FileIndex,
        /// The buffer group to take buffers from.
        group: u16,
        /// What to ask for.
        template: PinnedMessage,
    },
    /// Send bytes without waiting: completes at once, with a short count or −EAGAIN when the socket is full.
    Send {
        /// The connection.
        file: FileIndex,
        /// What to send.
        bytes: PinnedBytes,
    },
    /// As [`Op::Send`], but it completes only when it was not whole; see
    /// [`Kernel::takes_silent_sends`](crate::Kernel::takes_silent_sends). The kind of its tag is a
    /// [silent](crate::Tag::SILENT) one.
    SendSilently {
        /// The connection.
        file: FileIndex,
        /// What to send: at least one byte. Pinned until the operation is over.
        bytes: PinnedBytes,
    },
    /// Send gathered bytes, otherwise as [`Op::Send`].
    SendMessage {
        /// The connection.
        file: FileIndex,
        /// What to send.
        message: PinnedMessage,
    },
    /// Send gathered bytes, all of them, waiting for room as often as necessary: a link of a
    /// [chain](crate::Kernel::push_chain). A short count means that it failed.
    SendMessageAll {
        /// The connection.
        file: FileIndex,
        /// What to send.
        message: PinnedMessage,
    },
    /// Send bytes from where they lie, otherwise as [`Op::Send`]. Where the result says that more follows, the memory is in
    /// use until a second completion, the notification; [`Completion::was_copied`](crate::Completion::was_copied) says
    /// there whether the kernel copied after all.
    SendZeroCopy {
        /// The connection.
        file: FileIndex,
        /// What to send; pinned until the notification.
        bytes: PinnedBytes,
        /// The registered buffer that the bytes lie in, if any.
        buffer: Option<u16>,
    },
    /// Send gathered bytes from where they lie, otherwise as [`Op::SendZeroCopy`]. The header and the vectors themselves
    /// are needed only until the result.
    SendMessageZeroCopy {
        /// The connection.
        file: FileIndex,
        /// What to send; its bytes are pinned until the notification.
        message: PinnedMessage,
    },
    /// Complete once when the socket takes bytes again.
    PollWritable {
        /// The connection.
        file: FileIndex,
    },
    /// Connect a stream socket.
    Connect {
        /// The socket.
        file: FileIndex,
        /// The peer.
        address: PinnedAddress,
    },
    /// Shut down a direction of a connection.
    Shutdown {
        /// The connection.
        file: FileIndex,
        /// Which direction.
        direction: Direction,
    },
    /// Open a file or a device; the result is an ordinary descriptor, for
    /// [`Kernel::adopt_file`](crate::Kernel::adopt_file) or [`Kernel::adopt_device`](crate::Kernel::adopt_device).
    Open {
        /// Where it is.
        path: PinnedPath,
        /// How to open it.
        how: OpenHow,
    },
    /// Read from a file at a position; the result is the number of bytes, short at the end of the file.
    Read {
        /// The file.
        file: FileIndex,
        /// Where the bytes go.
        buffer: PinnedBuffer,
        /// Position in the file in bytes.
        offset: u64,
        /// The registered region that they lie in, if any: its pages need not be looked up then.
        region: Option<u16>,
    },
    /// Write to a file at a position.
    Write {
        /// The file.
        file: FileIndex,
        /// What to write.
        bytes: PinnedBytes,
        /// Position in the file in bytes.
        offset: u64,
        /// The registered region that they lie in, if any: its pages need not be looked up then.
        region: Option<u16>,
    },
    /// Make what was written to a file, and its length, durable. It waits for no write that is still in flight.
    Fsync {
        /// The file.
        file: FileIndex,
    },
    /// An NVMe command. The result is 0, a negated errno, or what the device answered: an NVMe status. Needs a ring with
    /// wide entries; see [`Kernel::takes_nvme`](crate::Kernel::takes_nvme).
    NvmeCommand {
        /// The device.
        device: FileIndex,
        /// The command.
        command: PinnedCommand,
    },
    /// Drop the fixed file; with the last operation on it, this closes the socket.
    Close {
        /// The file.
        file: FileIndex,
    },
    /// Ask for the end of one operation, named by its tag. It still posts its own completion.
    Cancel {
        /// The tag of the operation.
        target: crate::Tag,
    },
    /// Complete each time the ring's doorbell is rung.
    PollDoorbell,
    /// Complete once when a descriptor that is no fixed file is readable.
    PollReadable {
        /// The descriptor, which must be open when the operation is submitted.
        descriptor: RawFd,
    },
}

impl Op {
    /// Whether the operation always completes while it is being submitted, so that a wait has to count its completion
    /// on top of the one it waits for.
    #[inline]
    pub const fn completes_inline(&self) -> bool {
        matches!(
            self,
            Op::Send { .. } | Op::SendMessage { .. } | Op::SendZeroCopy { .. } | Op::SendMessageZeroCopy { .. }
        )
    }
}
