//! NVMe commands through the driver, on drives.

use std::collections::HashMap;

use ringline::driver::{DeviceToken, FileRefused, Misaligned, NvmeError, NvmeOp, NvmeRefused, Place};
use ringline_ring::{AlignedBuffer, DeviceFacts};

use crate::bench::{Bench, COMMANDS_MAX, DEVICES_MAX, filled};
use crate::{Area, Device, devices};

fn open(bench: &mut Bench, named: &Device) -> (DeviceToken, DeviceFacts) {
    bench.open(&named.path, named.namespace)
}

#[test]
fn blocks_that_are_written_are_read_back_through_commands_and_through_the_block_layer() {
    for named in &devices() {
        let block_size = named.block_size;
        let mut bench = Bench::new();
        let (device, facts) = open(&mut bench, named);
        assert_eq!(facts.block_size, block_size);
        assert_eq!(facts.blocks * u64::from(block_size), 64 << 20);
        let mut lba = Area::ReadBack.lba() + 7;
        for (seed, blocks) in [(1, 1), (2, 2), (3, 8), (4, 31)] {
            let len = usize::from(blocks) * block_size as usize;
            bench.write(device, lba, blocks, filled(len, seed));
            assert!(
                bench.read(device, lba, blocks, len)[..] == filled(len, seed)[..],
                "{blocks} blocks came back changed"
            );
            lba += u64::from(blocks);
        }
        bench.write(device, facts.blocks - 1, 1, filled(block_size as usize, 9));
        let seq = bench.driver.flush_device(device).unwrap();
        let flushed = bench.command(seq);
        assert_eq!(flushed.op, NvmeOp::Flush);
        flushed.result.unwrap();
        // The block layer finds the same bytes at the same places.
        let (file, file_facts) = bench.open_file(&named.block_device(), false);
        assert_eq!((file_facts.block_size, file_facts.len), (block_size, 64 << 20));
        let last = (facts.blocks - 1) * u64::from(block_size);
        let seq = bench.driver.read_file(file, last, AlignedBuffer::new(block_size as usize).unwrap()).unwrap();
        assert!(bench.operation(seq).buffer.unwrap()[..] == filled(block_size as usize, 9)[..]);
    }
}

#[test]
fn f2_a_block_beyond_the_end_fails_with_the_devices_status_in_words() {
    let mut bench = Bench::new();
    let (device, facts) = open(&mut bench, &devices()[0]);
    for lba in [facts.blocks, u64::from(u32::MAX) + 1, 1 << 62] {
        let seq = bench.driver.read_blocks(device, lba, 1, AlignedBuffer::new(512).unwrap()).unwrap();
        let failed = bench.command(seq);
        let error = failed.result.unwrap_err();
        let NvmeError::Status(status) = &error else { panic!("{error}") };
        assert_eq!((status.code_type(), status.code()), (0, 0x80));
        assert!(error.to_string().contains("LBA out of range"), "{error}");
        assert_eq!(failed.buffer.unwrap().len(), 512, "the buffer comes back");
    }
}

#[test]
fn f3_a_number_of_blocks_of_0_and_a_buffer_of_another_size_are_refused() {
    let mut bench = Bench::new();
    let (device, _) = open(&mut bench, &devices()[1]);
    let (refused, buffer) = bench.driver.write_blocks(device, 0, 0, filled(4096, 1)).unwrap_err();
    assert_eq!((refused, buffer.len()), (NvmeRefused::NoBlocks, 4096));
    let (refused, _) = bench.driver.read_blocks(device, 0, 2, buffer).unwrap_err();
    assert_eq!(refused, NvmeRefused::WrongLength { len: 4096, blocks: 2, block_size: 4096 });
    assert_eq!(bench.driver.commands(), 0);
}

#[test]
fn the_wrong_namespace_and_the_block_device_are_refused_in_words() {
    let [named, _] = devices();
    let mut bench = Bench::new();
    let error = bench.try_open(&named.path, 77).1.unwrap_err();
    assert_eq!(error.to_string(), format!("the device belongs to namespace {}, not 77", named.namespace));
    let error = bench.try_open(&named.block_device(), named.namespace).1.unwrap_err();
    assert!(error.to_string().contains("not the generic character device"), "{error}");
    assert_eq!(bench.driver.open_devices(), 0);
}

#[test]
fn a_stale_device_is_refused_also_when_its_slot_is_used_again() {
    let [named, _] = devices();
    let mut bench = Bench::new();
    let (first, _) = open(&mut bench, &named);
    let lba = Area::Stale.lba();
    let begun: Vec<u64> =
        (lba..lba + 8).map(|lba| bench.driver.write_blocks(first, lba, 1, filled(512, lba)).unwrap()).collect();
    assert!(bench.driver.close_device(first));
    assert!(!bench.driver.close_device(first), "closed already");
    bench.turn_until("the close", |bench| bench.host.devices_closed == [first]);
    for seq in begun {
        bench.host.commands.remove(&seq).expect("completed before the close").result.unwrap();
    }
    let (second, _) = open(&mut bench, &named);
    assert_eq!(first.slot(), second.slot(), "the slot is used again");
    assert_eq!(bench.driver.flush_device(first), Err(NvmeRefused::NotOpen));
    assert!(bench.driver.device_facts(first).is_none() && bench.driver.device_facts(second).is_some());
}

#[test]
fn f4_results_of_commands_and_of_file_operations_are_never_swapped() {
    const BLOCK: usize = 4096;
    let mut bench = Bench::new();
    let (device, _) = open(&mut bench, &devices()[1]);
    let (disk, _) = bench.open_file(&devices()[0].block_device(), false);
    let path = std::env::temp_dir().join(format!("ringline-swapped-{}", std::process::id()));
    let (file, _) = bench.open_file(&path, true);
    let (lba, on_disk) = (Area::Swapped.lba(), Area::Swapped.lba() * 512);
    for block in 0..16u64 {
        bench.write(device, lba + block, 1, filled(BLOCK, block));
        for (seed, target, from) in [(1000, disk, on_disk), (2000, file, 0)] {
            let offset = from + block * BLOCK as u64;
            let seq = bench.driver.write_file(target, offset, filled(BLOCK, seed + block)).unwrap();
            assert_eq!(bench.operation(seq).result.unwrap(), BLOCK as u32);
        }
    }
    for round in 0..20u64 {
        let mut expected = HashMap::new();
        for index in 0..48u64 {
            let block = (index * 5 + round) % 16;
            let (buffer, offset) = (AlignedBuffer::new(BLOCK).unwrap(), block * BLOCK as u64);
            let (seq, seed) = match index % 3 {
                0 => (bench.driver.read_blocks(device, lba + block, 1, buffer).unwrap(), block),
                1 => (bench.driver.read_file(disk, on_disk + offset, buffer).unwrap(), 1000 + block),
                _ => (bench.driver.read_file(file, offset, buffer).unwrap(), 2000 + block),
            };
            assert!(expected.insert(seq, (index % 3 == 0, seed)).is_none(), "two operations with one number");
        }
        for (seq, (by_command, seed)) in expected {
            let buffer = if by_command { bench.command(seq).buffer } else { bench.operation(seq).buffer };
            assert!(buffer.unwrap()[..] == filled(BLOCK, seed)[..], "round {round}: the bytes of another operation");
        }
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!((bench.driver.commands(), bench.driver.file_operations()), (0, 0));
}

#[test]
fn limits_hold_and_are_named() {
    let mut bench = Bench::new();
    let opened: Vec<DeviceToken> = (0..DEVICES_MAX).map(|_| open(&mut bench, &devices()[0]).0).collect();
    let refused = bench.driver.open_device(&devices()[0].path, 1).unwrap_err();
    assert_eq!(refused, NvmeRefused::TooManyDevices { limit: DEVICES_MAX });
    let begun: Vec<u64> =
        (0..COMMANDS_MAX).map(|_| bench.driver.flush_device(opened[0]).expect("within the limit")).collect();
    assert_eq!(bench.driver.flush_device(opened[1]), Err(NvmeRefused::TooManyCommands { limit: COMMANDS_MAX }));
    for seq in begun {
        bench.command(seq).result.unwrap();
    }
}

#[test]
fn a_disk_with_blocks_of_4096_refuses_what_is_aligned_to_512() {
    let mut bench = Bench::new();
    let (disk, facts) = bench.open_file(&devices()[1].block_device(), false);
    assert_eq!(facts.block_size, 4096);
    let (refused, _) = bench.driver.read_file(disk, 512, AlignedBuffer::new(4096).unwrap()).unwrap_err();
    let expected = Misaligned { place: Place::Offset, value: 512, block_size: 4096 };
    assert_eq!(refused, FileRefused::Misaligned(expected));
}
