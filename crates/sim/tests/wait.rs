//! Waits, the virtual clock, and the doorbell.

mod rig;

use libc::POLLIN;
use rig::*;
use ringline_ring::{Entered, FileIndex, Kernel, Op, Wait};
use ringline_sim::{Fault, Network, RingOptions, SimKernel, loopback};

#[test]
fn a_bounded_wait_moves_the_clock_to_its_end() {
    let mut rig = Rig::new(1);
    let start_ns = rig.kernel.now();
    let (entered, completions) = rig.enter(Wait::AtMost(7_000_000));
    assert!(entered == Entered::TimedOut && completions.is_empty());
    let enter_ns = 1_000;
    assert_eq!(rig.kernel.now(), start_ns + enter_ns + 7_000_000);
}

#[test]
fn a_wait_ends_with_the_event_and_not_with_its_bound() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(1, 8, false);
    let start_ns = rig.kernel.now();
    rig.network.schedule(2_000_000, move |_| {
        peer.write(b"x");
    });
    let (entered, completions) = rig.enter(Wait::AtMost(7_000_000));
    assert_eq!((entered, results(&completions)), (Entered::Done, vec![(RECEIVE, 1)]));
    assert_eq!(rig.kernel.now(), start_ns + 2_000_000);
}

#[test]
fn a_poll_takes_no_more_time_than_an_enter() {
    let mut rig = Rig::new(1);
    let start_ns = rig.kernel.now();
    assert_eq!(rig.enter(Wait::Poll).0, Entered::Done);
    assert_eq!(rig.kernel.now(), start_ns + 1_000);
}

#[test]
fn completions_that_nobody_has_reaped_end_a_wait() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(1, 8, false);
    peer.write(b"x");
    assert_eq!(rig.kernel.enter(Wait::Poll).unwrap(), Entered::Done);
    assert_eq!(rig.enter(Wait::Forever).1.len(), 1);
}

#[test]
fn a_script_may_open_connections_in_the_middle_of_a_wait() {
    let mut rig = Rig::new(1);
    let address = rig.listen();
    rig.push(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
    rig.network.schedule(1_000_000, move |network| {
        network.connect(address).unwrap();
    });
    assert_eq!(rig.wait().len(), 1);
}

#[test]
fn the_doorbell_completes_its_poll_each_time() {
    let mut rig = Rig::new(1);
    assert!(rig.submit(Op::PollDoorbell, BELL).is_empty());
    let bell = rig.kernel.doorbell();
    for _ in 0..3 {
        bell.ring();
        let completions = rig.wait();
        assert!(results(&completions) == [(BELL, i32::from(POLLIN))] && completions[0].more());
    }
    assert!(rig.poll().is_empty());
}

#[test]
fn rings_of_the_doorbell_between_two_enters_are_one() {
    let mut rig = Rig::new(1);
    rig.submit(Op::PollDoorbell, BELL);
    rig.kernel.ring_doorbell();
    rig.kernel.ring_doorbell();
    assert_eq!(rig.wait().len(), 1);
    assert!(rig.poll().is_empty());
}

#[test]
fn a_ring_of_the_doorbell_ends_a_wait_from_a_script() {
    let mut rig = Rig::new(1);
    rig.submit(Op::PollDoorbell, BELL);
    let bell = rig.kernel.doorbell();
    rig.network.schedule(1_000_000, move |_| bell.ring());
    assert_eq!(rig.wait().len(), 1);
}

#[test]
fn a_ring_before_the_poll_is_not_lost_and_a_later_poll_starts_with_one() {
    let mut rig = Rig::new(1);
    rig.kernel.ring_doorbell();
    rig.network.inject(Fault::MultishotEnds);
    let first = rig.submit(Op::PollDoorbell, BELL);
    assert!(first.len() == 1 && !first[0].more());
    // Nobody reads the counter, so the eventfd stays readable.
    let again = rig.submit(Op::PollDoorbell, BELL);
    assert!(again.len() == 1 && again[0].more());
}

#[test]
fn one_ring_adopts_what_another_has_accepted() {
    let network = Network::new(1);
    let mut acceptor = SimKernel::new(&network, RingOptions::default());
    let mut worker = SimKernel::new(&network, RingOptions::default());
    let address = acceptor.listen(FileIndex(0), loopback(0), &OPTIONS).unwrap().1;
    acceptor.push(Op::AcceptMultishot { listener: FileIndex(0) }, ACCEPT).unwrap();
    let peer = network.connect(address).unwrap();
    acceptor.enter(Wait::Poll).unwrap();
    let mut completions = [ringline_ring::Completion { tag: tag(0), result: 0, flags: 0 }; 2];
    assert_eq!(acceptor.reap(&mut completions), 1);
    let socket = acceptor.accepted(completions[0].result as u32);
    worker.adopt(FileIndex(3), &socket).unwrap();
    // With nothing to do, a ring gives way to the other.
    assert_eq!(worker.enter(Wait::Forever).unwrap(), Entered::Interrupted);
    drop((worker, socket));
    assert!(peer.sees_end());
}
