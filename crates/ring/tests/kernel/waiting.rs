//! When a wait ends, when it does not, and what a full queue does.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringline_ring::{Entered, FileIndex, Kernel, Op, PinnedBytes, RingSettings, SubmissionPolling, Tag, Wait};

use crate::fixture::{Bench, PATIENCE, QUIET};

const FILE: FileIndex = FileIndex(0);

fn send() -> Op {
    static BYTE: u8 = b'x';
    // SAFETY: the byte is static.
    Op::Send { file: FILE, bytes: unsafe { PinnedBytes::new(&raw const BYTE, 1) } }
}

fn arm_doorbell(bench: &mut Bench) -> Tag {
    let bell = bench.push(Op::PollDoorbell);
    bench.poll();
    bell
}

#[test]
fn wait_counts_inline_completions() {
    let mut bench = Bench::new();
    let mut far = bench.connection(FILE);
    let bell = arm_doorbell(&mut bench);
    let doorbell = bench.ring.doorbell();
    // Rings only after the bytes of all sends are there, that is after they have completed.
    let ringer = std::thread::spawn(move || {
        far.read_exact(&mut [0; 20]).unwrap();
        std::thread::sleep(QUIET);
        doorbell.ring();
        far
    });
    // 20 sends through a queue of 16: some are submitted by `push` already, and count all the same.
    let sends: Vec<_> = (0..20).map(|_| bench.push(send())).collect();
    bench.ring.enter(Wait::Forever).unwrap();
    assert_eq!(bench.collect(), 21, "the wait ended with the sends alone");
    assert_eq!(bench.seen.back().unwrap().tag, bell);
    assert!(bench.seen.iter().zip(&sends).all(|(completion, &tag)| completion.tag == tag && completion.result == 1));
    ringer.join().unwrap();
}

#[test]
fn completions_that_were_reaped_are_not_waited_for_again() {
    let mut bench = Bench::new();
    let _far = bench.connection(FILE);
    let bell = arm_doorbell(&mut bench);
    for _ in 0..17 {
        bench.push(send());
    }
    assert_eq!(bench.collect(), 16, "the seventeenth push has submitted the sixteen before it");
    let doorbell = bench.ring.doorbell();
    let ringer = std::thread::spawn(move || doorbell.ring());
    // Counting the sixteen would wait for ever.
    bench.ring.enter(Wait::Forever).unwrap();
    bench.collect();
    assert!(bench.seen.iter().any(|completion| completion.tag == bell));
    ringer.join().unwrap();
}

#[test]
fn a_wait_ends_with_its_time() {
    let mut bench = Bench::new();
    let start = Instant::now();
    assert_eq!(bench.ring.enter(Wait::AtMost(2_000_000)).unwrap(), Entered::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(2));
    assert_eq!(bench.collect(), 0);
}

#[test]
fn a_wait_of_no_time_is_a_poll() {
    let mut bench = Bench::new();
    let _far = bench.connection(FILE);
    let tag = bench.push(send());
    assert_eq!(bench.ring.enter(Wait::AtMost(0)).unwrap(), Entered::Done);
    bench.collect();
    assert_eq!((bench.seen.len(), bench.seen[0].tag), (1, tag));
}

#[test]
fn a_time_limit_also_holds_when_something_is_submitted() {
    let mut bench = Bench::new();
    let _far = bench.connection(FILE);
    let start = Instant::now();
    let tag = bench.push(send());
    bench.ring.enter(Wait::AtMost(2_000_000)).unwrap();
    assert!((Duration::from_millis(2)..PATIENCE).contains(&start.elapsed()));
    assert_eq!(bench.wait_for(tag).result, 1);
}

#[test]
fn polling_an_idle_ring_returns_at_once() {
    let mut bench = Bench::new();
    arm_doorbell(&mut bench);
    assert_eq!(bench.ring.enter(Wait::Poll).unwrap(), Entered::Done);
    assert_eq!(bench.collect(), 0);
}

#[test]
fn polling_alone_brings_deferred_completions() {
    let mut bench = Bench::new();
    let bell = arm_doorbell(&mut bench);
    bench.ring.doorbell().ring();
    let deadline = Instant::now() + PATIENCE;
    while bench.seen.is_empty() {
        assert!(Instant::now() < deadline);
        bench.poll();
    }
    assert_eq!(bench.seen[0].tag, bell);
}

#[test]
fn a_signal_interrupts_a_wait_and_the_ring_goes_on() {
    extern "C" fn ignore(_: libc::c_int) {}
    // SAFETY: the handler does nothing; without SA_RESTART, blocking calls end with EINTR.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ignore as extern "C" fn(libc::c_int) as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
    }
    let mut bench = Bench::new();
    let bell = arm_doorbell(&mut bench);
    let returned = AtomicBool::new(false);
    // SAFETY: pthread_self has no preconditions.
    let waiter = unsafe { libc::pthread_self() };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !returned.load(Ordering::Acquire) {
                // SAFETY: the waiter lives as long as the scope.
                unsafe { libc::pthread_kill(waiter, libc::SIGUSR1) };
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let entered = bench.ring.enter(Wait::Forever).unwrap();
        returned.store(true, Ordering::Release);
        assert_eq!(entered, Entered::Interrupted);
    });
    bench.ring.doorbell().ring();
    assert_eq!(bench.wait_for(bell).result, i32::from(libc::POLLIN));
}

#[test]
fn a_full_submission_queue_submits_and_an_overflowing_completion_queue_loses_nothing() {
    let mut bench = Bench::with(RingSettings::new(4, 4));
    let mut far = bench.connection(FILE);
    // 4 submissions and 16 completions fit; 100 are pushed without one look at the completions.
    let sends: Vec<_> = (0..100).map(|_| bench.push(send())).collect();
    for &tag in &sends {
        assert_eq!(bench.wait_for(tag).result, 1);
    }
    assert!(bench.seen.is_empty());
    far.read_exact(&mut [0; 100]).unwrap();
}

#[test]
fn a_wait_with_a_full_completion_queue_returns() {
    let mut bench = Bench::with(RingSettings::new(4, 4));
    let _far = bench.connection(FILE);
    for _ in 0..100 {
        bench.push(send());
    }
    // More is asked for than the queue can hold, unless the number is capped.
    bench.ring.enter(Wait::Forever).unwrap();
    assert!(bench.collect() >= 16);
}

fn polled() -> Bench {
    let polling = SubmissionPolling { idle_ms: 1, cpu: None };
    Bench::with(RingSettings { sqpoll: Some(polling), ..RingSettings::new(8, 4) })
}

#[test]
fn a_submission_thread_takes_sends_also_after_it_has_slept() {
    let mut bench = polled();
    let mut far = bench.connection(FILE);
    for _ in 0..5 {
        // Longer than the thread polls: it has to be woken.
        std::thread::sleep(Duration::from_millis(10));
        let tag = bench.push(send());
        assert_eq!(bench.wait_for(tag).result, 1);
    }
    far.read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn a_wait_with_a_submission_thread_never_counts_what_is_already_done() {
    let mut bench = polled();
    let mut far = bench.connection(FILE);
    let bell = arm_doorbell(&mut bench);
    for round in 0..200 {
        bench.push(send());
        bench.poll();
        // By now the thread may have sent or not, and the completion may have been taken or not.
        bench.collect();
        let doorbell = bench.ring.doorbell();
        let ringer = std::thread::spawn(move || doorbell.ring());
        let deadline = Instant::now() + PATIENCE;
        while !bench.seen.iter().any(|completion| completion.tag == bell) {
            assert!(Instant::now() < deadline, "round {round}");
            bench.ring.enter(Wait::Forever).unwrap();
            bench.collect();
        }
        ringer.join().unwrap();
        bench.seen.retain(|completion| completion.tag != bell);
    }
    far.read_exact(&mut [0; 200]).unwrap();
}

#[test]
fn a_full_queue_of_a_submission_thread_is_waited_out() {
    let mut bench = polled();
    let mut far = bench.connection(FILE);
    let sends: Vec<_> = (0..100).map(|_| bench.push(send())).collect();
    for &tag in &sends {
        assert_eq!(bench.wait_for(tag).result, 1);
    }
    far.read_exact(&mut [0; 100]).unwrap();
}
