//! Pipes: what passes without JavaScript, and what passes through it before a pipe flows.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use super::far_side::{Conn, FarSide};
use crate::protocol::{Record, completion, pipe_end, submission};

const KEY: u32 = 7;

fn pipe(side: &mut FarSide, from: Conn, to: Conn) {
    let values = [to.slot, to.generation, KEY, 0, 0];
    side.submit(Record::new(submission::PIPE, from.slot, from.generation, values));
}

fn command(side: &mut FarSide, kind: u32, to: Conn) {
    side.submit(Record::new(kind, to.slot, to.generation, [KEY, 0, 0, 0, 0]));
}

/// Two connections with their peers.
fn pair(side: &mut FarSide) -> ((TcpStream, Conn), (TcpStream, Conn)) {
    let address = side.listen();
    (side.accept(address), side.accept(address))
}

#[test]
fn no_record_is_written_for_what_a_pipe_moves() {
    let mut side = FarSide::start();
    let ((mut source, from), (mut target, to)) = pair(&mut side);
    pipe(&mut side, from, to);
    assert_eq!(side.wait_for(completion::PIPE_HELD).values[0], KEY);
    command(&mut side, submission::PIPE_START, to);
    let mut expected = Vec::new();
    for round in 0..1000 {
        let message = [round as u8; 100];
        source.write_all(&message).unwrap();
        let mut passed = [0; 100];
        target.read_exact(&mut passed).unwrap();
        assert_eq!(passed, message);
        expected.extend(message);
    }
    source.shutdown(Shutdown::Write).unwrap();
    assert_eq!(target.read(&mut [0; 1]).unwrap(), 0, "the FIN passes, too");
    // Of a thousand messages JavaScript gets nothing but their end.
    assert_eq!(side.next().kind, completion::END);
    let ended = side.next();
    assert_eq!((ended.kind, ended.values), (completion::PIPE_ENDED, [KEY, pipe_end::PIPE_FINISHED, 0, 100_000, 0]));
}

#[test]
fn what_arrives_while_a_pipe_is_held_follows_what_javascript_sends_first() {
    let mut side = FarSide::start();
    let ((mut source, from), (mut target, to)) = pair(&mut side);
    source.write_all(b"told before, ").unwrap();
    let before = side.wait_for(completion::DATA);
    pipe(&mut side, from, to);
    side.wait_for(completion::PIPE_HELD);
    source.write_all(b"held back").unwrap();
    // The worker has received it when it answers what came later: receiving and sending take turns.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let bytes = side.bytes(before);
    side.send(to, &bytes);
    command(&mut side, submission::PIPE_START, to);
    let mut passed = [0; 22];
    target.read_exact(&mut passed).unwrap();
    assert_eq!(&passed, b"told before, held back");
}

#[test]
fn what_a_stopped_pipe_has_held_is_told_after_its_end() {
    let mut side = FarSide::start();
    let ((mut source, from), (_target, to)) = pair(&mut side);
    pipe(&mut side, from, to);
    side.wait_for(completion::PIPE_HELD);
    source.write_all(b"held back").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    command(&mut side, submission::PIPE_STOP, to);
    let ended = side.next();
    assert_eq!((ended.kind, ended.values), (completion::PIPE_ENDED, [KEY, pipe_end::PIPE_STOPPED, 0, 0, 0]));
    let data = side.wait_for(completion::DATA);
    assert_eq!((data.slot, side.bytes(data)), (from.slot, b"held back".to_vec()));
}

#[test]
fn j9_a_pipe_of_connections_that_are_gone_only_ends() {
    let mut side = FarSide::start();
    let ((source, from), (_target, to)) = pair(&mut side);
    drop(source);
    side.wait_for(completion::END);
    side.command(submission::CLOSE, from);
    side.wait_for(completion::CLOSED);
    for (from, to, how) in [(from, to, pipe_end::PIPE_SOURCE_FAILED), (to, from, pipe_end::PIPE_TARGET_FAILED)] {
        pipe(&mut side, from, to);
        let ended = side.next();
        assert_eq!((ended.kind, ended.values), (completion::PIPE_ENDED, [KEY, how, 0, 0, 0]));
        // Of a pipe that is not there nothing is let flow, and nothing ended.
        command(&mut side, submission::PIPE_START, to);
        command(&mut side, submission::PIPE_STOP, to);
    }
}
