//! Scenarios of connects and timers (E).

use std::time::Duration;

use libc::{ECANCELED, ECONNREFUSED};
use ringline::driver::ConnectError;
use ringline_ring::Wait;
use ringline_sim::{Fault, Remote, loopback};

use crate::rig::{Rig, Told};
use crate::setup::settings;

/// When a remote host answers, in nanoseconds.
const ANSWER_NS: u64 = 100_000;

#[test]
fn e6_a_timer_that_is_cancelled_when_it_is_due_does_not_fire() {
    let mut rig = Rig::new(settings(1));
    let now = rig.driver.clock();
    let first = rig.driver.arm_timer(now + 1000, 1);
    rig.driver.arm_timer(now + 1000, 2);
    rig.driver.cancel_timer(first);
    rig.pass(1_000_000);
    assert_eq!(rig.told, [Told::Timer(2)]);
}

#[test]
fn e6_a_stale_timer_does_not_cancel_the_one_in_its_place() {
    let mut rig = Rig::new(settings(1));
    let first = rig.driver.arm_timer(rig.driver.clock(), 1);
    rig.until_told(&Told::Timer(1));
    rig.driver.arm_timer(rig.driver.clock() + 1000, 2);
    rig.driver.cancel_timer(first);
    rig.until_told(&Told::Timer(2));
}

#[test]
fn e7_a_connect_that_is_cancelled_as_it_succeeds_leaves_no_connection() {
    // Before, at and after the answer; seeds choose which of the two completions comes first.
    for cancel_ns in [0, ANSWER_NS - 2_000, ANSWER_NS, ANSWER_NS + 2_000] {
        let mut rig = Rig::new(settings(1));
        let there = loopback(7);
        rig.network.remote(there, Remote::accepting().after(ANSWER_NS));
        let conn = rig.connect(there, None);
        // The completion of the connect is held back, so that the connection stands before anybody knows.
        rig.network.inject(Fault::DelayedCompletion(1_000_000));
        rig.turn(Wait::AtMost(cancel_ns));
        assert!(rig.driver.cancel_connect(conn));
        rig.until_told(&Told::ConnectFailed(conn, ECANCELED));
        rig.until("freed", |rig| rig.driver.open_connections() == 0);
        rig.nothing_is_left();
        if let Some(peer) = rig.network.take_connected(there) {
            assert!(peer.sees_end() || peer.sees_reset(), "cancelled after {cancel_ns} ns");
        }
    }
}

#[test]
fn e7_a_connect_that_is_closed_or_aborted_ends_without_an_event() {
    for abort in [false, true] {
        let mut rig = Rig::new(settings(1));
        rig.network.remote(loopback(7), Remote::accepting().after(ANSWER_NS));
        let conn = rig.connect(loopback(7), None);
        rig.turn(Wait::AtMost(ANSWER_NS / 2));
        if abort {
            rig.abort(conn)
        } else {
            rig.close(conn)
        }
        rig.until("freed", |rig| rig.driver.open_connections() == 0);
        assert_eq!(rig.told, []);
        rig.nothing_is_left();
    }
}

#[test]
fn a_connect_that_is_aborted_while_its_time_is_up_ends_without_an_event() {
    let mut rig = Rig::new(settings(1));
    rig.network.remote(loopback(7), Remote::silent());
    let conn = rig.connect(loopback(7), Some(Duration::from_nanos(ANSWER_NS)));
    rig.turn(Wait::Poll);
    // The time passes, and the completion that tells of it is held back.
    rig.network.inject(Fault::DelayedCompletion(1_000_000));
    rig.pass(2 * ANSWER_NS);
    assert_eq!((rig.told.len(), rig.driver.tokens()), (0, vec![conn]));
    rig.abort(conn);
    rig.until("freed", |rig| rig.driver.open_connections() == 0);
    assert_eq!(rig.told, []);
}

#[test]
fn connects_tell_why_they_failed() {
    let mut rig = Rig::new(settings(1));
    let refused = rig.connect(loopback(7), Some(Duration::from_secs(1)));
    assert!(matches!(rig.driver.connect(loopback(7), None), Err(ConnectError::Full)));
    rig.until_told(&Told::ConnectFailed(refused, ECONNREFUSED));
    rig.until("freed", |rig| rig.driver.open_connections() == 0);
    rig.network.remote(loopback(8), Remote::silent());
    let silent = rig.connect(loopback(8), Some(Duration::from_millis(3)));
    let before = rig.network.now();
    rig.until_told(&Told::ConnectFailed(silent, 0));
    let passed = rig.network.now() - before;
    assert!((3_000_000..3_100_000).contains(&passed), "{passed} ns");
    rig.until("freed", |rig| rig.driver.open_connections() == 0);
    rig.nothing_is_left();
}

#[test]
fn the_doorbell_ends_a_wait_and_is_heard_again_after_its_poll_has_ended() {
    let mut rig = Rig::new(settings(1));
    for _ in 0..3 {
        rig.network.inject(Fault::MultishotEnds);
        let bell = rig.driver.doorbell();
        rig.network.schedule(1000, move |_| bell.ring());
        let before = rig.told.len();
        rig.until("the bell", |rig| rig.told[before..].contains(&Told::Doorbell));
    }
}
