//! The driver on the real kernel, with the smallest host that echoes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ringline::driver::{Chunk, ConnToken, DiskLimits, Driver, DriverSettings, Host, Metrics};
use ringline_ring::{Doorbell, Kernel, RingSettings, SocketOptions, Uring, Wait};

#[derive(Default)]
struct Echo {
    incoming: Vec<OwnedFd>,
    chunks: Vec<(ConnToken, Chunk)>,
    ended: Vec<ConnToken>,
    closed: Vec<(ConnToken, Option<i32>)>,
}

impl Host<Uring> for Echo {
    fn incoming(&mut self, socket: OwnedFd) {
        self.incoming.push(socket);
    }
    fn connected(&mut self, _: ConnToken) {}
    fn connect_failed(&mut self, _: ConnToken, _: io::Error) {}
    fn received(&mut self, conn: ConnToken, chunk: Chunk) {
        self.chunks.push((conn, chunk));
    }
    fn receive_ended(&mut self, conn: ConnToken) {
        self.ended.push(conn);
    }
    fn sent(&mut self, _: ConnToken, _: u64) {}
    fn awaits_sent(&self, _: ConnToken) -> bool {
        false
    }
    fn send_slot_free(&mut self, _: u32) {}
    fn slab_retired(&mut self, _: u32) {}
    fn closed(&mut self, conn: ConnToken, error: Option<io::Error>) {
        self.closed.push((conn, error.and_then(|error| error.raw_os_error())));
    }
    fn timer(&mut self, _: u64) {}
    fn doorbell(&mut self) {}
}

fn settings(receive_entries: u16, receive_buffer_size: u32) -> DriverSettings {
    DriverSettings {
        max_connections: 64,
        udp_sockets_max: 0,
        receive_entries,
        receive_buffer_size,
        receive_group: 0,
        receive_for_keeps: true,
        send_slots: 16,
        send_slot_size: 16384,
        guards_max: 4,
        zero_copy_threshold: 4096,
        sockets: SocketOptions { nodelay: true, backlog: 64, reuse_port: false },
        disk: DiskLimits::default(),
        chain_links_max: 16,
        flush_interval_ns: 100_000,
    }
}

struct Outcome {
    closed: Vec<Option<i32>>,
    open: u32,
    slabs_held: usize,
    metrics: Metrics,
}

struct Server {
    address: SocketAddr,
    doorbell: Doorbell,
    tid: i32,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Outcome>,
}

impl Server {
    fn start(receive_entries: u16, receive_buffer_size: u32) -> Self {
        Self::start_waiting(receive_entries, receive_buffer_size, Wait::AtMost(2_000_000))
    }

    fn start_waiting(receive_entries: u16, receive_buffer_size: u32, wait: Wait) -> Self {
        let (ready, started) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let settings = settings(receive_entries, receive_buffer_size);
            let ring = RingSettings::new(64, 65);
            let mut driver = Driver::new(Uring::new(&ring).unwrap(), settings).unwrap();
            let mut host = Echo::default();
            let address = driver.listen("127.0.0.1:0".parse().unwrap()).unwrap().1;
            // SAFETY: gettid takes no pointers.
            ready.send((address, driver.doorbell(), unsafe { libc::gettid() })).unwrap();
            driver.accept();
            let (mut closing, mut more) = (false, false);
            while !(closing && driver.open_connections() == 0) {
                more = driver.turn(&mut host, if more { Wait::Poll } else { wait }).unwrap().more;
                for socket in host.incoming.drain(..) {
                    let _ = driver.adopt(socket);
                }
                for (conn, chunk) in host.chunks.drain(..) {
                    if let Err(chunk) = driver.send_chunk(conn, chunk) {
                        driver.release(chunk);
                    }
                }
                for conn in host.ended.drain(..) {
                    driver.close(conn);
                }
                // The doorbell has been rung once the flag is set, so a wait without limit ends.
                if stopping.load(Ordering::Relaxed) && !closing {
                    closing = true;
                    driver.hurry();
                    driver.stop_accepting();
                    for conn in driver.tokens() {
                        driver.close(conn);
                    }
                }
            }
            Outcome {
                closed: host.closed.iter().map(|(_, error)| *error).collect(),
                open: driver.open_connections(),
                slabs_held: driver.slabs_held(),
                metrics: driver.metrics(),
            }
        });
        let (address, doorbell, tid) = started.recv_timeout(Duration::from_secs(5)).expect("the driver starts");
        Self { address, doorbell, tid, stop, thread }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Processor time of the driver's thread so far.
    fn cpu_ns(&self) -> u64 {
        let path = format!("/proc/self/task/{}/schedstat", self.tid);
        std::fs::read_to_string(path).unwrap().split(' ').next().unwrap().parse().unwrap()
    }

    fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.doorbell.ring();
        self.thread.join().unwrap()
    }
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|index| ((index * 31 + seed * 7 + (index >> 8)) & 0xff) as u8).collect()
}

fn echoes_every_size(server: &Server) {
    std::thread::scope(|scope| {
        for seed in 0..8usize {
            scope.spawn(move || {
                let mut stream = server.connect();
                let mut writer = stream.try_clone().unwrap();
                for size in [1, 63, 64, 4096, 16384, 65536, 65537, 1 << 20, 3 << 20] {
                    let sent = pattern(size, seed);
                    let mut received = vec![0; size];
                    std::thread::scope(|inner| {
                        inner.spawn(|| writer.write_all(&sent).unwrap());
                        stream.read_exact(&mut received).unwrap();
                    });
                    assert!(sent == received, "{size} bytes came back changed");
                }
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
            });
        }
    });
}

#[test]
fn every_size_comes_back_byte_for_byte() {
    let server = Server::start(256, 16384);
    echoes_every_size(&server);
    let outcome = server.stop();
    assert_eq!((outcome.closed, outcome.open, outcome.slabs_held), (vec![None; 8], 0, 0));
    assert_eq!(outcome.metrics.stale_completions, 0);
}

#[test]
fn c3_a_message_far_larger_than_the_buffer_ring_arrives() {
    let server = Server::start(4, 4096);
    echoes_every_size(&server);
    let outcome = server.stop();
    assert_eq!((outcome.closed, outcome.open, outcome.slabs_held), (vec![None; 8], 0, 0));
}

#[test]
fn a1_an_idle_peer_sees_fin_when_the_server_closes() {
    let server = Server::start(256, 16384);
    let mut idle: Vec<TcpStream> = (0..16).map(|_| server.connect()).collect();
    for stream in &mut idle {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0; 1]).unwrap();
    }
    let stopping = std::thread::spawn(move || server.stop());
    for stream in &mut idle {
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
    drop(idle);
    assert_eq!(stopping.join().unwrap().closed.len(), 16);
}

#[test]
fn d5_connections_beyond_the_limit_are_closed_and_later_ones_served() {
    let server = Server::start(256, 16384);
    let mut streams: Vec<TcpStream> = (0..64).map(|_| server.connect()).collect();
    for stream in &mut streams {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0; 1]).unwrap();
    }
    let mut refused = server.connect();
    assert!(matches!(refused.read(&mut [0; 1]), Ok(0) | Err(_)));
    drop(streams);
    let served = (0..100).any(|_| {
        let mut stream = server.connect();
        let served = stream.write_all(b"y").is_ok() && stream.read_exact(&mut [0; 1]).is_ok();
        if !served {
            std::thread::sleep(Duration::from_millis(10));
        }
        served
    });
    assert!(served, "a freed slot is used again");
    assert!(server.stop().metrics.refused >= 1);
}

/// Runs a turn with the wait that a worker would use; the test would hang, and is bounded by its clients' time limits.
#[test]
fn b2_fin_follows_the_last_byte_although_the_worker_waits_for_ever() {
    let server = Server::start_waiting(256, 16384, Wait::Forever);
    let mut stream = server.connect();
    stream.write_all(b"x").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"x");
    assert_eq!(server.stop().closed, [None]);
}

#[test]
fn a_request_on_the_only_connection_costs_one_enter() {
    const REQUESTS: u64 = 1000;
    let server = Server::start_waiting(256, 16384, Wait::Forever);
    let mut stream = server.connect();
    stream.set_nodelay(true).unwrap();
    for request in 0..REQUESTS {
        let message = request.to_le_bytes();
        let mut back = [0; 8];
        stream.write_all(&message).unwrap();
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, message);
    }
    let metrics = server.stop().metrics;
    // Those of the connection's beginning and end come on top.
    assert!((REQUESTS..REQUESTS + REQUESTS / 10).contains(&metrics.enters), "{} enters", metrics.enters);
}

#[test]
fn b3_a_peer_that_does_not_read_delays_nobody_and_loses_nothing() {
    const BULK: usize = 32 << 20;
    let server = Server::start_waiting(256, 16384, Wait::Forever);
    let stuck = server.connect();
    let mut writer = stuck.try_clone().unwrap();
    let sent = pattern(BULK, 3);
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
        sent
    });
    // Every answer to it is short or refused by now or soon; the others have theirs all the same.
    let mut other = server.connect();
    other.set_nodelay(true).unwrap();
    let started = std::time::Instant::now();
    for request in 0..500_u64 {
        let mut back = [0; 8];
        other.write_all(&request.to_le_bytes()).unwrap();
        other.read_exact(&mut back).unwrap();
        assert_eq!(back, request.to_le_bytes());
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?} for 500 requests", started.elapsed());
    let mut received = Vec::with_capacity(BULK);
    (&stuck).read_to_end(&mut received).unwrap();
    assert!(received == writing.join().unwrap(), "the bytes came back changed");
    assert_eq!(server.stop().closed, [None; 2]);
}

#[test]
fn a16_a_slow_reader_that_has_half_closed_costs_no_processor_time() {
    let server = Server::start_waiting(256, 16384, Wait::Forever);
    let stream = server.connect();
    let sent = pattern(32 << 20, 1);
    let mut writer = stream.try_clone().unwrap();
    let (mut reader, expected) = (stream, sent.clone());
    // More than the sockets hold goes out and comes back, so the server is left with bytes that the peer does not read.
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    std::thread::sleep(Duration::from_millis(200));
    let mut received = vec![0; 1 << 20];
    reader.read_exact(&mut received).unwrap();
    writing.join().unwrap();
    // A loop that spins spends all of its time, for ever; one with something left to do comes to rest.
    let patience = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let (before, started) = (server.cpu_ns(), std::time::Instant::now());
        std::thread::sleep(Duration::from_millis(200));
        let (spent, passed) = (server.cpu_ns() - before, started.elapsed().as_nanos() as u64);
        if spent < passed / 20 {
            break;
        }
        assert!(started < patience, "{spent} ns of processor time in {passed} ns");
    }
    reader.read_to_end(&mut received).unwrap();
    assert!(received == expected, "the bytes came back changed");
    assert_eq!(server.stop().closed, [None]);
}

#[test]
fn a_connection_that_was_accepted_by_a_driver_that_ends_is_closed() {
    let settings = settings(64, 4096);
    let mut driver = Driver::new(Uring::new(&RingSettings::new(64, 65)).unwrap(), settings).unwrap();
    let (listener, address) = driver.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    driver.accept();
    driver.turn(&mut Echo::default(), Wait::Poll).unwrap();
    let mut clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    // The kernel accepts them, and nobody looks at its completions.
    driver.kernel_mut().enter(Wait::Poll).unwrap();
    drop((driver, listener));
    for client in &mut clients {
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // A reset, or the end of the stream; a descriptor that was left open would keep the client waiting.
        let end = client.read_to_end(&mut Vec::new());
        assert!(
            matches!(&end, Ok(0)) || end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
            "{end:?}"
        );
    }
}
