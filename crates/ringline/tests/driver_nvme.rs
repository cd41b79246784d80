//! NVMe commands through the driver.
//!
//! Tests that need a device run in the guest (`npm run test:guest`), on drives that they may overwrite:
//! `RINGLINE_NVME_DEVICES` names the generic character devices, one with blocks of 512 bytes and one with 4096.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ringline::driver::{
    Chunk, CommandCompletion, ConnToken, DeviceToken, DiskLimits, Driver, DriverSettings, FileCompletion, FileRefused,
    FileToken, Host, Misaligned, NvmeError, NvmeOp, NvmeRefused, Place,
};
use ringline_ring::{AlignedBuffer, DeviceFacts, FileFacts, RingSettings, SocketOptions, Uring, Wait};

#[derive(Default)]
struct Records {
    devices: HashMap<DeviceToken, io::Result<DeviceFacts>>,
    commands: HashMap<u64, CommandCompletion>,
    devices_closed: Vec<DeviceToken>,
    files: HashMap<FileToken, io::Result<FileFacts>>,
    operations: HashMap<u64, FileCompletion>,
}

impl Host<Uring> for Records {
    fn incoming(&mut self, _: OwnedFd) {}
    fn connected(&mut self, _: ConnToken) {}
    fn connect_failed(&mut self, _: ConnToken, _: io::Error) {}
    fn received(&mut self, _: ConnToken, _: Chunk) {}
    fn receive_ended(&mut self, _: ConnToken) {}
    fn sent(&mut self, _: ConnToken, _: u64) {}
    fn send_slot_free(&mut self, _: u32) {}
    fn slab_retired(&mut self, _: u32) {}
    fn closed(&mut self, _: ConnToken, _: Option<io::Error>) {}
    fn timer(&mut self, _: u64) {}
    fn doorbell(&mut self) {}
    fn device_opened(&mut self, device: DeviceToken, outcome: io::Result<DeviceFacts>) {
        assert!(self.devices.insert(device, outcome).is_none(), "opened twice");
    }
    fn command_completed(&mut self, completion: CommandCompletion) {
        assert!(self.commands.insert(completion.seq, completion).is_none(), "completed twice");
    }
    fn device_closed(&mut self, device: DeviceToken) {
        self.devices_closed.push(device);
    }
    fn file_opened(&mut self, file: FileToken, outcome: io::Result<FileFacts>) {
        assert!(self.files.insert(file, outcome).is_none(), "opened twice");
    }
    fn file_completed(&mut self, completion: FileCompletion) {
        assert!(self.operations.insert(completion.seq, completion).is_none(), "completed twice");
    }
}

struct Bench {
    driver: Driver<Uring>,
    host: Records,
}

const DEVICES_MAX: u32 = 4;
const COMMANDS_MAX: u32 = 32;

impl Bench {
    fn new() -> Self {
        Self::with_ring(true)
    }

    fn with_ring(nvme: bool) -> Self {
        let settings = DriverSettings {
            max_connections: 4,
            udp_sockets_max: 0,
            receive_entries: 4,
            receive_buffer_size: 4096,
            receive_group: 0,
            receive_for_keeps: false,
            send_slots: 4,
            send_slot_size: 4096,
            guards_max: 0,
            zero_copy_threshold: 0,
            sockets: SocketOptions { nodelay: true, backlog: 4, reuse_port: false },
            disk: DiskLimits {
                files_max: 4,
                file_operations_max: 32,
                devices_max: DEVICES_MAX,
                commands_max: COMMANDS_MAX,
            },
            chain_links_max: 16,
            flush_interval_ns: 0,
        };
        let ring = RingSettings { nvme, ..RingSettings::new(16, settings.fixed_files()) };
        Self { driver: Driver::new(Uring::new(&ring).unwrap(), settings).unwrap(), host: Records::default() }
    }

    fn turn_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !done(self) {
            assert!(std::time::Instant::now() < deadline, "{what} did not happen");
            self.driver.turn(&mut self.host, Wait::AtMost(50_000_000)).unwrap();
        }
    }

    fn try_open(&mut self, path: &Path, namespace: u32) -> (DeviceToken, io::Result<DeviceFacts>) {
        let device = self.driver.open_device(path, namespace).unwrap();
        self.turn_until("the open", |bench| bench.host.devices.contains_key(&device));
        (device, self.host.devices.remove(&device).unwrap())
    }

    fn open(&mut self, path: &Path) -> (DeviceToken, DeviceFacts) {
        let (device, outcome) = self.try_open(path, namespace_of(path));
        (device, outcome.unwrap())
    }

    fn open_file(&mut self, path: &Path, create: bool) -> (FileToken, FileFacts) {
        let file = self.driver.open_file(path, true, create).unwrap();
        self.turn_until("the open", |bench| bench.host.files.contains_key(&file));
        (file, self.host.files.remove(&file).unwrap().unwrap())
    }

    fn command(&mut self, seq: u64) -> CommandCompletion {
        self.turn_until("the command", |bench| bench.host.commands.contains_key(&seq));
        self.host.commands.remove(&seq).unwrap()
    }

    fn operation(&mut self, seq: u64) -> FileCompletion {
        self.turn_until("the operation", |bench| bench.host.operations.contains_key(&seq));
        self.host.operations.remove(&seq).unwrap()
    }

    fn write(&mut self, device: DeviceToken, lba: u64, blocks: u16, buffer: AlignedBuffer) {
        let seq = self.driver.write_blocks(device, lba, blocks, buffer).unwrap();
        let written = self.command(seq);
        assert_eq!(written.op, NvmeOp::Write);
        written.result.unwrap();
    }

    fn read(&mut self, device: DeviceToken, lba: u64, blocks: u16, len: usize) -> AlignedBuffer {
        let seq = self.driver.read_blocks(device, lba, blocks, AlignedBuffer::new(len).unwrap()).unwrap();
        let read = self.command(seq);
        assert_eq!((read.device, read.op), (device, NvmeOp::Read));
        read.result.unwrap();
        read.buffer.unwrap()
    }
}

/// The devices that the tests may overwrite.
fn devices() -> Vec<PathBuf> {
    let listed = std::env::var("RINGLINE_NVME_DEVICES").expect("RINGLINE_NVME_DEVICES names the devices");
    listed.split(',').map(PathBuf::from).collect()
}

/// The number behind the last `n` of the name.
fn namespace_of(path: &Path) -> u32 {
    path.to_str().unwrap().rsplit('n').next().unwrap().parse().unwrap()
}

/// The block device of the same namespace.
fn block_device_of(path: &Path) -> PathBuf {
    PathBuf::from(path.to_str().unwrap().replace("/dev/ng", "/dev/nvme"))
}

fn filled(len: usize, seed: u64) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::new(len).unwrap();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for byte in buffer.iter_mut() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
    buffer
}

#[test]
fn a_worker_without_wide_entries_refuses_devices() {
    let refused = Bench::with_ring(false).driver.open_device(Path::new("/dev/ng0n1"), 1).unwrap_err();
    assert_eq!(refused, NvmeRefused::NotEnabled);
    assert!(refused.to_string().contains("set nvme in the config"), "{refused}");
}

#[test]
fn what_is_no_nvme_device_is_refused_in_words_and_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let (_, outcome) = bench.try_open(Path::new("/dev/null"), 1);
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("/dev/ng0n1"), "{error}");
    let (_, outcome) = bench.try_open(Path::new("/dev/ringline-has-no-such-device"), 1);
    assert_eq!(outcome.unwrap_err().raw_os_error(), Some(libc::ENOENT));
    assert_eq!(bench.driver.open_devices(), 0);
}

#[test]
fn a_ring_with_wide_entries_serves_files_as_well() {
    let mut bench = Bench::new();
    let path = std::env::temp_dir().join(format!("ringline-wide-{}", std::process::id()));
    let (file, _) = bench.open_file(&path, true);
    let seq = bench.driver.write_file(file, 0, filled(65_536, 1)).unwrap();
    assert_eq!(bench.operation(seq).result.unwrap(), 65_536);
    let seq = bench.driver.read_file(file, 0, AlignedBuffer::new(65_536).unwrap()).unwrap();
    let read = bench.operation(seq);
    std::fs::remove_file(&path).unwrap();
    assert!(read.buffer.unwrap()[..] == filled(65_536, 1)[..]);
}

#[test]
#[ignore = "needs NVMe devices; runs in the guest"]
fn blocks_that_are_written_are_read_back_through_commands_and_through_the_block_layer() {
    for (path, block_size) in devices().iter().zip([512, 4096]) {
        let mut bench = Bench::new();
        let (device, facts) = bench.open(path);
        assert_eq!(facts.block_size, block_size);
        assert_eq!(facts.blocks * u64::from(block_size), 64 << 20);
        let mut lba = 7;
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
        let (file, file_facts) = bench.open_file(&block_device_of(path), false);
        assert_eq!((file_facts.block_size, file_facts.len), (block_size, 64 << 20));
        let last = (facts.blocks - 1) * u64::from(block_size);
        let seq = bench.driver.read_file(file, last, AlignedBuffer::new(block_size as usize).unwrap()).unwrap();
        assert!(bench.operation(seq).buffer.unwrap()[..] == filled(block_size as usize, 9)[..]);
    }
}

#[test]
#[ignore = "needs NVMe devices; runs in the guest"]
fn f2_a_block_beyond_the_end_fails_with_the_devices_status_in_words() {
    let mut bench = Bench::new();
    let (device, facts) = bench.open(&devices()[0]);
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
#[ignore = "needs NVMe devices; runs in the guest"]
fn f3_a_number_of_blocks_of_0_and_a_buffer_of_another_size_are_refused() {
    let mut bench = Bench::new();
    let (device, _) = bench.open(&devices()[1]);
    let (refused, buffer) = bench.driver.write_blocks(device, 0, 0, filled(4096, 1)).unwrap_err();
    assert_eq!((refused, buffer.len()), (NvmeRefused::NoBlocks, 4096));
    let (refused, _) = bench.driver.read_blocks(device, 0, 2, buffer).unwrap_err();
    assert_eq!(refused, NvmeRefused::WrongLength { len: 4096, blocks: 2, block_size: 4096 });
    assert_eq!(bench.driver.commands(), 0);
}

#[test]
#[ignore = "needs NVMe devices; runs in the guest"]
fn the_wrong_namespace_and_the_block_device_are_refused_in_words() {
    let path = &devices()[0];
    let mut bench = Bench::new();
    let error = bench.try_open(path, 77).1.unwrap_err();
    assert_eq!(error.to_string(), "the device belongs to namespace 2, not 77");
    let error = bench.try_open(&block_device_of(path), 2).1.unwrap_err();
    assert!(error.to_string().contains("not the generic character device"), "{error}");
    assert_eq!(bench.driver.open_devices(), 0);
}

#[test]
#[ignore = "needs NVMe devices; runs in the guest"]
fn a_stale_device_is_refused_also_when_its_slot_is_used_again() {
    let path = &devices()[0];
    let mut bench = Bench::new();
    let (first, _) = bench.open(path);
    let begun: Vec<u64> =
        (0..8).map(|lba| bench.driver.write_blocks(first, lba, 1, filled(512, lba)).unwrap()).collect();
    assert!(bench.driver.close_device(first));
    assert!(!bench.driver.close_device(first), "closed already");
    bench.turn_until("the close", |bench| bench.host.devices_closed == [first]);
    for seq in begun {
        bench.host.commands.remove(&seq).expect("completed before the close").result.unwrap();
    }
    let (second, _) = bench.open(path);
    assert_eq!(first.slot(), second.slot(), "the slot is used again");
    assert_eq!(bench.driver.flush_device(first), Err(NvmeRefused::NotOpen));
    assert!(bench.driver.device_facts(first).is_none() && bench.driver.device_facts(second).is_some());
}

#[test]
#[ignore = "needs NVMe devices; runs in the guest"]
fn f4_results_of_commands_and_of_file_operations_are_never_swapped() {
    const BLOCK: usize = 4096;
    let mut bench = Bench::new();
    let (device, _) = bench.open(&devices()[1]);
    let (disk, _) = bench.open_file(&block_device_of(&devices()[0]), false);
    let path = std::env::temp_dir().join(format!("ringline-swapped-{}", std::process::id()));
    let (file, _) = bench.open_file(&path, true);
    for block in 0..16u64 {
        bench.write(device, block, 1, filled(BLOCK, block));
        for (seed, target) in [(1000, disk), (2000, file)] {
            let seq = bench.driver.write_file(target, block * BLOCK as u64, filled(BLOCK, seed + block)).unwrap();
            assert_eq!(bench.operation(seq).result.unwrap(), BLOCK as u32);
        }
    }
    for round in 0..20u64 {
        let mut expected = HashMap::new();
        for index in 0..48u64 {
            let block = (index * 5 + round) % 16;
            let (buffer, offset) = (AlignedBuffer::new(BLOCK).unwrap(), block * BLOCK as u64);
            let (seq, seed) = match index % 3 {
                0 => (bench.driver.read_blocks(device, block, 1, buffer).unwrap(), block),
                1 => (bench.driver.read_file(disk, offset, buffer).unwrap(), 1000 + block),
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
#[ignore = "needs NVMe devices; runs in the guest"]
fn limits_hold_and_are_named() {
    let mut bench = Bench::new();
    let opened: Vec<DeviceToken> = (0..DEVICES_MAX).map(|_| bench.open(&devices()[0]).0).collect();
    let refused = bench.driver.open_device(&devices()[0], 2).unwrap_err();
    assert_eq!(refused, NvmeRefused::TooManyDevices { limit: DEVICES_MAX });
    let begun: Vec<u64> =
        (0..COMMANDS_MAX).map(|_| bench.driver.flush_device(opened[0]).expect("within the limit")).collect();
    assert_eq!(bench.driver.flush_device(opened[1]), Err(NvmeRefused::TooManyCommands { limit: COMMANDS_MAX }));
    for seq in begun {
        bench.command(seq).result.unwrap();
    }
}

#[test]
#[ignore = "needs NVMe devices; runs in the guest"]
fn a_disk_with_blocks_of_4096_refuses_what_is_aligned_to_512() {
    let mut bench = Bench::new();
    let (disk, facts) = bench.open_file(&block_device_of(&devices()[1]), false);
    assert_eq!(facts.block_size, 4096);
    let (refused, _) = bench.driver.read_file(disk, 512, AlignedBuffer::new(4096).unwrap()).unwrap_err();
    let expected = Misaligned { place: Place::Offset, value: 512, block_size: 4096 };
    assert_eq!(refused, FileRefused::Misaligned(expected));
}
