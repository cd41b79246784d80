//! Messages, connects and notifications, there and back.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::atomic::Ordering;

use super::far_side::{Conn, FarSide, SEND_SLOTS, SLOT_SIZE};
use crate::mailbox::Letter;
use crate::protocol::{Record, completion, flag, submission};
use crate::shared_memory::Part;
use crate::worker::Wishes;

#[test]
fn received_bytes_are_sent_back_from_slots_and_from_their_slab() {
    let mut side = FarSide::start();
    let address = side.listen();
    let (mut client, conn) = side.accept(address);
    client.write_all(b"first").unwrap();
    let record = side.wait_for(completion::DATA);
    let bytes = side.bytes(record);
    assert_eq!(bytes, b"first");
    side.send(conn, &bytes);
    let [slab, offset, len, ..] = record.values;
    let generation = side.offers.generation(slab).unwrap() << flag::SLAB_GENERATION_SHIFT;
    let values = [slab, offset + 1, len - 1, generation | flag::WATCH, 0];
    side.submit(Record::new(submission::SEND_CHUNK, conn.slot, conn.generation, values));
    let mut echoed = [0; 9];
    client.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"firstirst");
    side.wait_for_slots();
    let taken = |side: &FarSide| side.memory.word(Part::SentBytes, conn.slot).load(Ordering::Acquire);
    while taken(&side) != 9 {
        assert_eq!(side.next().kind, completion::SENT);
    }
}

#[test]
fn j10_bytes_of_another_use_of_a_slab_are_never_sent() {
    let mut side = FarSide::start();
    let address = side.listen();
    let (mut client, conn) = side.accept(address);
    client.write_all(b"first").unwrap();
    let record = side.wait_for(completion::DATA);
    let [slab, offset, len, ..] = record.values;
    let later = (side.offers.generation(slab).unwrap() + 1) << flag::SLAB_GENERATION_SHIFT;
    side.submit(Record::new(submission::SEND_CHUNK, conn.slot, conn.generation, [slab, offset, len, later, 0]));
    assert_eq!(side.wait_for(completion::CLOSED).values[0], libc::EFAULT as u32);
    assert_eq!(client.read(&mut [0; 16]).unwrap_or(0), 0, "nothing was sent");
}

#[test]
fn more_bytes_than_there_are_slots_arrive_in_order() {
    let mut side = FarSide::start();
    let address = side.listen();
    let (mut client, conn) = side.accept(address);
    let bytes: Vec<u8> = (0..SEND_SLOTS * SLOT_SIZE * 20).map(|n| (n % 251) as u8).collect();
    let expected = bytes.clone();
    let reader = std::thread::spawn(move || {
        let mut read = Vec::new();
        client.read_to_end(&mut read).unwrap();
        assert!(read == expected);
    });
    side.send(conn, &bytes);
    side.command(submission::CLOSE, conn);
    reader.join().unwrap();
    assert_eq!(side.wait_for(completion::CLOSED).values[0], 0);
    side.wait_for_slots();
}

#[test]
fn a_half_closed_peer_still_gets_its_answer() {
    let mut side = FarSide::start();
    let address = side.listen();
    let (mut client, conn) = side.accept(address);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    side.wait_for(completion::DATA);
    side.wait_for(completion::END);
    side.send(conn, b"answer");
    side.command(submission::CLOSE, conn);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

#[test]
fn addresses_come_before_the_connection_that_they_are_of() {
    let mut side = FarSide::start();
    let address = side.listen();
    let client = std::net::TcpStream::connect(address).unwrap();
    let [peer, local, accepted] = [side.next(), side.next(), side.next()];
    assert_eq!(
        [peer.kind, local.kind, accepted.kind],
        [completion::ADDRESS, completion::ADDRESS, completion::ACCEPTED]
    );
    assert_eq!(peer.values[0], 4 << 8 | u32::from(client.local_addr().unwrap().port()) << 16);
    assert_eq!(local.values[0], 1 | 4 << 8 | u32::from(address.port()) << 16);
    assert_eq!(local.values[1].to_le_bytes(), [127, 0, 0, 1]);
    assert_eq!((peer.slot, peer.generation), (accepted.slot, accepted.generation));
}

#[test]
fn connects_are_answered_with_their_request() {
    let mut side = FarSide::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    side.mailbox.post(Letter::Connect { request: 7, peer, timeout: None });
    let connected = side.wait_for(completion::CONNECTED);
    assert_eq!(connected.values[1], 7);
    let (mut accepted, _) = listener.accept().unwrap();
    let conn = Conn { slot: connected.slot, generation: connected.generation };
    side.send(conn, b"hello");
    let mut hello = [0; 5];
    accepted.read_exact(&mut hello).unwrap();
    drop((listener, accepted));
    side.mailbox.post(Letter::Connect { request: 8, peer, timeout: None });
    let failed = loop {
        let record = side.next();
        if record.kind == completion::CONNECT_FAILED {
            break record;
        }
    };
    assert_eq!((failed.values[0], failed.values[1]), (libc::ECONNREFUSED as u32, 8));
}

#[test]
fn a_slot_that_is_used_again_counts_its_bytes_on() {
    let mut side = FarSide::start();
    let address = side.listen();
    let (client, first) = side.accept(address);
    side.send(first, b"12345");
    side.command(submission::CLOSE, first);
    drop(client);
    side.wait_for(completion::CLOSED);
    let client = std::net::TcpStream::connect(address).unwrap();
    let accepted = side.wait_for(completion::ACCEPTED);
    assert_eq!((accepted.slot, accepted.values[0]), (first.slot, 5));
    assert_ne!(accepted.generation, first.generation);
    drop(client);
}

#[test]
fn notifications_that_were_not_read_yet_count_as_one() {
    let mut side = FarSide::start();
    side.mailbox.post(Letter::Notify);
    side.wait_for(completion::NOTIFY);
    side.cluster.notify();
    side.wait_for(completion::NOTIFY);
}

#[test]
fn an_unread_tick_is_not_followed_by_another() {
    let mut side = FarSide::start_with(0, Wishes { tick_ns: 200_000, ..Wishes::default() });
    side.wait_for(completion::TICK);
    side.wait_for(completion::TICK);
    // Ten more would have come by the time that a notification has gone round ten times.
    for _ in 0..10 {
        std::thread::sleep(std::time::Duration::from_millis(1));
        side.mailbox.post(Letter::Notify);
    }
    let mut ticks = 0;
    let mut notified = false;
    while !notified {
        match side.next().kind {
            completion::TICK => ticks += 1,
            completion::NOTIFY => notified = true,
            kind => panic!("kind {kind}"),
        }
    }
    assert!(ticks <= 1, "{ticks} ticks waited unread");
}
