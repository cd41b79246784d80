//! Datagrams on their way to and from the kernel, many per system call; a send may be a run of datagrams that the kernel
//! cuts up (UDP_SEGMENT). It knows nothing of what they carry.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// The kernel cuts one send into so many datagrams at most.
const SEGMENTS_MAX: usize = 64;
/// The largest payload of a send, cut or not.
const SEND_BYTES_MAX: usize = 65_507;
/// Datagrams that one receive takes.
const RECEIVED_MAX: usize = 64;
/// Bytes from one receive buffer to the next: room for any datagram, and not a power of two, so that the beginnings of the
/// buffers fall into different cache sets.
const RECEIVE_STRIDE: usize = 65_536 + 128;
const UDP_SEGMENT: libc::c_int = 103;

/// Has the kernel cut each send of a socket into datagrams of `size` bytes.
pub(crate) fn cut_sends(socket: &UdpSocket, size: usize) -> io::Result<()> {
    set(socket, libc::SOL_UDP, UDP_SEGMENT, size as libc::c_int)
}

/// Room for what has come and was not read; the kernel's limit may keep it smaller.
pub(crate) fn grow_buffer(socket: &UdpSocket, bytes: usize) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes as libc::c_int)
}

fn set(socket: &UdpSocket, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let (value, len) = (&raw const value, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the option's value is an integer that lives for the call.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value.cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Datagrams of one size, one behind the other, that leave together.
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    size: usize,
    /// Datagrams of one send.
    per_send: usize,
    /// One for each send, and named by the headers, so these must not be moved or grown.
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Outgoing {
    /// Room for `count` datagrams of `size` bytes; `joined` when the socket cuts its sends.
    pub(crate) fn new(count: usize, size: usize, joined: bool) -> Self {
        let per_send = if joined { SEGMENTS_MAX.min(SEND_BYTES_MAX / size) } else { 1 };
        let mut bytes = vec![0_u8; count * size];
        let start = bytes.as_mut_ptr();
        let vector =
            |send: usize| libc::iovec { iov_base: start.wrapping_add(send * per_send * size).cast(), iov_len: 0 };
        let mut vectors: Vec<_> = (0..count.div_ceil(per_send)).map(vector).collect();
        let headers = vectors.iter_mut().map(header).collect();
        Outgoing { bytes, size, per_send, vectors, headers }
    }

    /// The bytes of a datagram, to be filled.
    pub(crate) fn at(&mut self, index: usize) -> &mut [u8] {
        &mut self.bytes[index * self.size..][..self.size]
    }

    /// Sends the first `count` datagrams.
    pub(crate) fn send(&mut self, socket: &UdpSocket, count: usize) -> io::Result<()> {
        let sends = count.div_ceil(self.per_send);
        for (send, vector) in self.vectors[..sends].iter_mut().enumerate() {
            vector.iov_len = self.size * self.per_send.min(count - send * self.per_send);
        }
        let mut sent = 0;
        while sent < sends {
            let headers = &mut self.headers[sent..sends];
            // SAFETY: the headers name memory of this value, which stays where it is.
            let taken = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as u32, 0) };
            if taken < 0 {
                return Err(io::Error::last_os_error());
            }
            sent += taken as usize;
        }
        Ok(())
    }
}

/// Memory for what one receive takes, of any socket.
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    /// Named by the headers, so they must not be moved or grown.
    _vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Incoming {
    pub(crate) fn new() -> Self {
        let mut bytes = vec![0_u8; RECEIVED_MAX * RECEIVE_STRIDE];
        let start = bytes.as_mut_ptr();
        let vector = |index| libc::iovec {
            iov_base: start.wrapping_add(index * RECEIVE_STRIDE).cast(),
            iov_len: RECEIVE_STRIDE,
        };
        let mut vectors: Vec<_> = (0..RECEIVED_MAX).map(vector).collect();
        let headers = vectors.iter_mut().map(header).collect();
        Incoming { bytes, _vectors: vectors, headers }
    }

    /// Takes what has come on a socket, as much as one call can, and answers it.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> impl Iterator<Item = &[u8]> {
        let (fd, headers) = (socket.as_raw_fd(), &mut self.headers);
        let (count, flags, timeout) = (headers.len() as u32, libc::MSG_DONTWAIT, std::ptr::null_mut());
        // SAFETY: the headers name memory of this value, which stays where it is.
        let count = unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), count, flags, timeout) };
        let came = self.headers[..count.max(0) as usize].iter();
        came.zip(self.bytes.chunks(RECEIVE_STRIDE)).map(|(header, bytes)| &bytes[..header.msg_len as usize])
    }
}

fn header(vector: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: a message header is integers and pointers, for which zero is a value.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_iov = vector;
    header.msg_hdr.msg_iovlen = 1;
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_or_not_each_datagram_arrives_by_itself_and_in_order() {
        const SIZE: usize = 100;
        for joined in [false, true] {
            let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
            let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
            sender.connect(receiver.local_addr().unwrap()).unwrap();
            if joined {
                cut_sends(&sender, SIZE).unwrap();
            }
            let mut outgoing = Outgoing::new(2 * SEGMENTS_MAX + 2, SIZE, joined);
            let mut incoming = Incoming::new();
            for count in [1, 2, SEGMENTS_MAX, SEGMENTS_MAX + 1, 2 * SEGMENTS_MAX + 2] {
                for index in 0..count {
                    outgoing.at(index).fill(index as u8);
                }
                outgoing.send(&sender, count).unwrap();
                // On loopback what was sent has arrived.
                let mut came = 0;
                while came < count {
                    let before = came;
                    for bytes in incoming.receive(&receiver) {
                        assert!(bytes == [came as u8; SIZE], "{came} of {count}: {bytes:?}");
                        came += 1;
                    }
                    assert!(came > before, "{came} of {count} have come");
                }
            }
        }
    }
}
