//! Connections that the runtime makes.

mod rig;

use libc::{ECANCELED, ECONNREFUSED, EISCONN, ENETUNREACH, ETIMEDOUT};
use rig::*;
use ringline_ring::{Kernel, Op, PinnedAddress, SocketAddress};
use ringline_sim::{Remote, SimSocket, loopback};

const PORT: u16 = 9;

struct Dialling {
    rig: Rig,
    socket: SimSocket,
    address: Box<SocketAddress>,
}

impl Dialling {
    fn start(remote: Option<Remote>) -> Self {
        let mut rig = Rig::new(1);
        if let Some(remote) = remote {
            rig.network.remote(loopback(PORT), remote);
        }
        let socket = rig.kernel.open_stream(CONNECTION, loopback(PORT), &OPTIONS).unwrap();
        let mut this = Self { rig, socket, address: Box::new(SocketAddress::from(loopback(PORT))) };
        this.connect();
        this
    }

    fn connect(&mut self) {
        // SAFETY: the address lives as long as the rig, in the same struct.
        let address = unsafe { PinnedAddress::new(&raw const *self.address) };
        self.rig.push(Op::Connect { file: CONNECTION, address }, CONNECT);
    }
}

#[test]
fn an_accepting_remote_is_reached() {
    let mut dialling = Dialling::start(Some(Remote::accepting()));
    let Dialling { rig, socket, .. } = &mut dialling;
    assert_eq!(rig.kernel.local_address(socket).unwrap().port(), 0);
    assert_eq!(results(&rig.wait()), [(CONNECT, 0)]);
    assert_ne!(rig.kernel.local_address(socket).unwrap().port(), 0);
    let peer = rig.network.take_connected(loopback(PORT)).unwrap();
    assert_eq!(rig.send(b"hello"), 5);
    assert_eq!(peer.read(), b"hello");
    assert!(rig.network.take_connected(loopback(PORT)).is_none());
    dialling.connect();
    assert_eq!(results(&dialling.rig.poll()), [(CONNECT, -EISCONN)]);
}

#[test]
fn an_answer_takes_its_time() {
    let mut dialling = Dialling::start(Some(Remote::accepting().after(3_000_000)));
    assert!(dialling.rig.poll().is_empty());
    assert!(dialling.rig.network.take_connected(loopback(PORT)).is_none());
    assert_eq!(results(&dialling.rig.wait()), [(CONNECT, 0)]);
    assert!((3_000_000..3_100_000).contains(&dialling.rig.kernel.now()));
}

#[test]
fn refusals_name_their_errno_and_can_be_tried_again() {
    let mut dialling = Dialling::start(None);
    assert_eq!(results(&dialling.rig.wait()), [(CONNECT, -ECONNREFUSED)]);
    dialling.rig.network.remote(loopback(PORT), Remote::failing(ENETUNREACH));
    dialling.connect();
    assert_eq!(results(&dialling.rig.wait()), [(CONNECT, -ENETUNREACH)]);
    dialling.rig.network.remote(loopback(PORT), Remote::accepting());
    dialling.connect();
    assert_eq!(results(&dialling.rig.wait()), [(CONNECT, 0)]);
}

#[test]
fn a_silent_remote_times_out_when_linux_gives_up() {
    let mut dialling = Dialling::start(Some(Remote::silent()));
    assert_eq!(results(&dialling.rig.wait()), [(CONNECT, -ETIMEDOUT)]);
    assert!(dialling.rig.kernel.now() >= 127_000_000_000);
}

#[test]
fn a_connect_can_be_cancelled() {
    let mut dialling = Dialling::start(Some(Remote::silent()));
    dialling.rig.push(Op::Cancel { target: CONNECT }, CANCEL);
    assert_eq!(results(&dialling.rig.settle()), [(CANCEL, 0), (CONNECT, -ECANCELED)]);
    let Dialling { mut rig, socket, .. } = dialling;
    drop(socket);
    rig.submit(close(), CLOSE);
    assert_eq!(rig.kernel.open_files(), Vec::<String>::new());
}

#[test]
fn a_cancelled_connect_may_still_reach_the_remote() {
    let mut dialling = Dialling::start(Some(Remote::accepting().after(500_000)));
    dialling.rig.push(Op::Cancel { target: CONNECT }, CANCEL);
    assert_eq!(results(&dialling.rig.settle()), [(CANCEL, 0), (CONNECT, -ECANCELED)]);
    // The socket goes on by itself; only closing it ends the attempt.
    let peer = dialling.rig.network.take_connected(loopback(PORT)).unwrap();
    let Dialling { mut rig, socket, .. } = dialling;
    drop(socket);
    rig.submit(close(), CLOSE);
    assert!(peer.sees_end());
}

#[test]
fn c9_a_greeting_is_there_with_the_connection() {
    let mut dialling = Dialling::start(Some(Remote::accepting().greeting(b"220 ready")));
    assert_eq!(results(&dialling.rig.wait()), [(CONNECT, 0)]);
    dialling.rig.buffers(1, 64, false);
    assert_eq!(results(&dialling.rig.submit(receive(), RECEIVE)), [(RECEIVE, 9)]);
    assert_eq!(dialling.rig.buffer(0, 0, 9), b"220 ready");
}

#[test]
fn a_receive_armed_during_the_connect_waits_for_it() {
    let mut dialling = Dialling::start(Some(Remote::accepting().after(1_000)));
    dialling.rig.buffers(1, 64, false);
    dialling.rig.push(receive(), RECEIVE);
    assert_eq!(results(&dialling.rig.wait()), [(CONNECT, 0)]);
    dialling.rig.network.take_connected(loopback(PORT)).unwrap().write(b"hi");
    assert_eq!(results(&dialling.rig.wait()), [(RECEIVE, 2)]);
}
