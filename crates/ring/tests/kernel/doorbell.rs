//! The doorbell: an eventfd that is polled by a multishot operation and never read.

use ringline_ring::{Kernel, Op, Wait};

use crate::fixture::{Bench, QUIET};

#[test]
fn doorbell_wakes_a_wait_without_being_read() {
    let mut bench = Bench::new();
    let bell = bench.push(Op::PollDoorbell);
    bench.poll();
    for _ in 0..100 {
        let doorbell = bench.ring.doorbell();
        let ringer = std::thread::spawn(move || doorbell.ring());
        bench.ring.enter(Wait::Forever).unwrap();
        ringer.join().unwrap();
        // One completion for one ring: the counter, which nobody resets, does not make more of them.
        assert_eq!(bench.collect(), 1);
        let completion = bench.seen.pop_front().unwrap();
        assert_eq!((completion.tag, completion.result), (bell, i32::from(libc::POLLIN)));
        assert!(completion.more());
    }
    assert!(bench.next_within(bell, QUIET).is_none());
}

#[test]
fn rings_before_the_poll_is_armed_are_not_lost() {
    let mut bench = Bench::new();
    bench.ring.doorbell().ring();
    let bell = bench.push(Op::PollDoorbell);
    assert!(bench.wait_for(bell).more());
}

#[test]
fn rings_between_two_waits_end_the_next_one() {
    let mut bench = Bench::new();
    let bell = bench.push(Op::PollDoorbell);
    bench.poll();
    for _ in 0..1000 {
        bench.ring.doorbell().ring();
    }
    assert!(bench.wait_for(bell).more());
    // However many rings were drawn together, the next one is told again.
    while bench.next_within(bell, QUIET).is_some() {}
    bench.ring.doorbell().ring();
    assert!(bench.wait_for(bell).more());
}

#[test]
fn a_bell_that_outlives_its_ring_is_harmless() {
    let bench = Bench::new();
    let doorbell = bench.ring.doorbell();
    drop(bench);
    doorbell.ring();
}
