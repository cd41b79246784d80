//! The smallest echo server that survives the simulated kernel at its worst: a model of what a driver has to do, and
//! the load under which the simulator checks itself.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use libc::{EAGAIN, ECANCELED, ENOBUFS};
use ringline_ring::{Completion, FileIndex, Kernel, Op, PinnedBytes, ProvidedBuffer, SocketOptions, Tag, Wait};
use ringline_sim::{Network, RingOptions, SimKernel, loopback};

const LISTENER: FileIndex = FileIndex(0);
const GROUP: u16 = 0;
const BUFFERS: u16 = 4;
const BUFFER_LEN: usize = 32;
/// How long the server waits when an operation could not be pushed, in nanoseconds.
const RETRY_NS: u64 = 10_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Accept = 1,
    CancelAccept,
    Receive,
    CancelReceive,
    Send,
    Poll,
    Close,
}

#[derive(Default)]
struct Connection {
    receiving: bool,
    cancelling: bool,
    ended: bool,
    failed: bool,
    closing: bool,
    queued: VecDeque<u8>,
    /// Bytes that a send or a poll is about.
    sending: Option<Box<[u8]>>,
}

pub(crate) struct Echo {
    // Dropped before the memory that it was lent.
    kernel: SimKernel,
    connections: BTreeMap<u32, Connection>,
    retry: VecDeque<(Op, Tag)>,
    accepting: bool,
    stopping: bool,
    arena: Vec<u8>,
    used: [usize; BUFFERS as usize],
    returned: Vec<u16>,
}

impl Echo {
    pub(crate) fn new(network: &Network, incremental: bool) -> (Self, SocketAddr) {
        let mut kernel = SimKernel::new(network, RingOptions { completions: 16, ..RingOptions::default() });
        let options = SocketOptions { nodelay: true, backlog: 64, reuse_port: false };
        let address = kernel.listen(LISTENER, loopback(0), &options).unwrap().1;
        kernel.create_buffer_group(GROUP, BUFFERS, incremental).unwrap();
        let this = Self {
            kernel,
            connections: BTreeMap::new(),
            retry: VecDeque::new(),
            accepting: false,
            stopping: false,
            arena: vec![0; usize::from(BUFFERS) * BUFFER_LEN],
            used: [0; BUFFERS as usize],
            returned: (0..BUFFERS).collect(),
        };
        (this, address)
    }

    /// Lets the server stop: it closes what it has, and accepts nothing more.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
        if self.accepting {
            let target = tag(What::Accept, 0);
            self.push(Op::Cancel { target }, tag(What::CancelAccept, 0));
        } else {
            self.push(Op::Close { file: LISTENER }, tag(What::Close, 0));
        }
    }

    pub(crate) fn idle(&self) -> bool {
        self.connections.is_empty() && self.retry.is_empty() && self.kernel.operations_in_flight() == 0
    }

    /// One turn: give buffers back, arm what is not armed, enter, and handle every completion.
    pub(crate) fn turn(&mut self) {
        for id in std::mem::take(&mut self.returned) {
            self.used[usize::from(id)] = 0;
            let address = self.arena.as_mut_ptr().wrapping_add(usize::from(id) * BUFFER_LEN);
            let buffer = ProvidedBuffer { id, address, len: BUFFER_LEN as u32 };
            // SAFETY: the arena is never resized and outlives the kernel by the order of the fields.
            unsafe { self.kernel.provide_buffers(GROUP, &[buffer]) };
        }
        for (op, tag) in std::mem::take(&mut self.retry) {
            self.push(op, tag);
        }
        if !self.accepting && !self.stopping {
            self.accepting = true;
            self.push(Op::AcceptMultishot { listener: LISTENER }, tag(What::Accept, 0));
        }
        for file in self.connections.keys().copied().collect::<Vec<_>>() {
            self.advance(file);
        }
        self.kernel.enter(Wait::AtMost(RETRY_NS)).unwrap();
        let mut completions = [Completion { tag: Tag::from_bits(0), result: 0, flags: 0 }; 8];
        loop {
            let reaped = self.kernel.reap(&mut completions);
            completions[..reaped].iter().for_each(|completion| self.handle(*completion));
            if reaped < completions.len() {
                return;
            }
        }
    }

    fn push(&mut self, op: Op, tag: Tag) {
        if self.kernel.push(op, tag).is_err() {
            self.retry.push_back((op, tag));
        }
    }

    /// Starts what a connection should be doing and does not.
    fn advance(&mut self, file: u32) {
        let connection = self.connections.get_mut(&file).expect("an open connection");
        let index = FileIndex(file);
        let over = connection.failed || self.stopping;
        if !connection.receiving && !connection.ended && !over {
            connection.receiving = true;
            self.push(Op::ReceiveMultishot { file: index, group: GROUP }, tag(What::Receive, file));
            return self.advance(file);
        }
        if connection.sending.is_some() || connection.closing {
            return;
        }
        if !connection.queued.is_empty() && !connection.failed {
            let bytes: Box<[u8]> = connection.queued.iter().copied().collect();
            // SAFETY: the box is kept in the connection until the send has completed.
            let pinned = unsafe { PinnedBytes::new(bytes.as_ptr(), bytes.len() as u32) };
            connection.sending = Some(bytes);
            return self.push(Op::Send { file: index, bytes: pinned }, tag(What::Send, file));
        }
        if connection.receiving && over && !connection.cancelling {
            connection.cancelling = true;
            let target = tag(What::Receive, file);
            return self.push(Op::Cancel { target }, tag(What::CancelReceive, file));
        }
        if !connection.receiving && !connection.cancelling && (connection.ended || over) {
            connection.closing = true;
            self.push(Op::Close { file: index }, tag(What::Close, file));
        }
    }

    fn handle(&mut self, completion: Completion) {
        let (kind, file) = (completion.tag.kind(), completion.tag.slot());
        match kind {
            kind if kind == What::Accept as u8 => self.accepted(completion),
            kind if kind == What::Receive as u8 => self.received(file, completion),
            kind if kind == What::Send as u8 => self.sent(file, completion.result),
            kind if kind == What::Poll as u8 => {
                let connection = self.connections.get_mut(&file).unwrap();
                connection.sending = None;
            }
            kind if kind == What::CancelReceive as u8 => self.connections.get_mut(&file).unwrap().cancelling = false,
            kind if kind == What::Close as u8 => {
                assert_eq!(completion.result, 0, "a close of an open file");
                self.connections.remove(&file);
            }
            kind => assert_eq!(kind, What::CancelAccept as u8),
        }
    }

    fn accepted(&mut self, completion: Completion) {
        self.accepting = completion.more();
        if let Ok(number) = u32::try_from(completion.result) {
            let socket = self.kernel.accepted(number);
            let file = (1..).find(|file| !self.connections.contains_key(file)).unwrap();
            if self.kernel.adopt(FileIndex(file), &socket).is_ok() {
                self.connections.insert(file, Connection::default());
            }
        }
        if self.stopping && !self.accepting {
            self.push(Op::Close { file: LISTENER }, tag(What::Close, 0));
        }
    }

    fn received(&mut self, file: u32, completion: Completion) {
        let connection = self.connections.get_mut(&file).expect("a receive keeps its connection");
        connection.receiving = completion.more();
        match completion.result {
            0 => connection.ended = true,
            result if result > 0 => {
                let id = completion.buffer_id().expect("bytes are in a buffer");
                let used = &mut self.used[usize::from(id)];
                let start = usize::from(id) * BUFFER_LEN + *used;
                connection.queued.extend(&self.arena[start..start + result as usize]);
                *used += result as usize;
                if !completion.buffer_more() {
                    self.returned.push(id);
                }
            }
            result if [-ENOBUFS, -ECANCELED].contains(&result) => {}
            _ => connection.failed = true,
        }
    }

    fn sent(&mut self, file: u32, result: i32) {
        let connection = self.connections.get_mut(&file).expect("a send keeps its connection");
        if result == -EAGAIN {
            let op = Op::PollWritable { file: FileIndex(file) };
            return self.push(op, tag(What::Poll, file));
        }
        connection.sending = None;
        match usize::try_from(result) {
            Ok(count) => drop(connection.queued.drain(..count)),
            Err(_) => connection.failed = true,
        }
    }
}

fn tag(what: What, file: u32) -> Tag {
    Tag::new(what as u8, file, 0)
}
