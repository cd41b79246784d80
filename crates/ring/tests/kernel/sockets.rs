//! What listeners and the sockets made from them are set to.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use ringline_ring::{FileIndex, Kernel, Op, SocketOptions};

use crate::fixture::{Bench, OPTIONS, loopback, tcp_pair};

const LISTENER: FileIndex = FileIndex(0);

/// Connects to a listener of the ring and returns both ends.
fn accept(bench: &mut Bench, bound: SocketAddr) -> (TcpStream, OwnedFd) {
    let tag = bench.push(Op::AcceptMultishot { listener: LISTENER });
    let client = TcpStream::connect(bound).unwrap();
    let result = bench.wait_for(tag).outcome().unwrap();
    // SAFETY: the result is that of the accept, and is used once.
    (client, unsafe { bench.ring.accepted(result) })
}

fn flags(socket: &OwnedFd, what: libc::c_int) -> libc::c_int {
    // SAFETY: fcntl with a command that only asks takes no pointers.
    unsafe { libc::fcntl(socket.as_raw_fd(), what) }
}

#[test]
fn accepted_sockets_inherit_nodelay_from_the_listener() {
    for nodelay in [true, false] {
        let mut bench = Bench::new();
        let options = SocketOptions { nodelay, ..OPTIONS };
        let bound = bench.ring.listen(LISTENER, loopback(), &options).unwrap().1;
        let (_client, socket) = accept(&mut bench, bound);
        assert_eq!(TcpStream::from(socket).nodelay().unwrap(), nodelay);
    }
}

#[test]
fn outbound_sockets_have_nodelay_when_asked() {
    for nodelay in [true, false] {
        let mut bench = Bench::new();
        let options = SocketOptions { nodelay, ..OPTIONS };
        let socket = bench.ring.open_stream(LISTENER, loopback(), &options).unwrap();
        assert_eq!(TcpStream::from(socket).nodelay().unwrap(), nodelay);
    }
}

#[test]
fn sockets_do_not_reach_child_processes() {
    let mut bench = Bench::new();
    let bound = bench.ring.listen(LISTENER, loopback(), &OPTIONS).unwrap().1;
    let (_client, accepted) = accept(&mut bench, bound);
    let outbound = bench.ring.open_stream(FileIndex(1), loopback(), &OPTIONS).unwrap();
    for socket in [accepted, outbound] {
        assert_eq!(flags(&socket, libc::F_GETFD) & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        assert_eq!(flags(&socket, libc::F_GETFL) & libc::O_NONBLOCK, libc::O_NONBLOCK);
    }
}

#[test]
fn a_listener_on_all_ipv6_addresses_takes_ipv4_too() {
    let mut bench = Bench::new();
    let bound = bench.ring.listen(LISTENER, (Ipv6Addr::UNSPECIFIED, 0).into(), &OPTIONS).unwrap().1;
    let (client, socket) = accept(&mut bench, (Ipv4Addr::LOCALHOST, bound.port()).into());
    let peer = bench.ring.adopt(FileIndex(1), &socket).unwrap();
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    assert_eq!(peer, SocketAddr::from((mapped, client.local_addr().unwrap().port())));
    assert_eq!(bench.ring.local_address(&socket), Some(SocketAddr::from((mapped, bound.port()))));
}

#[test]
fn a_listener_on_one_ipv6_address_leaves_ipv4_alone() {
    let mut bench = Bench::new();
    let bound = bench.ring.listen(LISTENER, (Ipv6Addr::LOCALHOST, 0).into(), &OPTIONS).unwrap().1;
    let (client, socket) = accept(&mut bench, bound);
    assert_eq!(bench.ring.adopt(FileIndex(1), &socket).unwrap(), client.local_addr().unwrap());
    TcpListener::bind((Ipv4Addr::LOCALHOST, bound.port())).unwrap();
}

#[test]
fn a_busy_address_is_an_error_unless_both_share_the_port() {
    let mut bench = Bench::new();
    let bound = bench.ring.listen(LISTENER, loopback(), &OPTIONS).unwrap().1;
    let busy = bench.ring.listen(FileIndex(1), bound, &OPTIONS).unwrap_err();
    assert_eq!(busy.kind(), std::io::ErrorKind::AddrInUse);

    let shared = SocketOptions { reuse_port: true, ..OPTIONS };
    let bound = bench.ring.listen(FileIndex(1), loopback(), &shared).unwrap().1;
    assert_eq!(bench.ring.listen(FileIndex(2), bound, &shared).unwrap().1, bound);
}

#[test]
fn an_address_of_nobody_is_an_error() {
    let mut bench = Bench::new();
    let error = bench.ring.listen(LISTENER, "192.0.2.1:0".parse().unwrap(), &OPTIONS).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrNotAvailable);
}

#[test]
fn a_slot_outside_the_table_is_an_error_and_holds_no_socket() {
    let mut bench = Bench::new();
    let (near, mut far) = tcp_pair();
    let error = bench.ring.adopt(FileIndex(16), &near).unwrap_err();
    drop(near);
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    assert!(crate::fixture::sees_fin(&mut far, crate::fixture::PATIENCE));
}

#[test]
fn a_peer_that_has_reset_is_not_adopted() {
    let mut bench = Bench::new();
    let (near, far) = tcp_pair();
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let len = size_of::<libc::linger>() as libc::socklen_t;
    let fd = far.as_raw_fd();
    // SAFETY: the structure lives across the call and its size is passed.
    let set = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), len) };
    assert_eq!(set, 0);
    drop(far);
    let error = bench.ring.adopt(FileIndex(1), &near).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
}

#[test]
fn adopting_into_a_used_slot_replaces_its_socket() {
    let mut bench = Bench::new();
    let mut first = bench.connection(LISTENER);
    let _second = bench.connection(LISTENER);
    assert!(crate::fixture::sees_fin(&mut first, crate::fixture::PATIENCE));
}
