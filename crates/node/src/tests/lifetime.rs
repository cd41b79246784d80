//! How ring threads end, and what is left of them.

use std::io::Read;
use std::net::TcpListener;
use std::sync::atomic::Ordering;

use super::far_side::FarSide;
use crate::mailbox::Letter;
use crate::protocol::{completion, submission};
use crate::slabs::NotOffered;
use crate::worker::Wishes;

#[test]
fn a_shutdown_closes_connections_with_fin_frees_the_port_and_says_so_last() {
    let mut side = FarSide::start();
    let address = side.listen();
    let (mut client, _) = side.accept(address);
    side.cluster.shutdown();
    assert_eq!(client.read(&mut [0; 16]).unwrap(), 0, "FIN");
    drop(client);
    assert_eq!(side.wait_for(completion::CLOSED).values[0], 0);
    assert_eq!(side.wait_for(completion::STOPPED).values[0], 0);
    TcpListener::bind(address).expect("the port is free when STOPPED is read");
    side.join();
    assert_eq!(side.poll(), None, "nothing follows STOPPED");
}

#[test]
fn connects_after_a_shutdown_are_answered() {
    let mut side = FarSide::start();
    let address = side.listen();
    let (client, _) = side.accept(address);
    side.cluster.shutdown();
    side.mailbox.post(Letter::Connect { request: 3, peer: address, timeout: None });
    let failed = side.wait_for(completion::CONNECT_FAILED);
    assert_eq!((failed.values[0], failed.values[1]), (libc::ECANCELED as u32, 3));
    drop(client);
    side.wait_for(completion::CLOSED);
    side.wait_for(completion::STOPPED);
}

#[test]
fn a_stop_ends_the_thread_with_connections_open_and_commands_unread() {
    let mut side = FarSide::start();
    let address = side.listen();
    let (mut client, conn) = side.accept(address);
    for _ in 0..100 {
        side.command(submission::RESUME, conn);
    }
    side.mailbox.stop();
    side.join();
    assert_eq!(client.read(&mut [0; 16]).unwrap_or(0), 0, "the connection is gone");
}

#[test]
fn a_panic_on_the_ring_thread_is_told_and_goes_no_further() {
    let mut side = FarSide::start_with(1, Wishes::default());
    let address = side.listen();
    // The record of this connection rings the doorbell, which panics.
    side.memory.control(crate::protocol::control::JS_ASLEEP).store(1, Ordering::SeqCst);
    let client = std::net::TcpStream::connect(address).unwrap();
    side.join();
    let stopped = loop {
        let record = side.next();
        if record.kind == completion::STOPPED {
            break record;
        }
    };
    assert_eq!(stopped.values[0], libc::ENOTRECOVERABLE as u32);
    drop(client);
}

#[test]
fn an_idle_worker_does_not_ring() {
    let mut side = FarSide::start();
    side.mailbox.post(Letter::Notify);
    side.wait_for(completion::NOTIFY);
    let rings = side.rings.load(Ordering::Relaxed);
    for _ in 0..10 {
        side.mailbox.wake();
    }
    side.mailbox.stop();
    side.join();
    // The only ring that may follow is that of STOPPED.
    assert!(side.rings.load(Ordering::Relaxed) <= rings + 1);
}

#[test]
fn a_slab_is_wrapped_once_and_not_after_it_was_withdrawn() {
    use std::io::Write;

    let mut side = FarSide::start();
    let address = side.listen();
    let (mut client, _) = side.accept(address);
    client.write_all(b"x").unwrap();
    let [slab, ..] = side.wait_for(completion::DATA).values;
    assert_eq!(side.offers.wrap(slab + 1).err(), Some(NotOffered::Unknown));
    let handle = side.offers.wrap(slab).unwrap();
    assert_eq!(side.offers.wrap(slab).err(), Some(NotOffered::Wrapped));
    assert_eq!(side.offers.read(slab, 0, handle.capacity() as u32 + 1).err(), Some(NotOffered::OutOfRange));
    // Fill it up, so that it is retired.
    let writer = std::thread::spawn(move || {
        client.write_all(&vec![7; 4 << 20]).unwrap();
        client
    });
    let retired = loop {
        let record = side.next();
        if record.kind == completion::SLAB_RETIRED && record.values[0] == slab {
            break record;
        }
    };
    assert_eq!(retired.values[0], slab);
    // The worker learns that this was read when it delivers the next time.
    while side.offers.read(slab, 0, 1).is_ok() {
        side.next();
        side.mailbox.wake();
    }
    assert_eq!(side.offers.wrap(slab).err(), Some(NotOffered::Unknown));
    // SAFETY: the first byte was received, and the handle keeps it.
    assert_eq!(unsafe { handle.address().read() }, b'x');
    drop(side);
    // SAFETY: as above: a handle outlives the worker.
    assert_eq!(unsafe { handle.address().read() }, b'x');
    let _ = writer.join();
}
