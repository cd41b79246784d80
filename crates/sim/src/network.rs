//! What a test holds: the network with its clock, its faults and its peers.

use std::cell::{RefCell, RefMut};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use crate::faults::{Fault, Faults};
use crate::peer::Peer;
use crate::stream::State;
use crate::world::{Event, World};

/// Settings of a simulated network.
#[derive(Clone, Copy, Debug)]
pub struct NetworkOptions {
    /// Names the run: the same seed and the same calls give the same run.
    pub seed: u64,
    /// What goes wrong by chance at first.
    pub faults: Faults,
    /// Bytes that a socket of the runtime holds for a peer whose window is closed.
    pub send_buffer: usize,
    /// Bytes that a socket of the runtime holds until they are received.
    pub receive_buffer: usize,
    /// Bytes that a peer holds until the test reads them.
    pub window: usize,
    /// How many descriptors may be open; beyond it, accepts answer EMFILE.
    pub descriptors_max: usize,
    /// Nanoseconds that each enter takes.
    pub enter_ns: u64,
}

impl Default for NetworkOptions {
    /// Seed 0, no faults, 64 KiB for each buffer and window, 1,024 descriptors, a microsecond for each enter.
    fn default() -> Self {
        Self {
            seed: 0,
            faults: Faults::NONE,
            send_buffer: 64 << 10,
            receive_buffer: 64 << 10,
            window: 64 << 10,
            descriptors_max: 1024,
            enter_ns: 1_000,
        }
    }
}

/// What a connect of the runtime finds at an address.
#[derive(Clone, Debug)]
pub struct Remote {
    /// How many nanoseconds after the connect; `None`: never.
    after_ns: Option<u64>,
    /// 0, or an errno.
    errno: i32,
    pub(crate) greeting: Vec<u8>,
}

impl Remote {
    /// Accepts at once. The other end is then had from [`Network::take_connected`].
    pub const fn accepting() -> Self {
        Self { after_ns: Some(0), errno: 0, greeting: Vec::new() }
    }

    /// Answers ECONNREFUSED at once. An address that was never told of does the same.
    pub const fn refusing() -> Self {
        Self::failing(libc::ECONNREFUSED)
    }

    /// Answers an errno (a positive number) at once.
    pub const fn failing(errno: i32) -> Self {
        Self { after_ns: Some(0), errno, greeting: Vec::new() }
    }

    /// Never answers. Linux gives up after 127 seconds with ETIMEDOUT.
    pub const fn silent() -> Self {
        Self { after_ns: None, errno: 0, greeting: Vec::new() }
    }

    /// Answers so many nanoseconds after the connect.
    #[must_use]
    pub const fn after(mut self, after_ns: u64) -> Self {
        self.after_ns = Some(after_ns);
        self
    }

    /// Speaks first: the bytes are there when the connection is.
    #[must_use]
    pub fn greeting(mut self, bytes: &[u8]) -> Self {
        self.greeting = bytes.to_vec();
        self
    }

    /// When a connect is answered, and with which result.
    pub(crate) fn answer(&self, timeout_ns: u64) -> (u64, i32) {
        match self.after_ns {
            Some(after_ns) => (after_ns, -self.errno),
            None => (timeout_ns, -libc::ETIMEDOUT),
        }
    }
}

/// The network, its clock and its chance. Clones are the same network.
#[derive(Clone)]
pub struct Network(Rc<RefCell<World>>);

impl Network {
    /// A network without faults.
    pub fn new(seed: u64) -> Self {
        Self::with_options(NetworkOptions { seed, ..NetworkOptions::default() })
    }

    /// A network with settings of one's own.
    pub fn with_options(options: NetworkOptions) -> Self {
        Self(Rc::new(RefCell::new(World::new(options))))
    }

    /// The world, with every descriptor closed whose handle is gone.
    #[track_caller]
    pub(crate) fn world(&self) -> RefMut<'_, World> {
        let mut world = self.0.borrow_mut();
        world.close_dropped();
        world
    }

    /// The seed that names this run.
    pub fn seed(&self) -> u64 {
        self.world().options.seed
    }

    /// Nanoseconds since the start. Only [`enter`](ringline_ring::Kernel::enter) lets time pass.
    pub fn now(&self) -> u64 {
        self.world().now_ns
    }

    /// Changes what goes wrong by chance.
    pub fn set_faults(&self, faults: Faults) {
        self.world().faults = faults;
    }

    /// Lets one thing go wrong at the next opportunity.
    pub fn inject(&self, fault: Fault) {
        self.world().script.add(fault);
    }

    /// Does something when so many nanoseconds have passed, even in the middle of a wait.
    pub fn schedule(&self, after_ns: u64, action: impl FnOnce(&Network) + 'static) {
        self.world().schedule(after_ns, Event::Script(Box::new(action)));
    }

    /// Opens a connection to a listener of the runtime. It stands as soon as it is in the backlog; whether it is ever
    /// accepted is another matter.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` when nobody listens there; `TimedOut` when the backlog is full.
    pub fn connect(&self, to: SocketAddr) -> io::Result<Peer> {
        let mut world = self.world();
        let mut listeners = world.listeners_at(to);
        listeners.retain(|&id| world.listener(id).is_some_and(|listener| !listener.ended));
        if listeners.is_empty() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let chosen = listeners[world.random.below(listeners.len() as u64) as usize];
        let listener = world.listener(chosen).expect("chosen among listeners");
        if listener.backlog.len() >= listener.backlog_max {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let from = world.ephemeral(to.ip());
        let id = world.new_stream();
        let stream = world.stream(id);
        stream.state = State::Connected;
        stream.local = Some(to);
        stream.peer = Some(from);
        world.listener(chosen).expect("chosen among listeners").backlog.push_back(id);
        world.step("connection", u64::from(id.0), 0);
        drop(world);
        Ok(Peer::new(self.clone(), id))
    }

    /// Says what a connect of the runtime finds at an address, from now on.
    pub fn remote(&self, at: SocketAddr, remote: Remote) {
        self.world().remotes.insert(at, remote);
    }

    /// The other end of the oldest connection that the runtime has made to an address.
    pub fn take_connected(&self, at: SocketAddr) -> Option<Peer> {
        let id = self.world().connected.get_mut(&at)?.pop_front()?;
        Some(Peer::new(self.clone(), id))
    }

    /// The sockets that the runtime still holds, in words: by a descriptor, a fixed file, or an operation in flight.
    pub fn open_files(&self) -> Vec<String> {
        self.world().open_files()
    }

    /// A hash of everything that has happened. Two runs with the same seed and the same calls have the same one.
    pub fn trace_hash(&self) -> u64 {
        self.world().trace.hash()
    }

    /// Does what is due by now.
    pub(crate) fn run_due(&self) {
        loop {
            let mut world = self.world();
            match world.take_due() {
                None => return,
                Some(Event::Arrival(id)) => world.arrive(id),
                Some(Event::Answer(id, result)) => world.answer(id, result),
                Some(Event::Script(action)) => {
                    drop(world);
                    action(self);
                }
            }
        }
    }
}

/// An address on the loopback interface, for tests.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
