//! What dropping a ring guarantees.

use std::io::Write;
use std::net::TcpListener;
use std::os::fd::AsRawFd;

use ringline_ring::{FileIndex, Kernel, Op, RingSettings, SubmissionPolling};

use crate::fixture::{Bench, OPTIONS, QUIET, in_a_process_of_its_own, loopback, tcp_pair};

const FILE: FileIndex = FileIndex(0);
const LEN: usize = 4096;

fn settings() -> [RingSettings; 2] {
    let plain = RingSettings::new(16, 16);
    [plain, RingSettings { sqpoll: Some(SubmissionPolling { idle_ms: 1, cpu: None }), ..plain }]
}

#[test]
fn d11_buffers_are_not_written_after_the_ring_is_dropped() {
    for settings in settings() {
        let mut bench = Bench::with(settings);
        let start = bench.provide(1, LEN, false);
        let (near, mut far) = tcp_pair();
        // A second descriptor keeps the socket alive, so that bytes still arrive at it.
        let kept = near.try_clone().unwrap();
        bench.ring.adopt(FILE, &near).unwrap();
        bench.receive(FILE);
        let Bench { ring, memory, .. } = bench;
        drop(ring);

        far.write_all(&[7; 100]).unwrap();
        let mut there = libc::pollfd { fd: kept.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, which lives across the call.
        assert_eq!(unsafe { libc::poll(&raw mut there, 1, 5000) }, 1);
        std::thread::sleep(QUIET);
        // SAFETY: the memory is still mapped, and if this test passes nobody writes it.
        assert_eq!(unsafe { std::slice::from_raw_parts(start, LEN) }, [0; LEN]);
        drop(memory);
    }
}

#[test]
fn a_listeners_port_is_free_at_once() {
    for settings in settings() {
        for round in 0..50 {
            let mut bench = Bench::with(settings);
            let bound = bench.ring.listen(FILE, loopback(), &OPTIONS).unwrap().1;
            bench.push(Op::AcceptMultishot { listener: FILE });
            bench.push(Op::PollDoorbell);
            bench.poll();
            drop(bench);
            // Without SO_REUSEADDR's help: the plain socket calls, on the very same port.
            TcpListener::bind(bound).unwrap_or_else(|error| panic!("round {round} of {settings:?}: {error}"));
        }
    }
}

#[test]
fn operations_that_were_never_submitted_are_forgotten() {
    let mut bench = Bench::new();
    let mut far = bench.connection(FILE);
    static BYTE: u8 = 1;
    // SAFETY: the byte is static.
    bench.push(Op::Send { file: FILE, bytes: unsafe { ringline_ring::PinnedBytes::new(&raw const BYTE, 1) } });
    drop(bench);
    assert!(crate::fixture::sees_fin(&mut far, crate::fixture::PATIENCE));
}

#[test]
fn rings_leave_no_descriptor_and_no_registration_behind() {
    in_a_process_of_its_own(
        "release::rings_leave_no_descriptor_and_no_registration_behind",
        || Ok(()),
        || {
            let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
            let before = open();
            // A thread can register 16 rings: more would fail to be registered, or stay alive, if one were forgotten.
            for round in 0..40 {
                let mut bench = Bench::with(settings()[round % 2]);
                bench.provide(2, LEN, false);
                let _far = bench.connection(FILE);
                bench.receive(FILE);
            }
            assert_eq!(open(), before);
            // A registered ring that outlives its descriptor shows among the mappings of nobody, but in the kernel's
            // threads: each submission thread is one.
            let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
            let deadline = std::time::Instant::now() + crate::fixture::PATIENCE;
            while threads() > 2 {
                assert!(std::time::Instant::now() < deadline, "{} threads are left", threads());
                std::thread::yield_now();
            }
        },
    );
}
