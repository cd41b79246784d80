//! Closes, shutdowns and cancels, and the orders in which they meet other operations.

mod rig;

use std::collections::BTreeSet;

use libc::{EALREADY, EBADF, ECANCELED, ENOENT};
use rig::*;
use ringline_ring::{Direction, Kernel, Op};
use ringline_sim::Faults;

#[test]
fn a_close_sends_fin() {
    let mut rig = Rig::new(1);
    let peer = rig.connection();
    assert_eq!(results(&rig.submit(close(), CLOSE)), [(CLOSE, 0)]);
    assert!(peer.sees_end());
}

#[test]
fn a1_a_close_with_a_receive_armed_sends_no_fin() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, false);
    assert_eq!(results(&rig.submit(close(), CLOSE)), [(CLOSE, 0)]);
    assert!(rig.settle().is_empty() && !peer.sees_end());
    rig.push(Op::Cancel { target: RECEIVE }, CANCEL);
    let completions = results(&rig.settle());
    assert_eq!(completions, [(CANCEL, 0), (RECEIVE, -ECANCELED)]);
    assert!(peer.sees_end());
}

#[test]
fn a2_bytes_for_a_closed_file_come_under_the_old_tag() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, false);
    rig.submit(close(), CLOSE);
    let new = rig.connect_again();
    let new_receive = tag(30);
    assert!(rig.submit(receive(), new_receive).is_empty());
    peer.write(b"stale");
    assert_eq!(results(&rig.settle()), [(RECEIVE, 5)]);
    new.write(b"new");
    assert_eq!(results(&rig.settle()), [(new_receive, 3)]);
}

#[test]
fn a3_cancel_and_close_in_one_batch_complete_before_the_receive() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, false);
    rig.push(Op::Cancel { target: RECEIVE }, CANCEL);
    rig.push(close(), CLOSE);
    assert_eq!(results(&rig.settle()), [(CANCEL, 0), (CLOSE, 0), (RECEIVE, -ECANCELED)]);
    assert!(peer.sees_end());
}

#[test]
fn a4_shutdown_and_close_in_one_batch_race() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let mut rig = Rig::new(seed);
        let peer = rig.receiving(2, 8, false);
        rig.push(shutdown(), SHUTDOWN);
        rig.push(close(), CLOSE);
        let completions = results(&rig.settle());
        let result = completions.iter().find(|(tag, _)| *tag == SHUTDOWN).unwrap().1;
        assert!(completions.contains(&(CLOSE, 0)));
        assert_eq!(peer.sees_end(), result == 0, "the receive keeps the socket open, so only the shutdown sends FIN");
        seen.insert(result);
    }
    assert_eq!(seen, BTreeSet::from([0, -EBADF]));
}

#[test]
fn a_shutdown_that_is_late_hits_whoever_has_the_file_now() {
    let mut hits = 0;
    for seed in 0..20 {
        let mut rig = Rig::new(seed);
        let old = rig.connection();
        rig.accept_next();
        rig.push(shutdown(), SHUTDOWN);
        rig.push(close(), CLOSE);
        let done = rig.poll();
        if done.len() != 1 {
            continue;
        }
        assert!(old.sees_end());
        let new = rig.adopt_next();
        let late = rig.settle();
        hits += usize::from(results(&late) == [(SHUTDOWN, 0)] && new.sees_end());
    }
    assert!(hits > 0, "no shutdown was late enough");
}

#[test]
fn operations_on_a_closed_file_answer_ebadf() {
    let mut rig = Rig::new(1);
    let _peer = rig.connection();
    rig.buffers(1, 8, false);
    rig.submit(close(), CLOSE);
    for op in [receive(), Op::PollWritable { file: CONNECTION }, close(), shutdown()] {
        rig.push(op, tag(20));
        assert_eq!(results(&rig.settle()), [(tag(20), -EBADF)], "{op:?}");
    }
    assert_eq!(rig.send(b"x"), -EBADF);
}

#[test]
fn bytes_that_nobody_has_read_turn_the_fin_into_a_reset() {
    let mut rig = Rig::new(1);
    let peer = rig.connection();
    rig.send(b"response");
    peer.write(b"unread");
    rig.poll();
    rig.submit(close(), CLOSE);
    assert!(peer.sees_reset() && !peer.sees_end());
    assert_eq!(peer.read(), b"response");
}

#[test]
fn bytes_that_come_after_the_close_are_answered_with_a_reset() {
    let mut rig = Rig::new(1);
    let peer = rig.connection();
    rig.submit(close(), CLOSE);
    assert!(peer.sees_end() && !peer.sees_reset());
    peer.write(b"late");
    rig.poll();
    assert!(peer.sees_reset());
    assert!(!peer.write(b"later"));
}

#[test]
fn a_descriptor_keeps_a_socket_open() {
    let mut rig = Rig::new(1);
    let socket = rig.kernel.open_stream(CONNECTION, ringline_sim::loopback(1), &OPTIONS).unwrap();
    rig.submit(close(), CLOSE);
    assert_eq!(rig.kernel.open_files().len(), 1);
    drop(socket);
    assert_eq!(rig.kernel.open_files(), Vec::<String>::new());
}

#[test]
fn b1_a_close_delivers_what_was_sent_before() {
    let mut rig = Rig::new(1);
    let peer = rig.connection();
    peer.set_window(10);
    assert_eq!(rig.send(&[5; 1000]), 1000);
    rig.submit(close(), CLOSE);
    let mut received = Vec::new();
    while !peer.sees_end() {
        let bytes = peer.read();
        assert!(!bytes.is_empty(), "the rest is on its way");
        received.extend(bytes);
    }
    assert_eq!(received, [5; 1000]);
}

#[test]
fn a3b_a_cancel_that_finds_nothing_answers_enoent() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, false);
    peer.shutdown_write();
    rig.push(Op::Cancel { target: tag(99) }, CANCEL);
    assert_eq!(results(&rig.poll()), [(CANCEL, -ENOENT), (RECEIVE, 0)]);
    assert_eq!(results(&rig.submit(Op::Cancel { target: RECEIVE }, CANCEL)), [(CANCEL, -ENOENT)]);
}

#[test]
fn a_cancelled_receive_may_bring_bytes_first() {
    let mut orders = BTreeSet::new();
    for seed in 0..40 {
        let mut rig = Rig::new(seed);
        let peer = rig.receiving(2, 8, false);
        peer.write(b"late");
        // The bytes arrive after the cancel was submitted and before the receive has ended.
        rig.network.set_faults(Faults { reordered: true, ..Faults::NONE });
        rig.push(Op::Cancel { target: RECEIVE }, CANCEL);
        let completions = results(&rig.settle());
        assert_eq!(completions[0], (CANCEL, 0));
        assert_eq!(completions.last(), Some(&(RECEIVE, -ECANCELED)));
        orders.insert(completions.len());
    }
    assert_eq!(orders, BTreeSet::from([2, 3]));
}

#[test]
fn a_shutdown_is_cancelled_or_has_started() {
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let mut rig = Rig::new(seed);
        let peer = rig.connection();
        rig.push(shutdown(), SHUTDOWN);
        rig.push(Op::Cancel { target: SHUTDOWN }, CANCEL);
        let completions = results(&rig.settle());
        let result_of = |wanted| completions.iter().find(|(tag, _)| *tag == wanted).unwrap().1;
        assert_eq!(peer.sees_end(), result_of(SHUTDOWN) == 0);
        seen.insert((result_of(CANCEL), result_of(SHUTDOWN)));
    }
    assert_eq!(seen, BTreeSet::from([(0, -ECANCELED), (-EALREADY, 0), (-ENOENT, 0)]));
}

#[test]
fn the_end_of_the_ring_ends_everything() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, false);
    rig.submit(Op::PollWritable { file: CONNECTION }, POLL);
    rig.submit(Op::Shutdown { file: CONNECTION, direction: Direction::Write }, SHUTDOWN);
    let network = rig.network.clone();
    drop(rig);
    assert!(peer.sees_end());
    assert_eq!(network.open_files(), Vec::<String>::new());
}
