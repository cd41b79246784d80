//! The JavaScript end of a worker, played by the test's thread: it reads completions, writes submissions, keeps the
//! free slots, and sleeps and wakes by the flags as JavaScript does.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ringline::ConfigBuilder;
use ringline::assembly::{HostKind, assemble};
use ringline::cluster::Cluster;
use ringline::driver::{Driver, SendMemory};
use ringline_ring::Uring;

use crate::mailbox::Mailbox;
use crate::protocol::{Record, completion, control, flag, submission};
use crate::shared_memory::{Part, SharedMemory};
use crate::shared_ring::{Consumer, Place, Producer};
use crate::slabs::OfferedSlabs;
use crate::worker::{Sleeper, Wishes, Worker};

/// Everything a test waits for happens within this time, or the test fails.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

const CONNECTIONS: u32 = 64;
pub(super) const SEND_SLOTS: u32 = 8;
pub(super) const CHAIN_LINKS: u32 = 16;
pub(super) const SLOT_SIZE: u32 = 4096;

/// A doorbell that a test can wait for.
pub(super) struct Bell {
    sender: mpsc::Sender<()>,
    rings: Arc<AtomicU32>,
    /// Rings that panic before one works.
    panics: u32,
}

impl Sleeper for Mutex<Bell> {
    fn ring(&self) {
        let mut bell = self.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if bell.panics > 0 {
            bell.panics -= 1;
            panic!("this ring was meant to fail");
        }
        bell.rings.fetch_add(1, Ordering::Relaxed);
        let _ = bell.sender.send(());
    }
}

/// A running worker, seen from its environment.
pub(super) struct FarSide {
    pub(super) memory: Arc<SharedMemory>,
    /// Set when the worker has been made.
    send_memory: Arc<OnceLock<Arc<SendMemory>>>,
    pub(super) offers: OfferedSlabs,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) cluster: Arc<Cluster<OwnedFd>>,
    pub(super) completions: Consumer,
    pub(super) submissions: Producer,
    pub(super) free: Vec<u32>,
    pub(super) rings: Arc<AtomicU32>,
    /// Records count as read only when the test says so.
    pub(super) holds_records: bool,
    free_head: u32,
    bell: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// A connection as records name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conn {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl FarSide {
    pub(super) fn start() -> Self {
        Self::start_with(0, Wishes::default())
    }

    /// Starts a worker whose doorbell panics that often first.
    pub(super) fn start_with(panics: u32, wishes: Wishes) -> Self {
        let (ready, reply) = mpsc::channel();
        let (mut side, make_worker) = Self::without_thread(panics, wishes);
        side.thread = Some(thread::spawn(move || {
            let worker = make_worker();
            ready.send(()).unwrap();
            worker.run();
        }));
        reply.recv_timeout(LIMIT).unwrap();
        side
    }

    /// A far side, and how its worker is made on the thread that will turn it.
    pub(super) fn without_thread(
        panics: u32,
        wishes: Wishes,
    ) -> (Self, impl FnOnce() -> Worker<Uring, Mutex<Bell>> + Send + 'static) {
        let memory = SharedMemory::new(SEND_SLOTS, CONNECTIONS).unwrap();
        let (offers, mailbox, cluster) = (OfferedSlabs::default(), Arc::<Mailbox>::default(), Cluster::new(1));
        let (sender, bell) = mpsc::channel();
        let rings = Arc::<AtomicU32>::default();
        let sleeper = Mutex::new(Bell { sender, rings: Arc::clone(&rings), panics });
        let mut member = cluster.member(0);
        let send_memory = Arc::<OnceLock<_>>::default();
        let make_worker = {
            let (memory, offers, mailbox) = (Arc::clone(&memory), offers.clone(), Arc::clone(&mailbox));
            let send_memory = Arc::clone(&send_memory);
            move || {
                let driver = driver(wishes.borrows);
                mailbox.open(&driver.doorbell());
                member.reachable_by(driver.doorbell());
                member.ready();
                send_memory.get_or_init(|| Arc::clone(driver.send_memory()));
                Worker::new(driver, memory, offers, mailbox, member, sleeper, wishes)
            }
        };
        let side = Self {
            send_memory,
            completions: Consumer::new(Arc::clone(&memory), Place::COMPLETIONS),
            submissions: Producer::new(Arc::clone(&memory), Place::SUBMISSIONS),
            free: (0..SEND_SLOTS).collect(),
            free_head: 0,
            memory,
            offers,
            mailbox,
            cluster,
            rings,
            holds_records: false,
            bell,
            thread: None,
        };
        (side, make_worker)
    }

    pub(super) fn listen(&self) -> SocketAddr {
        self.cluster.listen("127.0.0.1:0".parse().unwrap(), &|| {}).unwrap()
    }

    /// A client and the connection that the worker made of it.
    pub(super) fn accept(&mut self, address: SocketAddr) -> (TcpStream, Conn) {
        let client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        let record = self.wait_for(completion::ACCEPTED);
        (client, Conn { slot: record.slot, generation: record.generation })
    }

    /// The next record, asleep until there is one.
    pub(super) fn next(&mut self) -> Record {
        loop {
            if let Some(record) = self.poll() {
                return record;
            }
            self.memory.control(control::JS_ASLEEP).store(1, Ordering::SeqCst);
            if self.completions.refresh().unwrap() == 0 {
                self.bell.recv_timeout(LIMIT).expect("the worker rings when it has written a record");
            }
            self.memory.control(control::JS_ASLEEP).store(0, Ordering::SeqCst);
        }
    }

    /// The next record, if there is one.
    pub(super) fn poll(&mut self) -> Option<Record> {
        self.completions.refresh().unwrap();
        let record = self.completions.pop();
        if !self.holds_records {
            self.release();
        }
        record
    }

    /// Says that the records taken so far have been read.
    pub(super) fn release(&mut self) {
        self.completions.release();
        if self.memory.control(control::WANTS_ROOM).swap(0, Ordering::SeqCst) == 1 {
            self.mailbox.wake();
        }
    }

    /// The next record of that kind; addresses, retired slabs and progress of sends may come before it.
    pub(super) fn wait_for(&mut self, kind: u32) -> Record {
        loop {
            let record = self.next();
            match record.kind {
                found if found == kind => return record,
                completion::ADDRESS | completion::SLAB_RETIRED | completion::SENT => {}
                _ => panic!("{record:?} came instead of kind {kind}"),
            }
        }
    }

    /// The bytes that a DATA record names.
    pub(super) fn bytes(&self, record: Record) -> Vec<u8> {
        let [slab, offset, len, ..] = record.values;
        let handle = self.offers.read(slab, offset, len).unwrap();
        // SAFETY: the range was received, so it is not written again while the handle exists.
        unsafe { std::slice::from_raw_parts(handle.address().add(offset as usize), len as usize) }.to_vec()
    }

    /// Writes one record and publishes it.
    pub(super) fn submit(&mut self, record: Record) {
        self.submissions.push(record).unwrap();
        self.publish();
    }

    pub(super) fn publish(&mut self) {
        self.submissions.publish();
        if self.memory.control(control::WORKER_ASLEEP).swap(0, Ordering::SeqCst) == 1 {
            self.mailbox.wake();
        }
    }

    pub(super) fn command(&mut self, kind: u32, conn: Conn) {
        self.submit(Record::new(kind, conn.slot, conn.generation, [0; 5]));
    }

    /// Copies bytes into free slots and sends them, watched.
    pub(super) fn send(&mut self, conn: Conn, bytes: &[u8]) {
        for piece in bytes.chunks(SLOT_SIZE as usize) {
            let slot = self.take_slot();
            let send_memory = self.send_memory.get().expect("the worker has been made");
            // SAFETY: the slot is free, so nobody else reads or writes it, and the piece fits.
            unsafe {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), send_memory.slot_address(slot), piece.len());
            }
            let values = [slot, piece.len() as u32, flag::WATCH, 0, 0];
            self.submit(Record::new(submission::SEND_SLOT, conn.slot, conn.generation, values));
        }
    }

    /// A free slot, asleep until there is one.
    pub(super) fn take_slot(&mut self) -> u32 {
        loop {
            self.collect_slots();
            if let Some(slot) = self.free.pop() {
                return slot;
            }
            self.memory.control(control::WANTS_SLOTS).store(1, Ordering::SeqCst);
            if self.memory.control(control::FREE_TAIL).load(Ordering::SeqCst) == self.free_head {
                self.bell.recv_timeout(LIMIT).expect("the worker rings when slots are wanted and come free");
            }
        }
    }

    pub(super) fn collect_slots(&mut self) {
        let tail = self.memory.control(control::FREE_TAIL).load(Ordering::Acquire);
        while self.free_head != tail {
            let index = self.free_head & (self.memory.free_slots() - 1);
            self.free.push(self.memory.word(Part::FreeSlots, index).load(Ordering::Relaxed));
            self.free_head = self.free_head.wrapping_add(1);
        }
    }

    /// Waits until all send slots have come back.
    pub(super) fn wait_for_slots(&mut self) {
        let mut all: Vec<u32> = (0..SEND_SLOTS).map(|_| self.take_slot()).collect();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..SEND_SLOTS), "each slot exactly once: {all:?}");
        self.free = all;
    }

    /// Waits until the thread has ended; fails when it panicked.
    pub(super) fn join(&mut self) {
        self.thread.take().expect("joined once").join().expect("a ring thread does not panic");
    }
}

impl Drop for FarSide {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.mailbox.stop();
            let _ = thread.join();
        }
    }
}

fn driver(borrows: bool) -> Driver<Uring> {
    let config = ConfigBuilder::new()
        .workers(1)
        .pin_to_core(false)
        .max_connections(CONNECTIONS)
        .recv_ring_size(16)
        .max_chain_length(CHAIN_LINKS)
        .send_copy_count(SEND_SLOTS)
        .send_copy_slot_size(SLOT_SIZE)
        .build()
        .unwrap();
    let host = if borrows { HostKind::BorrowingJavaScript } else { HostKind::JavaScript };
    assemble(&config, 0, host).unwrap()
}
