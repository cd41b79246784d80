//! How a connection with an armed receive can and cannot be closed, and what happens to a reused slot.

use std::io::Write;
use std::net::TcpStream;

use ringline_ring::{Direction, FileIndex, Kernel, Op};

use crate::fixture::{Bench, PATIENCE, QUIET, sees_fin};

const FILE: FileIndex = FileIndex(3);

fn armed() -> (Bench, TcpStream, ringline_ring::Tag) {
    let mut bench = Bench::new();
    bench.provide(4, 1024, false);
    let far = bench.connection(FILE);
    let receive = bench.receive(FILE);
    (bench, far, receive)
}

#[test]
fn closing_with_an_armed_receive_sends_no_fin() {
    let (mut bench, mut far, receive) = armed();
    let close = bench.push(Op::Close { file: FILE });
    assert_eq!(bench.wait_for(close).result, 0);
    assert!(!sees_fin(&mut far, QUIET), "the receive no longer keeps the socket open: a close alone would do");
    // And it can still be cancelled by its tag, which then lets the socket go.
    let cancel = bench.push(Op::Cancel { target: receive });
    assert_eq!(bench.wait_for(cancel).result, 0);
    assert_eq!(bench.wait_for(receive).result, -libc::ECANCELED);
    assert!(sees_fin(&mut far, PATIENCE));
}

#[test]
fn cancel_then_close_sends_fin() {
    let (mut bench, mut far, receive) = armed();
    let cancel = bench.push(Op::Cancel { target: receive });
    let ended = bench.wait_for(receive);
    assert_eq!((ended.result, ended.more()), (-libc::ECANCELED, false));
    assert_eq!(bench.wait_for(cancel).result, 0);
    let close = bench.push(Op::Close { file: FILE });
    assert_eq!(bench.wait_for(close).result, 0);
    assert!(sees_fin(&mut far, PATIENCE));
}

#[test]
fn cancel_and_close_in_one_batch_complete_before_the_receive() {
    let (mut bench, mut far, receive) = armed();
    let cancel = bench.push(Op::Cancel { target: receive });
    let close = bench.push(Op::Close { file: FILE });
    let last = bench.wait_for(receive);
    assert_eq!(last.result, -libc::ECANCELED);
    // The receive was taken out of the middle of what was seen: the others came before it.
    let earlier: Vec<_> = bench.seen.iter().map(|completion| (completion.tag, completion.result)).collect();
    assert_eq!(earlier, [(cancel, 0), (close, 0)]);
    assert!(sees_fin(&mut far, PATIENCE));
}

#[test]
fn cancelling_what_has_ended_finds_nothing() {
    let (mut bench, far, receive) = armed();
    drop(far);
    assert_eq!(bench.wait_for(receive).result, 0);
    let cancel = bench.push(Op::Cancel { target: receive });
    assert_eq!(bench.wait_for(cancel).result, -libc::ENOENT);
}

#[test]
fn shutdown_and_close_in_one_batch_may_send_no_fin() {
    let (mut bench, mut far, _receive) = armed();
    let shutdown = bench.push(Op::Shutdown { file: FILE, direction: Direction::Both });
    let close = bench.push(Op::Close { file: FILE });
    assert_eq!(bench.wait_for(close).result, 0);
    // Either the close runs first and the shutdown finds no file, or the shutdown had already taken the file.
    match bench.wait_for(shutdown).result {
        0 => assert!(sees_fin(&mut far, PATIENCE)),
        refused => {
            assert_eq!(refused, -libc::EBADF);
            assert!(!sees_fin(&mut far, QUIET));
        }
    }
}

#[test]
fn shutdown_of_the_write_side_sends_fin_and_receiving_goes_on() {
    let (mut bench, mut far, receive) = armed();
    let shutdown = bench.push(Op::Shutdown { file: FILE, direction: Direction::Write });
    assert_eq!(bench.wait_for(shutdown).result, 0);
    assert!(sees_fin(&mut far, PATIENCE));
    far.write_all(b"still here").unwrap();
    let received = bench.wait_for(receive);
    assert_eq!((received.result, received.more()), (10, true));
}

#[test]
fn shutdown_of_both_sides_ends_an_armed_receive() {
    let (mut bench, mut far, receive) = armed();
    let shutdown = bench.push(Op::Shutdown { file: FILE, direction: Direction::Both });
    assert_eq!(bench.wait_for(shutdown).result, 0);
    let end = bench.wait_for(receive);
    assert_eq!((end.result, end.more(), end.buffer_id()), (0, false, None));
    assert!(sees_fin(&mut far, PATIENCE));
}

#[test]
fn a_receive_of_the_slots_past_owner_completes_under_its_old_tag() {
    let (mut bench, mut old, old_receive) = armed();
    let close = bench.push(Op::Close { file: FILE });
    assert_eq!(bench.wait_for(close).result, 0);
    let mut new = bench.connection(FILE);
    let new_receive = bench.receive(FILE);
    old.write_all(b"late").unwrap();
    assert_eq!(bench.wait_for(old_receive).result, 4);
    new.write_all(b"fresh").unwrap();
    assert_eq!(bench.wait_for(new_receive).result, 5);
}

#[test]
fn closing_an_empty_slot_is_an_error_and_harms_nothing() {
    let mut bench = Bench::new();
    let close = bench.push(Op::Close { file: FILE });
    assert_eq!(bench.wait_for(close).result, -libc::EBADF);
}

#[test]
fn a_listener_that_is_cancelled_and_closed_refuses_connections() {
    let mut bench = Bench::new();
    let bound = bench.ring.listen(FILE, crate::fixture::loopback(), &crate::fixture::OPTIONS).unwrap().1;
    let accept = bench.push(Op::AcceptMultishot { listener: FILE });
    bench.poll();
    bench.push(Op::Cancel { target: accept });
    let close = bench.push(Op::Close { file: FILE });
    assert_eq!(bench.wait_for(accept).result, -libc::ECANCELED);
    assert_eq!(bench.wait_for(close).result, 0);
    let refused = TcpStream::connect(bound).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}
