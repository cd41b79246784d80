//! Scenarios of receiving (C).

use libc::ENOBUFS;
use ringline_ring::{FLAG_BUFFER, Wait};
use ringline_sim::{Fault, NetworkOptions, Remote, RingOptions, SimKernel, loopback};

use crate::events::Event;
use crate::meddler::Meddler;
use crate::rig::{Rig, Told, pattern};
use crate::setup::{GROUP, settings};

const PLAIN: RingOptions = RingOptions { incremental_buffers: false, submissions: 256, completions: 1024, files: 1024 };

/// A driver with so few buffers that two messages use them up.
fn two_buffers() -> Rig {
    let mut small = settings(4);
    (small.receive_entries, small.receive_buffer_size) = (2, 16);
    Rig::on(NetworkOptions::default(), PLAIN, small)
}

#[test]
fn c1_a_receive_without_buffers_parks_at_no_cost_and_goes_on_when_there_are_some() {
    let mut rig = two_buffers();
    let (peer, conn) = rig.accept();
    rig.driver.hold_receive_buffers(true);
    peer.write(&pattern(200));
    rig.turn(Wait::Forever);
    rig.turns = 0;
    rig.pass(100_000_000);
    assert!(rig.turns < 5, "{} turns without buffers", rig.turns);
    assert_eq!((rig.bytes(conn).len(), rig.driver.metrics().buffer_shortages), (32, 1));
    rig.driver.hold_receive_buffers(false);
    rig.until("all bytes", |rig| rig.bytes(conn).len() == 200);
    assert_eq!(rig.bytes(conn), pattern(200));
    rig.turn(Wait::Poll);
    assert_eq!(rig.driver.kernel_mut().buffers_owned(GROUP), 2);
}

#[test]
fn c1_a_paused_receive_that_waited_for_buffers_is_armed_when_it_is_resumed() {
    let mut rig = two_buffers();
    let (peer, conn) = rig.accept();
    rig.driver.hold_receive_buffers(true);
    peer.write(&pattern(200));
    rig.turn(Wait::Forever);
    assert!(rig.driver.pause_receive(conn));
    rig.driver.hold_receive_buffers(false);
    rig.pass(1_000_000);
    assert_eq!(rig.bytes(conn).len(), 32);
    assert!(rig.driver.resume_receive(conn));
    rig.until("all bytes", |rig| rig.bytes(conn) == pattern(200));
}

#[test]
fn c3_a_message_far_larger_than_the_ring_arrives() {
    let mut rig = two_buffers();
    let (peer, conn) = rig.accept();
    peer.write(&pattern(20_000));
    rig.until("all bytes", |rig| rig.bytes(conn).len() == 20_000);
    assert_eq!(rig.bytes(conn), pattern(20_000));
    // Two buffers are received in each turn, and the receive is armed once more for each shortage.
    assert!(rig.turns < 20_000 / 16, "{} turns", rig.turns);
}

#[test]
fn c4_a_receive_that_ends_without_more_is_armed_again_on_an_outbound_connection() {
    let mut rig = Rig::new(settings(4));
    let there = loopback(7);
    rig.network.remote(there, Remote::accepting());
    let conn = rig.connect(there, None);
    rig.until_told(&Told::Connected(conn));
    let peer = rig.network.take_connected(there).unwrap();
    rig.network.inject(Fault::MultishotEnds);
    peer.write(b"the last of this receive");
    rig.until_told(&Told::Bytes(conn, b"the last of this receive".to_vec()));
    peer.write(b"the first of the next");
    peer.shutdown_write();
    rig.until_told(&Told::Ended(conn));
    assert_eq!(rig.bytes(conn), b"the last of this receivethe first of the next");
}

#[test]
fn c5_bytes_without_a_buffer_close_the_connection() {
    let mut rig =
        Rig::with(NetworkOptions::default(), settings(4), |network| Meddler::new(SimKernel::new(network, PLAIN)));
    let (peer, conn) = rig.accept();
    let meddling = rig.driver.kernel_mut().meddling.clone();
    meddling.borrow_mut().change = Some(|completion| {
        if completion.buffer_id().is_some() {
            completion.flags &= !FLAG_BUFFER;
        }
    });
    peer.write(b"nowhere to be found");
    rig.until_told(&Told::Closed(conn, Some(ENOBUFS)));
    assert_eq!(rig.bytes(conn), b"");
    assert!(peer.sees_end());
}

#[test]
fn c6_a_receive_that_cannot_be_armed_again_at_once_is_armed_later() {
    let mut rig = Rig::new(settings(4));
    let (peer, conn) = rig.accept();
    rig.network.inject(Fault::MultishotEnds);
    for _ in 0..40 {
        rig.network.inject(Fault::QueueFull);
    }
    peer.write(b"one");
    rig.until_told(&Told::Bytes(conn, b"one".to_vec()));
    peer.write(b"two");
    rig.until_told(&Told::Bytes(conn, b"two".to_vec()));
}

#[test]
fn a_paused_connection_receives_nothing_until_it_is_resumed() {
    let mut rig = Rig::new(settings(4));
    let (peer, conn) = rig.accept();
    assert!(rig.driver.pause_receive(conn));
    rig.turn(Wait::Poll);
    peer.write(&pattern(500));
    peer.shutdown_write();
    rig.pass(10_000_000);
    assert_eq!(rig.told, [Told::Adopted(conn)]);
    // To pause again and again costs nothing either.
    for _ in 0..1000 {
        assert!(rig.driver.resume_receive(conn) && rig.driver.pause_receive(conn));
    }
    rig.pass(10_000_000);
    assert!(rig.driver.resume_receive(conn));
    rig.until_told(&Told::Ended(conn));
    assert_eq!(rig.bytes(conn), pattern(500));
}

#[test]
fn bytes_that_are_kept_do_not_keep_the_buffers_of_the_ring() {
    let mut keeping = settings(4);
    (keeping.receive_entries, keeping.receive_buffer_size, keeping.receive_for_keeps) = (4, 100, true);
    let mut rig = Rig::with(NetworkOptions::default(), keeping, |network| Meddler::new(SimKernel::new(network, PLAIN)));
    let (peer, _) = rig.accept();
    let mut kept = Vec::new();
    for _ in 0..1000 {
        peer.write(&pattern(100));
        rig.driver.turn(&mut rig.ledger, Wait::Forever).unwrap();
        kept.extend(rig.ledger.take_events());
    }
    let provided = rig.driver.kernel_mut().meddling.borrow().provided.len();
    assert_eq!(provided, 4, "buffers for {} pieces that are kept", kept.len());
    for event in kept {
        let Event::Received(_, chunk) = event else { panic!("{event:?}") };
        assert_eq!(rig.driver.chunk_bytes(&chunk), pattern(100));
        rig.ledger.disown(&chunk);
        rig.driver.release(chunk);
    }
    assert_eq!(rig.driver.slabs_held(), 0);
}

#[test]
fn the_ring_of_a_host_that_keeps_is_small_while_pipes_pass_on_what_comes() {
    let mut keeping = settings(4);
    (keeping.receive_entries, keeping.receive_buffer_size, keeping.receive_for_keeps) = (64, 65_536, true);
    let ring = RingOptions { incremental_buffers: true, ..PLAIN };
    let mut rig = Rig::on(NetworkOptions::default(), ring, keeping);
    let (source, from) = rig.accept();
    let (target, to) = rig.accept();
    rig.driver.pipe(from, to, 1).unwrap();
    rig.driver.start_pipe(to, 1);
    let (message, mut passed) = (pattern(100_000), Vec::new());
    for _ in 0..50 {
        source.write(&message);
        let end = passed.len() + message.len();
        while passed.len() < end {
            rig.pass(100_000);
            passed.extend(target.read());
        }
    }
    assert_eq!(passed, message.repeat(50));
    assert!(rig.driver.kernel_mut().buffer_bytes_owned(GROUP) <= 1 << 20);
    // What is the host's again may be kept for long, and then finds as much room as was asked for.
    for _ in 0..50 {
        target.write(&message);
        let end = rig.bytes(to).len() + message.len();
        rig.until("a message", |rig| rig.bytes(to).len() == end);
    }
    rig.turn(Wait::Poll);
    assert!(rig.driver.kernel_mut().buffer_bytes_owned(GROUP) > 3 << 20);
}

#[test]
fn c9_what_a_peer_says_first_is_heard() {
    let mut rig = Rig::new(settings(4));
    let there = loopback(7);
    rig.network.remote(there, Remote::accepting().greeting(b"welcome"));
    let conn = rig.connect(there, None);
    rig.until_told(&Told::Bytes(conn, b"welcome".to_vec()));
    let connected = rig.told.iter().position(|told| *told == Told::Connected(conn));
    assert_eq!(connected, Some(0));
}
