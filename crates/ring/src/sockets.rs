//! The few socket calls that are made directly: everything that happens once per socket rather than once per message.
//!
//! Each function returns an owned descriptor that closes on drop, so no error path leaks one. Nothing here knows of
//! the ring; `uring.rs` moves the descriptors into its file table.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::datagram::UDP_GRO;
use crate::{SocketAddress, SocketOptions};

/// What may wait in a UDP socket while its worker is busy with something else; beyond it the kernel drops datagrams.
const DATAGRAM_BUFFER_BYTES: libc::c_int = 4 << 20;

/// Opens a TCP socket that listens on `address`, and tells the address it is bound to.
///
/// SO_REUSEADDR is always set, so that a restart need not wait for connections in TIME_WAIT. An IPv6 listener on `[::]`
/// also takes IPv4 connections, whatever `net.ipv6.bindv6only` says.
pub(crate) fn listen(address: SocketAddr, options: &SocketOptions) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = open(address, libc::SOCK_STREAM)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, true)?;
    if options.reuse_port {
        set(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, true)?;
    }
    if options.nodelay {
        // Linux copies the option to every accepted socket, which saves a system call for each connection.
        set(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, true)?;
    }
    bind(&socket, address)?;
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    // SAFETY: listen takes no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    let bound = local_address(&socket)?;
    Ok((socket, bound))
}

/// Opens a UDP socket bound to `address`, and tells the address it is bound to. Each worker binds its own socket to the
/// same address, so SO_REUSEPORT is always set and the kernel spreads the peers.
///
/// # Errors
///
/// What socket or bind answer: EADDRINUSE, EACCES, EADDRNOTAVAIL, …
pub fn bind_datagram(address: SocketAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = open(address, libc::SOCK_DGRAM)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, true)?;
    // Two wishes: the kernel may keep the buffer smaller (net.core.rmem_max), or know nothing of joined datagrams.
    if receive_buffer(&socket)? < DATAGRAM_BUFFER_BYTES {
        let _ = set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, DATAGRAM_BUFFER_BYTES);
    }
    let _ = set(&socket, libc::SOL_UDP, UDP_GRO, true);
    bind(&socket, address)?;
    let bound = local_address(&socket)?;
    Ok((socket, bound))
}

fn bind(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, !address.ip().is_unspecified())?;
    }
    let raw = SocketAddress::from(address);
    // SAFETY: the address lives across the call and `len` is its length.
    check(unsafe { libc::bind(socket.as_raw_fd(), raw.as_ptr(), raw.len()) })?;
    Ok(())
}

/// Opens an unconnected TCP socket for the family of `peer`.
pub(crate) fn open_stream(peer: SocketAddr, options: &SocketOptions) -> io::Result<OwnedFd> {
    let socket = open(peer, libc::SOCK_STREAM)?;
    if options.nodelay {
        set(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, true)?;
    }
    Ok(socket)
}

/// Sends FIN.
pub(crate) fn shutdown_write(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: shutdown takes no pointers.
    check(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) }).map(drop)
}

/// The address of this side.
pub(crate) fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    address_by(libc::getsockname, socket)
}

/// The address of the other side. ENOTCONN when it has already gone.
pub(crate) fn peer_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    address_by(libc::getpeername, socket)
}

fn open(address: SocketAddr, kind: i32) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    // SAFETY: socket takes no pointers.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) })?;
    // SAFETY: the call succeeded, so `fd` is open and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set(socket: &OwnedFd, level: i32, option: i32, value: impl Into<i32>) -> io::Result<()> {
    let value: i32 = value.into();
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel reads four bytes of `value`, which lives across the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), len) })?;
    Ok(())
}

/// Bytes that may wait in a socket, with what the kernel needs to keep them.
fn receive_buffer(socket: &OwnedFd) -> io::Result<i32> {
    let (mut value, mut len) = (0_i32, size_of::<i32>() as libc::socklen_t);
    let (option, to) = (libc::SO_RCVBUF, (&raw mut value).cast());
    // SAFETY: the kernel writes four bytes of `value` and the length; both live across the call.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, to, &raw mut len) })?;
    Ok(value)
}

type AddressCall = unsafe extern "C" fn(RawFd, *mut libc::sockaddr, *mut libc::socklen_t) -> i32;

fn address_by(call: AddressCall, socket: &OwnedFd) -> io::Result<SocketAddr> {
    let mut address = SocketAddress::empty();
    let (raw, len) = (address.as_mut_ptr(), address.len_mut());
    // SAFETY: `empty` has room for every address family and says so in its length; both live across the call.
    check(unsafe { call(socket.as_raw_fd(), raw, len) })?;
    Ok(address.to_std())
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
