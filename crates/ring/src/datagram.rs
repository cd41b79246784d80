//! How the kernel lays datagrams out in a provided buffer: a header, the sender's address, control data, the payload. The
//! payload is one datagram, or several of one size from one sender that have come through the kernel as one (UDP_GRO).

use std::mem::offset_of;
use std::net::SocketAddr;

use crate::SocketAddress;

/// Bytes of the header: the lengths of name, control data and payload, and the message flags.
const HEADER: usize = 16;
/// Bytes kept for the sender's address, enough for IPv4 and IPv6.
const NAME: usize = size_of::<libc::sockaddr_in6>();
/// Bytes kept for control data: a `cmsghdr` and the size of the datagrams that were joined.
const CONTROL: usize = size_of::<JoinedControl>();
/// Bytes of a provided buffer in front of the payload.
pub const DATAGRAM_OVERHEAD: usize = HEADER + NAME + CONTROL;
/// Bytes that a payload has at most when it is several datagrams: what an IP packet's length can say.
pub const JOINED_BYTES_MAX: usize = 65_535;

/// What a multishot receive of datagrams has to be told, at one place while the receive is armed.
#[derive(Debug)]
pub struct DatagramTemplate(libc::msghdr);

impl DatagramTemplate {
    /// A template that asks for the sender's address and the size of joined datagrams.
    pub fn new() -> Box<Self> {
        // SAFETY: a message header is integers and pointers, for which zero is a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_namelen = NAME as libc::socklen_t;
        header.msg_controllen = CONTROL as _;
        Box::new(Self(header))
    }

    /// The header that the kernel reads.
    pub fn header(&self) -> *const libc::msghdr {
        &raw const self.0
    }
}

/// Socket option and control message of UDP: the size of the datagrams that a send is to be cut into.
const UDP_SEGMENT: libc::c_int = 103;
/// Socket option of UDP that has received datagrams left together, and the control message that tells their size.
pub(crate) const UDP_GRO: libc::c_int = 104;

/// What the kernel tells of datagrams that it has left together.
#[repr(C)]
struct JoinedControl {
    header: libc::cmsghdr,
    bytes: libc::c_int,
    _padding: [u8; size_of::<usize>() - size_of::<libc::c_int>()],
}

impl JoinedControl {
    /// The size of the datagrams; none when the control data does not tell it.
    fn segment(control: &[u8]) -> Option<usize> {
        if control.len() < offset_of!(Self, _padding) {
            return None;
        }
        // SAFETY: as many bytes were checked as are read, wherever they lie, and integers have no illegal value.
        let (header, bytes) = unsafe {
            let header = control.as_ptr().cast::<libc::cmsghdr>().read_unaligned();
            (header, control.as_ptr().add(offset_of!(Self, bytes)).cast::<libc::c_int>().read_unaligned())
        };
        let told = (header.cmsg_level, header.cmsg_type) == (libc::SOL_UDP, UDP_GRO);
        usize::try_from(bytes).ok().filter(|&bytes| told && bytes > 0)
    }
}

/// The control data of a send that the kernel is to cut into datagrams: a `cmsghdr` and its number.
#[repr(C)]
#[derive(Debug)]
pub struct SegmentControl {
    header: libc::cmsghdr,
    bytes: u16,
    _padding: [u8; size_of::<usize>() - size_of::<u16>()],
}

impl SegmentControl {
    /// No control data: the send is one datagram.
    pub const NONE: (*mut libc::c_void, usize) = (std::ptr::null_mut(), 0);

    /// Asks for datagrams of `bytes` each, of which the last may be shorter. The answer is what a message header has to
    /// name; the memory must stay until the send has completed.
    pub fn segments_of(&mut self, bytes: u16) -> (*mut libc::c_void, usize) {
        self.bytes = bytes;
        (std::ptr::from_mut(self).cast(), size_of::<Self>())
    }
}

impl Default for SegmentControl {
    fn default() -> Self {
        // SAFETY: a control header is integers, for which zero is a value.
        let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<u16>()) as _;
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = UDP_SEGMENT;
        Self { header, bytes: 0, _padding: Default::default() }
    }
}

/// A provided buffer with a datagram in it, or several.
#[derive(Debug)]
pub struct Datagrams<'a> {
    /// Who sent them.
    pub peer: SocketAddr,
    /// What they carry, zero bytes or more.
    payload: &'a [u8],
    /// The size of each, of which the last may be shorter; none when it is one.
    segment: Option<usize>,
    /// Whether the buffer was too small and the rest is lost.
    pub truncated: bool,
}

impl<'a> Datagrams<'a> {
    /// Reads what a completed receive left in a buffer; none when it is not the layout of [`DatagramTemplate`].
    pub fn parse(buffer: &'a [u8]) -> Option<Self> {
        let word = |index: usize| {
            let bytes = buffer.get(index * 4..index * 4 + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?) as usize)
        };
        let (name_len, control_len, payload_len, flags) = (word(0)?, word(1)?, word(2)?, word(3)?);
        let name = buffer.get(HEADER..HEADER + name_len.min(NAME))?;
        let rest = buffer.get(DATAGRAM_OVERHEAD..)?;
        let payload = &rest[..payload_len.min(rest.len())];
        let truncated = payload_len > rest.len() || flags & libc::MSG_TRUNC as usize != 0;
        let segment = match control_len.min(CONTROL) {
            0 => None,
            len => JoinedControl::segment(&buffer[HEADER + NAME..][..len]),
        };
        Some(Self { peer: SocketAddress::from_bytes(name).to_std(), payload, segment, truncated })
    }

    /// The payload of each, in their order.
    #[inline]
    pub fn payloads(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let segment = self.segment.unwrap_or(self.payload.len());
        // The first one may be empty; those that were joined never are.
        let (first, rest) = self.payload.split_at(segment.min(self.payload.len()));
        std::iter::once(first).chain(rest.chunks(segment.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer as the kernel leaves it.
    fn lay_out(peer: &str, payload: &[u8], segment: Option<libc::c_int>) -> Vec<u8> {
        let address = SocketAddress::from(peer.parse::<SocketAddr>().unwrap());
        let control = segment.map_or(Vec::new(), |bytes| {
            let len = size_of::<libc::cmsghdr>() + size_of::<libc::c_int>();
            let parts = [&len.to_ne_bytes()[..], &libc::SOL_UDP.to_ne_bytes(), &UDP_GRO.to_ne_bytes()];
            [&parts.concat()[..], &bytes.to_ne_bytes(), &[0; 4]].concat()
        });
        let mut buffer = Vec::new();
        for word in [address.as_bytes().len() as u32, control.len() as u32, payload.len() as u32, 0] {
            buffer.extend_from_slice(&word.to_ne_bytes());
        }
        buffer.extend_from_slice(address.as_bytes());
        buffer.resize(HEADER + NAME, 0);
        buffer.extend_from_slice(&control);
        buffer.resize(DATAGRAM_OVERHEAD, 0);
        buffer.extend_from_slice(payload);
        buffer
    }

    #[test]
    fn a_datagram_survives_its_layout() {
        for (peer, payload) in [("127.0.0.1:9", &b"hello"[..]), ("[::1]:65535", &b""[..])] {
            let buffer = lay_out(peer, payload, None);
            let datagrams = Datagrams::parse(&buffer).unwrap();
            assert_eq!((datagrams.peer.to_string(), datagrams.truncated), (peer.into(), false));
            assert_eq!(datagrams.payloads().collect::<Vec<_>>(), [payload]);
        }
        let buffer = lay_out("127.0.0.1:9", b"hello", None);
        assert!(Datagrams::parse(&buffer[..buffer.len() - 1]).unwrap().truncated);
        assert!(Datagrams::parse(&buffer[..DATAGRAM_OVERHEAD - 1]).is_none());
    }

    #[test]
    fn joined_datagrams_are_told_apart_by_their_size() {
        let pieces = |payload: &[u8], segment| {
            let buffer = lay_out("[::1]:9", payload, Some(segment));
            Datagrams::parse(&buffer).unwrap().payloads().map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        assert_eq!(pieces(b"aabbc", 2), [&b"aa"[..], b"bb", b"c"]);
        assert_eq!(pieces(b"aabb", 2), [b"aa", b"bb"]);
        assert_eq!(pieces(b"aab", 3), [b"aab"]);
        assert_eq!(pieces(b"aab", 4), [b"aab"]);
        assert_eq!(pieces(b"", 4), [b""]);
        // A size that no kernel tells takes nothing apart.
        assert_eq!(pieces(b"aab", 0), [b"aab"]);
        assert_eq!(pieces(b"aab", -1), [b"aab"]);
    }
}
