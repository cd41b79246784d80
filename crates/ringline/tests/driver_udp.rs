//! UDP sockets of the driver on the real kernel.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use ringline::driver::{
    Chunk, ConnToken, DATAGRAM_BYTES_MAX, DatagramRefused, DiskLimits, Driver, DriverSettings, Host, UdpToken,
};
use ringline_ring::{RingSettings, SocketOptions, Uring, Wait};

#[derive(Default)]
struct Recorder {
    datagrams: Vec<(SocketAddr, Vec<u8>)>,
    failed: Vec<Option<i32>>,
    free: Vec<u32>,
}

impl Host<Uring> for Recorder {
    fn incoming(&mut self, _: OwnedFd) {}
    fn connected(&mut self, _: ConnToken) {}
    fn connect_failed(&mut self, _: ConnToken, _: io::Error) {}
    fn received(&mut self, _: ConnToken, _: Chunk) {}
    fn receive_ended(&mut self, _: ConnToken) {}
    fn sent(&mut self, _: ConnToken, _: u64) {}
    fn send_slot_free(&mut self, slot: u32) {
        self.free.push(slot);
    }
    fn slab_retired(&mut self, _: u32) {}
    fn closed(&mut self, _: ConnToken, _: Option<io::Error>) {}
    fn datagram(&mut self, _: UdpToken, peer: SocketAddr, payload: &[u8]) {
        self.datagrams.push((peer, payload.to_vec()));
    }
    fn datagram_failed(&mut self, _: UdpToken, error: io::Error) {
        self.failed.push(error.raw_os_error());
    }
    fn timer(&mut self, _: u64) {}
    fn doorbell(&mut self) {}
}

const SLOTS: u32 = 16;

struct Bench {
    driver: Driver<Uring>,
    host: Recorder,
    udp: UdpToken,
    address: SocketAddr,
    peer: UdpSocket,
}

impl Bench {
    fn new(bind: &str) -> Self {
        let settings = DriverSettings {
            max_connections: 4,
            udp_sockets_max: 1,
            receive_entries: 4,
            receive_buffer_size: 4096,
            receive_group: 0,
            receive_for_keeps: false,
            send_slots: SLOTS,
            send_slot_size: 16384,
            guards_max: 4,
            zero_copy_threshold: 4096,
            sockets: SocketOptions { nodelay: true, backlog: 64, reuse_port: false },
            disk: DiskLimits::default(),
            chain_links_max: 16,
            flush_interval_ns: 0,
        };
        let kernel = Uring::new(&RingSettings::new(64, settings.fixed_files())).unwrap();
        let mut driver = Driver::new(kernel, settings).unwrap();
        let udp = driver.bind_udp(bind.parse().unwrap()).unwrap();
        let address = driver.udp_addr(udp).unwrap();
        let peer = UdpSocket::bind(SocketAddr::new(address.ip(), 0)).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let host = Recorder { free: (0..SLOTS).collect(), ..Recorder::default() };
        Self { driver, host, udp, address, peer }
    }

    fn turn_until(&mut self, mut done: impl FnMut(&Recorder) -> bool) {
        let limit = Instant::now() + Duration::from_secs(10);
        while !done(&self.host) {
            assert!(Instant::now() < limit, "the condition did not come about");
            self.driver.turn(&mut self.host, Wait::AtMost(10_000_000)).unwrap();
        }
    }

    fn send(&mut self, to: SocketAddr, bytes: &[u8]) -> Result<(), DatagramRefused> {
        let count = bytes.len().div_ceil(16384).max(1);
        let slots = self.host.free.split_off(self.host.free.len() - count);
        let sent = self.driver.send_datagram(self.udp, to, bytes, &slots);
        if sent.is_err() {
            self.host.free.extend(slots);
        }
        sent
    }
}

#[test]
fn datagrams_of_every_size_go_both_ways_one_each() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let mut bench = Bench::new(bind);
        let peer = bench.peer.local_addr().unwrap();
        let mut buffer = vec![0; 70_000];
        for size in [0, 1, 512, 16384, 16385, 40_000, DATAGRAM_BYTES_MAX] {
            let bytes: Vec<u8> = (0..size).map(|index| (index * 7 % 251) as u8).collect();
            bench.peer.send_to(&bytes, bench.address).unwrap();
            bench.turn_until(|host| !host.datagrams.is_empty());
            let (from, received) = bench.host.datagrams.pop().unwrap();
            assert_eq!(from, peer);
            assert!(received == bytes, "{size} bytes arrived changed");
            bench.send(peer, &bytes).unwrap();
            bench.turn_until(|host| host.free.len() == SLOTS as usize);
            let (len, from) = bench.peer.recv_from(&mut buffer).unwrap();
            assert_eq!((len, from), (size, bench.address));
            assert!(buffer[..len] == bytes, "{size} bytes went out changed");
        }
    }
}

#[test]
fn f6_a_flood_of_empty_datagrams_leaves_the_socket_working() {
    let mut bench = Bench::new("127.0.0.1:0");
    for _ in 0..20 {
        for _ in 0..100 {
            bench.peer.send_to(&[], bench.address).unwrap();
        }
        bench.driver.turn(&mut bench.host, Wait::Poll).unwrap();
    }
    bench.turn_until(|host| host.datagrams.len() >= 100);
    bench.peer.send_to(b"still there", bench.address).unwrap();
    bench.turn_until(|host| host.datagrams.iter().any(|(_, bytes)| bytes == b"still there"));
}

#[test]
fn f7_datagrams_that_cannot_be_sent_give_their_slots_back() {
    let mut bench = Bench::new("127.0.0.1:0");
    let too_long = vec![0; DATAGRAM_BYTES_MAX + 1];
    assert_eq!(bench.send("127.0.0.1:9".parse().unwrap(), &too_long), Err(DatagramRefused::TooLong));
    // An IPv6 address on an IPv4 socket is refused by the kernel; an unused port answers with ICMP.
    bench.send("[::1]:9".parse().unwrap(), b"x").unwrap();
    bench.turn_until(|host| host.failed == [Some(libc::EAFNOSUPPORT)] && host.free.len() == SLOTS as usize);
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for _ in 0..4 {
        bench.send(closed, b"x").unwrap();
        bench.turn_until(|host| host.free.len() == SLOTS as usize);
    }
    bench.peer.send_to(b"alive", bench.address).unwrap();
    bench.turn_until(|host| host.datagrams.iter().any(|(_, bytes)| bytes == b"alive"));
}

#[test]
fn datagrams_of_one_turn_to_one_peer_go_out_in_few_sends_and_arrive_one_each_in_order() {
    let mut bench = Bench::new("127.0.0.1:0");
    let peer = bench.peer.local_addr().unwrap();
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    other.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // Five of one size, the last of a run shorter; an empty one; one that is too long to be joined; then the other peer.
    let sizes = [100, 100, 100, 100, 40, 100, 0, 1452, 1452, 1453, 1453];
    let datagram = |index: usize| vec![index as u8 + 1; sizes[index]];
    let before = bench.driver.metrics().completions;
    for index in 0..sizes.len() {
        bench.send(peer, &datagram(index)).unwrap();
    }
    bench.send(other.local_addr().unwrap(), b"other").unwrap();
    bench.turn_until(|host| host.free.len() == SLOTS as usize);
    let mut buffer = vec![0; 2000];
    for index in 0..sizes.len() {
        let (len, from) = bench.peer.recv_from(&mut buffer).unwrap();
        assert_eq!(from, bench.address);
        assert!(buffer[..len] == datagram(index), "datagram {index}: {len} bytes, {:?} …", buffer.first());
    }
    assert_eq!(other.recv(&mut buffer).unwrap(), 5);
    // {100 × 4, 40}, {100}, {0}, {1452 × 2}, {1453}, {1453}, {other}.
    assert_eq!(bench.driver.metrics().completions - before, 7);
    assert_eq!(bench.driver.metrics().datagrams_sent, sizes.len() as u64 + 1);
}

/// Sends to an address with each send cut into datagrams of `size` bytes.
fn send_cut(peer: &UdpSocket, to: SocketAddr, bytes: &[u8], size: libc::c_int) {
    const UDP_SEGMENT: libc::c_int = 103;
    let (value, len) = (&raw const size, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the option's value is an integer that lives for the call.
    let set = unsafe { libc::setsockopt(peer.as_raw_fd(), libc::SOL_UDP, UDP_SEGMENT, value.cast(), len) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
    assert_eq!(peer.send_to(bytes, to).unwrap(), bytes.len());
}

#[test]
fn datagrams_that_a_peer_has_joined_arrive_one_each_in_order_and_together() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let mut bench = Bench::new(bind);
        let bytes: Vec<u8> = (0..65_000_u32).map(|index| (index * 7 % 251) as u8).collect();
        // Pieces of one size, the last of a run shorter, as few and as many as the kernel takes, and between them single ones.
        for (len, size) in [(100, 10), (105, 10), (11, 10), (1, 10), (64, 1), (64 * 1000 + 9, 1016), (2904, 1452)] {
            let before = bench.driver.metrics();
            bench.peer.send_to(&[], bench.address).unwrap();
            send_cut(&bench.peer, bench.address, &bytes[..len], size as libc::c_int);
            send_cut(&bench.peer, bench.address, b"end", 0);
            bench.turn_until(|host| host.datagrams.last().is_some_and(|(_, payload)| payload == b"end"));
            let received = std::mem::take(&mut bench.host.datagrams);
            let expected = [&b""[..]].into_iter().chain(bytes[..len].chunks(size)).chain([&b"end"[..]]);
            assert!(received.iter().map(|(_, payload)| &payload[..]).eq(expected), "{len} bytes by {size}");
            assert!(received.iter().all(|(from, _)| *from == bench.peer.local_addr().unwrap()));
            let after = bench.driver.metrics();
            assert_eq!(after.datagrams_received - before.datagrams_received, received.len() as u64);
            // Three for what was sent, and those of receives that began anew.
            assert!(after.completions - before.completions <= 6, "{len} bytes by {size} came in pieces");
        }
    }
}

#[test]
fn f7_joined_datagrams_that_cannot_be_sent_fail_one_by_one() {
    let mut bench = Bench::new("127.0.0.1:0");
    for byte in 0..3 {
        bench.send("[::1]:9".parse().unwrap(), &[byte; 10]).unwrap();
    }
    bench.turn_until(|host| host.failed == [Some(libc::EAFNOSUPPORT); 3] && host.free.len() == SLOTS as usize);
    assert_eq!(bench.driver.metrics().datagram_errors, 3);
    bench.send(bench.peer.local_addr().unwrap(), b"alive").unwrap();
    bench.turn_until(|host| host.free.len() == SLOTS as usize);
    let mut buffer = [0; 10];
    assert_eq!(bench.peer.recv(&mut buffer).unwrap(), 5);
}
