//! A driver that cannot go on must neither spin nor forget whom it left waiting.

use ringline_ring::Wait;
use ringline_sim::{NetworkOptions, RingOptions};

use crate::chaos::Chaos;
use crate::rig::{Rig, Told, pattern};
use crate::setup::{Setup, for_seeds, settings};

/// How long nothing can happen, in nanoseconds.
const STALL_NS: u64 = 100_000_000;

/// A connection that is blocked looks for room after 0.5, 1, 2, 4, 8, 16, 16, … ms: some ten times in a stall, with
/// two or three turns each.
const TURNS_PER_CONNECTION: usize = 40;

/// Runs into a stall, which may cost so many times the usual turns.
fn stall(setup: Setup, seed: u64, times: usize) {
    let mut chaos = Chaos::new(setup, seed);
    chaos.misbehave();
    let turns = chaos.stall(STALL_NS);
    let connections = chaos.server.driver.open_connections() as usize;
    let turns_max = times * (20 + TURNS_PER_CONNECTION * connections);
    assert!(turns <= turns_max, "{turns} turns in a stall, {turns_max} at most\n{}", chaos.report());
    chaos.end();
}

#[test]
fn a_stall_costs_few_turns() {
    // In the storm the kernel tells of room that is not there, and interrupts.
    for (setup, times) in [(Setup::CALM, 1), (Setup::CALM.incremental(), 1), (Setup::STORM, 5)] {
        for_seeds(setup, 100, |setup, seed| stall(setup, seed, times));
    }
    // Bytes go on to arrive one by one, for a connection that is closing.
    stall(Setup::STORM, 2155, 5);
}

#[test]
fn a_full_socket_whose_peer_has_finished_is_not_polled_without_pause_while_receiving_is_paused() {
    let mut rig = Rig::narrow(settings(2));
    let (peer, conn) = rig.accept();
    rig.driver.pause_receive(conn);
    rig.turn(Wait::Poll);
    peer.shutdown_write();
    let sent = pattern(500);
    rig.send(conn, &sent);
    rig.turns = 0;
    rig.pass(STALL_NS);
    assert!(rig.turns < TURNS_PER_CONNECTION, "{} turns in a stall", rig.turns);
    // And nothing is lost by waiting.
    peer.set_window(1 << 20);
    rig.until_told(&Told::Sent(conn, 500));
    assert_eq!(peer.read(), sent);
}

#[test]
fn a_receive_that_waited_for_buffers_is_armed_again_however_many_waited() {
    let ring = RingOptions { incremental_buffers: false, ..RingOptions::default() };
    let mut small = settings(64);
    (small.receive_entries, small.receive_buffer_size) = (1, 100);
    let mut rig = Rig::on(NetworkOptions::default(), ring, small);
    rig.driver.hold_receive_buffers(true);
    let (peer, _) = rig.accept();
    peer.write(b"uses up the only buffer");
    rig.turn(Wait::Forever);
    let waiting: Vec<_> = (0..20).map(|_| rig.accept()).collect();
    rig.driver.hold_receive_buffers(false);
    rig.turn(Wait::Poll);
    let (peer, conn) = &waiting[19];
    peer.write(b"x");
    rig.until_told(&Told::Bytes(*conn, b"x".to_vec()));
}
