//! Chains of sends: one after the other, each waiting for room, and a failing link cancels those behind it.

use std::io::Read;

use ringline_ring::{Completion, FileIndex, Kernel, Op, PinnedMessage, QueueFull, RingSettings, Tag, Wait};

use crate::fixture::{Bench, EMPTY};

const FILE: FileIndex = FileIndex(0);
/// More than a socket takes while nobody reads.
const LARGE: usize = 8 << 20;

/// Messages of one vector each, at places that last as long as the test.
struct Messages {
    headers: Box<[libc::msghdr]>,
    _vectors: Box<[libc::iovec]>,
}

impl Messages {
    fn new(parts: &[&'static [u8]]) -> Self {
        let vector = |part: &&[u8]| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
        let mut vectors: Box<[_]> = parts.iter().map(vector).collect();
        let header = |vector: &mut libc::iovec| {
            // SAFETY: a msghdr is numbers and pointers, for which zero is a value.
            let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header
        };
        Self { headers: vectors.iter_mut().map(header).collect(), _vectors: vectors }
    }

    /// The links of a chain, with the tags 1, 2, …
    fn chain(&self) -> Vec<(Op, Tag)> {
        let link = |(header, number): (&libc::msghdr, u32)| {
            // SAFETY: header, vector and bytes outlive the ring of the test.
            let message = unsafe { PinnedMessage::new(header) };
            (Op::SendMessageAll { file: FILE, message }, tag(number))
        };
        self.headers.iter().zip(1..).map(link).collect()
    }
}

fn tag(number: u32) -> Tag {
    Tag::new(1, 0, 1000 + number)
}

fn results(bench: &mut Bench, count: u32) -> Vec<i32> {
    (1..=count).map(|number| bench.wait_for(tag(number)).result).collect()
}

#[test]
fn the_links_of_a_chain_run_in_order_and_wait_for_room() {
    static LONG: [u8; LARGE] = [7; LARGE];
    let messages = Messages::new(&[b"first", &LONG, b"last"]);
    let mut bench = Bench::new();
    let mut far = bench.connection(FILE);
    bench.ring.push_chain(&messages.chain()).unwrap();
    assert_eq!(bench.wait_for(tag(1)).result, 5);
    let mut received = vec![0; 5 + LARGE + 4];
    assert!(bench.seen.is_empty(), "the second link waits for room, and the third for the second");
    let reader = std::thread::spawn(move || {
        far.read_exact(&mut received).unwrap();
        received
    });
    assert_eq!([bench.wait_for(tag(2)), bench.wait_for(tag(3))].map(|link| link.result), [LARGE as i32, 4]);
    let received = reader.join().unwrap();
    assert!(received.starts_with(b"first\x07") && received.ends_with(b"\x07last"));
}

#[test]
fn b11_a_failing_link_cancels_those_behind_it_and_not_the_next_chain() {
    let messages = Messages::new(&[b"a", b"b", b"c"]);
    let mut bench = Bench::new();
    let (near, _far) = crate::fixture::tcp_pair();
    bench.ring.adopt(FILE, &near).unwrap();
    bench.ring.shutdown_write(&near).unwrap();
    bench.ring.push_chain(&messages.chain()).unwrap();
    // What is pushed behind a chain is no part of it.
    let alone = bench.push(Op::PollWritable { file: FILE });
    assert_eq!(results(&mut bench, 3), [-libc::EPIPE, -libc::ECANCELED, -libc::ECANCELED]);
    assert!(bench.wait_for(alone).result > 0);
}

#[test]
fn a_chain_is_queued_as_a_whole_or_not_at_all() {
    let messages = Messages::new(&[b"1", b"2", b"3", b"4", b"5"]);
    let mut bench = Bench::with(RingSettings::new(4, 16));
    let mut far = bench.connection(FILE);
    assert_eq!(bench.ring.push_chain(&messages.chain()), Err(QueueFull), "it never fits");
    // Two entries are taken, so that four have no room before these are submitted.
    let polls = [bench.push(Op::PollWritable { file: FILE }), bench.push(Op::PollWritable { file: FILE })];
    bench.ring.push_chain(&messages.chain()[..4]).unwrap();
    assert_eq!(results(&mut bench, 4), [1; 4]);
    for poll in polls {
        assert!(bench.wait_for(poll).result > 0);
    }
    let mut received = [0; 4];
    far.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"1234");
    bench.ring.enter(Wait::Poll).unwrap();
    assert_eq!(bench.ring.reap(&mut [EMPTY; 2] as &mut [Completion]), 0, "nothing is left over");
}
