//! The kinds of operations that the driver submits, as they stand in a tag.

use ringline_ring::Tag;

/// What a completion is about. The slot of the tag is a connection's, except where the kind says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The multishot receive of a connection: the most frequent, whose tag is the connection's token as it stands.
    Receive = 0,
    /// The multishot accept of the listener; the slot is the listener's.
    Accept = 1,
    /// The multishot poll of the doorbell; the slot means nothing.
    Doorbell = 2,
    /// A send of a connection.
    Send = 4,
    /// The wait for room in a connection's socket.
    Writable = 5,
    /// The connect of an outbound connection.
    Connect = 6,
    /// The end of a connection's fixed file.
    Close = 7,
    /// A request to end one of the connection's operations.
    Cancel = 8,
    /// A request to end the multishot accept; the slot is the listener's.
    CancelAccept = 9,
    /// The end of the listener's fixed file; the slot is the listener's.
    CloseListener = 10,
    /// The multishot receive of a UDP socket; the slot is the socket's.
    Datagrams = 11,
    /// A datagram on its way out; the slot is the socket's, the generation names the datagram.
    Datagram = 12,
    /// The wait for room in a UDP socket; the slot is the socket's.
    DatagramRoom = 13,
    /// The open of a file; the slot is the file's.
    FileOpen = 32,
    /// A read, write or fsync of a file; the slot is the operation's.
    FileOperation = 33,
    /// The end of a file's fixed file; the slot is the file's.
    FileClose = 34,
    /// A request to give up the open of a file or device.
    CancelOpen = 35,
    /// The open of an NVMe device; the slot is the device's.
    DeviceOpen = 36,
    /// An NVMe command; the slot is the command's.
    NvmeCommand = 37,
    /// The end of a device's fixed file; the slot is the device's.
    DeviceClose = 38,
    /// A zero-copy send; slot and generation are the flight's.
    ZeroCopy = 14,
    /// A link of a connection's chain.
    Chain = 15,
    /// A request to end a connection's chain.
    CancelChain = 16,
    /// The poll of the other event loop of this thread; the slot means nothing.
    Outer = 17,
    /// A request to end that poll.
    CancelOuter = 18,
    /// A gathered send of a connection; slot and generation are the gather's.
    Gathered = 19,
    /// A silent send of a connection.
    SilentSend = Tag::SILENT,
}

impl Kind {
    /// The kind in a tag, unless the number is none of ours.
    #[inline]
    pub(super) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Receive,
            1 => Self::Accept,
            2 => Self::Doorbell,
            4 => Self::Send,
            5 => Self::Writable,
            6 => Self::Connect,
            7 => Self::Close,
            8 => Self::Cancel,
            9 => Self::CancelAccept,
            10 => Self::CloseListener,
            11 => Self::Datagrams,
            12 => Self::Datagram,
            13 => Self::DatagramRoom,
            32 => Self::FileOpen,
            33 => Self::FileOperation,
            34 => Self::FileClose,
            35 => Self::CancelOpen,
            36 => Self::DeviceOpen,
            37 => Self::NvmeCommand,
            38 => Self::DeviceClose,
            14 => Self::ZeroCopy,
            15 => Self::Chain,
            16 => Self::CancelChain,
            17 => Self::Outer,
            18 => Self::CancelOuter,
            19 => Self::Gathered,
            Tag::SILENT => Self::SilentSend,
            _ => return None,
        })
    }
}
