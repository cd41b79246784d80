//! Rings with each set of flags that the set-up may fall back to.

use super::*;

/// A ring made with flags that this kernel would not choose has to work all the same.
fn rings_a_bell(flags: SetupFlags) {
    let ring = match setup::build(&RingSettings::new(8, 0), flags) {
        // An older kernel: the set-up goes on with the next set.
        Err(error) if flags.no_sqarray && error.raw_os_error() == Some(libc::EINVAL) => return,
        ring => ring.unwrap(),
    };
    let mut ring = Uring::with_queues(Queues::narrow(ring, None), flags).unwrap();
    let tag = Tag::new(1, 2, 3);
    ring.push(Op::PollDoorbell, tag).unwrap();
    ring.enter(Wait::Poll).unwrap();
    for wait in [Wait::Forever, Wait::Poll, Wait::AtMost(5_000_000_000)] {
        let bell = ring.doorbell();
        let ringer = std::thread::spawn(move || bell.ring());
        let mut completions = [Completion { tag: Tag::from_bits(0), result: 0, flags: 0 }; 2];
        let count = loop {
            ring.enter(wait).unwrap();
            match ring.reap(&mut completions) {
                0 => std::thread::yield_now(),
                count => break count,
            }
        };
        ringer.join().unwrap();
        assert_eq!((count, completions[0].tag, completions[0].more()), (1, tag, true), "{flags:?} {wait:?}");
    }
}

#[test]
fn a_ring_works_with_every_set_of_flags_it_may_fall_back_to() {
    setup::LADDER.into_iter().for_each(rings_a_bell);
}

/// What has come is seen without a system call, and nothing is before it has.
fn sees_a_bell(flags: SetupFlags) {
    let ring = match setup::build(&RingSettings::new(8, 0), flags) {
        Err(error) if flags.no_sqarray && error.raw_os_error() == Some(libc::EINVAL) => return,
        ring => ring.unwrap(),
    };
    let mut ring = Uring::with_queues(Queues::narrow(ring, None), flags).unwrap();
    ring.push(Op::PollDoorbell, Tag::new(1, 2, 3)).unwrap();
    ring.enter(Wait::Poll).unwrap();
    assert!(!ring.has_completed(), "{flags:?}: nothing has come yet");
    let bell = ring.doorbell();
    let ringer = std::thread::spawn(move || bell.ring());
    let deadline = ring.now() + 10_000_000_000;
    while !ring.has_completed() {
        assert!(ring.now() < deadline, "{flags:?}: the bell was not seen");
        std::thread::yield_now();
    }
    ringer.join().unwrap();
    ring.enter(Wait::Poll).unwrap();
    let mut completions = [Completion { tag: Tag::from_bits(0), result: 0, flags: 0 }; 2];
    assert_eq!((ring.reap(&mut completions), completions[0].tag), (1, Tag::new(1, 2, 3)), "{flags:?}");
}

#[test]
fn completions_are_seen_without_a_system_call() {
    setup::LADDER.into_iter().for_each(sees_a_bell);
}

#[test]
fn a_wait_that_is_awake_for_a_while_ends_when_it_was_asked_to_and_hears_the_bell_in_both_parts() {
    const MS: u64 = 1_000_000;
    let mut ring = Uring::new(&RingSettings::new(8, 0)).unwrap();
    ring.push(Op::PollDoorbell, Tag::new(1, 2, 3)).unwrap();
    let mut completions = [Completion { tag: Tag::from_bits(0), result: 0, flags: 0 }; 2];
    for awake in [5 * MS, 60_000 * MS] {
        ring.busy_poll(awake);
        let began = ring.now();
        ring.enter(Wait::AtMost(20 * MS)).unwrap();
        assert!(ring.now() - began >= 20 * MS, "awake for {awake} ns: ended early");
        assert_eq!(ring.reap(&mut completions), 0);
        let bell = ring.doorbell();
        let ringer = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_nanos(20 * MS));
            bell.ring();
        });
        while ring.reap(&mut completions) == 0 {
            ring.enter(Wait::Forever).unwrap();
        }
        ringer.join().unwrap();
        assert!(ring.now() - began < 10_000 * MS, "awake for {awake} ns: {} ns", ring.now() - began);
    }
}
