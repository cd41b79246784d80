//! A driver with a ring of wide entries, and a host that writes down what it is told.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use ringline::driver::{
    Chunk, CommandCompletion, ConnToken, DeviceToken, DiskLimits, Driver, DriverSettings, FileCompletion, FileToken,
    Host, NvmeOp,
};
use ringline_ring::{AlignedBuffer, DeviceFacts, FileFacts, RingSettings, SocketOptions, Uring, Wait};

/// What the driver has told.
#[derive(Default)]
pub(crate) struct Records {
    pub(crate) devices: HashMap<DeviceToken, io::Result<DeviceFacts>>,
    pub(crate) commands: HashMap<u64, CommandCompletion>,
    pub(crate) devices_closed: Vec<DeviceToken>,
    pub(crate) files: HashMap<FileToken, io::Result<FileFacts>>,
    pub(crate) operations: HashMap<u64, FileCompletion>,
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

pub(crate) struct Bench {
    pub(crate) driver: Driver<Uring>,
    pub(crate) host: Records,
}

pub(crate) const DEVICES_MAX: u32 = 4;
pub(crate) const COMMANDS_MAX: u32 = 32;

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_ring(true)
    }

    pub(crate) fn with_ring(nvme: bool) -> Self {
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
                busy_poll_ns: 0,
            },
            chain_links_max: 16,
            flush_interval_ns: 0,
        };
        let ring = RingSettings { nvme, ..RingSettings::new(16, settings.fixed_files()) };
        Self { driver: Driver::new(Uring::new(&ring).unwrap(), settings).unwrap(), host: Records::default() }
    }

    pub(crate) fn turn_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !done(self) {
            assert!(std::time::Instant::now() < deadline, "{what} did not happen");
            self.driver.turn(&mut self.host, Wait::AtMost(50_000_000)).unwrap();
        }
    }

    pub(crate) fn try_open(&mut self, path: &Path, namespace: u32) -> (DeviceToken, io::Result<DeviceFacts>) {
        let device = self.driver.open_device(path, namespace).unwrap();
        self.turn_until("the open", |bench| bench.host.devices.contains_key(&device));
        (device, self.host.devices.remove(&device).unwrap())
    }

    pub(crate) fn open(&mut self, path: &Path, namespace: u32) -> (DeviceToken, DeviceFacts) {
        let (device, outcome) = self.try_open(path, namespace);
        (device, outcome.unwrap())
    }

    pub(crate) fn open_file(&mut self, path: &Path, create: bool) -> (FileToken, FileFacts) {
        let file = self.driver.open_file(path, true, create).unwrap();
        self.turn_until("the open", |bench| bench.host.files.contains_key(&file));
        (file, self.host.files.remove(&file).unwrap().unwrap())
    }

    pub(crate) fn command(&mut self, seq: u64) -> CommandCompletion {
        self.turn_until("the command", |bench| bench.host.commands.contains_key(&seq));
        self.host.commands.remove(&seq).unwrap()
    }

    pub(crate) fn operation(&mut self, seq: u64) -> FileCompletion {
        self.turn_until("the operation", |bench| bench.host.operations.contains_key(&seq));
        self.host.operations.remove(&seq).unwrap()
    }

    pub(crate) fn write(&mut self, device: DeviceToken, lba: u64, blocks: u16, buffer: AlignedBuffer) {
        let seq = self.driver.write_blocks(device, lba, blocks, buffer).unwrap();
        let written = self.command(seq);
        assert_eq!(written.op, NvmeOp::Write);
        written.result.unwrap();
    }

    pub(crate) fn read(&mut self, device: DeviceToken, lba: u64, blocks: u16, len: usize) -> AlignedBuffer {
        let seq = self.driver.read_blocks(device, lba, blocks, AlignedBuffer::new(len).unwrap()).unwrap();
        let read = self.command(seq);
        assert_eq!((read.device, read.op), (device, NvmeOp::Read));
        read.result.unwrap();
        read.buffer.unwrap()
    }
}

/// Bytes in which every shift shows.
pub(crate) fn filled(len: usize, seed: u64) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::new(len).unwrap();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for byte in buffer.iter_mut() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
    buffer
}
