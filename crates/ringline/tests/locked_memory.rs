//! Fixed buffers and the limits of the process: what they pin, and that nobody is refused for want of it. These tests are apart because they
//! look at the whole process; they take turns.

mod files_bench;

use std::sync::{Arc, Mutex, PoisonError};

use files_bench::{Bench, filled};
use ringline_ring::{AlignedBuffer, Region};

static TURN: Mutex<()> = Mutex::new(());

const BLOCK: usize = 4096;
const REGION_BYTES: usize = 1 << 20;

/// What the kernel has pinned of this process, in KiB.
fn pinned_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPin:")).expect("the kernel tells what is pinned");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Reads a block into each of the first parts of a region, and answers how many reads had memory that the kernel knew.
fn read_twice(bench: &mut Bench, region: &Arc<Region>) -> u64 {
    let (file, _) = bench.create("data");
    assert_eq!(bench.write(file, 0, filled(BLOCK, 7)).result.unwrap(), BLOCK as u32);
    for index in [0, 1] {
        // SAFETY: each part is used for one operation.
        let part = unsafe { AlignedBuffer::over(Arc::clone(region), index * BLOCK, BLOCK) };
        let seq = bench.driver.read_file(file, 0, part).unwrap();
        let read = bench.completion(seq);
        assert_eq!(read.result.unwrap(), BLOCK as u32);
        assert!(read.buffer.unwrap()[..] == filled(BLOCK, 7)[..], "part {index} came back changed");
    }
    let fixed = bench.driver.metrics().fixed_transfers;
    bench.close(file);
    fixed
}

/// Takes the right to lock any amount of memory from the calling thread, which may have it as root.
fn obey_the_limit_of_locked_memory() {
    const VERSION_3: u32 = 0x2008_0522;
    const CAP_IPC_LOCK: u32 = 14;
    let mut header = [VERSION_3, 0];
    // Effective, permitted, inheritable, of the first 32 capabilities and of the others.
    let mut capabilities = [[0u32; 3]; 2];
    // SAFETY: both have the kernel's layout and live across the call.
    assert_eq!(unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), capabilities.as_mut_ptr()) }, 0);
    capabilities[0][0] &= !(1 << CAP_IPC_LOCK);
    // SAFETY: as above; the raw call changes this thread alone.
    assert_eq!(unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), capabilities.as_ptr()) }, 0);
}

#[test]
fn without_room_for_locked_memory_operations_go_on_without_fixed_buffers() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure lives across the call.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut before) }, 0);
    let fixed = std::thread::spawn(move || {
        obey_the_limit_of_locked_memory();
        let mut bench = Bench::new("locked");
        let lowered = libc::rlimit { rlim_cur: REGION_BYTES as u64 / 2, rlim_max: before.rlim_max };
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const lowered) }, 0);
        read_twice(&mut bench, &Arc::new(Region::new(REGION_BYTES).unwrap()))
    });
    let fixed = fixed.join().unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const before) }, 0);
    assert_eq!(fixed, 0);
}

#[test]
fn the_last_file_that_is_closed_lets_go_of_all_memory() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut bench = Bench::new("pinned");
    let (other, _) = bench.create("other");
    let before = pinned_kib();
    let region = Arc::new(Region::new(REGION_BYTES).unwrap());
    assert_eq!(read_twice(&mut bench, &region), 1);
    assert!(pinned_kib() >= before + REGION_BYTES as u64 / 1024, "a file is still open");
    bench.close(other);
    bench.turn_until("the release of the memory", |_| pinned_kib() <= before);
}
