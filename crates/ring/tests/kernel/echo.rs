//! The whole way of a message: listen, accept, adopt, receive, send, connect, close.

use std::io::{Read, Write};
use std::net::TcpStream;

use ringline_ring::{FileIndex, Kernel, Op, PinnedAddress, PinnedBytes, SocketAddress};

use crate::fixture::{Bench, OPTIONS, loopback};

const LISTENER: FileIndex = FileIndex(0);
const CONNECTION: FileIndex = FileIndex(1);

#[test]
fn a_message_is_accepted_received_and_sent_back() {
    let mut bench = Bench::new();
    let start = bench.provide(4, 4096, false);
    let bound = bench.ring.listen(LISTENER, loopback(), &OPTIONS).unwrap().1;
    assert_ne!(bound.port(), 0);
    let accept = bench.push(Op::AcceptMultishot { listener: LISTENER });

    for round in 0..3 {
        let mut client = TcpStream::connect(bound).unwrap();
        let accepted = bench.wait_for(accept);
        assert!(accepted.more());
        // SAFETY: the completion is that of the accept, and is used once.
        let socket = unsafe { bench.ring.accepted(accepted.outcome().unwrap()) };
        let peer = bench.ring.adopt(CONNECTION, &socket).unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(bench.ring.local_address(&socket), Some(bound));

        let receive = bench.receive(CONNECTION);
        client.write_all(b"hello").unwrap();
        let received = bench.wait_for(receive);
        assert_eq!((received.result, received.more(), received.buffer_more()), (5, true, false));
        let at = start.wrapping_add(usize::from(received.buffer_id().unwrap()) * 4096);
        // SAFETY: the buffer stays with the bench and is not given back before the send has completed.
        let send = bench.push(Op::Send { file: CONNECTION, bytes: unsafe { PinnedBytes::new(at, 5) } });
        assert_eq!(bench.wait_for(send).result, 5);
        let mut echoed = [0; 5];
        client.read_exact(&mut echoed).unwrap();
        assert_eq!(&echoed, b"hello");
        bench.give(start, received.buffer_id().unwrap(), 4096);

        drop(client);
        let end = bench.wait_for(receive);
        assert_eq!((end.result, end.more(), end.buffer_id()), (0, false, None), "round {round}");
        let close = bench.push(Op::Close { file: CONNECTION });
        assert_eq!(bench.wait_for(close).result, 0);
    }
}

#[test]
fn a_connection_is_made_and_knows_its_addresses() {
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let peer = listener.local_addr().unwrap();
    let mut bench = Bench::new();
    let socket = bench.ring.open_stream(CONNECTION, peer, &OPTIONS).unwrap();
    let address = Box::new(SocketAddress::from(peer));
    // SAFETY: the box lives until the connect has completed.
    let connect = bench.push(Op::Connect { file: CONNECTION, address: unsafe { PinnedAddress::new(&*address) } });
    assert_eq!(bench.wait_for(connect).result, 0);
    let (_accepted, from) = listener.accept().unwrap();
    assert_eq!(bench.ring.local_address(&socket), Some(from));
}

#[test]
fn a_refused_connect_says_so() {
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let peer = listener.local_addr().unwrap();
    drop(listener);
    let mut bench = Bench::new();
    let _socket = bench.ring.open_stream(CONNECTION, peer, &OPTIONS).unwrap();
    let address = Box::new(SocketAddress::from(peer));
    // SAFETY: the box lives until the connect has completed.
    let connect = bench.push(Op::Connect { file: CONNECTION, address: unsafe { PinnedAddress::new(&*address) } });
    let refused = bench.wait_for(connect).outcome().unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}
