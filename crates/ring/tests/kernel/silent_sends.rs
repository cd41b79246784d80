//! Silent sends: none that is whole completes, every other one does and ends the wait, and all are over after the enter.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringline_ring::{Entered, FileIndex, Kernel, Op, PinnedBytes, RingSettings, SubmissionPolling, Tag, Wait};

use crate::fixture::{Bench, PATIENCE, QUIET};

const FILE: FileIndex = FileIndex(0);
const OTHER: FileIndex = FileIndex(1);
/// No multiple of anything that the kernel counts in.
const PIECE: usize = 250_007;
static BYTES: [u8; PIECE] = [7; PIECE];

/// Queues a silent send of the first `len` bytes.
fn push_silent(bench: &mut Bench, file: FileIndex, len: usize) -> Tag {
    let number = bench.next_tag();
    let tag = Tag::new(Tag::SILENT, number.slot(), number.generation());
    // SAFETY: the bytes are static.
    let bytes = unsafe { PinnedBytes::new(BYTES.as_ptr(), len as u32) };
    bench.ring.push(Op::SendSilently { file, bytes }, tag).unwrap();
    tag
}

/// The tags that wait to be taken.
fn waiting(bench: &mut Bench) -> Vec<Tag> {
    let mut tags = Vec::new();
    bench.ring.look(|tag| tags.push(tag));
    tags
}

/// Everything that has completed.
fn taken(bench: &mut Bench) -> Vec<(Tag, i32)> {
    bench.collect();
    bench.seen.drain(..).map(|completion| (completion.tag, completion.result)).collect()
}

/// Sends until nothing more is taken; the bytes that were.
fn fill(bench: &mut Bench, file: FileIndex) -> usize {
    let mut taken = 0;
    loop {
        // SAFETY: the bytes are static.
        let bytes = unsafe { PinnedBytes::new(BYTES.as_ptr(), PIECE as u32) };
        let tag = bench.push(Op::Send { file, bytes });
        match bench.wait_for(tag).result {
            count @ 1.. => taken += count as usize,
            error => {
                assert_eq!(error, -libc::EAGAIN);
                return taken;
            }
        }
    }
}

/// What the other side reads until nothing more comes.
fn drain(far: &mut TcpStream) -> usize {
    far.set_read_timeout(Some(QUIET)).unwrap();
    let (mut buffer, mut read) = (vec![0; 1 << 20], 0);
    while let Ok(count) = far.read(&mut buffer) {
        read += count;
    }
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    read
}

#[test]
fn b16_whole_sends_do_not_complete_and_end_no_wait() {
    let mut bench = Bench::new();
    let mut far = bench.connection(FILE);
    let bell = bench.push(Op::PollDoorbell);
    bench.poll();
    push_silent(&mut bench, FILE, 10);
    push_silent(&mut bench, FILE, 20);
    let doorbell = bench.ring.doorbell();
    // Rings only after both have arrived.
    let ringer = std::thread::spawn(move || {
        far.read_exact(&mut [0; 30]).unwrap();
        std::thread::sleep(QUIET);
        doorbell.ring();
        far
    });
    assert_eq!(bench.ring.enter(Wait::Forever).unwrap(), Entered::Done);
    assert_eq!(taken(&mut bench), [(bell, i32::from(libc::POLLIN))], "one wait saw all of it");
    ringer.join().unwrap();
}

#[test]
fn b3_a_refused_send_completes_and_ends_the_wait() {
    let mut bench = Bench::new();
    let mut far = bench.connection(FILE);
    let sent = fill(&mut bench, FILE);
    let refused = push_silent(&mut bench, FILE, 1);
    bench.ring.enter(Wait::Forever).unwrap();
    assert_eq!(waiting(&mut bench), [refused]);
    assert_eq!(waiting(&mut bench), [refused], "looking takes nothing");
    assert_eq!(taken(&mut bench), [(refused, -libc::EAGAIN)]);
    assert_eq!(waiting(&mut bench), []);
    assert_eq!(drain(&mut far), sent);
}

#[test]
fn b6_a_short_send_completes_and_counts_what_was_taken() {
    let mut bench = Bench::new();
    let mut far = bench.connection(FILE);
    // Where the kernel's memory for a socket ends, a send is refused as a whole or taken in part: it is tried until one is
    // taken in part.
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0;
    loop {
        let tag = push_silent(&mut bench, FILE, PIECE);
        assert_eq!(bench.ring.enter(Wait::Poll).unwrap(), Entered::Done);
        match taken(&mut bench)[..] {
            [] => sent += PIECE,
            [(completed, count @ 1..)] => {
                assert!(completed == tag && count < PIECE as i32, "{count}");
                sent += count as usize;
                break;
            }
            [(_, refused)] => {
                assert_eq!(refused, -libc::EAGAIN);
                far.read_exact(&mut vec![0; PIECE]).unwrap();
                sent -= PIECE;
            }
            ref more => panic!("{more:?}"),
        }
        assert!(Instant::now() < deadline, "no send was taken in part");
    }
    assert_eq!(drain(&mut far), sent, "every byte that was counted arrives, and no other");
}

#[test]
fn b10_a_send_that_fails_completes_with_the_error() {
    let mut bench = Bench::new();
    drop(bench.connection(FILE));
    let deadline = Instant::now() + PATIENCE;
    // The first ones reach a socket that is closed, which answers with a reset.
    loop {
        let tag = push_silent(&mut bench, FILE, 1);
        assert_eq!(bench.ring.enter(Wait::Poll).unwrap(), Entered::Done);
        if let [(completed, error)] = taken(&mut bench)[..] {
            assert_eq!(completed, tag);
            assert!([-libc::EPIPE, -libc::ECONNRESET].contains(&error), "{error}");
            break;
        }
        assert!(Instant::now() < deadline, "no send failed");
    }
    let nowhere = push_silent(&mut bench, OTHER, 1);
    bench.ring.enter(Wait::Forever).unwrap();
    assert_eq!(taken(&mut bench), [(nowhere, -libc::EBADF)]);
}

#[test]
fn one_send_that_is_not_whole_ends_the_wait_for_all_and_alone_completes() {
    let mut bench = Bench::new();
    let _stuck = bench.connection(FILE);
    let mut far = bench.connection(OTHER);
    fill(&mut bench, FILE);
    push_silent(&mut bench, OTHER, 5);
    let refused = push_silent(&mut bench, FILE, 1);
    push_silent(&mut bench, OTHER, 6);
    assert_eq!(bench.ring.enter(Wait::Forever).unwrap(), Entered::Done);
    assert_eq!(taken(&mut bench), [(refused, -libc::EAGAIN)]);
    far.read_exact(&mut [0; 11]).unwrap();
}

#[test]
fn a_full_queue_is_submitted_to_make_room() {
    let mut bench = Bench::with(RingSettings::new(2, 4));
    let mut far = bench.connection(FILE);
    for _ in 0..50 {
        push_silent(&mut bench, FILE, 3);
    }
    assert_eq!(bench.ring.enter(Wait::Poll).unwrap(), Entered::Done);
    assert_eq!(taken(&mut bench), []);
    far.read_exact(&mut [0; 150]).unwrap();
}

#[test]
fn b15_completions_beyond_the_queue_are_told_of_and_none_is_lost() {
    let mut bench = Bench::with(RingSettings::new(2, 4));
    let _stuck = bench.connection(FILE);
    fill(&mut bench, FILE);
    let refused: Vec<_> = (0..50).map(|_| (push_silent(&mut bench, FILE, 1), -libc::EAGAIN)).collect();
    assert_eq!(bench.ring.enter(Wait::Forever).unwrap(), Entered::Backpressure, "more than is in the queue");
    let mut all = taken(&mut bench);
    assert!(all.len() < refused.len());
    while bench.ring.enter(Wait::Poll).unwrap() == Entered::Backpressure {
        all.extend(taken(&mut bench));
    }
    all.extend(taken(&mut bench));
    assert_eq!(all, refused);
}

#[test]
fn a_ring_that_is_dropped_with_silent_sends_waits_for_nothing() {
    for submitted in [false, true] {
        let mut bench = Bench::new();
        let _far = bench.connection(FILE);
        fill(&mut bench, FILE);
        push_silent(&mut bench, FILE, 1);
        if submitted {
            bench.ring.enter(Wait::Poll).unwrap();
        }
        let start = Instant::now();
        drop(bench);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
}

#[test]
fn rings_with_a_submission_thread_take_no_silent_sends() {
    assert!(Bench::new().ring.takes_silent_sends());
    let polling = SubmissionPolling { idle_ms: 1, cpu: None };
    assert!(!Bench::with(RingSettings { sqpoll: Some(polling), ..RingSettings::new(8, 4) }).ring.takes_silent_sends());
}
