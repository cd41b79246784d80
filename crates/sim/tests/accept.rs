//! Listeners, accepts and the adoption of what they bring.

mod rig;

use libc::{EADDRINUSE, ECANCELED, ECONNABORTED, EINVAL, EMFILE, ENOTCONN};
use rig::*;
use ringline_ring::{Direction, FileIndex, Kernel, Op, SocketOptions, Wait};
use ringline_sim::{Fault, Network, NetworkOptions, RingOptions, SimKernel, loopback};

#[test]
fn one_accept_brings_every_connection() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    assert!(rig.submit(Op::AcceptMultishot { listener: LISTENER }, ACCEPT).is_empty());
    let peers: Vec<_> = (0..3).map(|_| rig.network.connect(address).unwrap()).collect();
    let completions = rig.wait();
    assert_eq!(completions.len(), peers.len());
    for (file, completion) in (1..).zip(completions) {
        assert!(completion.tag == ACCEPT && completion.more());
        let socket = rig.kernel.accepted(completion.result as u32);
        rig.kernel.adopt(FileIndex(file), &socket).unwrap();
        assert_eq!(rig.kernel.local_address(&socket), Some(address));
    }
}

#[test]
fn nobody_is_reached_where_nobody_listens() {
    let rig = Rig::new(1);
    let error = rig.network.connect(loopback(80)).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_full_backlog_lets_nobody_in() {
    let mut rig = Rig::new(1);
    let options = SocketOptions { backlog: 1, ..OPTIONS };
    let address = rig.kernel.listen(LISTENER, loopback(0), &options).unwrap().1;
    rig.network.connect(address).unwrap();
    assert_eq!(rig.network.connect(address).err().unwrap().kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn a_port_is_taken_until_its_listener_is_closed() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    let again = |rig: &mut Rig| rig.kernel.listen(FileIndex(5), address, &OPTIONS);
    assert_eq!(again(&mut rig).unwrap_err().raw_os_error(), Some(EADDRINUSE));
    rig.submit(Op::Close { file: LISTENER }, CLOSE);
    assert_eq!(again(&mut rig).unwrap().1, address);
}

#[test]
fn a_listener_that_another_ring_shares_outlives_the_one_that_opened_it() {
    let network = Network::new(1);
    let mut first = SimKernel::new(&network, RingOptions::default());
    let mut second = SimKernel::new(&network, RingOptions::default());
    let (socket, address) = first.listen(LISTENER, loopback(0), &OPTIONS).unwrap();
    let waiting = network.connect(address).unwrap();
    drop(first);
    second.share_listener(FileIndex(4), &socket).unwrap();
    drop(socket);
    let later = network.connect(address).unwrap();
    second.push(Op::AcceptMultishot { listener: FileIndex(4) }, ACCEPT).unwrap();
    second.enter(Wait::Poll).unwrap();
    let mut completions = [ringline_ring::Completion { tag: tag(0), result: 0, flags: 0 }; 4];
    assert_eq!(second.reap(&mut completions), 2);
    for (file, completion) in (5..).zip(&completions[..2]) {
        let accepted = second.accepted(completion.result as u32);
        second.adopt(FileIndex(file), &accepted).unwrap();
    }
    assert!(!waiting.sees_end() && !later.sees_end());
    drop(second);
    assert_eq!(network.connect(address).err().unwrap().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn listeners_that_agree_share_a_port() {
    let mut rig = Rig::new(1);
    let options = SocketOptions { reuse_port: true, ..OPTIONS };
    let address = rig.kernel.listen(FileIndex(0), loopback(0), &options).unwrap().1;
    assert_eq!(rig.kernel.listen(FileIndex(1), address, &options).unwrap().1, address);
    for (file, tag) in [(0, tag(10)), (1, tag(11))] {
        rig.push(Op::AcceptMultishot { listener: FileIndex(file) }, tag);
    }
    for _ in 0..32 {
        rig.network.connect(address).unwrap();
    }
    let completions = rig.wait();
    let first = completions.iter().filter(|completion| completion.tag == tag(10)).count();
    assert!(completions.len() == 32 && (1..32).contains(&first), "{first} of {}", completions.len());
}

#[test]
fn an_accept_that_fails_for_want_of_descriptors_keeps_the_connection() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    rig.network.inject(Fault::Accept(EMFILE));
    rig.network.connect(address).unwrap();
    rig.push(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
    let failed = rig.wait()[0];
    assert!(failed.result == -EMFILE && !failed.more());
    let accepted = rig.submit(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
    assert!(accepted[0].result >= 0 && accepted[0].more());
}

#[test]
fn an_aborted_connection_is_lost() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    rig.network.inject(Fault::Accept(ECONNABORTED));
    let peer = rig.network.connect(address).unwrap();
    rig.push(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
    assert_eq!(results(&rig.wait()), [(ACCEPT, -ECONNABORTED)]);
    assert!(rig.submit(Op::AcceptMultishot { listener: LISTENER }, ACCEPT).is_empty());
    assert!(peer.sees_reset());
}

#[test]
fn descriptors_run_out_and_come_back() {
    let network = NetworkOptions { descriptors_max: 1, ..NetworkOptions::default() };
    let mut rig = Rig::with(network, RingOptions::default());
    let address = rig.listen();
    let peers: Vec<_> = (0..2).map(|_| rig.network.connect(address).unwrap()).collect();
    rig.push(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
    let completions = rig.wait();
    assert!(completions[0].result >= 0 && completions[1].result == -EMFILE);
    let first = rig.kernel.accepted(completions[0].result as u32);
    assert_eq!(rig.submit(Op::AcceptMultishot { listener: LISTENER }, ACCEPT)[0].result, -EMFILE);
    drop(first);
    assert!(peers[0].sees_end(), "dropping the only descriptor closes the socket");
    assert!(rig.submit(Op::AcceptMultishot { listener: LISTENER }, ACCEPT)[0].result >= 0);
}

#[test]
fn a_connection_that_was_reset_in_the_backlog_is_accepted_but_not_adopted() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    let peer = rig.network.connect(address).unwrap();
    peer.reset();
    rig.push(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
    let accepted = rig.wait()[0];
    let socket = rig.kernel.accepted(accepted.result as u32);
    assert_eq!(rig.kernel.adopt(CONNECTION, &socket).unwrap_err().raw_os_error(), Some(ENOTCONN));
    drop(socket);
    assert_eq!(rig.kernel.open_files().len(), 1, "{:?}", rig.kernel.open_files());
}

#[test]
fn a_failed_adoption_leaves_the_socket_with_its_owner() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    let peer = rig.network.connect(address).unwrap();
    rig.push(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
    let accepted = rig.wait()[0];
    rig.network.inject(Fault::Adopt(ENOTCONN));
    let socket = rig.kernel.accepted(accepted.result as u32);
    assert!(rig.kernel.adopt(CONNECTION, &socket).is_err());
    drop(socket);
    assert!(peer.sees_end());
}

#[test]
fn an_accept_can_end_with_a_connection() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    rig.network.inject(Fault::MultishotEnds);
    rig.network.connect(address).unwrap();
    rig.push(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
    let last = rig.wait()[0];
    assert!(last.result >= 0 && !last.more());
    rig.network.connect(address).unwrap();
    assert!(rig.poll().is_empty(), "nothing is armed any more");
}

#[test]
fn a_closed_listener_hears_until_its_accept_has_ended() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    rig.submit(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
    rig.submit(Op::Close { file: LISTENER }, CLOSE);
    let waiting = rig.network.connect(address).unwrap();
    assert!(!waiting.sees_reset());
    rig.push(Op::Cancel { target: ACCEPT }, CANCEL);
    let completions = rig.settle();
    assert!(results(&completions).contains(&(ACCEPT, -ECANCELED)));
    assert!(rig.network.connect(address).is_err());
}

#[test]
fn a_connection_that_nobody_accepts_is_reset_with_its_listener() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    let peer = rig.network.connect(address).unwrap();
    rig.submit(Op::Close { file: LISTENER }, CLOSE);
    assert!(peer.sees_reset());
}

#[test]
fn a_listener_that_is_shut_down_answers_einval_and_resets_who_waits() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    let waiting = rig.network.connect(address).unwrap();
    rig.push(Op::Shutdown { file: LISTENER, direction: Direction::Write }, SHUTDOWN);
    assert_eq!(results(&rig.settle()), [(SHUTDOWN, 0)]);
    assert!(!waiting.sees_reset(), "a listener has no direction to write in");
    rig.push(Op::Shutdown { file: LISTENER, direction: Direction::Both }, SHUTDOWN);
    assert_eq!(results(&rig.settle()), [(SHUTDOWN, 0)]);
    assert!(waiting.sees_reset() && rig.network.connect(address).is_err());
    assert_eq!(results(&rig.submit(Op::AcceptMultishot { listener: LISTENER }, ACCEPT)), [(ACCEPT, -EINVAL)]);
}

#[test]
fn an_accepted_socket_that_nobody_takes_is_told_as_open() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    rig.network.connect(address).unwrap();
    rig.push(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
    rig.wait();
    let network = rig.network.clone();
    drop(rig);
    let open = network.open_files();
    assert!(open.len() == 1 && open[0].contains("that nobody took"), "{open:?}");
}
