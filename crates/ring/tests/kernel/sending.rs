//! Sends that never wait: they complete while they are submitted, whole, short or with EAGAIN.

use std::io::Read;

use ringline_ring::{FileIndex, Kernel, Op, PinnedBytes, PinnedMessage, Wait};

use crate::fixture::{Bench, PATIENCE};

const FILE: FileIndex = FileIndex(0);
/// No multiple of anything that the kernel counts in.
const PIECE: usize = 250_007;

fn send(file: FileIndex, bytes: &'static [u8]) -> Op {
    // SAFETY: the bytes are static.
    Op::Send { file, bytes: unsafe { PinnedBytes::new(bytes.as_ptr(), bytes.len() as u32) } }
}

static BYTES: [u8; PIECE] = [7; PIECE];

#[test]
fn send_dontwait_completes_inline_with_eagain() {
    let mut bench = Bench::new();
    let mut far = bench.connection(FILE);
    let mut taken = 0;
    let refused = loop {
        let tag = bench.push(send(FILE, &BYTES));
        // The submission alone, which waits for nothing, must bring the completion.
        bench.ring.enter(Wait::Poll).unwrap();
        assert_eq!(bench.collect(), 1);
        let completion = bench.seen.pop_front().unwrap();
        assert_eq!(completion.tag, tag);
        match completion.result {
            count @ 1.. => taken += count as usize,
            error => break error,
        }
    };
    assert_eq!(refused, -libc::EAGAIN);
    // Whether the last one is short depends on where the kernel's memory for the socket ends.
    assert!(taken > PIECE, "{taken} bytes were taken");

    // No room: a poll for it waits. Room again: the poll completes, once.
    let writable = bench.push(Op::PollWritable { file: FILE });
    bench.poll();
    assert!(bench.seen.is_empty());
    far.read_exact(&mut vec![0; taken]).unwrap();
    let completion = bench.wait_for(writable);
    assert!(completion.result & i32::from(libc::POLLOUT) != 0 && !completion.more());
    let again = bench.push(send(FILE, &BYTES[..1000]));
    assert_eq!(bench.wait_for(again).result, 1000);
}

#[test]
fn b16_every_send_posts_a_completion_of_its_own() {
    let mut bench = Bench::new();
    let _far = bench.connection(FILE);
    let tags: Vec<_> = (1..=8).map(|len| (bench.push(send(FILE, &BYTES[..len])), len)).collect();
    bench.poll();
    let seen: Vec<_> = bench.seen.drain(..).map(|completion| (completion.tag, completion.result as usize)).collect();
    assert_eq!(seen, tags, "memory of a send whose completion is skipped could never be used again");
}

#[test]
fn gathered_sends_behave_the_same() {
    let mut bench = Bench::new();
    let mut far = bench.connection(FILE);
    let parts = [b"one ".as_slice(), b"message"];
    let mut vectors = parts.map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
    // SAFETY: a msghdr is numbers and pointers, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = vectors.as_mut_ptr();
    header.msg_iovlen = vectors.len() as _;
    // SAFETY: the header and what it names live until the send has completed.
    let tag = bench.push(Op::SendMessage { file: FILE, message: unsafe { PinnedMessage::new(&raw const header) } });
    bench.ring.enter(Wait::Poll).unwrap();
    assert_eq!(bench.collect(), 1);
    assert_eq!((bench.seen[0].tag, bench.seen[0].result), (tag, 11));
    let mut got = [0; 11];
    far.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"one message");
}

#[test]
fn sending_to_a_peer_that_has_gone_is_an_error_and_no_signal() {
    let mut bench = Bench::new();
    let far = bench.connection(FILE);
    drop(far);
    let deadline = std::time::Instant::now() + PATIENCE;
    // The first sends may still be taken; the peer answers them with RST. SIGPIPE would end this process.
    let error = loop {
        let tag = bench.push(send(FILE, b"x"));
        match bench.wait_for(tag).result {
            1 => assert!(std::time::Instant::now() < deadline),
            error => break -error,
        }
    };
    assert!([libc::EPIPE, libc::ECONNRESET].contains(&error), "{error}");
}

#[test]
fn sends_of_one_batch_reach_the_peer_in_order() {
    let mut bench = Bench::new();
    let mut far = bench.connection(FILE);
    static DIGITS: [u8; 10] = *b"0123456789";
    // More than the queue holds, so that some are submitted by `push`.
    for _ in 0..10 {
        for at in 0..10 {
            bench.push(send(FILE, &DIGITS[at..=at]));
        }
    }
    bench.poll();
    let mut got = [0; 100];
    far.read_exact(&mut got).unwrap();
    assert!(got.chunks(10).all(|run| run == DIGITS));
}
