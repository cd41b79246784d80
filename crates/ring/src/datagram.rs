//! How the kernel lays a datagram out in a provided buffer: a header, the sender's address, the payload.

use std::net::SocketAddr;

use crate::SocketAddress;

/// Bytes of the header: the lengths of name, control data and payload, and the message flags.
const HEADER: usize = 16;
/// Bytes kept for the sender's address, enough for IPv4 and IPv6.
const NAME: usize = size_of::<libc::sockaddr_in6>();
/// Bytes of a provided buffer in front of the payload of a datagram.
pub const DATAGRAM_OVERHEAD: usize = HEADER + NAME;

/// What a multishot receive of datagrams has to be told, at one place while the receive is armed.
#[derive(Debug)]
pub struct DatagramTemplate(libc::msghdr);

impl DatagramTemplate {
    /// A template that asks for the sender's address and no control data.
    pub fn new() -> Box<Self> {
        // SAFETY: a message header is integers and pointers, for which zero is a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_namelen = NAME as libc::socklen_t;
        Box::new(Self(header))
    }

    /// The header that the kernel reads.
    pub fn header(&self) -> *const libc::msghdr {
        &raw const self.0
    }
}

/// Socket option and control message of UDP: the size of the datagrams that a send is to be cut into.
const UDP_SEGMENT: libc::c_int = 103;

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

/// A datagram in a provided buffer.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub peer: SocketAddr,
    /// What it carries, zero bytes or more.
    pub payload: &'a [u8],
    /// Whether the buffer was too small and the rest of the datagram is lost.
    pub truncated: bool,
}

impl<'a> Datagram<'a> {
    /// Reads what a completed receive left in a buffer; none when it is not the layout of [`DatagramTemplate`].
    pub fn parse(buffer: &'a [u8]) -> Option<Self> {
        let word = |index: usize| {
            let bytes = buffer.get(index * 4..index * 4 + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        let (name_len, payload_len, flags) = (word(0)? as usize, word(2)? as usize, word(3)?);
        let name = buffer.get(HEADER..HEADER + name_len.min(NAME))?;
        let rest = buffer.get(DATAGRAM_OVERHEAD..)?;
        let payload = &rest[..payload_len.min(rest.len())];
        let truncated = payload_len > rest.len() || flags & libc::MSG_TRUNC as u32 != 0;
        Some(Self { peer: SocketAddress::from_bytes(name).to_std(), payload, truncated })
    }

    /// The layout of a datagram, as [`parse`](Self::parse) reads it. For simulated kernels.
    pub fn lay_out(peer: SocketAddr, payload: &[u8], into: &mut Vec<u8>) {
        let address = SocketAddress::from(peer);
        let name = address.as_bytes();
        into.clear();
        for word in [name.len() as u32, 0, payload.len() as u32, 0] {
            into.extend_from_slice(&word.to_ne_bytes());
        }
        into.extend_from_slice(name);
        into.resize(DATAGRAM_OVERHEAD, 0);
        into.extend_from_slice(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_survives_its_layout() {
        let mut buffer = Vec::new();
        for (peer, payload) in [("127.0.0.1:9", &b"hello"[..]), ("[::1]:65535", &b""[..])] {
            Datagram::lay_out(peer.parse().unwrap(), payload, &mut buffer);
            let datagram = Datagram::parse(&buffer).unwrap();
            assert_eq!(
                (datagram.peer.to_string(), datagram.payload, datagram.truncated),
                (peer.into(), payload, false)
            );
        }
        Datagram::lay_out("127.0.0.1:9".parse().unwrap(), b"hello", &mut buffer);
        assert!(Datagram::parse(&buffer[..buffer.len() - 1]).unwrap().truncated);
        assert!(Datagram::parse(&buffer[..DATAGRAM_OVERHEAD - 1]).is_none());
    }
}
