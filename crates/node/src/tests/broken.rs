//! A worker whose ring has lost a completion, on the simulated kernel, which can be told to lose one.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ringline::cluster::Cluster;
use ringline::driver::{DiskLimits, Driver, DriverSettings};
use ringline_ring::SocketOptions;
use ringline_sim::{Fault, Network, RingOptions, SimKernel, loopback};

use crate::mailbox::Mailbox;
use crate::protocol::{Record, completion, control};
use crate::shared_memory::SharedMemory;
use crate::shared_ring::{Consumer, Place};
use crate::slabs::OfferedSlabs;
use crate::worker::{Sleeper, Wishes, Worker};

const CONNECTIONS: u32 = 4;
const SEND_SLOTS: u32 = 4;

impl Sleeper for &Cell<u32> {
    fn ring(&self) {
        self.set(self.get() + 1);
    }
}

fn settings() -> DriverSettings {
    DriverSettings {
        max_connections: CONNECTIONS,
        udp_sockets_max: 0,
        receive_entries: 4,
        receive_buffer_size: 1024,
        receive_group: 0,
        receive_for_keeps: true,
        send_slots: SEND_SLOTS,
        send_slot_size: 4096,
        guards_max: 0,
        zero_copy_threshold: 0,
        disk: DiskLimits::default(),
        sockets: SocketOptions { nodelay: true, backlog: 4, reuse_port: false },
        chain_links_max: 16,
        flush_interval_ns: 0,
    }
}

#[test]
fn d10_a_worker_whose_ring_has_lost_a_completion_ends_and_says_why() {
    let network = Network::new(0);
    let mut driver = Driver::new(SimKernel::new(&network, RingOptions::default()), settings()).unwrap();
    let (_, address) = driver.listen(loopback(0)).unwrap();
    driver.accept();
    let memory = SharedMemory::new(SEND_SLOTS, CONNECTIONS).unwrap();
    let mut completions = Consumer::new(Arc::clone(&memory), Place::COMPLETIONS);
    let (cluster, rings) = (Cluster::new(1), Cell::new(0));
    let (offers, mailbox) = (OfferedSlabs::default(), Arc::<Mailbox>::default());
    memory.control(control::JS_ASLEEP).store(1, Ordering::SeqCst);
    let worker = Worker::new(driver, memory, offers, mailbox, cluster.member(0), &rings, Wishes::default());

    let peer = network.connect(address).unwrap();
    network.schedule(1_000_000, move |network| {
        network.inject(Fault::LostCompletion);
        peer.write(b"what tells of this is lost");
    });
    worker.run();

    completions.refresh().unwrap();
    let records: Vec<Record> = std::iter::from_fn(|| completions.pop()).collect();
    let last = records.last().expect("a worker that has ended says so");
    assert_eq!((last.kind, last.values[0]), (completion::STOPPED, libc::EBADR as u32));
    assert!(records.iter().any(|record| record.kind == completion::ACCEPTED), "{records:?}");
    assert!(records.iter().all(|record| record.kind != completion::DATA), "{records:?}");
    assert!(rings.get() > 0, "JavaScript was woken for it");
    assert_eq!(network.open_files(), Vec::<String>::new());
}
