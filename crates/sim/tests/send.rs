//! Sends, polls for room, and what the peer gets of it.

mod rig;

use libc::{EAGAIN, ECONNRESET, ENOTCONN, EPIPE, POLLERR, POLLHUP, POLLOUT, POLLRDHUP};
use rig::*;
use ringline_ring::{Kernel, Op, PinnedBytes, PinnedMessage, Wait};
use ringline_sim::{Chance, Fault, Faults, NetworkOptions, RingOptions};

fn small() -> Rig {
    let network = NetworkOptions { send_buffer: 10, window: 20, ..NetworkOptions::default() };
    Rig::with(network, RingOptions::default())
}

#[test]
fn a_send_with_room_is_taken_whole() {
    let mut rig = Rig::new(1);
    let peer = rig.connection();
    assert_eq!(rig.send(b"hello"), 5);
    assert_eq!(peer.read(), b"hello");
    assert_eq!(rig.send(b""), 0);
}

#[test]
fn b6_a_send_is_short_when_the_room_ends_and_refused_when_there_is_none() {
    let mut rig = small();
    let peer = rig.connection();
    assert_eq!(rig.send(&[1; 50]), 30);
    assert_eq!(rig.send(&[2; 50]), -EAGAIN);
    assert_eq!(peer.read_up_to(5), [1; 5]);
    assert_eq!(rig.send(&[2; 50]), 5);
    let mut all = peer.read();
    all.extend(peer.read());
    assert_eq!(all, [vec![1; 25], vec![2; 5]].concat());
}

#[test]
fn b3_a_silent_send_completes_and_ends_the_wait_when_it_was_not_whole() {
    let mut rig = small();
    let peer = rig.connection();
    assert_eq!(rig.send_silently(&[1; 50], Wait::Forever), [(SILENT, 30)]);
    assert_eq!(rig.send_silently(&[1; 50], Wait::Forever), [(SILENT, -EAGAIN)]);
    assert_eq!(peer.read().len(), 20);
    assert_eq!(rig.send_silently(&[2; 5], Wait::AtMost(1_000_000)), [], "the wait went on to its end");
    assert_eq!(rig.send_silently(&[3; 4], Wait::Poll), []);
    assert_eq!(peer.read(), [[1; 10].as_slice(), &[2; 5], &[3; 4]].concat());
}

#[test]
fn looking_leaves_completions_where_they_are() {
    let mut rig = small();
    rig.connection();
    rig.send(&[1; 30]);
    // SAFETY: the bytes are static.
    let bytes = unsafe { PinnedBytes::new(b"?".as_ptr(), 1) };
    rig.kernel.push(Op::SendSilently { file: CONNECTION, bytes }, SILENT).unwrap();
    rig.kernel.enter(Wait::Forever).unwrap();
    let mut tags = Vec::new();
    rig.kernel.look(|tag| tags.push(tag));
    assert_eq!(tags, [SILENT]);
    assert_eq!(rig.kernel.next_completion().map(|completion| completion.tag), Some(SILENT));
    rig.kernel.look(|tag| panic!("{tag:?} was taken"));
}

#[test]
fn b3_a_poll_completes_once_when_there_is_room_again() {
    let mut rig = small();
    let peer = rig.connection();
    rig.send(&[1; 30]);
    assert!(rig.submit(Op::PollWritable { file: CONNECTION }, POLL).is_empty());
    peer.read_up_to(5);
    assert!(rig.poll().is_empty(), "less than a third is free");
    peer.read_up_to(5);
    let completions = rig.wait();
    assert_eq!(results(&completions), [(POLL, i32::from(POLLOUT))]);
    assert!(!completions[0].more());
    peer.read();
    assert!(rig.poll().is_empty());
}

#[test]
fn a_poll_of_a_half_closed_connection_completes_each_time_without_room() {
    let mut rig = small();
    let peer = rig.connection();
    rig.send(&[1; 30]);
    rig.push(Op::PollWritable { file: CONNECTION }, POLL);
    peer.shutdown_write();
    assert_eq!(results(&rig.wait()), [(POLL, i32::from(POLLRDHUP))]);
    assert_eq!(rig.send(&[1; 30]), -EAGAIN);
    assert_eq!(results(&rig.submit(Op::PollWritable { file: CONNECTION }, POLL)), [(POLL, i32::from(POLLRDHUP))]);
    peer.read();
    let polled = rig.submit(Op::PollWritable { file: CONNECTION }, POLL);
    assert_eq!(results(&polled), [(POLL, i32::from(POLLOUT | POLLRDHUP))]);
}

#[test]
fn a_closed_window_stops_sends_until_it_opens() {
    let mut rig = small();
    let peer = rig.connection();
    peer.set_window(0);
    assert_eq!(rig.send(&[1; 50]), 10);
    assert_eq!(rig.send(&[1; 50]), -EAGAIN);
    assert_eq!(peer.unread(), 0);
    peer.set_window(100);
    assert_eq!(peer.read().len(), 10);
    assert_eq!(rig.send(&[1; 50]), 50);
}

#[test]
fn a_message_is_sent_in_the_order_of_its_pieces() {
    let mut rig = Rig::new(1);
    let peer = rig.connection();
    let pieces = [&b"one "[..], b"", b"two ", b"three"];
    let mut vectors =
        pieces.map(|piece| libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() });
    // SAFETY: a message header is plain data, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = vectors.as_mut_ptr();
    header.msg_iovlen = vectors.len();
    // SAFETY: header, vectors and bytes outlive the call in which the send completes.
    let message = unsafe { PinnedMessage::new(&raw const header) };
    assert_eq!(results(&rig.submit(Op::SendMessage { file: CONNECTION, message }, SEND)), [(SEND, 13)]);
    assert_eq!(peer.read(), b"one two three");
}

#[test]
fn b2_fin_comes_after_the_last_byte() {
    let mut rig = small();
    let peer = rig.connection();
    rig.send(&[1; 30]);
    rig.push(shutdown(), SHUTDOWN);
    assert_eq!(results(&rig.settle()), [(SHUTDOWN, 0)]);
    assert!(!peer.sees_end());
    assert_eq!(peer.read().len(), 20);
    assert!(!peer.sees_end());
    assert_eq!(peer.read().len(), 10);
    assert!(peer.sees_end());
    assert_eq!(rig.send(b"late"), -EPIPE);
}

#[test]
fn a16_a_half_closed_peer_still_gets_the_response() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, false);
    peer.shutdown_write();
    assert_eq!(results(&rig.wait()), [(RECEIVE, 0)]);
    assert_eq!(rig.send(b"response"), 8);
    assert_eq!(peer.read(), b"response");
}

#[test]
fn a_reset_is_told_once_and_then_the_pipe_is_broken() {
    let mut rig = Rig::new(1);
    let peer = rig.connection();
    peer.reset();
    rig.poll();
    let polled = rig.submit(Op::PollWritable { file: CONNECTION }, POLL);
    assert_eq!(results(&polled), [(POLL, i32::from(POLLOUT | POLLERR | POLLHUP | POLLRDHUP))]);
    assert_eq!(rig.send(b"x"), -ECONNRESET);
    assert_eq!(rig.send(b"x"), -EPIPE);
}

#[test]
fn a_reset_after_the_end_of_the_stream_breaks_sends_only() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, false);
    peer.shutdown_write();
    rig.wait();
    peer.reset();
    rig.poll();
    assert_eq!(results(&rig.submit(receive(), RECEIVE)), [(RECEIVE, 0)]);
    assert_eq!(rig.send(b"x"), -EPIPE);
}

#[test]
fn a_connection_that_has_ended_in_both_directions_cannot_be_shut_down() {
    let mut rig = Rig::new(1);
    let peer = rig.connection();
    rig.push(shutdown(), SHUTDOWN);
    assert_eq!(results(&rig.settle()), [(SHUTDOWN, 0)]);
    peer.shutdown_write();
    rig.poll();
    rig.push(shutdown(), SHUTDOWN);
    assert_eq!(results(&rig.settle()), [(SHUTDOWN, -ENOTCONN)]);
}

#[test]
fn bytes_for_a_closed_peer_are_answered_with_a_reset() {
    let mut rig = Rig::new(1);
    let peer = rig.connection();
    peer.close();
    rig.poll();
    assert_eq!(rig.send(b"taken by the kernel"), 19);
    rig.poll();
    // The peer had already sent FIN: Linux then says EPIPE instead of ECONNRESET.
    assert_eq!(rig.send(b"x"), -EPIPE);
}

#[test]
fn injected_short_and_refused_sends_come_once() {
    let mut rig = Rig::new(1);
    let peer = rig.connection();
    rig.network.inject(Fault::ShortSend(3));
    rig.network.inject(Fault::RefusedSend);
    assert_eq!(rig.send(b"abcdef"), -EAGAIN);
    assert_eq!(rig.send(b"abcdef"), 3);
    assert_eq!(rig.send(b"def"), 3);
    assert_eq!(peer.read(), b"abcdef");
}

#[test]
fn a_poll_can_complete_without_room() {
    let mut rig = small();
    let _peer = rig.connection();
    rig.send(&[1; 30]);
    rig.network.set_faults(Faults { spurious_writable: Chance::ALWAYS, ..Faults::NONE });
    assert_eq!(results(&rig.submit(Op::PollWritable { file: CONNECTION }, POLL)), [(POLL, i32::from(POLLOUT))]);
    assert_eq!(rig.send(&[1; 30]), -EAGAIN);
}

#[test]
fn a_wait_is_not_ended_by_the_completion_of_a_send() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(2, 8, false);
    let later = peer.clone();
    rig.network.schedule(5_000_000, move |_| {
        later.write(b"reply");
    });
    let bytes = b"request";
    // SAFETY: the bytes are static.
    let pinned = unsafe { ringline_ring::PinnedBytes::new(bytes.as_ptr(), 7) };
    rig.push(Op::Send { file: CONNECTION, bytes: pinned }, SEND);
    let (_, completions) = rig.enter(Wait::Forever);
    assert_eq!(results(&completions), [(SEND, 7), (RECEIVE, 5)]);
}
