//! The echo of the driver alone, without tasks: what any host of it pays, and what its timers add.

use std::error::Error;
use std::io;
use std::os::fd::OwnedFd;

use ringline::Config;
use ringline::assembly::{HostKind, assemble};
use ringline::driver::{Chunk, ConnToken, Driver, Host, TimerId};
use ringline_ring::{Uring, Wait};

use crate::script::{Scenario, Script, ringline_cost_aside};

const CONNECTIONS: u32 = 100;
/// Timers that are armed and do not fire during the measurement.
const TIMERS: u64 = 1_000_000;
/// When the first of them is due.
const FIRST_DUE_NS: u64 = 3_600_000_000_000;
/// By how much the deadlines of two timers that are armed one after the other differ, modulo an hour: a prime, so that they
/// come in no order.
const STRIDE_NS: u64 = 1_234_567_891;
/// How far ahead the timeout of each connection is, where there is one.
const TIMEOUT_NS: u64 = 30_000_000_000;

/// What the driver has told since it was last looked at.
#[derive(Default)]
struct News {
    incoming: Vec<OwnedFd>,
    received: Vec<(ConnToken, Chunk)>,
}

impl Host<Uring> for News {
    fn incoming(&mut self, socket: OwnedFd) {
        self.incoming.push(socket);
    }

    fn connected(&mut self, _conn: ConnToken) {}

    fn connect_failed(&mut self, _conn: ConnToken, _error: io::Error) {}

    #[inline]
    fn received(&mut self, conn: ConnToken, chunk: Chunk) {
        self.received.push((conn, chunk));
    }

    fn receive_ended(&mut self, _conn: ConnToken) {}

    #[inline]
    fn sent(&mut self, _conn: ConnToken, _position: u64) {}

    #[inline]
    fn awaits_sent(&self, _conn: ConnToken) -> bool {
        false
    }

    fn send_slot_free(&mut self, _slot: u32) {}

    fn slab_retired(&mut self, _slab: u32) {}

    fn closed(&mut self, _conn: ConnToken, _error: Option<io::Error>) {}

    fn timer(&mut self, _key: u64) {}

    fn doorbell(&mut self) {}
}

struct Server {
    driver: Driver<Uring>,
    news: News,
    /// The timeout of each connection, by slot, when they have timeouts.
    timeouts: Option<Vec<Option<TimerId>>>,
}

impl Server {
    fn new() -> Result<Self, Box<dyn Error>> {
        let config = Config::builder().workers(1).pin_to_core(false).build()?;
        let driver = assemble(&config, 0, HostKind::Tasks)?;
        Ok(Self { driver, news: News::default(), timeouts: None })
    }

    /// Arms timers that are not due for an hour.
    fn arm_many(&mut self) {
        let first = self.driver.clock() + FIRST_DUE_NS;
        for timer in 0..TIMERS {
            self.driver.arm_timer(first + timer * STRIDE_NS % FIRST_DUE_NS, timer);
        }
    }

    /// Plays one scenario.
    fn play(&mut self, name: &'static str) -> Result<(), Box<dyn Error>> {
        let (_listener, server) = self.driver.listen(([127, 0, 0, 1], 0).into())?;
        self.driver.accept();
        let mut script = Script::new(vec![Scenario { name, connections: CONNECTIONS }], server)?;
        while ringline_cost_aside(&mut script, self.driver.metrics())? {
            self.driver.turn(&mut self.news, Wait::Poll)?;
            self.answer();
        }
        Ok(())
    }

    fn answer(&mut self) {
        for socket in self.news.incoming.drain(..) {
            self.driver.adopt(socket).expect("there is a slot");
        }
        if self.timeouts.is_none() { self.echo() } else { self.echo_in_time() }
    }

    /// Sends back what has arrived; as all loops over messages, a function of its own, whose registers are its own, too.
    #[inline(never)]
    fn echo(&mut self) {
        for (conn, chunk) in self.news.received.drain(..) {
            self.driver.send_chunk(conn, chunk).expect("the connection is open");
        }
    }

    /// As `echo`, and arms the timeouts of the connections anew.
    #[inline(never)]
    fn echo_in_time(&mut self) {
        let Self { driver, news, timeouts: Some(timeouts) } = self else { return };
        for (conn, chunk) in news.received.drain(..) {
            driver.send_chunk(conn, chunk).expect("the connection is open");
            let slot = conn.slot() as usize;
            timeouts.resize(timeouts.len().max(slot + 1), None);
            if let Some(timeout) = timeouts[slot].take() {
                driver.cancel_timer(timeout);
            }
            timeouts[slot] = Some(driver.arm_timer(driver.now() + TIMEOUT_NS, 0));
        }
    }
}

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    Server::new()?.play("driver")?;
    let mut server = Server::new()?;
    server.arm_many();
    server.play("driver, 1,000,000 timers")?;
    let mut server = Server::new()?;
    server.timeouts = Some(Vec::new());
    server.play("driver with timeouts")?;
    let mut server = Server::new()?;
    server.timeouts = Some(Vec::new());
    server.arm_many();
    server.play("driver with timeouts, 1,000,000 timers")
}
