//! Waiting for a disk awake. This test is alone in its program: beside others that use a slow disk the kernel itself sleeps for each read.

mod files_bench;

use files_bench::{Bench, filled};
use ringline_ring::AlignedBuffer;

/// How often this thread has gone to sleep of its own accord.
fn sleeps() -> i64 {
    // SAFETY: the structure is plain numbers, which the call fills.
    unsafe {
        let mut usage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0);
        usage.ru_nvcsw
    }
}

#[test]
fn a_driver_that_polls_busily_does_not_sleep_while_the_disk_reads() {
    const READS: i64 = 50;
    let mut bench = Bench::with_busy_poll("busy", 10_000_000_000);
    let (file, _) = bench.create("data");
    assert_eq!(bench.write(file, 0, filled(4096, 1)).result.unwrap(), 4096);
    // The kernel itself may sleep for some, waiting for a lock; a driver that sleeps does so for each, every time.
    let fewest = (0..20)
        .map(|_| {
            let before = sleeps();
            for _ in 0..READS {
                let seq = bench.driver.read_file(file, 0, AlignedBuffer::new(4096).unwrap()).unwrap();
                let read = bench.completion(seq);
                assert!(read.buffer.unwrap()[..] == filled(4096, 1)[..]);
            }
            sleeps() - before
        })
        .min()
        .unwrap();
    assert!(fewest < READS / 2, "slept {fewest} times in {READS} reads at the least");
    bench.close(file);
}
