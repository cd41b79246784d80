//! A random run: clients come, write, read slowly, finish, close and reset while the host does anything at any time,
//! with tokens of any age; then everything has to settle, to close, and to leave nothing behind.

use std::cell::Cell;
use std::hash::Hasher;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringline::driver::ConnToken;
use ringline_ring::Wait;
use ringline_sim::{Network, Remote, loopback};

use crate::clients::{Client, SharedClient, bytes_of};
use crate::dice::Dice;
use crate::ledger::Life;
use crate::server::Server;
use crate::setup::{GROUP, Setup};

/// The first port of the hosts that the driver connects to.
const REMOTE_PORT: u16 = 10_000;
/// The longest time until something that was scheduled happens, in nanoseconds.
const SCHEDULE_NS: usize = 200_000;

/// A connect of the driver.
struct Outbound {
    token: ConnToken,
    to: SocketAddr,
    /// The client whose bytes the remote host writes, if it ever stands.
    client: u8,
    greeted: usize,
    found: bool,
}

/// One run.
pub(crate) struct Chaos {
    setup: Setup,
    pub(crate) dice: Dice,
    pub(crate) network: Network,
    pub(crate) server: Server,
    address: SocketAddr,
    /// By number; none where a connect has not been answered.
    pub(crate) clients: Vec<Option<SharedClient>>,
    outbound: Vec<Outbound>,
    /// Actions on the network's calendar.
    scheduled: Rc<Cell<usize>>,
}

impl Chaos {
    pub(crate) fn new(setup: Setup, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let (network, mut driver) = setup.build(seed, &mut dice);
        let address = driver.listen(loopback(0)).unwrap().1;
        driver.accept();
        let scheduled = Rc::default();
        let (clients, outbound) = (Vec::new(), Vec::new());
        let mut server = Server::new(driver);
        server.ledger.awaits_sent = dice.one_in(2);
        Self { setup, dice, network, server, address, clients, outbound, scheduled }
    }

    /// A run from start to end; a hash of all that happened in it.
    pub(crate) fn run(mut self) -> (u64, u64) {
        self.misbehave();
        self.end()
    }

    /// The orderly end of a run.
    pub(crate) fn end(mut self) -> (u64, u64) {
        self.settle();
        self.close_everything();
        self.stop();
        (self.network.trace_hash(), self.server.history.finish())
    }

    // ---- anything goes --------------------------------------------------------------------------------------------

    pub(crate) fn misbehave(&mut self) {
        let steps = self.setup.clients * 15;
        for step in 0..steps {
            if self.clients.len() < self.setup.clients * (step + 15) / steps {
                self.new_client();
            }
            for _ in 0..self.dice.below(4) {
                self.client_acts();
            }
            for _ in 0..self.dice.below(4) {
                self.host_acts();
            }
            self.turn();
            for _ in 0..self.dice.below(3) {
                let Some(token) = self.server.any_token(&mut self.dice) else { break };
                if self.server.life(token) == Life::Over {
                    self.server.check_stale(token);
                }
            }
        }
    }

    /// One turn with any wait; one without a limit is ended by the bell.
    fn turn(&mut self) {
        let wait = match self.dice.below(3) {
            0 => Wait::Poll,
            1 => Wait::AtMost(self.dice.below(300_000) as u64),
            _ => {
                let bell = self.server.driver.doorbell();
                self.network.schedule(self.dice.below(SCHEDULE_NS) as u64, move |_| bell.ring());
                Wait::Forever
            }
        };
        self.turn_with(wait);
        if !self.dice.one_in(4) {
            self.server.adopt_all();
        }
    }

    fn turn_with(&mut self, wait: Wait) {
        self.server.turn(wait, &mut self.dice);
        for outbound in &mut self.outbound {
            if !outbound.found
                && let Some(peer) = self.network.take_connected(outbound.to)
            {
                outbound.found = true;
                let client = Client::new(outbound.client, peer, outbound.greeted);
                self.clients[usize::from(outbound.client)] = Some(client);
            }
        }
    }

    fn new_client(&mut self) {
        let id = self.clients.len() as u8;
        if self.dice.one_in(4) {
            return self.connect(id);
        }
        match self.network.connect(self.address) {
            Ok(peer) => {
                let client = Client::new(id, peer, 0);
                // Each tells who it is before it does anything else.
                client.borrow_mut().write(1);
                self.clients.push(Some(client));
            }
            Err(_) => self.clients.push(None),
        }
    }

    fn connect(&mut self, client: u8) {
        self.clients.push(None);
        let to = loopback(REMOTE_PORT + u16::from(client));
        let greeted = self.dice.between(1, 50);
        let accepting = Remote::accepting().greeting(&bytes_of(client, 0, greeted));
        let remote = match self.dice.below(6) {
            0 => Remote::refusing(),
            1 => Remote::silent(),
            2 => Remote::failing(libc::EHOSTUNREACH).after(self.dice.below(SCHEDULE_NS) as u64),
            3 => accepting,
            _ => accepting.after(self.dice.below(SCHEDULE_NS) as u64),
        };
        self.network.remote(to, remote);
        let timeout = self.dice.one_in(2).then(|| Duration::from_nanos(self.dice.below(SCHEDULE_NS) as u64));
        if let Ok(token) = self.server.driver.connect(to, timeout) {
            self.server.began(token, Life::Connecting, Some(client));
            self.outbound.push(Outbound { token, to, client, greeted, found: false });
        }
    }

    /// Some client does something, now or at a time that may lie in the middle of a wait.
    fn client_acts(&mut self) {
        let at = self.dice.below(self.clients.len().max(1));
        let Some(Some(client)) = self.clients.get(at).cloned() else { return };
        let len_max = if self.dice.one_in(8) { self.setup.message_max } else { 200 };
        let len = self.dice.between(1, len_max);
        let choice = self.dice.below(40);
        let action = move |client: &SharedClient| {
            let mut client = client.borrow_mut();
            match choice {
                0..16 => client.write(len),
                16..32 => _ = client.read(len),
                32 => client.finish(),
                33 => client.close(),
                34 => client.reset(),
                35 => client.peer.set_window(0),
                _ => client.peer.set_window(len),
            }
        };
        if self.dice.one_in(2) {
            return action(&client);
        }
        let scheduled = Rc::clone(&self.scheduled);
        scheduled.set(scheduled.get() + 1);
        self.network.schedule(self.dice.below(SCHEDULE_NS) as u64, move |_| {
            scheduled.set(scheduled.get() - 1);
            action(&client);
        });
    }

    /// The host does something with a token of any age.
    fn host_acts(&mut self) {
        let Some(token) = self.server.any_token(&mut self.dice) else { return };
        let len_max = if self.dice.one_in(8) { self.setup.message_max } else { 100 };
        let len = self.dice.below(len_max);
        let choice = self.dice.below(40);
        match choice {
            0..12 => self.server.send(token, len, &mut self.dice),
            12..16 => self.server.pause(token),
            16..20 => self.server.resume(token),
            20 => self.server.close(token),
            21 => self.server.abort(token),
            22..24 => _ = self.server.driver.shutdown_write(token),
            24 => _ = self.server.driver.cancel_connect(token),
            25..28 => self.server.driver.hold_receive_buffers(self.dice.one_in(2)),
            28..34 => self.server.let_go(false, &mut self.dice),
            34 => drop(self.server.lobby.pop()),
            35 => self.set_timer(len as u64),
            _ => {}
        }
    }

    fn set_timer(&mut self, key: u64) {
        let deadline = self.server.driver.clock() + self.dice.below(SCHEDULE_NS) as u64;
        let timer = self.server.driver.arm_timer(deadline, key);
        if self.dice.one_in(2) {
            self.server.driver.cancel_timer(timer);
        }
    }

    /// Nobody does anything for so many nanoseconds, once what was under way has come. How many turns that took.
    pub(crate) fn stall(&mut self, ns: u64) -> usize {
        self.server.adopt_all();
        // A socket with room for one byte takes one byte at a time, of a connection that is closing too.
        loop {
            let moved = self.moved();
            self.pass(20_000_000);
            if self.moved() == moved {
                break;
            }
        }
        let before = self.server.turns;
        self.pass(ns);
        (self.server.turns - before) as usize
    }

    /// Bytes that have come and gone, those included that nobody was told of.
    fn moved(&self) -> u64 {
        let metrics = self.server.driver.metrics();
        metrics.bytes_received + metrics.bytes_sent
    }

    fn pass(&mut self, ns: u64) {
        let end = self.network.now() + ns;
        while self.network.now() < end {
            self.turn_with(Wait::AtMost(end - self.network.now()));
        }
    }

    // ---- everything settles ---------------------------------------------------------------------------------------

    /// Takes every hindrance away and waits without a limit: the simulator fails a wait that nothing can end.
    fn settle(&mut self) {
        while self.scheduled.get() > 0 {
            self.turn_with(Wait::AtMost(10_000));
        }
        self.server.driver.hold_receive_buffers(false);
        self.server.playful = false;
        self.server.let_go(true, &mut self.dice);
        for client in self.clients.iter().flatten() {
            client.borrow_mut().peer.set_window(1 << 30);
        }
        for token in self.server.conns.iter().map(|conn| conn.token).collect::<Vec<_>>() {
            self.server.resume(token);
            if self.server.life(token) == Life::Connecting {
                self.server.driver.cancel_connect(token);
            }
        }
        self.turn_until("settle", Self::settled);
    }

    /// Turns until a condition holds. A run that spins fails.
    fn turn_until(&mut self, what: &str, done: impl Fn(&mut Self) -> bool) {
        let (turns, started) = (self.server.turns, self.network.now());
        loop {
            self.server.adopt_all();
            for client in self.clients.iter().flatten() {
                client.borrow_mut().read(usize::MAX);
            }
            if done(self) {
                return;
            }
            self.ring_when_bytes_come();
            self.turn_with(Wait::Forever);
            let turns = self.server.turns - turns;
            let passed_ms = (self.network.now() - started) / 1_000_000;
            let moved = self.moved();
            let turns_max = 2_000 + 4 * moved + 10 * passed_ms;
            assert!(turns <= turns_max, "{what}: {turns} turns for {moved} bytes in {passed_ms} ms\n{}", self.report());
        }
    }

    /// A send that was taken whole need not end the driver's wait. Here it does if it brings somebody bytes, which may be the
    /// last that everybody waits for.
    fn ring_when_bytes_come(&self) {
        let clients: Vec<_> = self.clients.iter().flatten().cloned().collect();
        let bell = self.server.driver.doorbell();
        self.network.schedule(1, move |_| {
            if clients.iter().filter(|client| client.borrow_mut().read(usize::MAX) > 0).count() > 0 {
                bell.ring();
            }
        });
    }

    /// What stands and what is missing, for the message of a failed check.
    pub(crate) fn report(&self) -> String {
        let conns = self.server.conns.iter().filter(|conn| self.server.life(conn.token) != Life::Over);
        let describe = |conn: &crate::server::Conn| {
            let life = self.server.life(conn.token);
            let client = conn.client.and_then(|id| self.clients[usize::from(id)].as_ref()).map(|client| {
                let client = client.borrow();
                let Client { written, finished, gone, .. } = *client;
                format!("client {} wrote {written} read {} {finished} {gone}", client.id, client.read.len())
            });
            format!("{:?} {life:?} received {} queued {} {client:?}\n", conn.token, conn.received, conn.queued.len())
        };
        conns.map(describe).collect()
    }

    /// Whether everything that was written has come, on both sides of every connection that stands.
    fn settled(&mut self) -> bool {
        let server = &self.server;
        let strangers = |client: &SharedClient| {
            let client = client.borrow();
            let known = server.conns.iter().any(|conn| conn.client == Some(client.id));
            !known && !client.gone && !client.sees_the_end()
        };
        if self.clients.iter().flatten().any(strangers) {
            return false;
        }
        server.conns.iter().all(|conn| match (server.life(conn.token), conn.client) {
            (Life::Over, _) => true,
            (Life::Connecting | Life::Closing, _) | (_, None) => false,
            (life, Some(id)) => {
                let Some(client) = &self.clients[usize::from(id)] else { return false };
                let client = client.borrow();
                // Nobody need notice what became of a peer that is gone.
                let up = client.written == conn.received && client.finished == (life == Life::Ended);
                client.gone || (up && client.read.len() == conn.queued.len())
            }
        })
    }

    // ---- everything closes ----------------------------------------------------------------------------------------

    fn close_everything(&mut self) {
        if self.dice.one_in(2) {
            self.server.driver.hurry();
        }
        for token in self.server.standing() {
            let client = self.server.conn(token).client.and_then(|id| self.clients[usize::from(id)].clone());
            match (client, self.dice.below(5)) {
                (Some(client), 0) => client.borrow_mut().finish(),
                (Some(client), 1) => client.borrow_mut().close(),
                (Some(client), 2) => client.borrow_mut().reset(),
                (_, 3) => self.server.abort(token),
                _ => self.server.close(token),
            }
        }
        self.turn_until("close", |this| {
            for client in this.clients.iter().flatten() {
                let mut client = client.borrow_mut();
                if client.sees_the_end() && client.id.is_multiple_of(2) {
                    client.close();
                }
            }
            for token in this.server.standing() {
                let client = this.server.conn(token).client.and_then(|id| this.clients[usize::from(id)].clone());
                let over = client.is_none_or(|client| client.borrow().finished);
                if this.server.life(token) == Life::Ended || over {
                    this.server.close(token);
                }
            }
            this.server.driver.open_connections() == 0
        });
        self.check_streams();
    }

    /// Every byte that came is the one that was sent, and none is missing where nobody broke the connection.
    fn check_streams(&self) {
        for conn in &self.server.conns {
            let Some(client) = conn.client.and_then(|id| self.clients[usize::from(id)].as_ref()) else { continue };
            let (client, token) = (client.borrow(), conn.token);
            let read = client.read.len();
            assert!(conn.queued.starts_with(&client.read), "{token:?} sent {read} bytes that it was not told to");
            assert!(conn.received <= client.written, "{token:?} received more than was written");
            if !client.gone && !conn.aborted && conn.closed.is_some() {
                assert_eq!(conn.closed, Some(None), "{token:?} broke");
                assert_eq!(read, conn.queued.len(), "{token:?}: its peer misses bytes");
                assert!(client.peer.sees_end(), "{token:?}: its peer sees no end");
            }
        }
        for outbound in &self.outbound {
            if let Some(client) = &self.clients[usize::from(outbound.client)] {
                let token = outbound.token;
                let client = client.borrow();
                assert!(client.gone || client.sees_the_end(), "{token:?} was left open");
            }
        }
    }

    // ---- nothing is left ------------------------------------------------------------------------------------------

    fn stop(&mut self) {
        self.server.let_go(true, &mut self.dice);
        let ring_bytes = self.server.ring_bytes;
        self.turn_with(Wait::Poll);
        // Clients that were gone before they were accepted may still come.
        self.server.lobby.clear();
        let kernel = self.server.driver.kernel_mut();
        kernel.check_buffers();
        // There may be no room for one more slab for bulk, which is an eighth of the ring.
        let owned = kernel.buffer_bytes_owned(GROUP);
        assert!(8 * owned > 7 * ring_bytes, "the kernel has {owned} of {ring_bytes} bytes of buffers back");
        let open = kernel.open_files();
        assert!(open.len() == 1 && open[0].starts_with("listener"), "{open:?}");
        assert!(kernel.operations_in_flight() <= 2, "more than accept and doorbell");
        assert_eq!(self.server.driver.slabs_held(), 0, "slabs");
        assert_eq!(self.server.ledger.chunks_owned(), 0, "chunks");
        assert_eq!(self.server.ledger.slots_out(), 0, "send slots");
        assert_eq!(self.server.driver.tokens(), []);
        self.server.driver.stop_accepting();
        self.turn_until("stop", |this| !this.server.driver.is_listening());
        let kernel = self.server.driver.kernel_mut();
        assert_eq!(kernel.open_files(), Vec::<String>::new());
        assert!(kernel.operations_in_flight() <= 1, "more than the doorbell");
        assert!(self.network.connect(self.address).is_err());
    }
}
