//! Memory that JavaScript borrows: used again when it has been read, and not before; kept while it is being sent.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use super::far_side::FarSide;
use crate::protocol::{Record, completion, flag, submission};
use crate::worker::Wishes;

fn borrowing() -> FarSide {
    let mut side = FarSide::start_with(0, Wishes { borrows: true, ..Wishes::default() });
    side.holds_records = true;
    side
}

#[test]
fn a_long_stream_goes_through_few_slabs_that_are_wrapped_once() {
    const LEN: usize = 32 << 20;
    let mut side = borrowing();
    let address = side.listen();
    let (mut client, _) = side.accept(address);
    let writer = std::thread::spawn(move || client.write_all(&vec![7; LEN]).unwrap());
    let (mut received, mut slabs) = (0, BTreeSet::new());
    while received < LEN {
        let record = side.wait_for(completion::DATA);
        let [slab, offset, len, ..] = record.values;
        assert!(side.bytes(record).iter().all(|&byte| byte == 7), "{len} bytes at {offset} of slab {slab}");
        received += len as usize;
        if slabs.insert(slab) {
            side.offers.wrap(slab).unwrap();
        }
        side.release();
    }
    writer.join().unwrap();
    // The ring has 4 slabs, and those that are lent with unread records come on top: never the 512 of the stream.
    assert!(slabs.len() <= 64, "{} slabs", slabs.len());
}

#[test]
fn j10_a_borrowed_chunk_that_is_sent_stays_as_it_is_until_it_is_out() {
    const ROUNDS: usize = 600;
    const LEN: usize = 50_000;
    let mut side = borrowing();
    let address = side.listen();
    let ((mut source, from), (mut target, to)) = (side.accept(address), side.accept(address));
    let writer = std::thread::spawn(move || {
        for round in 0..ROUNDS {
            source.write_all(&[round as u8; LEN]).unwrap();
        }
    });
    // The target reads only when everything is on its way, so that sends wait while slabs are used again around them.
    let (start, started) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        started.recv().unwrap();
        for round in 0..ROUNDS {
            let mut message = vec![0; LEN];
            target.read_exact(&mut message).unwrap();
            assert!(message.iter().all(|&byte| byte == round as u8), "round {round}");
        }
    });
    let mut received = 0;
    while received < ROUNDS * LEN {
        let record = side.wait_for(completion::DATA);
        assert_eq!(record.slot, from.slot);
        let [slab, offset, len, generation, _] = record.values;
        let values = [slab, offset, len, generation << flag::SLAB_GENERATION_SHIFT, 0];
        side.submit(Record::new(submission::SEND_CHUNK, to.slot, to.generation, values));
        side.release();
        received += len as usize;
    }
    start.send(()).unwrap();
    writer.join().unwrap();
    reader.join().unwrap();
}

#[test]
fn a_borrowed_chunk_cannot_be_sent_once_it_was_given_back() {
    let mut side = borrowing();
    let address = side.listen();
    let (mut client, conn) = side.accept(address);
    client.write_all(b"first").unwrap();
    let [slab, offset, len, generation, _] = side.wait_for(completion::DATA).values;
    side.release();
    // The slab is filled to its end, and used again for other bytes.
    let mut other = generation;
    while other == generation {
        client.write_all(&[1; 4096]).unwrap();
        let record = side.wait_for(completion::DATA);
        other = if record.values[0] == slab { record.values[3] } else { other };
        side.release();
    }
    let values = [slab, offset, len, generation << flag::SLAB_GENERATION_SHIFT, 0];
    side.submit(Record::new(submission::SEND_CHUNK, conn.slot, conn.generation, values));
    let ended = std::iter::repeat_with(|| side.next()).find(|record| record.kind != completion::DATA).unwrap();
    assert_eq!((ended.kind, ended.values[0]), (completion::CLOSED, libc::EFAULT as u32));
}
