//! Faults of the ring itself, by script and by chance.

mod rig;

use std::collections::BTreeSet;

use rig::*;
use ringline_ring::{Completion, Entered, FileIndex, Kernel, Op, QueueFull, Wait};
use ringline_sim::{Chance, Fault, Faults, NetworkOptions, RingOptions};

#[test]
fn a_push_can_be_refused() {
    let mut rig = Rig::new(1);
    rig.network.inject(Fault::QueueFull);
    assert_eq!(rig.kernel.push(Op::PollDoorbell, BELL), Err(QueueFull));
    assert_eq!(rig.kernel.push(Op::PollDoorbell, BELL), Ok(()));
}

#[test]
fn a_full_submission_queue_is_submitted() {
    let mut rig = Rig::with(NetworkOptions::default(), RingOptions { submissions: 2, ..RingOptions::default() });
    for n in 0..5 {
        rig.push(Op::Cancel { target: tag(99) }, tag(50 + n));
    }
    assert_eq!(rig.reap().len(), 4);
    assert_eq!(rig.poll().len(), 1);
}

#[test]
fn an_interrupted_wait_has_submitted() {
    let mut rig = Rig::new(1);
    rig.push(Op::PollDoorbell, BELL);
    rig.network.inject(Fault::Interrupted);
    let (entered, completions) = rig.enter(Wait::Forever);
    assert!(entered == Entered::Interrupted && completions.is_empty());
    assert_eq!(rig.kernel.operations_in_flight(), 1);
}

#[test]
fn backpressure_leaves_operations_in_the_queue() {
    let mut rig = Rig::new(1);
    rig.push(Op::PollDoorbell, BELL);
    rig.network.inject(Fault::Backpressure);
    assert_eq!(rig.enter(Wait::Forever).0, Entered::Backpressure);
    assert_eq!(rig.kernel.operations_in_flight(), 0);
    rig.poll();
    assert_eq!(rig.kernel.operations_in_flight(), 1);
}

#[test]
fn d10_an_overflowing_completion_queue_loses_nothing() {
    let mut rig = Rig::with(NetworkOptions::default(), RingOptions { completions: 4, ..RingOptions::default() });
    for n in 0..10 {
        rig.push(Op::Cancel { target: tag(99) }, tag(50 + n));
    }
    assert_eq!(rig.kernel.enter(Wait::Forever).unwrap(), Entered::Backpressure);
    let mut tags = Vec::new();
    for expected in [4, 4, 2] {
        let completions = rig.reap();
        assert_eq!(completions.len(), expected);
        tags.extend(completions.iter().map(|completion| completion.tag));
        rig.kernel.enter(Wait::Poll).unwrap();
    }
    assert_eq!(tags, (0..10).map(|n| tag(50 + n)).collect::<Vec<_>>());
}

#[test]
fn an_overflow_ends_a_multishot_operation() {
    let mut rig = Rig::with(NetworkOptions::default(), RingOptions { completions: 2, ..RingOptions::default() });
    let address = rig.listen();
    rig.submit(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
    for _ in 0..5 {
        rig.network.connect(address).unwrap();
    }
    assert_eq!(rig.enter(Wait::Poll).0, Entered::Backpressure);
    let mut last = rig.poll();
    let last = last.pop().unwrap();
    assert!(last.result >= 0 && !last.more(), "it names a connection and is the last");
    assert_eq!(rig.kernel.operations_in_flight(), 0);
}

#[test]
fn reap_says_when_the_queue_is_empty() {
    let mut rig = Rig::new(1);
    for n in 0..3 {
        rig.push(Op::Cancel { target: tag(99) }, tag(50 + n));
    }
    rig.kernel.enter(Wait::Poll).unwrap();
    let mut two = [Completion { tag: tag(0), result: 0, flags: 0 }; 2];
    assert_eq!((rig.kernel.reap(&mut two), rig.kernel.reap(&mut two)), (2, 1));
}

#[test]
fn a_completion_can_be_held_back() {
    let mut rig = Rig::new(1);
    let peer = rig.receiving(1, 8, false);
    rig.network.inject(Fault::DelayedCompletion(3_000_000));
    let start_ns = rig.kernel.now();
    peer.write(b"x");
    assert!(rig.poll().is_empty());
    assert_eq!(results(&rig.wait()), [(RECEIVE, 1)]);
    assert!(rig.kernel.now() >= start_ns + 3_000_000);
}

#[test]
fn completions_of_different_connections_change_places() {
    let mut orders = BTreeSet::new();
    for seed in 0..30 {
        let mut rig = Rig::new(seed);
        let address = rig.listen();
        rig.buffers(8, 8, false);
        rig.network.set_faults(Faults { reordered: true, ..Faults::NONE });
        rig.push(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
        let peers: Vec<_> = (0..3).map(|_| rig.network.connect(address).unwrap()).collect();
        for (file, accepted) in (1..).zip(rig.settle()) {
            let socket = rig.kernel.accepted(accepted.result as u32);
            rig.kernel.adopt(FileIndex(file), &socket).unwrap();
            rig.push(Op::ReceiveMultishot { file: FileIndex(file), group: GROUP }, tag(100 + file));
        }
        rig.poll();
        for peer in &peers {
            peer.write(b"x");
        }
        orders.insert(rig.settle().iter().map(|completion| completion.tag.generation()).collect::<Vec<_>>());
    }
    assert_eq!(orders.len(), 6, "all orders of three");
}

#[test]
fn chances_are_kept() {
    let mut rig = Rig::new(1);
    rig.network.set_faults(Faults { queue_full: Chance::per_mille(250), ..Faults::NONE });
    let refused = (0..4000).filter(|_| rig.kernel.push(Op::Cancel { target: tag(99) }, CANCEL).is_err()).count();
    assert!((900..1100).contains(&refused), "{refused} of 4000");
}
