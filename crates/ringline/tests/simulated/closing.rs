//! Scenarios of closing, slot reuse and late completions (A).

use libc::ECONNRESET;
use ringline::driver::ConnToken;
use ringline_ring::{Completion, Kernel, Op, Tag, Wait};
use ringline_sim::{Fault, NetworkOptions, Peer, Remote, RingOptions, SimKernel, SimSocket, loopback};

use crate::events::Event;
use crate::meddler::Meddler;
use crate::rig::{Rig, Told, pattern};
use crate::setup::{GROUP, settings};

/// Long enough that a held-back completion comes after everything else.
const LATE_NS: u64 = 5_000_000;

fn meddled() -> Rig<Meddler> {
    let plain = RingOptions { incremental_buffers: false, ..RingOptions::default() };
    Rig::with(NetworkOptions::default(), settings(1), |network| Meddler::new(SimKernel::new(network, plain)))
}

/// Ends a connection from both sides.
fn close_both<K: Kernel<Socket = SimSocket>>(rig: &mut Rig<K>, peer: &Peer, conn: ConnToken) {
    peer.close();
    rig.close(conn);
    rig.until_told(&Told::Closed(conn, None));
}

#[test]
fn a1_an_idle_peer_sees_fin_at_once() {
    let mut rig = Rig::new(settings(1));
    let (peer, conn) = rig.accept();
    rig.close(conn);
    rig.turn(Wait::Poll);
    assert!(peer.sees_end());
    peer.close();
    rig.until_told(&Told::Closed(conn, None));
    rig.nothing_is_left();
}

#[test]
fn a2_slot_reuse_never_delivers_old_bytes() {
    let mut rig = Rig::new(settings(1));
    let (old_peer, old) = rig.accept();
    // The receive that was armed for the old connection ends late.
    rig.network.inject(Fault::DelayedCompletion(LATE_NS));
    rig.abort(old);
    rig.turn(Wait::Poll);
    old_peer.write(b"bytes for the connection that is gone");
    rig.until_told(&Told::Closed(old, None));
    let (peer, conn) = rig.accept();
    assert_eq!(conn.slot(), old.slot());
    old_peer.write(b"and more of them");
    peer.write(b"mine");
    rig.until_told(&Told::Bytes(conn, b"mine".to_vec()));
    rig.pass(LATE_NS);
    assert_eq!((rig.bytes(conn), rig.bytes(old)), (b"mine".to_vec(), Vec::new()));
    assert!(old_peer.sees_end() || old_peer.sees_reset());
    assert_eq!(rig.driver.metrics().stale_completions, 0);
}

#[test]
fn a3_a_slot_is_not_freed_before_its_late_receive_has_ended() {
    let mut rig = Rig::new(settings(1));
    let (peer, conn) = rig.accept();
    rig.network.inject(Fault::DelayedCompletion(LATE_NS));
    rig.abort(conn);
    rig.pass(LATE_NS / 2);
    assert_eq!(rig.driver.tokens(), [conn], "the receive is still in flight");
    assert!(!peer.sees_end(), "which holds the socket");
    rig.until_told(&Told::Closed(conn, None));
    assert!(peer.sees_end());
    // The next one in the slot is closed with its receive armed, as if nothing had been.
    let (peer, next) = rig.accept();
    assert_eq!(next.slot(), conn.slot());
    rig.abort(next);
    rig.until_told(&Told::Closed(next, None));
    assert!(peer.sees_end());
    rig.nothing_is_left();
}

#[test]
fn a6_a_receive_for_a_past_owner_gives_its_buffer_back() {
    let mut rig = meddled();
    let (peer, old) = rig.accept();
    close_both(&mut rig, &peer, old);
    let (peer, conn) = rig.accept();
    let meddling = rig.driver.kernel_mut().meddling.clone();
    // The kernel's completion comes back under the tag of the slot's past owner.
    meddling.borrow_mut().change = Some(|completion| {
        if completion.buffer_id().is_some() {
            let tag = completion.tag;
            completion.tag = Tag::new(tag.kind(), tag.slot(), tag.generation() - 1);
        }
    });
    peer.write(b"not for the new one");
    rig.turn(Wait::Forever);
    meddling.borrow_mut().change = None;
    assert_eq!((rig.bytes(conn), rig.bytes(old)), (Vec::new(), Vec::new()));
    assert_eq!(rig.driver.metrics().stale_completions, 1);
    rig.turn(Wait::Poll);
    assert_eq!(rig.driver.slabs_held(), 0);
    assert_eq!(rig.driver.kernel_mut().simulated().buffers_owned(GROUP), 64);
    peer.write(b"mine");
    rig.until_told(&Told::Bytes(conn, b"mine".to_vec()));
}

#[test]
fn a8_the_time_limit_of_a_connect_does_not_outlive_it() {
    let mut rig = Rig::new(settings(1));
    let (there, nowhere) = (loopback(7), loopback(8));
    rig.network.remote(there, Remote::accepting());
    rig.network.remote(nowhere, Remote::silent());
    let limit = std::time::Duration::from_millis(5);
    let first = rig.connect(there, Some(limit));
    rig.until_told(&Told::Connected(first));
    let peer = rig.network.take_connected(there).unwrap();
    close_both(&mut rig, &peer, first);
    let second = rig.connect(nowhere, Some(limit * 10));
    let began = rig.network.now();
    assert_eq!(second.slot(), first.slot());
    rig.pass(2 * limit.as_nanos() as u64);
    assert_eq!(rig.driver.tokens(), [second], "the time of the first is not up for the second");
    assert!(!rig.told.iter().any(|told| matches!(told, Told::ConnectFailed(..))));
    rig.until_told(&Told::ConnectFailed(second, 0));
    let passed = std::time::Duration::from_nanos(rig.network.now() - began);
    assert!((limit * 10..limit * 11).contains(&passed), "{passed:?}");
}

#[test]
fn a9_what_waited_to_be_sent_never_reaches_the_next_peer() {
    let mut rig = Rig::narrow(settings(1));
    let (old_peer, old) = rig.accept();
    rig.send(old, &pattern(1000));
    rig.turn(Wait::Poll);
    rig.turn(Wait::Poll);
    assert!(rig.driver.unsent(old).unwrap() > 0, "the socket is full");
    rig.abort(old);
    rig.until_told(&Told::Closed(old, None));
    let (peer, conn) = rig.accept();
    assert_eq!(conn.slot(), old.slot());
    assert_eq!((rig.driver.unsent(conn), rig.ledger.slots_out()), (Some(0), 0));
    rig.send(conn, b"mine");
    rig.until_told(&Told::Sent(conn, 4));
    rig.pass(LATE_NS);
    assert_eq!(peer.read(), b"mine");
    assert!(pattern(1000).starts_with(&old_peer.read()));
}

#[test]
fn a10_a_send_that_completes_for_a_past_owner_takes_nothing_off_the_queue() {
    let mut rig = meddled();
    let (peer, old) = rig.accept();
    rig.send(old, b"old");
    rig.until_told(&Told::Sent(old, 3));
    let meddling = rig.driver.kernel_mut().meddling.clone();
    let stale = meddling.borrow().newest(|op| matches!(op, Op::SendSilently { .. }));
    close_both(&mut rig, &peer, old);
    let (peer, conn) = rig.accept();
    rig.send(conn, b"mine");
    meddling.borrow_mut().forged.push_back(Completion { tag: stale, result: 1000, flags: 0 });
    rig.until_told(&Told::Sent(conn, 4));
    assert_eq!(rig.driver.metrics().stale_completions, 1);
    assert_eq!((peer.read(), rig.ledger.slots_out()), (b"mine".to_vec(), 0));
}

#[test]
fn a13_a_close_with_received_bytes_on_their_way_out_frees_slab_and_slot_once() {
    let plain = RingOptions { incremental_buffers: false, ..RingOptions::default() };
    let options = NetworkOptions { send_buffer: 60, window: 30, ..NetworkOptions::default() };
    let mut rig = Rig::on(options, plain, settings(1));
    let (peer, conn) = rig.accept();
    peer.write(&pattern(900));
    rig.driver.turn(&mut rig.ledger, Wait::Forever).unwrap();
    for event in rig.ledger.take_events() {
        if let Event::Received(conn, chunk) = event {
            rig.ledger.disown(&chunk);
            rig.driver.send_chunk(conn, chunk).unwrap();
        }
    }
    rig.turn(Wait::Poll);
    assert!(rig.driver.slabs_held() == 1 && rig.driver.unsent(conn).unwrap() > 0, "the socket is full");
    rig.abort(conn);
    rig.until_told(&Told::Closed(conn, None));
    rig.nothing_is_left();
    let read = peer.read();
    assert!(!read.is_empty() && pattern(900).starts_with(&read));
}

#[test]
fn a14_a_close_that_finds_the_queue_full_is_made_up_for() {
    let mut rig = Rig::new(settings(4));
    let all: Vec<_> = (0..3).map(|_| rig.accept()).collect();
    let (_, conn) = all[1];
    for _ in 0..40 {
        rig.network.inject(Fault::QueueFull);
    }
    rig.abort(conn);
    rig.until_told(&Told::Closed(conn, None));
    assert_eq!(rig.driver.tokens(), [all[0].1, all[2].1], "that one and no other");
    assert!(all[1].0.sees_end() && !all[0].0.sees_end() && !all[2].0.sees_end());
}

#[test]
fn a15_data_is_told_before_the_end_that_came_with_it() {
    for seed in 0..100 {
        let options = NetworkOptions { seed, ..NetworkOptions::default() };
        let mut rig = Rig::on(options, RingOptions::default(), settings(1));
        let peer = rig.network.connect(rig.address).unwrap();
        peer.write(&pattern(3000));
        peer.shutdown_write();
        rig.until("the end", |rig| rig.told.iter().any(|told| matches!(told, Told::Ended(_))));
        let Some(Told::Ended(conn)) = rig.told.last().cloned() else { panic!("{:?}", rig.told.last()) };
        assert_eq!(rig.bytes(conn), pattern(3000));
    }
}

#[test]
fn unread_bytes_do_not_turn_the_fin_of_close_into_a_reset() {
    for paused in [false, true] {
        let mut rig = Rig::narrow(settings(1));
        let (peer, conn) = rig.accept();
        if paused {
            assert!(rig.driver.pause_receive(conn));
            rig.turn(Wait::Poll);
        }
        // More than the socket of the driver holds.
        peer.write(&pattern(200_000));
        rig.send(conn, b"goodbye");
        rig.close(conn);
        rig.until("FIN", |_| peer.unread() == 7);
        rig.pass(LATE_NS);
        assert_eq!((peer.read(), peer.sees_end(), peer.sees_reset()), (b"goodbye".to_vec(), true, false));
        peer.shutdown_write();
        rig.until_told(&Told::Closed(conn, None));
        assert!(!peer.sees_reset());
        rig.nothing_is_left();
    }
}

#[test]
fn a_close_while_receiving_is_paused_does_not_wait_for_a_peer_that_waits_to_write() {
    let options = NetworkOptions { send_buffer: 60, window: 30, receive_buffer: 100, ..NetworkOptions::default() };
    let mut rig = Rig::on(options, RingOptions::default(), settings(1));
    let (peer, conn) = rig.accept();
    assert!(rig.driver.pause_receive(conn));
    rig.turn(Wait::Poll);
    // A peer that reads only when it has got rid of what it writes.
    peer.write(&pattern(2000));
    rig.send(conn, &pattern(500));
    rig.close(conn);
    rig.pass(LATE_NS);
    assert_eq!(peer.in_flight(), 0, "what is discarded makes room");
    peer.set_window(1000);
    rig.pass(LATE_NS);
    assert_eq!((peer.read(), peer.sees_end()), (pattern(500), true));
    peer.shutdown_write();
    rig.until_told(&Told::Closed(conn, None));
    rig.nothing_is_left();
}

#[test]
fn a_reset_is_told_once_with_its_errno() {
    let mut rig = Rig::new(settings(1));
    let (peer, conn) = rig.accept();
    peer.reset();
    rig.until_told(&Told::Closed(conn, Some(ECONNRESET)));
    rig.nothing_is_left();
}
