//! What a scenario stands on: a driver on a network without faults of its own, a host that adopts what comes and gives
//! back what it has read, and a record of what was told.

use std::net::SocketAddr;

use ringline::driver::{ConnToken, Driver, DriverSettings};
use ringline_ring::{Kernel, Wait};
use ringline_sim::{Network, NetworkOptions, Peer, RingOptions, SimKernel, SimSocket, loopback};

use crate::events::Event;
use crate::ledger::{Ledger, Life};

/// Turns after which a scenario that has not come to its end never will.
const TURNS_MAX: usize = 10_000;

/// What the host was told, with the bytes in place of their chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Adopted(ConnToken),
    Refused,
    Connected(ConnToken),
    ConnectFailed(ConnToken, i32),
    Bytes(ConnToken, Vec<u8>),
    Ended(ConnToken),
    Sent(ConnToken, u64),
    Closed(ConnToken, Option<i32>),
    Timer(u64),
    Doorbell,
}

pub(crate) struct Rig<K: Kernel<Socket = SimSocket> = SimKernel> {
    pub(crate) network: Network,
    pub(crate) driver: Driver<K>,
    pub(crate) ledger: Ledger,
    pub(crate) address: SocketAddr,
    /// Everything so far.
    pub(crate) told: Vec<Told>,
    pub(crate) turns: usize,
    more: bool,
}

impl Rig {
    pub(crate) fn new(settings: DriverSettings) -> Self {
        Self::on(NetworkOptions::default(), RingOptions::default(), settings)
    }

    /// Sockets that hold few bytes, so that sends are soon blocked.
    pub(crate) fn narrow(settings: DriverSettings) -> Self {
        let network = NetworkOptions { send_buffer: 60, window: 30, ..NetworkOptions::default() };
        Self::on(network, RingOptions::default(), settings)
    }

    pub(crate) fn on(network: NetworkOptions, ring: RingOptions, settings: DriverSettings) -> Self {
        Self::with(network, settings, |network| SimKernel::new(network, ring))
    }
}

impl<K: Kernel<Socket = SimSocket>> Rig<K> {
    pub(crate) fn with(network: NetworkOptions, settings: DriverSettings, kernel: impl FnOnce(&Network) -> K) -> Self {
        let network = Network::with_options(network);
        let ledger = Ledger::new(settings.send_slots);
        let mut driver = Driver::new(kernel(&network), settings).unwrap();
        let address = driver.listen(loopback(0)).unwrap().1;
        driver.accept();
        Self { network, driver, ledger, address, told: Vec::new(), turns: 0, more: false }
    }

    /// One turn, as a worker would do it. What was told in it is returned, and kept.
    pub(crate) fn turn(&mut self, wait: Wait) -> &[Told] {
        let wait = if self.more { Wait::Poll } else { wait };
        self.more = self.driver.turn(&mut self.ledger, wait).unwrap().more;
        self.turns += 1;
        let before = self.told.len();
        for event in self.ledger.take_events() {
            let told = self.tell(event);
            self.told.push(told);
        }
        &self.told[before..]
    }

    fn tell(&mut self, event: Event) -> Told {
        match event {
            Event::Incoming(socket) => match self.driver.adopt(socket) {
                Ok(conn) => {
                    self.ledger.began(conn, Life::Open);
                    Told::Adopted(conn)
                }
                Err(_) => Told::Refused,
            },
            Event::Received(conn, chunk) => {
                let bytes = self.driver.chunk_bytes(&chunk).to_vec();
                self.ledger.disown(&chunk);
                self.driver.release(chunk);
                Told::Bytes(conn, bytes)
            }
            Event::Connected(conn) => Told::Connected(conn),
            Event::ConnectFailed(conn, errno) => Told::ConnectFailed(conn, errno),
            Event::ReceiveEnded(conn) => Told::Ended(conn),
            Event::Sent(conn, position) => Told::Sent(conn, position),
            Event::Closed(conn, error) => Told::Closed(conn, error),
            Event::Timer(key) => Told::Timer(key),
            Event::Doorbell => Told::Doorbell,
        }
    }

    /// Turns that wait without a limit, until a condition holds.
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&mut Self) -> bool) {
        for _ in 0..TURNS_MAX {
            if done(self) {
                return;
            }
            self.turn(Wait::Forever);
        }
        panic!("{what}: not within {TURNS_MAX} turns; last told: {:?}", self.told.iter().rev().take(10));
    }

    /// Until something has been told.
    pub(crate) fn until_told(&mut self, what: &Told) {
        self.until(&format!("{what:?}"), |rig| rig.told.contains(what));
    }

    /// Turns for so many nanoseconds of the network's time.
    pub(crate) fn pass(&mut self, ns: u64) {
        let end = self.network.now() + ns;
        while self.network.now() < end {
            self.turn(Wait::AtMost(end - self.network.now()));
        }
    }

    /// A connection that has been accepted, and its other end.
    pub(crate) fn accept(&mut self) -> (Peer, ConnToken) {
        let peer = self.network.connect(self.address).unwrap();
        let before = self.told.len();
        self.until("accept", |rig| rig.told[before..].iter().any(|told| matches!(told, Told::Adopted(_))));
        let adopted = self.told[before..].iter().find_map(|told| match told {
            Told::Adopted(conn) => Some(*conn),
            _ => None,
        });
        // The receive is armed when the next turn has submitted it.
        self.turn(Wait::Poll);
        (peer, adopted.unwrap())
    }

    /// Begins to connect.
    pub(crate) fn connect(&mut self, to: SocketAddr, timeout: Option<std::time::Duration>) -> ConnToken {
        let conn = self.driver.connect(to, timeout).unwrap();
        self.ledger.began(conn, Life::Connecting);
        conn
    }

    /// Queues bytes in slots of their own.
    pub(crate) fn send(&mut self, conn: ConnToken, bytes: &[u8]) {
        for piece in bytes.chunks(self.driver.send_memory().slot_size() as usize) {
            let slot = self.ledger.take_slot().expect("a free send slot");
            self.driver.send_copy(conn, slot, piece).unwrap();
        }
    }

    pub(crate) fn close(&mut self, conn: ConnToken) {
        assert!(self.driver.close(conn));
        self.ledger.close(conn);
    }

    pub(crate) fn abort(&mut self, conn: ConnToken) {
        assert!(self.driver.abort(conn, None));
        self.ledger.close(conn);
    }

    /// Everything that a connection received.
    pub(crate) fn bytes(&self, conn: ConnToken) -> Vec<u8> {
        let of_conn = self.told.iter().filter_map(|told| match told {
            Told::Bytes(of, bytes) if *of == conn => Some(&bytes[..]),
            _ => None,
        });
        of_conn.collect::<Vec<_>>().concat()
    }

    /// Nothing is left of any connection.
    pub(crate) fn nothing_is_left(&mut self) {
        assert_eq!(self.driver.open_connections(), 0);
        assert_eq!((self.ledger.slots_out(), self.ledger.chunks_owned(), self.driver.slabs_held()), (0, 0, 0));
        let open = self.network.open_files();
        assert!(open.iter().all(|file| file.starts_with("listener")), "{open:?}");
        assert_eq!(self.driver.metrics().stale_completions, 0);
    }
}

/// Bytes that tell where they stand.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + (at >> 8) * 7) as u8).collect()
}
