//! Zero-copy sends of the driver on the real kernel.

mod reluctant;

use std::cell::Cell;
use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ringline::driver::{Chunk, ConnToken, DiskLimits, Driver, DriverSettings, Host};
use ringline::{GuardBox, RegionId, SendGuard};
use ringline_ring::{Kernel, Region, RingSettings, SocketOptions, Uring, Wait};

use reluctant::Reluctant;

/// Bytes that tell when they are let go.
struct Kept {
    bytes: Rc<Vec<u8>>,
    alive: Rc<Cell<u32>>,
    region: RegionId,
    address: *const u8,
}

impl Kept {
    fn guard(bytes: Vec<u8>, alive: &Rc<Cell<u32>>) -> GuardBox {
        alive.set(alive.get() + 1);
        let address = bytes.as_ptr();
        GuardBox::new(Self { bytes: Rc::new(bytes), alive: Rc::clone(alive), region: RegionId::UNREGISTERED, address })
    }
}

// SAFETY: the bytes are owned, never changed, and do not move with the guard.
unsafe impl SendGuard for Kept {
    fn as_ptr_len(&self) -> (*const u8, u32) {
        (self.address, self.bytes.len() as u32)
    }
    fn region(&self) -> RegionId {
        self.region
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

#[derive(Default)]
struct Recorder {
    incoming: Vec<OwnedFd>,
    released: Vec<u64>,
    slots: Vec<u32>,
    sent: u64,
    closed: u32,
}

impl<K: Kernel<Socket = OwnedFd>> Host<K> for Recorder {
    fn incoming(&mut self, socket: OwnedFd) {
        self.incoming.push(socket);
    }
    fn connected(&mut self, _: ConnToken) {}
    fn connect_failed(&mut self, _: ConnToken, _: io::Error) {}
    fn received(&mut self, _: ConnToken, _: Chunk) {}
    fn receive_ended(&mut self, _: ConnToken) {}
    fn sent(&mut self, _: ConnToken, position: u64) {
        self.sent = position;
    }
    fn send_slot_free(&mut self, slot: u32) {
        self.slots.push(slot);
    }
    fn slab_retired(&mut self, _: u32) {}
    fn closed(&mut self, _: ConnToken, _: Option<io::Error>) {
        self.closed += 1;
    }
    fn guard_released(&mut self, key: u64) {
        self.released.push(key);
    }
    fn timer(&mut self, _: u64) {}
    fn doorbell(&mut self) {}
}

struct Bench<K: Kernel<Socket = OwnedFd> = Uring> {
    driver: Driver<K>,
    host: Recorder,
    conn: ConnToken,
    peer: TcpStream,
    alive: Rc<Cell<u32>>,
}

impl Bench {
    fn new() -> Self {
        Self::on(|kernel| kernel)
    }
}

impl<K: Kernel<Socket = OwnedFd>> Bench<K> {
    fn on(kernel: impl FnOnce(Uring) -> K) -> Self {
        let settings = DriverSettings {
            max_connections: 4,
            udp_sockets_max: 0,
            receive_entries: 4,
            receive_buffer_size: 4096,
            receive_group: 0,
            receive_for_keeps: false,
            send_slots: 4,
            send_slot_size: 16384,
            guards_max: 4,
            zero_copy_threshold: 4096,
            sockets: SocketOptions { nodelay: true, backlog: 64, reuse_port: false },
            disk: DiskLimits::default(),
            chain_links_max: 16,
            flush_interval_ns: 0,
        };
        let uring = Uring::new(&RingSettings::new(64, settings.fixed_files())).unwrap();
        let mut driver = Driver::new(kernel(uring), settings).unwrap();
        let address = driver.listen("127.0.0.1:0".parse().unwrap()).unwrap().1;
        driver.accept();
        let peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut host = Recorder::default();
        while host.incoming.is_empty() {
            driver.turn(&mut host, Wait::AtMost(10_000_000)).unwrap();
        }
        let conn = driver.adopt(host.incoming.remove(0)).unwrap();
        Self { driver, host, conn, peer, alive: Rc::default() }
    }

    fn send(&mut self, bytes: &[u8], key: u64) {
        let guard = Kept::guard(bytes.to_vec(), &self.alive);
        self.driver.send_guard(self.conn, guard, key).unwrap();
    }

    fn turn_until(&mut self, mut done: impl FnMut(&Recorder) -> bool) {
        let limit = Instant::now() + Duration::from_secs(10);
        while !done(&self.host) {
            assert!(Instant::now() < limit, "the condition did not come about");
            self.driver.turn(&mut self.host, Wait::AtMost(5_000_000)).unwrap();
            self.driver.take_released_guards(&mut Vec::new());
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 % 251) as u8).collect()
}

#[test]
fn guards_and_copies_arrive_in_order_and_are_released_once() {
    let mut bench = Bench::new();
    let (small, large) = (pattern(100), pattern(50_000));
    bench.send(&small, 1);
    bench.driver.send_copy(bench.conn, 0, b"<").unwrap();
    bench.send(&large, 2);
    bench.driver.send_copy(bench.conn, 1, b">").unwrap();
    let expected = [&small[..], b"<", &large, b">"].concat();
    let mut peer = bench.peer.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut received = vec![0; expected.len()];
        peer.read_exact(&mut received).unwrap();
        assert!(received == expected, "the bytes arrived changed");
    });
    bench.turn_until(|host| host.released.len() == 2 && host.slots.len() == 2);
    reader.join().unwrap();
    assert_eq!((bench.host.sent, bench.alive.get(), bench.driver.zero_copy_in_flight()), (50_102, 0, 0));
    bench.turn_until(|_| true);
    bench.host.released.sort_unstable();
    assert_eq!((&bench.host.released[..], bench.driver.guards_left()), (&[1, 2][..], 4));
}

#[test]
fn b9_a_guard_that_goes_out_in_parts_lives_until_its_last_notification() {
    let mut bench = Bench::new();
    let bytes = pattern(24 << 20);
    bench.send(&bytes, 7);
    for _ in 0..20 {
        bench.driver.turn(&mut bench.host, Wait::AtMost(5_000_000)).unwrap();
    }
    assert!(bench.host.sent > 0 && bench.host.sent < bytes.len() as u64, "{} bytes were taken", bench.host.sent);
    assert_eq!((bench.alive.get(), bench.host.released.len()), (1, 0));
    let mut peer = bench.peer.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut received = vec![0; bytes.len()];
        peer.read_exact(&mut received).unwrap();
        assert!(received == bytes, "the bytes arrived changed");
    });
    bench.turn_until(|host| host.released == [7]);
    reader.join().unwrap();
    assert_eq!((bench.alive.get(), bench.driver.zero_copy_in_flight()), (0, 0));
}

#[test]
fn b7_what_is_left_of_a_partial_send_waits_for_room_in_the_queue_and_goes_out() {
    let refusals = Rc::<Cell<u32>>::default();
    let mut bench = Bench::on(|kernel| Reluctant { kernel, refusals: Rc::clone(&refusals) });
    let bytes = pattern(24 << 20);
    bench.send(&bytes, 7);
    for _ in 0..20 {
        bench.driver.turn(&mut bench.host, Wait::AtMost(5_000_000)).unwrap();
    }
    let taken = bench.host.sent;
    assert!(taken > 0 && taken < bytes.len() as u64, "{taken} bytes were taken");
    // The next part finds the queue full, many times.
    refusals.set(100);
    let mut peer = bench.peer.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut received = vec![0; bytes.len()];
        peer.read_exact(&mut received).unwrap();
        assert!(received == bytes, "the bytes arrived changed");
    });
    let (mut reported, limit) = (taken, Instant::now() + Duration::from_secs(10));
    while refusals.get() > 0 {
        assert!(Instant::now() < limit, "it is not tried again");
        bench.driver.turn(&mut bench.host, Wait::AtMost(5_000_000)).unwrap();
        assert!(refusals.get() == 0 || bench.host.sent == reported, "nothing more was taken");
        reported = bench.host.sent;
        assert_eq!(bench.host.released, [], "a part is not reported as the whole");
    }
    bench.turn_until(|host| host.released == [7]);
    reader.join().unwrap();
    assert_eq!((bench.host.sent, bench.alive.get()), (24 << 20, 0));
}

#[test]
fn a_peer_that_is_reached_by_copying_gets_plain_sends_from_then_on() {
    const ROUNDS: u64 = 20;
    let mut bench = Bench::new();
    let bytes = pattern(50_000);
    for round in 0..ROUNDS {
        bench.send(&bytes, round);
        let mut received = vec![0; bytes.len()];
        let mut peer = bench.peer.try_clone().unwrap();
        let reader = std::thread::spawn(move || {
            peer.read_exact(&mut received).unwrap();
            received
        });
        bench.turn_until(|host| host.released.len() as u64 > round);
        assert!(reader.join().unwrap() == bytes, "round {round}");
    }
    // The first send was told to have been copied, as every send on loopback is; no further one was tried that way.
    let metrics = bench.driver.metrics();
    assert_eq!((metrics.zero_copy_sends, metrics.zero_copy_copied), (1, 1));
    assert!(metrics.sends >= ROUNDS, "{} sends", metrics.sends);
}

#[test]
fn a13_closing_with_a_guard_in_flight_frees_the_connection_and_then_the_guard() {
    let mut bench = Bench::new();
    let bytes = pattern(1 << 20);
    bench.send(&bytes, 3);
    bench.driver.close(bench.conn);
    let mut peer = bench.peer.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        drop(peer);
        assert!(received == bytes, "the bytes arrived changed");
    });
    // The reader's descriptor is the only one left, so that the peer is closed when it is done.
    bench.peer = TcpStream::connect(bench.peer.peer_addr().unwrap()).unwrap();
    bench.turn_until(|host| host.closed == 1 && host.released == [3]);
    reader.join().unwrap();
    assert_eq!((bench.driver.open_connections(), bench.alive.get(), bench.driver.guards_left()), (0, 0, 4));
}

#[test]
fn a_guard_that_the_network_may_still_read_is_never_dropped() {
    let mut bench = Bench::new();
    bench.send(&pattern(24 << 20), 5);
    for _ in 0..20 {
        bench.driver.turn(&mut bench.host, Wait::AtMost(5_000_000)).unwrap();
    }
    let Bench { driver, alive, peer, .. } = bench;
    let in_flight = driver.zero_copy_in_flight();
    drop(driver);
    assert_eq!(alive.get() == 1, in_flight > 0, "{in_flight} flights, {} guards alive", alive.get());
    drop(peer);
}

#[test]
fn more_guards_than_configured_are_refused_and_come_back() {
    let mut bench = Bench::new();
    for key in 0..4 {
        bench.send(b"kept", key);
    }
    let refused = bench.driver.send_guard(bench.conn, Kept::guard(vec![1, 2, 3], &bench.alive), 9).unwrap_err();
    assert_eq!(refused.as_ptr_len().1, 3);
    drop(refused);
    bench.turn_until(|host| host.released.len() == 4);
    bench.send(b"again", 10);
    bench.turn_until(|host| host.released.contains(&10));
}

#[test]
fn registered_memory_is_sent_from_its_fixed_buffer() {
    let region = Region::new(1 << 16).unwrap();
    let bytes = pattern(region.len());
    // SAFETY: the region is as long as the bytes, and nobody else uses it.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), region.as_ptr(), bytes.len()) };
    let mut bench = Bench::new();
    // SAFETY: the region outlives the bench.
    unsafe { bench.driver.register_regions(&[(region.as_ptr(), region.len())]).unwrap() };
    struct InRegion(*const u8, u32);
    // SAFETY: the region outlives the guard and is not written meanwhile.
    unsafe impl SendGuard for InRegion {
        fn as_ptr_len(&self) -> (*const u8, u32) {
            (self.0, self.1)
        }
        fn region(&self) -> RegionId {
            RegionId::new(0)
        }
    }
    let guard = GuardBox::new(InRegion(region.as_ptr().wrapping_add(4096), 8192));
    bench.driver.send_guard(bench.conn, guard, 1).unwrap();
    let mut received = vec![0; 8192];
    bench.turn_until(|host| host.sent == 8192);
    bench.peer.read_exact(&mut received).unwrap();
    assert!(received == bytes[4096..4096 + 8192], "the bytes arrived changed");
    bench.turn_until(|host| host.released == [1]);
    drop(bench);
}
