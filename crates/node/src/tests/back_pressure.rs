//! What happens while JavaScript does not read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::far_side::{Conn, FarSide, LIMIT};
use crate::protocol::size::COMPLETION_RING_RECORDS;
use crate::protocol::{completion, control, submission};

/// Writes numbered messages until the worker is held back, and some more; returns how many.
fn write_until(held: &AtomicBool, mut client: &TcpStream) -> u32 {
    client.set_nodelay(true).unwrap();
    let (mut written, mut left) = (0u32, 5_000);
    while left > 0 {
        client.write_all(&written.to_le_bytes()).unwrap();
        written += 1;
        left -= u32::from(held.load(Ordering::Relaxed));
    }
    written
}

fn wait_until_held_back(side: &FarSide) {
    let deadline = Instant::now() + LIMIT;
    while side.memory.control(control::WANTS_ROOM).load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "the ring never filled up");
        thread::yield_now();
    }
    let tail = side.memory.control(control::COMPLETION_TAIL).load(Ordering::Acquire);
    let head = side.memory.control(control::COMPLETION_HEAD).load(Ordering::Acquire);
    assert!(tail.wrapping_sub(head) <= COMPLETION_RING_RECORDS);
}

#[test]
fn j3_the_ring_stops_at_its_bound_and_nothing_is_lost_or_reordered() {
    const CLIENTS: usize = 8;
    let mut side = FarSide::start();
    let address = side.listen();
    let clients: Vec<_> = (0..CLIENTS).map(|_| side.accept(address)).collect();
    let conns: Vec<_> = clients.iter().map(|(_, conn)| *conn).collect();
    let held = Arc::<AtomicBool>::default();
    let writers: Vec<_> = clients
        .into_iter()
        .map(|(client, _)| {
            let held = Arc::clone(&held);
            thread::spawn(move || (write_until(&held, &client), client))
        })
        .collect();
    wait_until_held_back(&side);
    held.store(true, Ordering::Relaxed);
    let mut received = vec![Vec::new(); CLIENTS];
    drain(&mut side, &conns, &mut received, COMPLETION_RING_RECORDS - 3);
    let written: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    while received.iter().map(Vec::len).sum::<usize>() < written.iter().map(|(count, _)| *count as usize * 4).sum() {
        drain(&mut side, &conns, &mut received, 1);
    }
    for (bytes, (count, _)) in received.iter().zip(&written) {
        assert!(bytes.iter().copied().eq((0..*count).flat_map(u32::to_le_bytes)));
    }
}

#[test]
fn j3_a_flood_is_stopped_by_its_socket_while_javascript_does_not_read() {
    /// Far more than the buffers of two sockets, and all the memory that the worker receives into.
    const FLOOD_BYTES: usize = 64 << 20;
    let mut side = FarSide::start();
    let address = side.listen();
    let (mut flood, _) = side.accept(address);
    let held = Arc::<AtomicBool>::default();
    let clients: Vec<_> = (0..8).map(|_| side.accept(address).0).collect();
    let writers: Vec<_> = clients
        .into_iter()
        .map(|client| {
            let held = Arc::clone(&held);
            thread::spawn(move || write_until(&held, &client))
        })
        .collect();
    wait_until_held_back(&side);
    flood.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let piece = [7; 1 << 16];
    let mut written = 0;
    while written < FLOOD_BYTES && flood.write_all(&piece).is_ok() {
        written += piece.len();
    }
    assert!(written < FLOOD_BYTES, "nothing has stopped it");
    held.store(true, Ordering::Relaxed);
    side.mailbox.stop();
    side.join();
    // Writers that find their connection reset have panicked.
    writers.into_iter().for_each(|writer| drop(writer.join()));
}

fn drain(side: &mut FarSide, conns: &[Conn], received: &mut [Vec<u8>], records: u32) {
    for _ in 0..records {
        let record = side.next();
        match record.kind {
            completion::DATA => {
                let index = conns.iter().position(|conn| conn.slot == record.slot).unwrap();
                let bytes = side.bytes(record);
                received[index].extend_from_slice(&bytes);
            }
            completion::SLAB_RETIRED => {}
            kind => panic!("kind {kind}"),
        }
    }
}

#[test]
fn a_worker_that_is_held_back_can_be_stopped() {
    let mut side = FarSide::start();
    let address = side.listen();
    let clients: Vec<_> = (0..8).map(|_| side.accept(address).0).collect();
    let writers: Vec<_> = clients
        .into_iter()
        .map(|client| {
            thread::spawn(move || {
                client.set_nodelay(true).unwrap();
                let mut client = client;
                // Until the worker is gone.
                while client.write_all(b"1234").is_ok() {}
            })
        })
        .collect();
    wait_until_held_back(&side);
    side.mailbox.stop();
    side.join();
    for writer in writers {
        writer.join().unwrap();
    }
}

#[test]
fn a_paused_connection_delivers_nothing_until_it_is_resumed() {
    let mut side = FarSide::start();
    let address = side.listen();
    let (mut client, conn) = side.accept(address);
    side.command(submission::PAUSE, conn);
    // Each command is carried out before the next, and the answer shows that both were.
    side.send(conn, b"paused");
    client.read_exact(&mut [0; 6]).unwrap();
    client.write_all(b"late").unwrap();
    let (mut other, second) = side.accept(address);
    other.write_all(b"other").unwrap();
    assert_eq!(side.wait_for(completion::DATA).slot, second.slot);
    side.command(submission::RESUME, conn);
    let record = side.wait_for(completion::DATA);
    assert_eq!((record.slot, side.bytes(record)), (conn.slot, b"late".to_vec()));
}
