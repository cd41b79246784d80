//! A worker that looks for work before it blocks: it finds it without being woken, whoever makes it.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::far_side::FarSide;
use crate::mailbox::Letter;
use crate::protocol::{completion, control, submission};
use crate::worker::Wishes;

/// So long that every wait counts as short, and no look is in vain.
const FOR_EVER: Duration = Duration::from_secs(600);

#[test]
fn commands_bytes_and_letters_are_found_without_a_wake_up_and_so_is_the_end() {
    let mut side = FarSide::start_with(0, Wishes { spin: FOR_EVER, ..Wishes::default() });
    let address = side.listen();
    let (mut client, conn) = side.accept(address);
    for round in 0..100 {
        client.write_all(&[round; 100]).unwrap();
        let record = side.wait_for(completion::DATA);
        assert_eq!(side.bytes(record), [round; 100]);
        // The wait in which the connection came was the last one.
        assert_eq!(side.memory.control(control::WORKER_ASLEEP).load(Ordering::SeqCst), 0, "round {round}");
        side.send(conn, &[round; 50]);
        let mut answer = [0; 50];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [round; 50]);
    }
    side.mailbox.post(Letter::Notify);
    side.wait_for(completion::NOTIFY);
    side.command(submission::CLOSE, conn);
    side.wait_for(completion::CLOSED);
    side.mailbox.stop();
    side.join();
}

#[test]
fn a_timer_that_is_due_ends_a_look() {
    let mut side = FarSide::start_with(0, Wishes { tick_ns: 1_000_000, spin: FOR_EVER, ..Wishes::default() });
    for _ in 0..20 {
        side.wait_for(completion::TICK);
    }
}
