//! A driver with files of its own to be tested on, in a directory that goes with it.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ringline::driver::{Chunk, ConnToken, DiskLimits, Driver, DriverSettings, FileCompletion, FileToken, Host};
use ringline_ring::{AlignedBuffer, FileFacts, RingSettings, SocketOptions, Uring, Wait};

#[derive(Default)]
pub(crate) struct Records {
    pub(crate) opened: HashMap<FileToken, io::Result<FileFacts>>,
    pub(crate) completed: HashMap<u64, FileCompletion>,
    pub(crate) closed: Vec<FileToken>,
    /// What happened, in order, as far as files are concerned.
    pub(crate) order: Vec<&'static str>,
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
    fn file_opened(&mut self, file: FileToken, outcome: io::Result<FileFacts>) {
        self.order.push("opened");
        assert!(self.opened.insert(file, outcome).is_none(), "opened twice");
    }
    fn file_completed(&mut self, completion: FileCompletion) {
        self.order.push("completed");
        assert!(self.completed.insert(completion.seq, completion).is_none(), "completed twice");
    }
    fn file_closed(&mut self, file: FileToken) {
        self.order.push("closed");
        self.closed.push(file);
    }
}

pub(crate) struct Bench {
    pub(crate) driver: Driver<Uring>,
    pub(crate) host: Records,
    pub(crate) directory: PathBuf,
}

pub(crate) const FILES_MAX: u32 = 4;
pub(crate) const OPERATIONS_MAX: u32 = 64;

impl Bench {
    pub(crate) fn new(name: &str) -> Self {
        Self::with_busy_poll(name, 0)
    }

    pub(crate) fn with_busy_poll(name: &str, busy_poll_ns: u64) -> Self {
        let settings = DriverSettings {
            max_connections: 4,
            udp_sockets_max: 1,
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
                files_max: FILES_MAX,
                file_operations_max: OPERATIONS_MAX,
                busy_poll_ns,
                ..DiskLimits::default()
            },
            chain_links_max: 16,
            flush_interval_ns: 0,
        };
        let ring = RingSettings::new(16, settings.fixed_files());
        let driver = Driver::new(Uring::new(&ring).unwrap(), settings).unwrap();
        let directory = std::env::temp_dir().join(format!("ringline-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self { driver, host: Records::default(), directory }
    }

    pub(crate) fn turn_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !done(self) {
            assert!(std::time::Instant::now() < deadline, "{what} did not happen");
            self.driver.turn(&mut self.host, Wait::AtMost(50_000_000)).unwrap();
        }
    }

    pub(crate) fn try_open(&mut self, path: &Path, write: bool, create: bool) -> (FileToken, io::Result<FileFacts>) {
        let file = self.driver.open_file(path, write, create).unwrap();
        self.turn_until("the open", |bench| bench.host.opened.contains_key(&file));
        let outcome = self.host.opened.remove(&file).unwrap();
        (file, outcome)
    }

    pub(crate) fn create(&mut self, name: &str) -> (FileToken, FileFacts) {
        let path = self.directory.join(name);
        let (file, outcome) = self.try_open(&path, true, true);
        (file, outcome.expect("the file system of the temporary directory takes direct I/O"))
    }

    pub(crate) fn completion(&mut self, seq: u64) -> FileCompletion {
        self.turn_until("the operation", |bench| bench.host.completed.contains_key(&seq));
        self.host.completed.remove(&seq).unwrap()
    }

    pub(crate) fn write(&mut self, file: FileToken, offset: u64, buffer: AlignedBuffer) -> FileCompletion {
        let seq = self.driver.write_file(file, offset, buffer).unwrap();
        self.completion(seq)
    }

    pub(crate) fn close(&mut self, file: FileToken) {
        assert!(self.driver.close_file(file));
        self.turn_until("the close", |bench| bench.host.closed.contains(&file));
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(crate) fn filled(len: usize, seed: u64) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::new(len).unwrap();
    fill(&mut buffer, seed);
    buffer
}

fn fill(bytes: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for byte in bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
}
