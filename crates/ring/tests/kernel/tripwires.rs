//! Sends with tripwires: a wait that counts them ends when one is not whole, and does not when all are.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringline_ring::{FileIndex, Kernel, Op, PinnedBytes, RingSettings, SubmissionPolling, Tag, Wait};

use crate::fixture::{Bench, PATIENCE, QUIET};

const FILE: FileIndex = FileIndex(0);
const OTHER: FileIndex = FileIndex(1);
/// No multiple of anything that the kernel counts in.
const PIECE: usize = 250_007;
static BYTES: [u8; PIECE] = [7; PIECE];

/// Queues a send of the first `len` bytes with a tripwire behind it.
fn push_wired(bench: &mut Bench, file: FileIndex, len: usize) -> Tag {
    let tag = bench.next_tag();
    // SAFETY: the bytes are static.
    let bytes = unsafe { PinnedBytes::new(BYTES.as_ptr(), len as u32) };
    bench.ring.push_chain(&[(Op::SendWhole { file, bytes }, tag), (Op::Tripwire, Tag::TRIPWIRE)]).unwrap();
    tag
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
fn b16_a_whole_send_posts_its_own_completion_and_its_tripwire_none() {
    let mut bench = Bench::new();
    let mut far = bench.connection(FILE);
    let bell = bench.push(Op::PollDoorbell);
    bench.poll();
    let sends = [push_wired(&mut bench, FILE, 10), push_wired(&mut bench, FILE, 20)];
    let doorbell = bench.ring.doorbell();
    // Rings only after both have completed.
    let ringer = std::thread::spawn(move || {
        far.read_exact(&mut [0; 30]).unwrap();
        std::thread::sleep(QUIET);
        doorbell.ring();
        far
    });
    bench.ring.enter(Wait::Forever).unwrap();
    bench.collect();
    let seen: Vec<_> = bench.seen.drain(..).map(|completion| (completion.tag, completion.result)).collect();
    assert_eq!(seen, [(sends[0], 10), (sends[1], 20), (bell, i32::from(libc::POLLIN))], "one wait saw all of it");
    ringer.join().unwrap();
}

#[test]
fn b3_a_refused_send_ends_the_wait() {
    let mut bench = Bench::new();
    let mut far = bench.connection(FILE);
    let taken = fill(&mut bench, FILE);
    let refused = push_wired(&mut bench, FILE, 1);
    bench.ring.enter(Wait::Forever).unwrap();
    bench.collect();
    let seen: Vec<_> = bench.seen.drain(..).map(|completion| (completion.tag, completion.result)).collect();
    assert_eq!(seen, [(refused, -libc::EAGAIN), (Tag::TRIPWIRE, -libc::ECANCELED)]);
    assert_eq!(drain(&mut far), taken);
}

#[test]
fn b6_a_short_send_ends_the_wait_and_counts_what_was_taken() {
    let mut bench = Bench::new();
    let mut far = bench.connection(FILE);
    // Where the kernel's memory for a socket ends, a send is refused as a whole or taken in part: it is tried until one is
    // taken in part.
    let deadline = Instant::now() + PATIENCE;
    let mut taken = 0;
    loop {
        let tag = push_wired(&mut bench, FILE, PIECE);
        bench.poll();
        let result = bench.wait_for(tag).result;
        let broken = result != PIECE as i32;
        assert_eq!(bench.next_within(Tag::TRIPWIRE, Duration::ZERO).is_some(), broken, "{result}");
        taken += usize::try_from(result).unwrap_or(0);
        if broken && result > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "no send was taken in part");
        if broken {
            assert_eq!(result, -libc::EAGAIN);
            far.read_exact(&mut vec![0; PIECE]).unwrap();
            taken -= PIECE;
        }
    }
    assert_eq!(drain(&mut far), taken, "every byte that was counted arrives, and no other");
}

#[test]
fn one_send_that_is_not_whole_ends_the_wait_for_all() {
    let mut bench = Bench::new();
    let _stuck = bench.connection(FILE);
    let mut far = bench.connection(OTHER);
    fill(&mut bench, FILE);
    let sends = [push_wired(&mut bench, OTHER, 5), push_wired(&mut bench, FILE, 1), push_wired(&mut bench, OTHER, 6)];
    bench.ring.enter(Wait::Forever).unwrap();
    assert_eq!(bench.collect(), 4);
    assert_eq!(sends.map(|tag| bench.wait_for(tag).result), [5, -libc::EAGAIN, 6]);
    assert_eq!(bench.wait_for(Tag::TRIPWIRE).result, -libc::ECANCELED);
    far.read_exact(&mut [0; 11]).unwrap();
}

#[test]
fn a_full_queue_takes_the_send_and_its_tripwire_together() {
    let mut bench = Bench::with(RingSettings::new(2, 4));
    let mut far = bench.connection(FILE);
    let sends: Vec<_> = (0..50).map(|_| push_wired(&mut bench, FILE, 3)).collect();
    for tag in sends {
        assert_eq!(bench.wait_for(tag).result, 3);
    }
    assert!(bench.seen.is_empty());
    far.read_exact(&mut [0; 150]).unwrap();
}

#[test]
fn a_ring_that_is_dropped_with_tripwires_waits_for_nothing() {
    for submitted in [false, true] {
        let mut bench = Bench::new();
        let _far = bench.connection(FILE);
        fill(&mut bench, FILE);
        push_wired(&mut bench, FILE, 1);
        if submitted {
            bench.ring.enter(Wait::Poll).unwrap();
        }
        let start = Instant::now();
        drop(bench);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
}

#[test]
fn rings_whose_waits_count_nothing_take_no_tripwires() {
    assert!(Bench::new().ring.takes_tripwires());
    let polling = SubmissionPolling { idle_ms: 1, cpu: None };
    assert!(!Bench::with(RingSettings { sqpoll: Some(polling), ..RingSettings::new(8, 4) }).ring.takes_tripwires());
    assert!(!Bench::with(RingSettings::new(1, 4)).ring.takes_tripwires(), "there is no room for two");
}
