//! Provided buffers: whole ones, and such that are consumed incrementally.

use std::io::Write;
use std::process::Command;

use ringline_ring::{FileIndex, Kernel, probe};

use crate::fixture::Bench;

const FILE: FileIndex = FileIndex(0);
const LEN: usize = 256;

fn bytes(start: *mut u8, offset: usize, len: usize) -> Vec<u8> {
    // SAFETY: the tests ask only for bytes whose completion they have seen, or that the kernel has no reason to write.
    unsafe { std::slice::from_raw_parts(start.wrapping_add(offset), len) }.to_vec()
}

#[test]
fn a_whole_buffer_is_used_up_by_one_piece() {
    let mut bench = Bench::new();
    let start = bench.provide(2, LEN, false);
    let mut far = bench.connection(FILE);
    let receive = bench.receive(FILE);
    for (id, text) in [(0, b"first".as_slice()), (1, b"then")] {
        far.write_all(text).unwrap();
        let completion = bench.wait_for(receive);
        assert_eq!((completion.result, completion.buffer_id()), (text.len() as i32, Some(id)));
        assert!(completion.more() && !completion.buffer_more());
        assert_eq!(bytes(start, usize::from(id) * LEN, text.len()), text);
    }
}

#[test]
fn a_receive_without_buffers_ends_and_can_be_armed_again() {
    let mut bench = Bench::new();
    let start = bench.provide(1, LEN, false);
    let mut far = bench.connection(FILE);
    let receive = bench.receive(FILE);
    far.write_all(&[1; LEN + 10]).unwrap();
    assert_eq!(bench.wait_for(receive).result, LEN as i32);
    let end = bench.wait_for(receive);
    assert_eq!((end.result, end.more(), end.buffer_id()), (-libc::ENOBUFS, false, None));
    bench.give(start, 0, LEN);
    let receive = bench.receive(FILE);
    assert_eq!(bench.wait_for(receive).result, 10);
}

#[test]
fn a_ring_of_buffers_can_be_gone_round_more_often_than_its_tail_can_count() {
    let mut bench = Bench::new();
    let start = bench.provide(4, LEN, false);
    let mut far = bench.connection(FILE);
    let mut receive = bench.receive(FILE);
    for round in 0..70_000u32 {
        let text = round.to_ne_bytes();
        far.write_all(&text).unwrap();
        let completion = bench.wait_for(receive);
        let id = completion.buffer_id().unwrap();
        assert_eq!(bytes(start, usize::from(id) * LEN, 4), text);
        bench.give(start, id, LEN);
        if !completion.more() {
            receive = bench.receive(FILE);
        }
    }
}

#[test]
fn a_group_of_an_impossible_size_is_refused() {
    let mut bench = Bench::new();
    for entries in [0, 3, 40_000] {
        let error = bench.ring.create_buffer_group(0, entries, false).unwrap_err();
        assert!(error.to_string().contains(&entries.to_string()), "{error}");
    }
    bench.ring.create_buffer_group(0, 4, false).unwrap();
    let taken = bench.ring.create_buffer_group(0, 4, false).unwrap_err();
    assert_eq!(taken.raw_os_error(), Some(libc::EEXIST));
    bench.ring.create_buffer_group(65_535, 1 << 15, false).unwrap();
}

/// A bench with incremental buffers, or none where the kernel has no such thing.
fn incremental(count: u16) -> Option<(Bench, *mut u8)> {
    let mut bench = Bench::new();
    if !bench.ring.incremental_buffers() {
        let refused = bench.ring.create_buffer_group(9, 2, true).unwrap_err();
        assert_eq!(
            refused.raw_os_error(),
            Some(libc::EINVAL),
            "the kernel has incremental buffers that fail the trial"
        );
        return None;
    }
    let start = bench.provide(count, LEN, true);
    Some((bench, start))
}

#[test]
fn incremental_buffer_is_written_once() {
    let Some((mut bench, start)) = incremental(2) else { return };
    // SAFETY: no receive is armed yet, so the kernel writes nothing.
    unsafe { start.write_bytes(0xee, 2 * LEN) };
    let mut far = bench.connection(FILE);
    let receive = bench.receive(FILE);
    let mut offset = 0;
    for piece in [1, 100, 55, 99, 1] {
        let text: Vec<u8> = (0..piece).map(|at| (offset + at) as u8 & 0x7f).collect();
        far.write_all(&text).unwrap();
        let completion = bench.wait_for(receive);
        assert_eq!((completion.result, completion.buffer_id()), (piece as i32, Some(0)));
        offset += piece;
        assert_eq!((completion.more(), completion.buffer_more()), (true, offset < LEN));
        let expected: Vec<u8> = (0..offset).map(|at| at as u8 & 0x7f).collect();
        assert_eq!(bytes(start, 0, offset), expected, "earlier bytes have changed");
        assert!(bytes(start, offset, 2 * LEN - offset).iter().all(|&byte| byte == 0xee), "later bytes were touched");
    }
    far.write_all(b"next").unwrap();
    let completion = bench.wait_for(receive);
    assert_eq!((completion.buffer_id(), completion.buffer_more()), (Some(1), true));
    assert_eq!(bytes(start, LEN, 4), b"next");
}

#[test]
fn an_incremental_buffer_is_shared_by_connections_without_overlap() {
    let Some((mut bench, start)) = incremental(1) else { return };
    let mut one = bench.connection(FileIndex(1));
    let mut two = bench.connection(FileIndex(2));
    let (receive_one, receive_two) = (bench.receive(FileIndex(1)), bench.receive(FileIndex(2)));
    one.write_all(b"aaaa").unwrap();
    assert_eq!(bench.wait_for(receive_one).result, 4);
    two.write_all(b"bbb").unwrap();
    assert_eq!(bench.wait_for(receive_two).result, 3);
    one.write_all(b"cc").unwrap();
    assert_eq!(bench.wait_for(receive_one).result, 2);
    assert_eq!(bytes(start, 0, 9), b"aaaabbbcc");
}

#[test]
fn a_piece_that_crosses_incremental_buffers_is_split_at_the_border() {
    let Some((mut bench, _)) = incremental(2) else { return };
    let mut far = bench.connection(FILE);
    let receive = bench.receive(FILE);
    far.write_all(&[1; LEN - 6]).unwrap();
    assert_eq!(bench.wait_for(receive).result, LEN as i32 - 6);
    far.write_all(&[2; 10]).unwrap();
    let last = bench.wait_for(receive);
    assert_eq!((last.result, last.buffer_id(), last.buffer_more()), (6, Some(0), false));
    let first = bench.wait_for(receive);
    assert_eq!((first.result, first.buffer_id(), first.buffer_more()), (4, Some(1), true));
}

#[test]
fn an_end_of_stream_uses_up_no_incremental_buffer() {
    let Some((mut bench, start)) = incremental(1) else { return };
    for round in 0..8 {
        let mut far = bench.connection(FILE);
        let receive = bench.receive(FILE);
        far.write_all(b"xy").unwrap();
        assert_eq!(bench.wait_for(receive).result, 2);
        drop(far);
        let end = bench.wait_for(receive);
        assert_eq!((end.result, end.more()), (0, false));
        assert!(end.buffer_id().is_none() || end.buffer_more(), "the end of the stream gave the buffer back: {end:?}");
        assert_eq!(bytes(start, 0, 2 * round + 2), b"xy".repeat(round + 1));
    }
}

#[test]
fn a_cancelled_receive_uses_up_no_incremental_buffer() {
    let Some((mut bench, start)) = incremental(1) else { return };
    let mut far = bench.connection(FILE);
    for round in 0..4 {
        let receive = bench.receive(FILE);
        far.write_all(b"z").unwrap();
        assert_eq!(bench.wait_for(receive).result, 1);
        bench.push(ringline_ring::Op::Cancel { target: receive });
        let end = bench.wait_for(receive);
        assert_eq!((end.result, end.buffer_id()), (-libc::ECANCELED, None));
        assert_eq!(bytes(start, 0, round + 1), b"z".repeat(round + 1));
    }
}

const SWITCH: &str = "RINGLINE_NO_INCREMENTAL_BUFFERS";

/// Run by the next test in a process of its own, and here as it is.
#[test]
fn incremental_buffers_are_used_where_they_work_unless_switched_off() {
    let usable = probe().unwrap().incremental_buffers;
    let refused = Bench::new().ring.create_buffer_group(0, 2, true).is_err();
    assert_eq!(usable, !refused && std::env::var_os(SWITCH).is_none());
}

#[test]
fn an_environment_variable_switches_incremental_buffers_off() {
    let name = "buffers::incremental_buffers_are_used_where_they_work_unless_switched_off";
    let child = Command::new(std::env::current_exe().unwrap()).args(["--exact", name]).env(SWITCH, "1").output();
    let child = child.unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
}
