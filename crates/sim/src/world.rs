//! Everything outside the ring: clock, calendar, sockets and what refers to them. One world may be behind several
//! kernels, as one machine is behind several rings.
//!
//! A socket lives as long as something refers to it: a descriptor, a fixed file, or an operation that is in flight.
//! That is why a close sends no FIN while a receive is armed.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use crate::descriptor::Descriptors;
use crate::faults::{Fault, Faults, Script};
use crate::network::{Network, NetworkOptions, Remote};
use crate::random::Random;
use crate::stream::{State, Stream};
use crate::trace::Trace;

/// Ports that are handed out to sockets that name none.
const FIRST_EPHEMERAL_PORT: u16 = 32_768;
/// How long Linux asks a silent peer before a connect fails, with its default of six retries.
const CONNECT_TIMEOUT_NS: u64 = 127_000_000_000;

/// A socket of the world. Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SocketId(pub(crate) u32);

pub(crate) enum Socket {
    Listener(Listener),
    Stream(Box<Stream>),
}

pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) backlog_max: usize,
    /// Connections that nobody has accepted.
    pub(crate) backlog: VecDeque<SocketId>,
    /// Shut down: accepts answer EINVAL.
    pub(crate) ended: bool,
    pub(crate) reuse_port: bool,
    pub(crate) released: bool,
}

/// What happens at a time.
pub(crate) enum Event {
    /// Something of the peer arrives.
    Arrival(SocketId),
    /// A connect is answered with a result.
    Answer(SocketId, i32),
    /// The test has something to do.
    Script(Box<dyn FnOnce(&Network)>),
}

pub(crate) struct World {
    pub(crate) options: NetworkOptions,
    pub(crate) faults: Faults,
    pub(crate) script: Script,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) now_ns: u64,
    pub(crate) descriptors: Descriptors,
    pub(crate) remotes: BTreeMap<SocketAddr, Remote>,
    /// Connections that the runtime has made and no test has taken, by the address they went to.
    pub(crate) connected: BTreeMap<SocketAddr, VecDeque<SocketId>>,
    /// How many kernels there are.
    pub(crate) kernels: usize,
    sockets: BTreeMap<SocketId, (Socket, u32)>,
    calendar: BTreeMap<(u64, u64), Event>,
    events_made: u64,
    sockets_made: u32,
    next_port: u16,
}

impl World {
    pub(crate) fn new(options: NetworkOptions) -> Self {
        Self {
            options,
            faults: options.faults,
            script: Script::default(),
            random: Random::new(options.seed),
            trace: Trace::default(),
            now_ns: 0,
            descriptors: Descriptors::default(),
            remotes: BTreeMap::new(),
            connected: BTreeMap::new(),
            kernels: 0,
            sockets: BTreeMap::new(),
            calendar: BTreeMap::new(),
            events_made: 0,
            sockets_made: 0,
            next_port: FIRST_EPHEMERAL_PORT,
        }
    }

    /// Fails the test: the runtime, or the test itself, has done what no kernel would forgive.
    #[track_caller]
    pub(crate) fn violation(&self, what: &str) -> ! {
        let (seed, now, recent) = (self.options.seed, self.now_ns, self.trace.recent());
        panic!("simulated kernel, seed {seed}, at {now} ns: {what}\nlast steps (time, step, subject, value):\n{recent}")
    }

    pub(crate) fn step(&mut self, what: &'static str, subject: u64, value: i64) {
        self.trace.step(self.now_ns, what, subject, value);
    }

    /// Whether a fault of this kind is due, by script or by chance.
    pub(crate) fn fails(&mut self, fault: Fault, chance: impl Fn(&Faults) -> crate::Chance) -> bool {
        self.script.take_exactly(fault) || self.random.chance(chance(&self.faults))
    }

    // ---- sockets --------------------------------------------------------------------------------------------------

    pub(crate) fn new_stream(&mut self) -> SocketId {
        let NetworkOptions { receive_buffer, send_buffer, window, .. } = self.options;
        self.insert(Socket::Stream(Box::new(Stream::new(receive_buffer, send_buffer, window))))
    }

    pub(crate) fn insert(&mut self, socket: Socket) -> SocketId {
        let id = SocketId(self.sockets_made);
        self.sockets_made += 1;
        self.sockets.insert(id, (socket, 0));
        id
    }

    pub(crate) fn retain(&mut self, id: SocketId) {
        self.sockets.get_mut(&id).expect("sockets are kept for ever").1 += 1;
    }

    pub(crate) fn release(&mut self, id: SocketId) {
        let (socket, references) = self.sockets.get_mut(&id).expect("sockets are kept for ever");
        *references -= 1;
        if *references > 0 {
            return;
        }
        match socket {
            Socket::Stream(stream) => stream.release(),
            Socket::Listener(listener) => listener.released = true,
        }
        self.step("released", u64::from(id.0), 0);
        self.settle(id);
        self.abandon_backlog(id);
    }

    /// Resets the connections that wait at a listener, whatever they hold: nobody will ever accept them.
    pub(crate) fn abandon_backlog(&mut self, id: SocketId) {
        let Some(listener) = self.listener(id) else { return };
        for connection in std::mem::take(&mut listener.backlog) {
            self.stream(connection).refuse();
        }
    }

    /// Closes the descriptors whose handles have been dropped.
    pub(crate) fn close_dropped(&mut self) {
        for id in self.descriptors.take_closed() {
            self.release(id);
        }
    }

    pub(crate) fn stream(&mut self, id: SocketId) -> &mut Stream {
        match self.sockets.get_mut(&id) {
            Some((Socket::Stream(stream), _)) => stream,
            _ => panic!("socket {} is not a stream", id.0),
        }
    }

    pub(crate) fn is_stream(&self, id: SocketId) -> bool {
        matches!(self.sockets[&id].0, Socket::Stream(_))
    }

    pub(crate) fn listener(&mut self, id: SocketId) -> Option<&mut Listener> {
        match self.sockets.get_mut(&id) {
            Some((Socket::Listener(listener), _)) => Some(listener),
            _ => None,
        }
    }

    /// Listeners that a connection to `address` may go to.
    pub(crate) fn listeners_at(&self, address: SocketAddr) -> Vec<SocketId> {
        let hears = |listener: &Listener| {
            let bound = listener.address;
            let ip_fits = bound.ip().is_unspecified() || address.ip().is_unspecified() || bound.ip() == address.ip();
            !listener.released && bound.port() == address.port() && ip_fits
        };
        let heard = self.sockets.iter().filter(|(_, (socket, _))| matches!(socket, Socket::Listener(l) if hears(l)));
        heard.map(|(&id, _)| id).collect()
    }

    /// Whether every listener in `among` lets others share its port.
    pub(crate) fn all_share_port(&mut self, among: &[SocketId]) -> bool {
        among.iter().all(|&id| self.listener(id).is_some_and(|listener| listener.reuse_port))
    }

    pub(crate) fn ephemeral(&mut self, ip: IpAddr) -> SocketAddr {
        loop {
            let address = SocketAddr::new(ip, self.next_port);
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
            if self.listeners_at(address).is_empty() {
                return address;
            }
        }
    }

    /// Every socket that something of the runtime refers to, in words.
    pub(crate) fn open_files(&self) -> Vec<String> {
        let open = self.sockets.iter().filter(|(_, (_, references))| *references > 0);
        open.map(|(id, (socket, references))| {
            let what = match socket {
                Socket::Listener(listener) => format!("listener on {}", listener.address),
                Socket::Stream(stream) => match stream.peer {
                    Some(peer) => format!("stream to {peer}, {:?}", stream.state),
                    None => format!("unconnected stream, {:?}", stream.state),
                },
            };
            let numbers = self.descriptors.iter().filter(|(_, socket, _)| socket == id);
            let named = numbers.fold(String::new(), |text, (number, _, owned)| {
                let owner = if owned { "" } else { " that nobody took" };
                format!("{text}, descriptor {number}{owner}")
            });
            format!("{what}, {references} references{named}")
        })
        .collect()
    }

    // ---- calendar -------------------------------------------------------------------------------------------------

    pub(crate) fn schedule(&mut self, after_ns: u64, event: Event) {
        self.calendar.insert((self.now_ns.saturating_add(after_ns), self.events_made), event);
        self.events_made += 1;
    }

    pub(crate) fn next_event_at(&self) -> Option<u64> {
        self.calendar.keys().next().map(|&(at_ns, _)| at_ns)
    }

    pub(crate) fn take_due(&mut self) -> Option<Event> {
        let due = self.calendar.first_entry().filter(|first| first.key().0 <= self.now_ns)?;
        Some(due.remove())
    }

    /// Puts on the calendar what the last change of a stream has set moving.
    pub(crate) fn settle(&mut self, id: SocketId) {
        if !self.is_stream(id) || !self.stream(id).wants_arrival() {
            return;
        }
        self.stream(id).arrival_scheduled = true;
        let latency = self.random.below(self.faults.latency_ns_max + 1);
        self.schedule(latency, Event::Arrival(id));
    }

    pub(crate) fn arrive(&mut self, id: SocketId) {
        let split = self.random.chance(self.faults.split_arrival);
        let arrival_max = self.stream(id).arrival_max();
        let most = if split && arrival_max > 0 { self.random.up_to(arrival_max) } else { arrival_max };
        // A split can fall between the last byte and the end of the stream, too.
        let end_too = !split || arrival_max == 0 || self.random.coin();
        self.stream(id).arrive(most, end_too);
        self.step("arrival", u64::from(id.0), most as i64);
        self.settle(id);
    }

    // ---- connections that the runtime makes -----------------------------------------------------------------------

    /// Starts a connect. Answers what the system call would answer at once, if it would.
    pub(crate) fn start_connect(&mut self, id: SocketId, to: SocketAddr) -> Result<(), i32> {
        let remote = self.remotes.get(&to).cloned().unwrap_or_else(Remote::refusing);
        if !self.listeners_at(to).is_empty() {
            self.violation(&format!("a connect to {to}, a listener of the simulation: play one of the two as a peer"));
        }
        let local = self.ephemeral(to.ip());
        let stream = self.stream(id);
        match stream.state {
            State::Connected => return Err(libc::EISCONN),
            State::Connecting => return Err(libc::EALREADY),
            State::Dead | State::Idle => {}
        }
        stream.state = State::Connecting;
        stream.connect_result = None;
        stream.local = Some(local);
        stream.peer = Some(to);
        let (after_ns, result) = remote.answer(CONNECT_TIMEOUT_NS);
        self.schedule(after_ns, Event::Answer(id, result));
        Ok(())
    }

    pub(crate) fn answer(&mut self, id: SocketId, result: i32) {
        if self.stream(id).state != State::Connecting {
            return;
        }
        let to = self.stream(id).peer.expect("a connecting stream has a peer");
        let greeting = self.remotes.get(&to).map(|remote| remote.greeting.clone()).unwrap_or_default();
        self.stream(id).answered(result, &greeting);
        if result == 0 {
            self.connected.entry(to).or_default().push_back(id);
        }
        self.step("answer", u64::from(id.0), i64::from(result));
    }
}
