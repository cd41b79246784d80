//! Scenarios of accepting, and of a kernel that takes nothing for a while (D).

use libc::{ECONNABORTED, ECONNRESET, EMFILE, ENFILE, EPERM};
use ringline_ring::{Kernel, Wait};
use ringline_sim::{Fault, Network, NetworkOptions, RingOptions};

use crate::rig::{Rig, Told};
use crate::setup::settings;

/// Refuses every push until the network's clock has come to `end`.
fn refuse_submissions(network: &Network, end: u64) {
    if network.now() < end {
        for _ in 0..100 {
            network.inject(Fault::QueueFull);
        }
        network.schedule(20_000, move |network| refuse_submissions(network, end));
    }
}

#[test]
fn d1_an_error_of_one_connection_does_not_end_accepting() {
    for errno in [ECONNABORTED, EPERM] {
        let mut rig = Rig::new(settings(4));
        rig.network.inject(Fault::Accept(errno));
        let _lost = rig.network.connect(rig.address).unwrap();
        rig.turn(Wait::Forever);
        let before = rig.network.now();
        let (peer, conn) = rig.accept();
        assert!(rig.network.now() - before < 1_000_000, "one error is no reason to rest");
        peer.write(b"x");
        rig.until_told(&Told::Bytes(conn, b"x".to_vec()));
        assert_eq!(rig.driver.metrics().accept_errors, 1);
    }
}

#[test]
fn d1_errors_that_do_not_stop_make_accepting_rest_not_spin() {
    let mut rig = Rig::new(settings(4));
    for _ in 0..6 {
        rig.network.inject(Fault::Accept(ECONNRESET));
    }
    let _waiting = rig.network.connect(rig.address).unwrap();
    rig.until("adopted", |rig| rig.told.iter().any(|told| matches!(told, Told::Adopted(_))));
    assert!(rig.turns < 40, "{} turns", rig.turns);
    assert_eq!(rig.driver.metrics().accept_errors, 6);
}

#[test]
fn d2_accepting_rests_while_descriptors_are_short_and_recovers() {
    let options = NetworkOptions { descriptors_max: 1, ..NetworkOptions::default() };
    let mut rig = Rig::on(options, RingOptions::default(), settings(4));
    let (peer, conn) = rig.accept();
    let _waiting = rig.network.connect(rig.address).unwrap();
    rig.turns = 0;
    rig.pass(2_000_000_000);
    assert!(rig.turns < 60, "{} turns in two seconds without descriptors", rig.turns);
    peer.close();
    rig.close(conn);
    rig.until("adopted", |rig| rig.told.iter().filter(|told| matches!(told, Told::Adopted(_))).count() == 2);
}

#[test]
fn d2_a_listener_that_rests_can_be_closed() {
    for errno in [EMFILE, ENFILE] {
        let mut rig = Rig::new(settings(4));
        rig.network.inject(Fault::Accept(errno));
        let peer = rig.network.connect(rig.address).unwrap();
        rig.turn(Wait::Forever);
        rig.driver.stop_accepting();
        rig.until("closed", |rig| !rig.driver.is_listening());
        assert!(peer.sees_reset());
        assert_eq!((rig.network.open_files(), rig.driver.kernel_mut().operations_in_flight()), (vec![], 1));
        // The port is free again, and the time of the rest is not up for the new listener.
        assert_eq!(rig.driver.listen(rig.address).unwrap().1, rig.address);
        rig.driver.accept();
        rig.accept();
        rig.pass(1_000_000_000);
    }
}

#[test]
fn d4_a_doorbell_that_cannot_be_armed_again_is_armed_later_and_accepting_goes_on() {
    let mut rig = Rig::new(settings(4));
    let bell = rig.driver.doorbell();
    let rings = |rig: &Rig| rig.told.iter().filter(|told| **told == Told::Doorbell).count();
    // The poll of the doorbell ends, and the next one finds the queue full for a while.
    rig.network.inject(Fault::MultishotEnds);
    bell.ring();
    refuse_submissions(&rig.network, 1_000_000);
    rig.until("the first ring", |rig| rings(rig) == 1);
    bell.ring();
    let (peer, conn) = rig.accept();
    rig.until("the second ring", |rig| rings(rig) == 2);
    assert!(rig.network.now() >= 1_000_000, "the poll was armed when the queue took submissions again");
    peer.write(b"served");
    rig.until_told(&Told::Bytes(conn, b"served".to_vec()));
    bell.ring();
    rig.until("the third ring", |rig| rings(rig) == 3);
}

#[test]
fn d5_without_a_slot_the_socket_is_closed_and_the_next_one_served() {
    let mut rig = Rig::new(settings(1));
    let (peer, conn) = rig.accept();
    let refused = rig.network.connect(rig.address).unwrap();
    rig.until_told(&Told::Refused);
    assert!(refused.sees_end() || refused.sees_reset());
    assert_eq!((rig.driver.metrics().refused, rig.network.open_files().len()), (1, 2));
    peer.close();
    rig.close(conn);
    rig.until_told(&Told::Closed(conn, None));
    let (peer, conn) = rig.accept();
    peer.write(b"served");
    rig.until_told(&Told::Bytes(conn, b"served".to_vec()));
}

#[test]
fn d10_a_signal_ends_a_turn_and_nothing_else() {
    let mut rig = Rig::new(settings(2));
    let (peer, conn) = rig.accept();
    rig.network.inject(Fault::Interrupted);
    rig.network.schedule(1_000_000, move |_| assert!(peer.write(b"x")));
    assert_eq!(rig.turn(Wait::Forever), []);
    assert_eq!(rig.turn(Wait::Forever), [Told::Bytes(conn, b"x".to_vec())]);
}

#[test]
fn d10_what_the_kernel_did_not_take_is_submitted_without_waiting() {
    let mut rig = Rig::new(settings(2));
    let (peer, conn) = rig.accept();
    for times in 1..4 {
        for _ in 0..times {
            rig.network.inject(Fault::Backpressure);
        }
        rig.send(conn, b"x");
        rig.until_told(&Told::Sent(conn, times));
    }
    assert_eq!(peer.read(), b"xxx");
}

#[test]
fn d14_timers_fire_although_the_kernel_takes_no_submission() {
    let mut rig = Rig::new(settings(2));
    let (_, conn) = rig.accept();
    refuse_submissions(&rig.network, 3_000_000);
    rig.send(conn, b"stuck");
    let deadline = rig.driver.clock() + 500_000;
    rig.driver.arm_timer(deadline, 42);
    rig.until_told(&Told::Timer(42));
    let late = rig.network.now() - deadline;
    assert!(late < 10_000, "{late} ns late");
    assert!(!rig.told.contains(&Told::Sent(conn, 5)), "nothing went in meanwhile");
}

#[test]
fn connections_that_a_driver_has_not_looked_at_end_with_it() {
    let Rig { network, mut driver, address, .. } = Rig::new(settings(4));
    driver.kernel_mut().enter(Wait::Poll).unwrap();
    let peers: Vec<_> = (0..40).map(|_| network.connect(address).unwrap()).collect();
    driver.kernel_mut().enter(Wait::Poll).unwrap();
    assert!(peers.iter().all(|peer| !peer.sees_end()), "they stand, each with a descriptor in a completion");
    drop(driver);
    assert!(peers.iter().all(|peer| peer.sees_end() || peer.sees_reset()));
    assert_eq!(network.open_files(), Vec::<String>::new());
}
