//! Records that break the protocol, and records for connections that have gone.

use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::Ordering;

use super::far_side::{CHAIN_LINKS, Conn, FarSide, SEND_SLOTS, SLOT_SIZE};
use crate::protocol::size::SUBMISSION_RING_RECORDS;
use crate::protocol::{Record, completion, control, flag, submission};

/// What a worker answers to a record for an open connection.
fn stopped_by(kind: u32, values: [u32; 5]) -> u32 {
    let mut side = FarSide::start();
    let address = side.listen();
    let (mut client, conn) = side.accept(address);
    side.submit(Record::new(kind, conn.slot, conn.generation, values));
    let errno = side.wait_for(completion::STOPPED).values[0];
    side.join();
    assert_eq!(client.read(&mut [0; 16]).unwrap_or(0), 0, "nothing was sent");
    errno
}

/// A client whose connection has the slot of one that has gone: the client, the past connection and its own.
fn reused(side: &mut FarSide) -> (TcpStream, Conn, Conn) {
    let address = side.listen();
    let (client, past) = side.accept(address);
    drop(client);
    side.wait_for(completion::END);
    side.command(submission::CLOSE, past);
    side.wait_for(completion::CLOSED);
    let (client, conn) = side.accept(address);
    assert_eq!(conn.slot, past.slot);
    (client, past, conn)
}

#[test]
fn a_record_that_breaks_the_protocol_stops_the_worker_and_harms_nothing() {
    const EPROTO: u32 = libc::EPROTO as u32;
    assert_eq!(stopped_by(0, [0; 5]), EPROTO, "no such command");
    assert_eq!(stopped_by(u32::MAX, [u32::MAX; 5]), EPROTO, "no such command");
    assert_eq!(stopped_by(submission::SEND_SLOT, [SEND_SLOTS, 1, 0, 0, 0]), EPROTO, "no such slot");
    assert_eq!(stopped_by(submission::SEND_SLOT, [u32::MAX, 1, 0, 0, 0]), EPROTO, "no such slot");
    assert_eq!(stopped_by(submission::SEND_SLOT, [0, SLOT_SIZE + 1, 0, 0, 0]), EPROTO, "longer than the slot");
    assert_eq!(stopped_by(submission::SEND_SLOT, [0, 0, 0, 0, 0]), EPROTO, "no bytes");
    assert_eq!(stopped_by(submission::SEND_CHUNK, [0, 0, 0, 0, 0]), EPROTO, "no bytes");
}

#[test]
fn something_else_amid_a_chain_stops_the_worker() {
    for (kind, values, what) in [
        (submission::CLOSE, [0; 5], "no send"),
        (submission::SEND_CHAIN, [0; 5], "a chain in a chain"),
        (submission::SEND_SLOT, [SEND_SLOTS, 1, flag::CHAIN_END, 0, 0], "no such slot"),
    ] {
        let mut side = FarSide::start();
        let address = side.listen();
        let (_client, conn) = side.accept(address);
        side.command(submission::SEND_CHAIN, conn);
        side.submit(Record::new(kind, conn.slot, conn.generation, values));
        assert_eq!(side.wait_for(completion::STOPPED).values[0], libc::EPROTO as u32, "{what}");
    }
}

#[test]
fn a_chain_with_more_links_than_there_may_be_stops_the_worker() {
    let mut side = FarSide::start();
    let address = side.listen();
    let (_client, conn) = side.accept(address);
    side.command(submission::SEND_CHAIN, conn);
    for link in 0..=CHAIN_LINKS {
        let last = if link == CHAIN_LINKS { flag::CHAIN_END } else { flag::LINK_END };
        side.submit(Record::new(submission::SEND_SLOT, conn.slot, conn.generation, [link % SEND_SLOTS, 1, last, 0, 0]));
    }
    assert_eq!(side.wait_for(completion::STOPPED).values[0], libc::EPROTO as u32);
}

#[test]
fn a_chain_for_a_connection_that_has_gone_gives_its_slots_back() {
    let mut side = FarSide::start();
    let (mut client, past, conn) = reused(&mut side);
    for conn in [past, conn] {
        side.command(submission::SEND_CHAIN, conn);
        for end in [flag::LINK_END, flag::CHAIN_END] {
            let slot = side.take_slot();
            side.submit(Record::new(submission::SEND_SLOT, conn.slot, conn.generation, [slot, 2, end, 0, 0]));
        }
    }
    side.wait_for_slots();
    client.read_exact(&mut [0; 4]).unwrap();
    side.command(submission::CLOSE, conn);
    assert_eq!(client.read(&mut [0; 4]).unwrap(), 0, "nothing but the chain of the living was sent");
}

#[test]
fn a_tail_beyond_the_ring_stops_the_worker() {
    let mut side = FarSide::start();
    side.memory.control(control::SUBMISSION_TAIL).store(SUBMISSION_RING_RECORDS + 1, Ordering::SeqCst);
    side.mailbox.wake();
    assert_eq!(side.wait_for(completion::STOPPED).values[0], libc::EPROTO as u32);
}

#[test]
fn a_slot_cannot_be_sent_twice_at_a_time() {
    let mut side = FarSide::start();
    let address = side.listen();
    let (_client, conn) = side.accept(address);
    let record = Record::new(submission::SEND_SLOT, conn.slot, conn.generation, [3, 1, 0, 0, 0]);
    // Published together, so that the first cannot be done before the second is read.
    side.submissions.push(record).unwrap();
    side.submit(record);
    assert_eq!(side.wait_for(completion::STOPPED).values[0], libc::EPROTO as u32);
}

#[test]
fn memory_that_was_never_received_is_not_sent() {
    for values in [[0, 0, 1, 0, 0], [9, 0, 1, 0, 0], [u32::MAX, u32::MAX, u32::MAX, 0, 0], [0, u32::MAX, 2, 0, 0]] {
        let mut side = FarSide::start();
        let address = side.listen();
        let (mut client, conn) = side.accept(address);
        side.submit(Record::new(submission::SEND_CHUNK, conn.slot, conn.generation, values));
        let closed = side.wait_for(completion::CLOSED);
        assert_eq!(closed.values[0], libc::EFAULT as u32, "{values:?}");
        assert_eq!(client.read(&mut [0; 16]).unwrap_or(0), 0, "nothing was sent");
    }
}

#[test]
fn commands_for_a_past_connection_do_nothing_but_give_slots_back() {
    let mut side = FarSide::start();
    let (mut client, past, conn) = reused(&mut side);
    for _ in 0..3 {
        side.send(past, b"not for you");
    }
    for kind in submission::CLOSE..=submission::ABORT {
        side.command(kind, past);
    }
    side.wait_for_slots();
    side.send(conn, b"for you");
    side.command(submission::CLOSE, conn);
    let mut read = String::new();
    client.read_to_string(&mut read).unwrap();
    assert_eq!(read, "for you");
}

#[test]
fn connections_that_never_were_are_ignored() {
    let mut side = FarSide::start();
    let address = side.listen();
    for slot in [0, 63, 64, u32::MAX] {
        for kind in submission::CLOSE..=submission::ABORT {
            side.submit(Record::new(kind, slot, 1, [0; 5]));
        }
        side.submit(Record::new(submission::SEND_SLOT, slot, 1, [0, 1, 0, 0, 0]));
        side.free.retain(|&free| free != 0);
        side.wait_for_slots();
    }
    side.accept(address);
}
