//! Memory that the kernel knows: which operations use it as such, and what becomes of it.

mod files_bench;

use std::sync::Arc;

use ringline::MemoryRegion;
use ringline::driver::FileToken;
use ringline_ring::{AlignedBuffer, Region, Wait};

use files_bench::{Bench, filled};

const BLOCK: usize = 4096;
/// What a driver registers at most, in one piece and altogether.
const REGION_BYTES_MAX: usize = 8 << 20;
const BYTES_MAX: usize = 64 << 20;
/// What it registers at most in number.
const REGIONS_MAX: usize = 1024;

/// How many of the operations so far were done with memory that the kernel knew.
fn fixed(bench: &Bench) -> u64 {
    bench.driver.metrics().fixed_transfers
}

/// A file whose blocks are each filled with a pattern of their own.
fn patterned(bench: &mut Bench, blocks: u64) -> FileToken {
    let (file, _) = bench.create("data");
    for block in 0..blocks {
        bench.write(file, block * BLOCK as u64, filled(BLOCK, block)).result.unwrap();
    }
    assert_eq!(fixed(bench), 0, "memory for one operation is not registered");
    file
}

fn read(bench: &mut Bench, file: FileToken, block: u64, buffer: AlignedBuffer) -> AlignedBuffer {
    let seq = bench.driver.read_file(file, block * BLOCK as u64, buffer).unwrap();
    let read = bench.completion(seq);
    assert_eq!(read.result.unwrap(), BLOCK as u32);
    let buffer = read.buffer.unwrap();
    assert!(buffer[..] == filled(BLOCK, block)[..], "block {block} came back changed");
    buffer
}

/// A part of a region that others use parts of, too.
fn part(region: &Arc<Region>, index: usize) -> AlignedBuffer {
    // SAFETY: the tests use each part for one operation at a time.
    unsafe { AlignedBuffer::over(Arc::clone(region), index * BLOCK, BLOCK) }
}

#[test]
fn memory_is_registered_when_it_is_used_again_and_the_bytes_are_right() {
    let mut bench = Bench::new("fixed");
    let file = patterned(&mut bench, 64);
    let mut buffer = AlignedBuffer::new(BLOCK).unwrap();
    for block in 0..64 {
        buffer = read(&mut bench, file, block, buffer);
    }
    assert_eq!(fixed(&bench), 63);
    for block in 0..64 {
        buffer.copy_from_slice(&filled(BLOCK, 1000 + block));
        buffer = bench.write(file, (64 + block) * BLOCK as u64, buffer).buffer.unwrap();
    }
    assert_eq!(fixed(&bench), 127);
    let seen = std::fs::read(bench.directory.join("data")).unwrap();
    for block in 0..64 {
        let start = (64 + block as usize) * BLOCK;
        assert!(seen[start..start + BLOCK] == filled(BLOCK, 1000 + block)[..], "block {block} was written changed");
    }
}

#[test]
fn parts_of_one_region_are_read_at_the_same_time() {
    let mut bench = Bench::new("fixed-parts");
    let file = patterned(&mut bench, 32);
    let region = Arc::new(Region::new(32 * BLOCK).unwrap());
    for _ in 0..4 {
        let begun: Vec<u64> =
            (0..32).map(|at| bench.driver.read_file(file, (at * BLOCK) as u64, part(&region, at)).unwrap()).collect();
        for (block, seq) in begun.into_iter().enumerate() {
            let read = bench.completion(seq);
            assert_eq!(read.result.unwrap(), BLOCK as u32);
            assert!(read.buffer.unwrap()[..] == filled(BLOCK, block as u64)[..], "block {block} came back changed");
        }
    }
    assert_eq!(fixed(&bench), 4 * 32 - 1);
}

#[test]
fn a_region_of_the_configuration_is_not_registered_twice() {
    let mut bench = Bench::new("fixed-given");
    let region = Arc::new(Region::new(BLOCK).unwrap());
    bench.driver.register_memory(&[MemoryRegion::from(Arc::clone(&region))]).unwrap();
    let file = patterned(&mut bench, 2);
    read(&mut bench, file, 1, part(&region, 0));
    assert_eq!(fixed(&bench), 1, "it is known from the beginning");
    bench.close(file);
    let (file, opened) = bench.try_open(&bench.directory.join("data"), false, false);
    opened.unwrap();
    read(&mut bench, file, 0, part(&region, 0));
    assert_eq!(fixed(&bench), 2, "it stays when the last file was closed");
}

#[test]
fn more_regions_than_there_is_room_for_are_read_into_all_the_same() {
    let mut bench = Bench::new("fixed-many");
    let file = patterned(&mut bench, 2);
    let mut kept: Vec<_> = (0..REGIONS_MAX + 3).map(|_| AlignedBuffer::new(BLOCK).unwrap()).collect();
    for _ in 0..2 {
        kept = kept.into_iter().map(|buffer| read(&mut bench, file, 1, buffer)).collect();
    }
    assert_eq!(fixed(&bench), REGIONS_MAX as u64);
    // What is let go of makes room for others.
    kept.clear();
    let buffer = read(&mut bench, file, 0, AlignedBuffer::new(BLOCK).unwrap());
    read(&mut bench, file, 1, buffer);
    assert_eq!(fixed(&bench), REGIONS_MAX as u64 + 1);
}

#[test]
fn large_regions_and_those_beyond_the_sum_are_left_alone() {
    let mut bench = Bench::new("fixed-large");
    let file = patterned(&mut bench, 2);
    let large = Arc::new(Region::new(REGION_BYTES_MAX + 1).unwrap());
    let kept: Vec<_> =
        (0..=BYTES_MAX / REGION_BYTES_MAX).map(|_| Arc::new(Region::new(REGION_BYTES_MAX).unwrap())).collect();
    for region in kept.iter().chain([&large]) {
        for index in [0, 1] {
            read(&mut bench, file, 1, part(region, index));
        }
    }
    assert_eq!(fixed(&bench), (BYTES_MAX / REGION_BYTES_MAX) as u64);
}

#[test]
fn memory_that_is_gone_takes_no_room_and_its_successors_get_their_own_bytes() {
    let mut bench = Bench::new("fixed-gone");
    let file = patterned(&mut bench, 8);
    // The system maps new memory where the old was, so that an address would find what is registered no more.
    for round in 0..REGIONS_MAX as u64 + 100 {
        let buffer = read(&mut bench, file, round % 8, AlignedBuffer::new(BLOCK).unwrap());
        read(&mut bench, file, (round + 1) % 8, buffer);
    }
    assert_eq!(fixed(&bench), REGIONS_MAX as u64 + 100, "the second use of each");
}

#[test]
fn f5_memory_that_everybody_lets_go_of_while_it_is_read_into_stays_until_the_end() {
    let mut bench = Bench::new("fixed-dropped");
    let file = patterned(&mut bench, 8);
    for round in 0..200u64 {
        let region = Arc::new(Region::new(8 * BLOCK).unwrap());
        let begun: Vec<u64> = (0..8)
            .map(|at| {
                bench.driver.read_file(file, ((at as u64 + round) % 8) * BLOCK as u64, part(&region, at)).unwrap()
            })
            .collect();
        drop(region);
        bench.driver.turn(&mut bench.host, Wait::Poll).unwrap();
        for (at, seq) in begun.into_iter().enumerate() {
            let buffer = bench.completion(seq).buffer.unwrap();
            assert!(buffer[..] == filled(BLOCK, (at as u64 + round) % 8)[..], "round {round}, part {at}");
        }
    }
    assert_eq!(fixed(&bench), 200 * 7);
}
