//! A ring with its memory, driven by hand: what every test of the simulator starts from.
#![allow(dead_code, unreachable_pub, reason = "a module of each test file, of which each uses its own part")]

use std::net::SocketAddr;

use ringline_ring::{
    Completion, Direction, Entered, FileIndex, Kernel, Op, PinnedBytes, ProvidedBuffer, SocketOptions, Tag, Wait,
};
use ringline_sim::{Network, NetworkOptions, Peer, RingOptions, SimKernel, SimSocket, loopback};

pub const LISTENER: FileIndex = FileIndex(0);
pub const CONNECTION: FileIndex = FileIndex(1);
pub const GROUP: u16 = 7;
pub const OPTIONS: SocketOptions = SocketOptions { nodelay: true, backlog: 128, reuse_port: false };

pub const fn tag(n: u32) -> Tag {
    Tag::new(1, 0, n)
}

pub const ACCEPT: Tag = tag(1);
pub const RECEIVE: Tag = tag(2);
pub const SEND: Tag = tag(3);
pub const SILENT: Tag = Tag::new(Tag::SILENT, 0, 1);
pub const POLL: Tag = tag(4);
pub const SHUTDOWN: Tag = tag(5);
pub const CLOSE: Tag = tag(6);
pub const CANCEL: Tag = tag(7);
pub const CONNECT: Tag = tag(8);
pub const BELL: Tag = tag(9);

pub struct Rig {
    // Dropped before the memory that it was lent.
    pub kernel: SimKernel,
    pub network: Network,
    arena: Vec<u8>,
    buffer_len: usize,
    address: Option<SocketAddr>,
    next: Option<(Peer, SimSocket)>,
}

impl Rig {
    pub fn new(seed: u64) -> Self {
        Self::with(NetworkOptions { seed, ..NetworkOptions::default() }, RingOptions::default())
    }

    pub fn with(network: NetworkOptions, ring: RingOptions) -> Self {
        let network = Network::with_options(network);
        let kernel = SimKernel::new(&network, ring);
        Self { kernel, network, arena: Vec::new(), buffer_len: 0, address: None, next: None }
    }

    /// Makes the buffer group, `count` buffers of `len` bytes, and provides them all.
    pub fn buffers(&mut self, count: u16, len: usize, incremental: bool) {
        self.arena = vec![0; usize::from(count) * len];
        self.buffer_len = len;
        self.kernel.create_buffer_group(GROUP, count, incremental).unwrap();
        for id in 0..count {
            self.provide(id);
        }
    }

    pub fn provide(&mut self, id: u16) {
        let address = self.arena.as_mut_ptr().wrapping_add(usize::from(id) * self.buffer_len);
        let buffer = ProvidedBuffer { id, address, len: self.buffer_len as u32 };
        // SAFETY: the arena is never resized after `buffers`, and outlives the kernel by the order of the fields.
        unsafe { self.kernel.provide_buffers(GROUP, &[buffer]) };
    }

    /// Bytes of a buffer that completions have given to the runtime.
    pub fn buffer(&self, id: u16, from: usize, len: usize) -> &[u8] {
        let start = usize::from(id) * self.buffer_len + from;
        &self.arena[start..start + len]
    }

    /// Writes into a buffer, whoever owns it.
    pub fn scribble(&mut self, id: u16, at: usize, byte: u8) {
        let start = usize::from(id) * self.buffer_len + at;
        self.arena[start] = byte;
    }

    pub fn listen(&mut self) -> SocketAddr {
        let address = self.kernel.listen(LISTENER, loopback(0), &OPTIONS).unwrap().1;
        self.address = Some(address);
        address
    }

    pub fn push(&mut self, op: Op, tag: Tag) {
        self.kernel.push(op, tag).unwrap();
    }

    /// Enters once and reaps everything.
    pub fn enter(&mut self, wait: Wait) -> (Entered, Vec<Completion>) {
        let entered = self.kernel.enter(wait).unwrap();
        (entered, self.reap())
    }

    pub fn reap(&mut self) -> Vec<Completion> {
        let mut completions = vec![Completion { tag: tag(0), result: 0, flags: 0 }; 4096];
        let reaped = self.kernel.reap(&mut completions);
        completions.truncate(reaped);
        completions
    }

    /// Submits and collects what completes without a wait.
    pub fn poll(&mut self) -> Vec<Completion> {
        self.enter(Wait::Poll).1
    }

    /// Waits until something completes.
    pub fn wait(&mut self) -> Vec<Completion> {
        self.enter(Wait::Forever).1
    }

    /// Lets a millisecond pass and collects everything that completes.
    pub fn settle(&mut self) -> Vec<Completion> {
        let end_ns = self.kernel.now() + 1_000_000;
        let mut all = Vec::new();
        while self.kernel.now() < end_ns {
            all.extend(self.enter(Wait::AtMost(end_ns - self.kernel.now())).1);
        }
        all
    }

    pub fn submit(&mut self, op: Op, tag: Tag) -> Vec<Completion> {
        self.push(op, tag);
        self.poll()
    }

    /// A connection in the file table, without anything armed on it or on the listener.
    pub fn connection(&mut self) -> Peer {
        let address = self.listen();
        let peer = self.network.connect(address).unwrap();
        self.push(Op::AcceptMultishot { listener: LISTENER }, ACCEPT);
        let accepted = self.wait()[0];
        let socket = self.kernel.accepted(accepted.result as u32);
        self.kernel.adopt(CONNECTION, &socket).unwrap();
        self.push(Op::Cancel { target: ACCEPT }, CANCEL);
        assert_eq!(self.settle().len(), 2);
        peer
    }

    /// Another connection in the same place of the file table, which must be free.
    pub fn connect_again(&mut self) -> Peer {
        self.accept_next();
        self.adopt_next()
    }

    /// Accepts another connection and keeps its socket.
    pub fn accept_next(&mut self) {
        let peer = self.network.connect(self.address.unwrap()).unwrap();
        let accepted = self.submit(Op::AcceptMultishot { listener: LISTENER }, tag(40))[0];
        self.next = Some((peer, self.kernel.accepted(accepted.result as u32)));
        self.push(Op::Cancel { target: tag(40) }, tag(41));
        assert_eq!(self.settle().len(), 2);
    }

    /// Adopts the socket of `accept_next`.
    pub fn adopt_next(&mut self) -> Peer {
        let (peer, socket) = self.next.take().unwrap();
        self.kernel.adopt(CONNECTION, &socket).unwrap();
        peer
    }

    /// As `connection`, with buffers and an armed receive.
    pub fn receiving(&mut self, count: u16, len: usize, incremental: bool) -> Peer {
        let peer = self.connection();
        self.buffers(count, len, incremental);
        assert!(self.submit(receive(), RECEIVE).is_empty());
        peer
    }

    pub fn send(&mut self, bytes: &[u8]) -> i32 {
        // SAFETY: the bytes outlive the call, in which the send completes.
        let pinned = unsafe { PinnedBytes::new(bytes.as_ptr(), bytes.len() as u32) };
        let completions = self.submit(Op::Send { file: CONNECTION, bytes: pinned }, SEND);
        completions.iter().find(|completion| completion.tag == SEND).unwrap().result
    }

    /// Sends silently and waits; what has completed.
    pub fn send_silently(&mut self, bytes: &[u8], wait: Wait) -> Vec<(Tag, i32)> {
        // SAFETY: the bytes outlive the call, in which the send ends.
        let pinned = unsafe { PinnedBytes::new(bytes.as_ptr(), bytes.len() as u32) };
        self.kernel.push(Op::SendSilently { file: CONNECTION, bytes: pinned }, SILENT).unwrap();
        results(&self.enter(wait).1)
    }
}

pub const fn receive() -> Op {
    Op::ReceiveMultishot { file: CONNECTION, group: GROUP }
}

pub const fn shutdown() -> Op {
    Op::Shutdown { file: CONNECTION, direction: Direction::Write }
}

pub const fn close() -> Op {
    Op::Close { file: CONNECTION }
}

/// Tag and result of each completion.
pub fn results(completions: &[Completion]) -> Vec<(Tag, i32)> {
    completions.iter().map(|completion| (completion.tag, completion.result)).collect()
}
