//! Scenarios of sending (B).

use libc::ECONNRESET;
use ringline::driver::ConnToken;
use ringline_ring::Wait;
use ringline_sim::{Fault, NetworkOptions, Peer, RingOptions};

use crate::rig::{Rig, Told, pattern};
use crate::setup::settings;

/// Reads slowly, turn by turn, until the connection is over.
fn read_to_the_end(rig: &mut Rig, peer: &Peer) -> Vec<u8> {
    let mut read = Vec::new();
    while !(peer.sees_end() || peer.sees_reset()) {
        read.extend(peer.read_up_to(7));
        rig.turn(Wait::AtMost(1_000_000));
        assert!(rig.turns < 10_000, "no end after {} bytes", read.len());
    }
    read
}

/// A connection that is blocked in a send, with this much queued.
fn blocked(rig: &mut Rig, len: usize) -> (Peer, ConnToken) {
    let (peer, conn) = rig.accept();
    rig.send(conn, &pattern(len));
    rig.turn(Wait::Poll);
    rig.turn(Wait::Poll);
    assert!(rig.driver.unsent(conn).unwrap() > 0, "the socket is full");
    (peer, conn)
}

#[test]
fn b1_everything_queued_reaches_a_slow_reader_before_the_fin_of_close() {
    let mut narrow = settings(2);
    (narrow.send_slots, narrow.send_slot_size) = (200, 10);
    let mut rig = Rig::narrow(narrow);
    let (peer, conn) = rig.accept();
    rig.send(conn, &pattern(2000));
    rig.close(conn);
    assert_eq!(read_to_the_end(&mut rig, &peer), pattern(2000));
    assert!(peer.sees_end() && !peer.sees_reset());
    peer.close();
    rig.until_told(&Told::Closed(conn, None));
    rig.nothing_is_left();
}

#[test]
fn b2_fin_follows_the_last_byte() {
    let mut rig = Rig::narrow(settings(2));
    let (peer, conn) = rig.accept();
    rig.send(conn, &pattern(500));
    assert!(rig.driver.shutdown_write(conn));
    assert_eq!(read_to_the_end(&mut rig, &peer), pattern(500));
    assert!(peer.sees_end() && rig.driver.is_open(conn), "receiving goes on");
    peer.write(b"still heard");
    rig.until_told(&Told::Bytes(conn, b"still heard".to_vec()));
}

#[test]
fn b3_a_refused_send_waits_for_room_and_is_repeated() {
    let mut rig = Rig::new(settings(2));
    let (peer, conn) = rig.accept();
    rig.network.inject(Fault::RefusedSend);
    rig.send(conn, b"said twice, heard once");
    rig.until_told(&Told::Sent(conn, 22));
    assert_eq!(peer.read(), b"said twice, heard once");
    assert_eq!((rig.driver.metrics().sends, rig.driver.is_open(conn), rig.ledger.slots_out()), (2, true, 0));
}

#[test]
fn b5_sends_are_told_by_their_position() {
    let mut rig = Rig::new(settings(2));
    let (peer, conn) = rig.accept();
    rig.send(conn, b"first");
    rig.until_told(&Told::Sent(conn, 5));
    rig.send(conn, b"second");
    rig.until_told(&Told::Sent(conn, 11));
    assert_eq!(peer.read(), b"firstsecond");
}

#[test]
fn b6_two_short_sends_in_a_row_go_on_where_each_stopped() {
    let mut rig = Rig::new(settings(2));
    let (peer, conn) = rig.accept();
    rig.network.inject(Fault::ShortSend(3));
    rig.network.inject(Fault::ShortSend(4));
    rig.send(conn, &pattern(100));
    rig.until_told(&Told::Sent(conn, 100));
    assert_eq!(peer.read(), pattern(100));
    let sent: Vec<_> = rig.told.iter().filter(|told| matches!(told, Told::Sent(..))).cloned().collect();
    assert_eq!(sent, [Told::Sent(conn, 3), Told::Sent(conn, 7), Told::Sent(conn, 100)]);
}

#[test]
fn b6_a_short_send_can_stop_within_any_piece() {
    let mut narrow = settings(2);
    (narrow.send_slots, narrow.send_slot_size) = (20, 10);
    for stop in 1..30 {
        let mut rig = Rig::new(narrow.clone());
        let (peer, conn) = rig.accept();
        rig.network.inject(Fault::ShortSend(stop));
        rig.network.inject(Fault::ShortSend(stop));
        rig.send(conn, &pattern(95));
        rig.until_told(&Told::Sent(conn, 95));
        assert_eq!(peer.read(), pattern(95), "stopped after {stop}");
        assert_eq!(rig.ledger.slots_out(), 0);
    }
}

/// A connection of a host that need not be told at once, and a message of its peer for it to answer.
fn asked(rig: &mut Rig) -> (Peer, ConnToken) {
    rig.ledger.awaits_sent = false;
    let (peer, conn) = rig.accept();
    peer.write(b"?");
    rig.until_told(&Told::Bytes(conn, b"?".to_vec()));
    (peer, conn)
}

#[test]
fn one_enter_submits_an_answer_and_waits_for_the_next_question() {
    let mut rig = Rig::new(settings(2));
    let (peer, conn) = asked(&mut rig);
    for round in 0..10 {
        let enters = rig.driver.metrics().enters;
        rig.send(conn, b"!");
        let asks = peer.clone();
        rig.network.schedule(1_000_000, move |_| {
            assert_eq!(asks.read(), b"!");
            asks.write(b"?");
        });
        let told = rig.turn(Wait::Forever);
        assert!(told.contains(&Told::Bytes(conn, b"?".to_vec())), "{told:?}");
        assert_eq!((rig.driver.metrics().enters - enters, rig.ledger.slots_out()), (1, 0), "round {round}");
    }
}

#[test]
fn b13_what_the_kernel_has_not_taken_yet_is_not_told_as_sent() {
    let mut rig = Rig::new(settings(2));
    let (peer, conn) = asked(&mut rig);
    rig.network.inject(Fault::Backpressure);
    rig.send(conn, b"later");
    assert_eq!(rig.turn(Wait::Poll), []);
    assert_eq!((peer.unread(), rig.ledger.slots_out()), (0, 1));
    // Closed meanwhile: the bytes still come before the end.
    assert!(rig.driver.close(conn));
    rig.until_told(&Told::Sent(conn, 5));
    assert_eq!((peer.read(), rig.ledger.slots_out()), (b"later".to_vec(), 0));
}

#[test]
fn b6_short_sends_are_told_apart_from_whole_ones_although_their_completions_overflow() {
    let ring = RingOptions { completions: 2, ..RingOptions::default() };
    let mut rig = Rig::on(NetworkOptions::default(), ring, settings(8));
    let connections: Vec<_> = (0..8).map(|_| asked(&mut rig)).collect();
    for _ in 0..5 {
        rig.network.inject(Fault::ShortSend(3));
    }
    connections.iter().for_each(|&(_, conn)| rig.send(conn, b"0123456789"));
    let told = rig.turn(Wait::Poll);
    let early = told.iter().any(|told| !matches!(told, Told::Sent(_, 3)));
    assert!(!early, "what was sent whole is not known before every completion is: {told:?}");
    connections.iter().for_each(|&(_, conn)| rig.until_told(&Told::Sent(conn, 10)));
    for (peer, conn) in &connections {
        let told: Vec<_> = rig.told.iter().filter(|told| matches!(told, Told::Sent(of, _) if of == conn)).collect();
        assert_eq!(peer.read(), b"0123456789", "{told:?}");
    }
    let shorts = rig.told.iter().filter(|told| matches!(told, Told::Sent(_, 3))).count();
    assert_eq!((shorts, rig.ledger.slots_out()), (5, 0));
}

#[test]
fn b3_a_refused_answer_is_repeated_although_nobody_awaits_it() {
    let mut rig = Rig::new(settings(2));
    let (peer, conn) = asked(&mut rig);
    rig.network.inject(Fault::RefusedSend);
    rig.send(conn, b"said twice, heard once");
    let asks = peer.clone();
    rig.network.schedule(1_000_000_000, move |_| {
        asks.write(b"?");
    });
    let start_ns = rig.network.now();
    rig.until("the answer", |_| peer.unread() > 0);
    assert!(rig.network.now() - start_ns < 1_000_000, "something else had to end the wait");
    assert_eq!(peer.read(), b"said twice, heard once");
}

#[test]
fn b6_a_short_answer_goes_on_where_it_stopped_although_nobody_awaits_it() {
    for stop in 1..20 {
        let mut rig = Rig::new(settings(2));
        let (peer, conn) = asked(&mut rig);
        rig.network.inject(Fault::ShortSend(stop));
        rig.send(conn, &pattern(95));
        let start_ns = rig.network.now();
        rig.network.schedule(1_000_000_000, |_| {});
        rig.until("the rest", |_| peer.unread() == 95);
        assert!(rig.network.now() - start_ns < 1_000_000, "something else had to end the wait");
        assert_eq!(peer.read(), pattern(95), "stopped after {stop}");
    }
}

#[test]
fn b2_an_answer_that_nobody_awaits_is_followed_by_its_fin_at_once() {
    let mut rig = Rig::new(settings(2));
    let (peer, conn) = asked(&mut rig);
    rig.send(conn, b"!");
    assert!(rig.driver.shutdown_write(conn));
    rig.until("the answer", |_| peer.unread() == 1);
    peer.read();
    rig.until("the end", |_| peer.sees_end());
    let (peer, conn) = asked(&mut rig);
    rig.send(conn, b"!");
    rig.close(conn);
    rig.until("the answer", |_| peer.unread() == 1);
    peer.read();
    rig.until("the end", |_| peer.sees_end());
    peer.close();
    rig.until_told(&Told::Closed(conn, None));
}

#[test]
fn b10_a_send_that_cannot_go_on_ends_with_the_error_and_an_empty_queue() {
    let mut rig = Rig::narrow(settings(2));
    let (peer, conn) = blocked(&mut rig, 1000);
    rig.driver.pause_receive(conn);
    rig.turn(Wait::Poll);
    peer.reset();
    rig.until_told(&Told::Closed(conn, Some(ECONNRESET)));
    rig.nothing_is_left();
}

#[test]
fn b10_a_close_does_not_wait_for_a_peer_that_has_reset() {
    let mut rig = Rig::narrow(settings(2));
    let (peer, conn) = blocked(&mut rig, 1000);
    rig.close(conn);
    rig.turn(Wait::Poll);
    peer.reset();
    rig.until_told(&Told::Closed(conn, Some(ECONNRESET)));
    rig.nothing_is_left();
}

#[test]
fn b13_a_send_that_finds_the_queue_full_is_made_up_for_and_its_slot_comes_back() {
    let mut rig = Rig::new(settings(2));
    let (peer, conn) = rig.accept();
    for _ in 0..40 {
        rig.network.inject(Fault::QueueFull);
    }
    rig.send(conn, b"hello");
    rig.until_told(&Told::Sent(conn, 5));
    assert_eq!((peer.read(), rig.ledger.slots_out()), (b"hello".to_vec(), 0));
}

#[test]
fn b13_a_send_that_never_went_in_gives_its_slot_back_when_the_connection_is_aborted() {
    let mut rig = Rig::new(settings(2));
    let (peer, conn) = rig.accept();
    for _ in 0..40 {
        rig.network.inject(Fault::QueueFull);
    }
    rig.send(conn, b"hello");
    rig.turn(Wait::Poll);
    assert_eq!(rig.ledger.slots_out(), 1, "the send waits for room in the queue");
    rig.abort(conn);
    peer.close();
    rig.until_told(&Told::Closed(conn, None));
    rig.nothing_is_left();
}

#[test]
fn pieces_without_bytes_are_no_error() {
    let mut rig = Rig::new(settings(2));
    let (peer, conn) = rig.accept();
    for bytes in [&b""[..], b"", b"a", b"", b"b", b""] {
        let slot = rig.ledger.take_slot().unwrap();
        rig.driver.send_copy(conn, slot, bytes).unwrap();
    }
    rig.until_told(&Told::Sent(conn, 2));
    assert_eq!((peer.read(), rig.ledger.slots_out()), (b"ab".to_vec(), 0));
    let slot = rig.ledger.take_slot().unwrap();
    assert_eq!(rig.driver.send_copy(conn, slot, b""), Ok(2));
    rig.turn(Wait::Poll);
    assert_eq!((rig.ledger.slots_out(), rig.driver.is_open(conn)), (0, true));
}
