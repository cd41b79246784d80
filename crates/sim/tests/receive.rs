//! Multishot receives into provided buffers.

mod rig;

use libc::{ECONNRESET, ENOBUFS, ENOTCONN};
use rig::*;
use ringline_ring::{Kernel, Op};
use ringline_sim::{Chance, Fault, Faults, NetworkOptions, POISON, RingOptions};

#[test]
fn bytes_come_in_whole_buffers() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(4, 8, false);
    peer.write(b"0123456789");
    let completions = rig.settle();
    assert_eq!(results(&completions), [(RECEIVE, 8), (RECEIVE, 2)]);
    assert!(completions.iter().all(|completion| completion.more() && !completion.buffer_more()));
    assert_eq!(rig.buffer(completions[0].buffer_id().unwrap(), 0, 8), b"01234567");
    assert_eq!(rig.buffer(completions[1].buffer_id().unwrap(), 0, 2), b"89");
    assert_eq!(rig.buffer(completions[1].buffer_id().unwrap(), 2, 1), [POISON]);
    assert_eq!(rig.kernel.buffers_owned(GROUP), 2);
}

#[test]
fn an_incremental_buffer_is_filled_piece_by_piece() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, true);
    peer.write(b"abc");
    let first = rig.wait()[0];
    assert!(first.result == 3 && first.buffer_more() && first.more());
    peer.write(b"defghij");
    let rest = rig.settle();
    // A receive is limited to the rest of the buffer, which is then used up.
    assert_eq!(results(&rest), [(RECEIVE, 5), (RECEIVE, 2)]);
    assert!(rest[0].buffer_id() == first.buffer_id() && !rest[0].buffer_more());
    assert!(rest[1].buffer_id() != first.buffer_id() && rest[1].buffer_more());
    assert_eq!(rig.buffer(first.buffer_id().unwrap(), 0, 8), b"abcdefgh");
    assert_eq!(rig.buffer(rest[1].buffer_id().unwrap(), 0, 2), b"ij");
}

#[test]
fn an_empty_group_ends_the_receive_and_loses_nothing() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(1, 4, false);
    peer.write(b"abcdef");
    let completions = rig.settle();
    assert_eq!(results(&completions), [(RECEIVE, 4), (RECEIVE, -ENOBUFS)]);
    assert!(!completions[1].more() && completions[1].buffer_id().is_none());
    rig.provide(0);
    rig.push(receive(), RECEIVE);
    let rest = rig.settle();
    assert_eq!(results(&rest), [(RECEIVE, 2)]);
    assert_eq!(rig.buffer(0, 0, 2), b"ef");
}

#[test]
fn a_receive_stays_armed_when_it_took_the_last_buffer_and_the_last_byte() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(1, 4, false);
    peer.write(b"abcd");
    assert_eq!(results(&rig.settle()), [(RECEIVE, 4)]);
    peer.write(b"e");
    assert_eq!(results(&rig.settle()), [(RECEIVE, -ENOBUFS)]);
}

#[test]
fn a_receive_armed_without_buffers_ends_at_once() {
    let mut rig = Rig::new(1);
    let _peer = rig.connection();
    rig.kernel.create_buffer_group(GROUP, 1, false).unwrap();
    assert_eq!(results(&rig.submit(receive(), RECEIVE)), [(RECEIVE, -ENOBUFS)]);
}

#[test]
fn the_end_of_the_stream_is_a_result_of_0_without_buffer() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, false);
    peer.shutdown_write();
    let end = rig.wait()[0];
    assert!(end.result == 0 && !end.more() && end.buffer_id().is_none());
    assert_eq!(rig.kernel.buffers_owned(GROUP), 2);
}

#[test]
fn a15_bytes_and_fin_come_in_one_batch_in_this_order() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, false);
    peer.write(b"bye");
    peer.shutdown_write();
    assert_eq!(results(&rig.wait()), [(RECEIVE, 3), (RECEIVE, 0)]);
}

#[test]
fn bytes_that_came_before_a_reset_are_read_before_it_is_told() {
    let mut rig = Rig::new(1);
    let peer = rig.connection();
    rig.buffers(2, 8, false);
    peer.write(b"last");
    rig.poll();
    peer.reset();
    rig.poll();
    rig.push(receive(), RECEIVE);
    assert_eq!(results(&rig.settle()), [(RECEIVE, 4), (RECEIVE, -ECONNRESET)]);
    // The error is told once; afterwards the stream has just ended.
    assert_eq!(results(&rig.submit(receive(), RECEIVE)), [(RECEIVE, 0)]);
}

#[test]
fn a_reset_ends_an_armed_receive() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, false);
    peer.reset();
    assert_eq!(results(&rig.wait()), [(RECEIVE, -ECONNRESET)]);
}

#[test]
fn a_receive_can_end_with_bytes() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, false);
    rig.network.inject(Fault::MultishotEnds);
    peer.write(b"one");
    let last = rig.wait()[0];
    assert!(last.result == 3 && !last.more() && last.buffer_id().is_some());
    peer.write(b"two");
    assert!(rig.poll().is_empty());
    assert_eq!(results(&rig.submit(receive(), RECEIVE)), [(RECEIVE, 3)]);
}

#[test]
fn an_unconnected_socket_has_nothing_to_receive() {
    let mut rig = Rig::new(1);
    rig.buffers(1, 8, false);
    let _socket = rig.kernel.open_stream(CONNECTION, ringline_sim::loopback(1), &OPTIONS).unwrap();
    assert_eq!(results(&rig.submit(receive(), RECEIVE)), [(RECEIVE, -ENOTCONN)]);
}

#[test]
fn the_socket_holds_no_more_than_its_receive_buffer() {
    let network = NetworkOptions { receive_buffer: 10, ..NetworkOptions::default() };
    let mut rig = Rig::with(network, RingOptions::default());
    let peer = rig.connection();
    rig.buffers(8, 8, false);
    peer.write(&[7; 25]);
    rig.settle();
    assert_eq!(peer.in_flight(), 15);
    rig.push(receive(), RECEIVE);
    let total: i32 = rig.settle().iter().map(|completion| completion.result).sum();
    assert_eq!((total, peer.in_flight()), (25, 0));
}

#[test]
fn every_seed_keeps_the_order_of_a_stream() {
    let sent: Vec<u8> = (0..200).collect();
    let mut splits = 0;
    for seed in 0..50 {
        let faults = Faults {
            split_arrival: Chance::per_mille(700),
            latency_ns_max: 5_000,
            delayed_completion: Chance::per_mille(500),
            completion_delay_ns_max: 5_000,
            reordered: true,
            ..Faults::NONE
        };
        let mut rig = Rig::new(seed);
        let peer = rig.receiving(64, 16, true);
        rig.network.set_faults(faults);
        peer.write(&sent[..90]);
        peer.write(&sent[90..]);
        peer.shutdown_write();
        let completions = rig.settle();
        assert_eq!(completions.last().unwrap().result, 0, "seed {seed}");
        let mut used = [0; 64];
        let mut received = Vec::new();
        for completion in &completions[..completions.len() - 1] {
            let id = completion.buffer_id().unwrap();
            let from = &mut used[usize::from(id)];
            received.extend_from_slice(rig.buffer(id, *from, completion.result as usize));
            *from += completion.result as usize;
        }
        assert_eq!(received, sent, "seed {seed}");
        splits += usize::from(completions.len() > 14);
    }
    assert!(splits > 10, "the bytes came in more pieces than buffers demand for only {splits} seeds");
}

#[test]
fn a_receive_that_is_shut_down_ends() {
    let mut rig = Rig::new(1);
    let _peer = rig.receiving(1, 8, false);
    rig.push(Op::Shutdown { file: CONNECTION, direction: ringline_ring::Direction::Both }, SHUTDOWN);
    let completions = results(&rig.settle());
    assert!(completions.contains(&(RECEIVE, 0)) && completions.contains(&(SHUTDOWN, 0)), "{completions:?}");
}
