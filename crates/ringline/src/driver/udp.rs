//! UDP: one multishot receive per socket into buffers of their own. Datagrams on their way out are in `udp_send.rs`.
//!
//! Datagrams of one size that a peer has sent as one come as one, where the network has not taken them apart (UDP_GRO),
//! and are told apart here. What comes uses up a whole provided buffer, so these buffers are never lent: the host gets each
//! payload as a slice and copies what it keeps, and the buffer goes straight back to the ring. Nothing that a peer or a router answers is fatal
//! to a socket.

use std::io;
use std::net::SocketAddr;

use ringline_ring::{
    Completion, DATAGRAM_OVERHEAD, DatagramTemplate, Datagrams, FileIndex, JOINED_BYTES_MAX, Kernel, Op, PinnedMessage,
    ProvidedBuffer, Region,
};

use super::kind::Kind;
use super::udp_send::{Outgoings, SendQueue};
use super::{Driver, Due, Host};

/// The largest payload of a datagram, in bytes.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Buffers for datagrams: how many may arrive between two turns.
const BUFFERS: u16 = 256;
/// Bytes from one buffer to the next; room for the largest datagram, and for any that are joined. Not a power of two, so that the first lines of the
/// buffers, which are all that small datagrams touch, fall into different cache sets.
const BUFFER_STRIDE: usize = 65_536 + 128;
/// A receive that failed is armed again after this long.
const REST_NS: u64 = 10_000_000;

const _: () = assert!(JOINED_BYTES_MAX >= DATAGRAM_BYTES_MAX && BUFFER_STRIDE >= JOINED_BYTES_MAX + DATAGRAM_OVERHEAD);

/// Names a UDP socket of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UdpToken(u32);

impl UdpToken {
    /// The position of the socket among those of the worker.
    pub const fn index(self) -> u32 {
        self.0
    }

    /// The token of a socket by its position.
    pub const fn from_index(index: u32) -> Self {
        Self(index)
    }
}

/// Why a datagram was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramRefused {
    /// There is no such socket.
    NoSocket,
    /// It is longer than the largest datagram.
    TooLong,
    /// Too many datagrams of this socket wait to be sent.
    QueueFull,
    /// The kernel takes no submissions at the moment.
    SubmissionQueueFull,
}

struct Socket {
    bound: SocketAddr,
    /// The receive is to be armed when there are buffers again.
    parked: bool,
}

/// What a worker's UDP sockets share.
pub(super) struct Udp {
    group: u16,
    sockets: Vec<Socket>,
    /// What each of them has to send.
    pub(super) sends: Vec<SendQueue>,
    /// Sockets that have something to send.
    pub(super) dirty: Vec<u32>,
    template: Box<DatagramTemplate>,
    /// None until the first socket is bound.
    memory: Option<Region>,
    /// Buffers that the kernel is done with.
    spent: Vec<ProvidedBuffer>,
    pub(super) outgoing: Outgoings,
}

impl Udp {
    pub(super) fn new(group: u16) -> Self {
        Self {
            group,
            sockets: Vec::new(),
            sends: Vec::new(),
            dirty: Vec::new(),
            template: DatagramTemplate::new(),
            memory: None,
            spent: Vec::new(),
            outgoing: Outgoings::default(),
        }
    }

    /// Whether buffers or datagrams wait to be handed to the kernel.
    #[inline]
    pub(super) fn has_work(&self) -> bool {
        !self.dirty.is_empty() || !self.spent.is_empty()
    }

    fn buffer(&self, id: u16) -> ProvidedBuffer {
        let memory = self.memory.as_ref().expect("buffers exist once a socket is bound");
        let address = memory.as_ptr().wrapping_add(id as usize * BUFFER_STRIDE);
        ProvidedBuffer { id, address, len: BUFFER_STRIDE as u32 }
    }
}

impl<K: Kernel> Driver<K> {
    /// Binds a UDP socket and begins to receive on it.
    ///
    /// # Errors
    ///
    /// EADDRINUSE, EACCES, EADDRNOTAVAIL, …; ENOMEM when there is no memory for its buffers; `InvalidInput` when more
    /// sockets are bound than [`DriverSettings::udp_sockets_max`](super::DriverSettings::udp_sockets_max).
    pub fn bind_udp(&mut self, address: SocketAddr) -> io::Result<UdpToken> {
        let index = self.udp.sockets.len() as u32;
        if index >= self.settings.udp_sockets_max {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let bound = self.submitter.kernel.bind_datagram(self.udp_file(index), address)?;
        if self.udp.memory.is_none() {
            self.submitter.kernel.create_buffer_group(self.udp.group, BUFFERS, false)?;
            self.udp.memory = Some(Region::new(BUFFERS as usize * BUFFER_STRIDE)?);
            self.udp.spent = (0..BUFFERS).map(|id| self.udp.buffer(id)).collect();
            self.provide_datagram_buffers();
        }
        self.udp.sockets.push(Socket { bound, parked: false });
        self.udp.sends.push(SendQueue::default());
        self.arm_datagrams(index);
        Ok(UdpToken(index))
    }

    /// The address that a UDP socket is bound to.
    pub fn udp_addr(&self, udp: UdpToken) -> Option<SocketAddr> {
        self.udp.sockets.get(udp.0 as usize).map(|socket| socket.bound)
    }

    #[inline]
    pub(super) fn datagram_received<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let index = completion.tag.slot();
        if let Some(id) = completion.buffer_id() {
            let buffer = self.udp.buffer(id);
            let len = usize::try_from(completion.result).unwrap_or(0).min(BUFFER_STRIDE);
            // SAFETY: the kernel has finished with the buffer and wrote its first `len` bytes; it gets the buffer again
            // only at the next turn, after this slice is gone.
            let bytes = unsafe { std::slice::from_raw_parts(buffer.address, len) };
            if completion.result >= 0 {
                self.deliver_datagrams(host, index, bytes);
            }
            self.udp.spent.push(buffer);
        }
        if completion.more() {
            return;
        }
        match -completion.result {
            libc::ENOBUFS => {
                self.metrics.buffer_shortages += 1;
                self.udp.sockets[index as usize].parked = true;
            }
            libc::ECANCELED => {}
            // An answer to an earlier datagram (port unreachable, for example), or nothing wrong at all.
            errno if errno <= 0 => self.arm_datagrams(index),
            _ => {
                self.metrics.datagram_errors += 1;
                self.timers.arm(self.now + REST_NS, Due::Datagrams(index));
            }
        }
    }

    fn deliver_datagrams<H: Host<K>>(&mut self, host: &mut H, index: u32, bytes: &[u8]) {
        match Datagrams::parse(bytes) {
            Some(datagrams) if !datagrams.truncated => {
                for payload in datagrams.payloads() {
                    self.metrics.datagrams_received += 1;
                    host.datagram(UdpToken(index), datagrams.peer, payload);
                }
            }
            _ => self.metrics.datagram_errors += 1,
        }
    }

    /// Begins to receive on a socket.
    pub(super) fn arm_datagrams(&mut self, index: u32) {
        let (file, group) = (self.udp_file(index), self.udp.group);
        // SAFETY: the template is boxed and lives as long as the driver, which drops the kernel first.
        let template = unsafe { PinnedMessage::new(self.udp.template.header()) };
        self.submitter.push(Op::ReceiveDatagrams { file, group, template }, Kind::Datagrams, index, 0);
    }

    /// Hands queued datagrams and used buffers to the kernel.
    pub(super) fn prepare_udp(&mut self) {
        self.provide_datagram_buffers();
        self.submit_dirty_datagrams();
    }

    fn provide_datagram_buffers(&mut self) {
        if self.udp.spent.is_empty() {
            return;
        }
        // SAFETY: the buffers lie in `memory`, apart from each other, and live until the kernel is gone; each was
        // either never provided or has come back.
        unsafe { self.submitter.kernel.provide_buffers(self.udp.group, &self.udp.spent) };
        self.udp.spent.clear();
        for index in 0..self.udp.sockets.len() as u32 {
            if std::mem::take(&mut self.udp.sockets[index as usize].parked) {
                self.arm_datagrams(index);
            }
        }
    }

    /// The fixed file of a UDP socket: behind those of the connections and the listener.
    pub(super) fn udp_file(&self, index: u32) -> FileIndex {
        FileIndex(self.settings.max_connections + 1 + index)
    }
}
