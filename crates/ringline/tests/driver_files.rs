//! Direct I/O through the driver, on the file system that holds the temporary directory (`TMPDIR`).

mod files_bench;

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use files_bench::{Bench, FILES_MAX, OPERATIONS_MAX, filled};
use ringline::driver::{FileOp, FileRefused, FileToken, Misaligned, Place};
use ringline_ring::{AlignedBuffer, Wait};

#[test]
fn what_is_written_and_made_durable_is_read_back() {
    let mut bench = Bench::new("round-trip");
    let (file, facts) = bench.create("data");
    assert_eq!(facts.len, 0);
    let mut offset = 0;
    for (seed, blocks) in [(1, 1), (2, 8), (3, 256), (4, 3)] {
        let len = blocks * facts.block_size as usize;
        let written = bench.write(file, offset, filled(len, seed));
        assert_eq!((written.op, written.result.unwrap()), (FileOp::Write, len as u32));
        let seq = bench.driver.fsync_file(file).unwrap();
        let synced = bench.completion(seq);
        assert_eq!((synced.op, synced.result.unwrap()), (FileOp::Fsync, 0));
        assert!(synced.buffer.is_none());
        let seq = bench.driver.read_file(file, offset, AlignedBuffer::new(len).unwrap()).unwrap();
        let read = bench.completion(seq);
        assert_eq!((read.file, read.op, read.result.unwrap()), (file, FileOp::Read, len as u32));
        assert!(read.buffer.unwrap()[..] == filled(len, seed)[..], "{blocks} blocks came back changed");
        offset += len as u64;
    }
    // Another reader sees the same bytes, so they did reach the file.
    let seen = std::fs::read(bench.directory.join("data")).unwrap();
    assert_eq!(seen.len() as u64, offset);
    assert!(seen[..facts.block_size as usize] == filled(facts.block_size as usize, 1)[..]);
    bench.close(file);
    assert_eq!((bench.driver.open_files(), bench.driver.file_operations()), (0, 0));
}

#[test]
fn a_read_at_the_end_of_the_file_is_short_and_one_behind_it_empty() {
    let mut bench = Bench::new("end");
    let path = bench.directory.join("short");
    std::fs::write(&path, [7; 700]).unwrap();
    let (file, facts) = bench.try_open(&path, false, false);
    let facts = facts.unwrap();
    assert_eq!(facts.len, 700);
    for (offset, expected) in [(0, 700), (1 << 20, 0)] {
        let seq = bench.driver.read_file(file, offset, AlignedBuffer::new(65_536).unwrap()).unwrap();
        assert_eq!(bench.completion(seq).result.unwrap(), expected);
    }
}

#[test]
fn a_misaligned_operation_is_refused_with_the_number_that_is_wrong() {
    let mut bench = Bench::new("misaligned");
    let (file, facts) = bench.create("data");
    let block = facts.block_size;
    let mut refused = |offset: u64, buffer: AlignedBuffer| match bench.driver.read_file(file, offset, buffer) {
        Err((FileRefused::Misaligned(Misaligned { place, value, block_size }), buffer)) => {
            assert!(!buffer.is_empty(), "the buffer comes back");
            (place, value, block_size)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(1, AlignedBuffer::new(4096).unwrap()), (Place::Offset, 1, block));
    assert_eq!(refused(0, AlignedBuffer::new(4095).unwrap()), (Place::Length, 4095, block));
    if facts.memory_alignment > 1 {
        let mut rest = AlignedBuffer::new(4096 + 65_536).unwrap();
        let _ = rest.split_to(1);
        let address = rest.as_ptr() as u64;
        assert_eq!(refused(0, rest.split_to(65_536)), (Place::Address, address, facts.memory_alignment));
    }
    assert_eq!(bench.driver.file_operations(), 0);
}

#[test]
fn a_stale_file_is_refused_also_when_its_slot_is_used_again() {
    let mut bench = Bench::new("stale");
    let (first, _) = bench.create("first");
    bench.close(first);
    let (second, _) = bench.create("second");
    assert_eq!(first.slot(), second.slot(), "the slot is used again");
    let refused = bench.driver.write_file(first, 0, filled(4096, 1)).unwrap_err().0;
    assert_eq!(refused, FileRefused::NotOpen);
    assert_eq!(bench.driver.fsync_file(first), Err(FileRefused::NotOpen));
    assert!(!bench.driver.close_file(first));
    assert!(bench.driver.file_facts(first).is_none() && bench.driver.file_facts(second).is_some());
    assert_eq!(std::fs::metadata(bench.directory.join("second")).unwrap().len(), 0);
}

#[test]
fn writing_a_file_that_was_opened_for_reading_is_refused() {
    let mut bench = Bench::new("read-only");
    let path = bench.directory.join("data");
    std::fs::write(&path, [1; 4096]).unwrap();
    let (file, outcome) = bench.try_open(&path, false, false);
    outcome.unwrap();
    assert_eq!(bench.driver.write_file(file, 0, filled(4096, 1)).unwrap_err().0, FileRefused::ReadOnly);
    assert_eq!(std::fs::read(&path).unwrap(), [1; 4096]);
}

#[test]
fn positions_that_the_kernel_would_misread_are_refused() {
    let mut bench = Bench::new("range");
    let (file, facts) = bench.create("data");
    let last = u64::MAX - u64::from(facts.block_size) + 1;
    for offset in [last, i64::MAX as u64 + 1] {
        let refused = bench.driver.read_file(file, offset, AlignedBuffer::new(4096).unwrap()).unwrap_err().0;
        assert_eq!(refused, FileRefused::OutOfRange { offset, len: 4096 });
    }
}

#[test]
fn what_cannot_be_opened_leaves_no_slot_behind() {
    let mut bench = Bench::new("refused");
    let missing = bench.directory.join("missing");
    let (stale, outcome) = bench.try_open(&missing, true, false);
    assert_eq!(outcome.unwrap_err().raw_os_error(), Some(libc::ENOENT));
    assert!(!bench.driver.close_file(stale));
    // Whether O_DIRECT is refused by the open or afterwards depends on the kind of file; each is told in words.
    for path in ["/proc/self/status", "/dev/null"] {
        let (_, outcome) = bench.try_open(Path::new(path), false, false);
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{path}: {error}");
        assert!(error.to_string().contains("direct I/O"), "{path}: {error}");
    }
    assert_eq!(bench.driver.open_file(Path::new("a\0b"), false, false), Err(FileRefused::BadPath));
    assert_eq!(bench.driver.open_files(), 0);
}

#[test]
fn limits_hold_and_are_named() {
    let mut bench = Bench::new("limits");
    let files: Vec<FileToken> = (0..FILES_MAX).map(|index| bench.create(&index.to_string()).0).collect();
    let path = bench.directory.join("one-more");
    assert_eq!(bench.driver.open_file(&path, true, true), Err(FileRefused::TooManyFiles { limit: FILES_MAX }));
    let file = files[0];
    let mut begun = Vec::new();
    for _ in 0..OPERATIONS_MAX {
        begun.push(bench.driver.write_file(file, 0, filled(4096, 9)).unwrap());
    }
    let (refused, buffer) = bench.driver.write_file(file, 0, filled(4096, 9)).unwrap_err();
    assert_eq!((refused, buffer.len()), (FileRefused::TooManyOperations { limit: OPERATIONS_MAX }, 4096));
    for seq in begun {
        assert_eq!(bench.completion(seq).result.unwrap(), 4096);
    }
    assert_eq!(bench.write(file, 0, buffer).result.unwrap(), 4096);
    for file in files {
        bench.close(file);
    }
    assert_eq!(bench.create("one-more").0.slot(), FILES_MAX - 1, "the slot freed last is used first");
}

#[test]
fn f4_results_of_concurrent_operations_are_never_swapped() {
    const BLOCK: usize = 4096;
    let mut bench = Bench::new("swapped");
    let files = [bench.create("a").0, bench.create("b").0];
    for (which, &file) in files.iter().enumerate() {
        for block in 0..32u64 {
            let written = bench.write(file, block * BLOCK as u64, filled(BLOCK, 1000 * which as u64 + block));
            assert_eq!(written.result.unwrap(), BLOCK as u32);
        }
    }
    // Slots of operations are used again in another order in each round, because they complete in another order.
    for round in 0..50u64 {
        let mut expected = HashMap::new();
        for index in 0..u64::from(OPERATIONS_MAX) {
            let (which, block) = ((index + round) % 2, (index * 7 + round) % 32);
            let buffer = AlignedBuffer::new(BLOCK).unwrap();
            let seq = bench.driver.read_file(files[which as usize], block * BLOCK as u64, buffer).unwrap();
            assert!(expected.insert(seq, 1000 * which + block).is_none(), "two operations with one number");
        }
        for (seq, seed) in expected {
            let read = bench.completion(seq);
            assert_eq!(read.result.unwrap(), BLOCK as u32);
            assert!(read.buffer.unwrap()[..] == filled(BLOCK, seed)[..], "round {round}: the bytes of another block");
        }
    }
    assert!(bench.host.completed.is_empty());
}

#[test]
fn the_first_of_many_operations_are_with_the_disk_before_the_turn_that_submits_the_rest() {
    let mut bench = Bench::new("ahead");
    let (file, _) = bench.create("data");
    let block = |index: u64| (index * 4096, filled(4096, index));
    for (offset, bytes) in (0..16).map(block) {
        assert_eq!(bench.write(file, offset, bytes).result.unwrap(), 4096);
    }
    let enters = bench.driver.metrics().enters;
    let read = |bench: &mut Bench, index| {
        bench.driver.read_file(file, block(index).0, AlignedBuffer::new(4096).unwrap()).unwrap()
    };
    let mut begun = vec![read(&mut bench, 0)];
    assert_eq!(bench.driver.metrics().enters, enters, "a single read waits for the turn");
    begun.extend((1..16).map(|index| read(&mut bench, index)));
    assert_eq!(bench.driver.metrics().enters, enters + 4, "2, 2, 4 and 8 reads");
    for (index, seq) in begun.into_iter().enumerate() {
        let read = bench.completion(seq);
        assert_eq!(read.result.unwrap(), 4096);
        assert!(read.buffer.unwrap()[..] == block(index as u64).1[..], "block {index} came back changed");
    }
    bench.close(file);
}

#[test]
fn where_more_operations_have_ended_together_the_next_turn_brings_them() {
    let mut bench = Bench::new("together");
    let (file, _) = bench.create("data");
    assert_eq!(bench.write(file, 0, filled(4096, 1)).result.unwrap(), 4096);
    for _ in 0..20 {
        let begin = |_| bench.driver.read_file(file, 0, AlignedBuffer::new(4096).unwrap()).unwrap();
        let mut begun: Vec<u64> = (0..OPERATIONS_MAX).map(begin).collect();
        while !begun.is_empty() {
            bench.driver.turn(&mut bench.host, Wait::Forever).unwrap();
            while bench.driver.disk_batch_goes_on() {
                let left = bench.driver.file_operations();
                assert!(left > 0, "nothing goes on without operations");
                bench.driver.turn(&mut bench.host, Wait::Poll).unwrap();
                assert!(bench.driver.file_operations() < left);
            }
            begun.retain(|seq| bench.host.completed.remove(seq).is_none());
        }
    }
    bench.close(file);
}

#[test]
fn a_file_closes_after_what_is_in_flight_on_it() {
    let mut bench = Bench::new("drain");
    let (file, _) = bench.create("data");
    let begun: Vec<u64> =
        (0..8).map(|block| bench.driver.write_file(file, block * 4096, filled(4096, block)).unwrap()).collect();
    assert!(bench.driver.close_file(file));
    assert!(!bench.driver.close_file(file), "closed already");
    assert_eq!(bench.driver.write_file(file, 0, filled(4096, 1)).unwrap_err().0, FileRefused::NotOpen);
    bench.turn_until("the close", |bench| bench.host.closed == [file]);
    for seq in begun {
        assert_eq!(bench.host.completed.remove(&seq).expect("completed before the close").result.unwrap(), 4096);
    }
    assert_eq!(bench.host.order.last(), Some(&"closed"));
}

#[test]
fn an_open_that_is_given_up_leaves_nothing_behind() {
    let mut bench = Bench::new("given-up");
    let fifo = bench.directory.join("fifo");
    let name = CString::new(fifo.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a string of C's.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    // Without a writer the open of a FIFO waits for ever; the other one succeeds before it is given up.
    for path in [fifo, bench.directory.join("data")] {
        let file = bench.driver.open_file(&path, false, true).unwrap();
        bench.driver.turn(&mut bench.host, Wait::Poll).unwrap();
        if bench.host.opened.is_empty() {
            assert!(bench.driver.close_file(file));
            bench.turn_until("the end of the open", |bench| bench.driver.open_files() == 0);
            assert!(bench.host.opened.is_empty(), "nobody is told of an open that was given up");
        } else {
            bench.close(file);
        }
    }
    assert_eq!(bench.driver.open_files(), 0);
    let kept = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let kept = kept.flat_map(|entry| std::fs::read_link(entry.path())).find(|file| file.starts_with(&bench.directory));
    assert_eq!(kept, None, "a descriptor is left");
}

#[test]
fn f5_a_driver_dropped_mid_read_keeps_the_buffers_until_the_kernel_is_done() {
    const LEN: usize = 256 * 1024;
    for _ in 0..10 {
        let mut bench = Bench::new("dropped");
        let (file, _) = bench.create("data");
        let mut ones = AlignedBuffer::new(LEN).unwrap();
        ones.fill(1);
        assert_eq!(bench.write(file, 0, ones).result.unwrap(), LEN as u32);
        for _ in 0..16 {
            bench.driver.read_file(file, 0, AlignedBuffer::new(LEN).unwrap()).unwrap();
        }
        bench.driver.turn(&mut bench.host, Wait::Poll).unwrap();
        drop(bench);
        // Memory that was unmapped too early is likely to be mapped again here, and would be written to.
        let witness = AlignedBuffer::new(16 * LEN).unwrap();
        assert!(witness[..] == vec![0; 16 * LEN][..], "the kernel wrote into memory of somebody else");
    }
}
