//! The kinds of operations that the driver submits, as they stand in a tag.

/// What a completion is about. The slot of the tag is a connection's, except where the kind says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The multishot accept of the listener; the slot is the listener's.
    Accept = 1,
    /// The multishot poll of the doorbell; the slot means nothing.
    Doorbell = 2,
    /// The multishot receive of a connection.
    Receive = 3,
    /// A send of a connection.
    Send = 4,
    /// The wait for room in a connection's socket.
    Writable = 5,
    /// The connect of an outbound connection.
    Connect = 6,
    /// The FIN of a connection.
    Shutdown = 7,
    /// The end of a connection's fixed file.
    Close = 8,
    /// A request to end one of the connection's operations.
    Cancel = 9,
    /// A request to end the multishot accept; the slot is the listener's.
    CancelAccept = 10,
    /// The end of the listener's fixed file; the slot is the listener's.
    CloseListener = 11,
    /// The multishot receive of a UDP socket; the slot is the socket's.
    Datagrams = 12,
    /// A datagram on its way out; the slot is the socket's, the generation names the datagram.
    Datagram = 13,
    /// The wait for room in a UDP socket; the slot is the socket's.
    DatagramRoom = 14,
    /// The open of a file; the slot is the file's.
    FileOpen = 15,
    /// A read, write or fsync of a file; the slot is the operation's.
    FileOperation = 16,
    /// The end of a file's fixed file; the slot is the file's.
    FileClose = 17,
    /// A request to give up the open of a file; the slot is the file's.
    CancelOpen = 18,
}

impl Kind {
    /// The kind in a tag, unless the number is none of ours.
    #[inline]
    pub(super) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Accept,
            2 => Self::Doorbell,
            3 => Self::Receive,
            4 => Self::Send,
            5 => Self::Writable,
            6 => Self::Connect,
            7 => Self::Shutdown,
            8 => Self::Close,
            9 => Self::Cancel,
            10 => Self::CancelAccept,
            11 => Self::CloseListener,
            12 => Self::Datagrams,
            13 => Self::Datagram,
            14 => Self::DatagramRoom,
            15 => Self::FileOpen,
            16 => Self::FileOperation,
            17 => Self::FileClose,
            18 => Self::CancelOpen,
            _ => return None,
        })
    }
}
