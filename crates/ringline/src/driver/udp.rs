//! UDP: one multishot receive per socket into buffers of their own, and datagrams on their way out.
//!
//! A datagram uses up a whole provided buffer, so these buffers are never lent: the host gets the payload as a slice and
//! copies what it keeps, and the buffer goes straight back to the ring. Nothing that a peer or a router answers is fatal
//! to a socket.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use ringline_ring::{
    Completion, DATAGRAM_OVERHEAD, Datagram, DatagramTemplate, FileIndex, Kernel, Op, PinnedMessage, ProvidedBuffer,
    Region, SocketAddress,
};

use super::kind::Kind;
use super::{Driver, Due, Host};

/// The largest payload of a datagram, in bytes.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Buffers for datagrams: how many may arrive between two turns.
const BUFFERS: u16 = 256;
/// Bytes from one buffer to the next; room for the largest datagram. Not a power of two, so that the first lines of the
/// buffers, which are all that small datagrams touch, fall into different cache sets.
const BUFFER_STRIDE: usize = 65_536 + 128;
/// Datagrams of one socket that may wait to be sent.
const QUEUE_MAX: usize = 1024;
/// Datagrams of one socket that are submitted at a time.
const IN_FLIGHT_MAX: u32 = 64;
/// A receive that failed is armed again after this long.
const REST_NS: u64 = 10_000_000;

const _: () = assert!(BUFFER_STRIDE >= DATAGRAM_BYTES_MAX + DATAGRAM_OVERHEAD);

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

/// A datagram that is to be sent, at one place while it is in flight.
struct Outgoing {
    header: libc::msghdr,
    address: SocketAddress,
    vectors: Vec<libc::iovec>,
    slots: Vec<u32>,
}

struct Socket {
    bound: SocketAddr,
    /// Datagrams that wait, oldest first, by their place among the outgoing.
    queue: VecDeque<u32>,
    /// Those the kernel had no room for, to go first when it has.
    refused: VecDeque<u32>,
    in_flight: u32,
    /// A poll for room is in flight.
    blocked: bool,
    dirty: bool,
    /// The receive is to be armed when there are buffers again.
    parked: bool,
}

/// What a worker's UDP sockets share.
pub(super) struct Udp {
    group: u16,
    sockets: Vec<Socket>,
    dirty: Vec<u32>,
    template: Box<DatagramTemplate>,
    /// None until the first socket is bound.
    memory: Option<Region>,
    /// Buffers that the kernel is done with.
    spent: Vec<ProvidedBuffer>,
    /// Boxed, because each keeps its place while it is in flight.
    #[allow(clippy::vec_box)]
    outgoing: Vec<Box<Outgoing>>,
    free: Vec<u32>,
}

impl Udp {
    pub(super) fn new(group: u16) -> Self {
        Self {
            group,
            sockets: Vec::new(),
            dirty: Vec::new(),
            template: DatagramTemplate::new(),
            memory: None,
            spent: Vec::new(),
            outgoing: Vec::new(),
            free: Vec::new(),
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
        self.udp.sockets.push(Socket {
            bound,
            queue: VecDeque::new(),
            refused: VecDeque::new(),
            in_flight: 0,
            blocked: false,
            dirty: false,
            parked: false,
        });
        self.arm_datagrams(index);
        Ok(UdpToken(index))
    }

    /// The address that a UDP socket is bound to.
    pub fn udp_addr(&self, udp: UdpToken) -> Option<SocketAddr> {
        self.udp.sockets.get(udp.0 as usize).map(|socket| socket.bound)
    }

    /// Copies a datagram into free send slots of the caller's choice and queues it: as many slots as its bytes need, at
    /// least one. They come back through [`Host::send_slot_free`].
    ///
    /// # Errors
    ///
    /// When the datagram cannot be queued. The slots then stay with the caller.
    ///
    /// # Panics
    ///
    /// When the slots are too few.
    pub fn send_datagram(
        &mut self,
        udp: UdpToken,
        peer: SocketAddr,
        bytes: &[u8],
        slots: &[u32],
    ) -> Result<(), DatagramRefused> {
        self.check_datagram(udp, bytes.len())?;
        let slot_size = self.send_memory.slot_size() as usize;
        assert!(bytes.len() <= slots.len() * slot_size, "{} bytes in {} slots", bytes.len(), slots.len());
        for (&slot, part) in slots.iter().zip(bytes.chunks(slot_size)) {
            self.send_memory.write(slot, 0, part);
        }
        self.queue_datagram(udp, peer, bytes.len(), slots);
        Ok(())
    }

    /// Queues a datagram of `len` bytes that stands in send slots already. Otherwise as
    /// [`send_datagram`](Self::send_datagram).
    ///
    /// # Errors
    ///
    /// When the datagram cannot be queued. The slots then stay with the caller.
    ///
    /// # Panics
    ///
    /// When the slots are too few, or one does not exist.
    pub fn send_datagram_slots(
        &mut self,
        udp: UdpToken,
        peer: SocketAddr,
        len: usize,
        slots: &[u32],
    ) -> Result<(), DatagramRefused> {
        self.check_datagram(udp, len)?;
        let slot_size = self.send_memory.slot_size() as usize;
        assert!(len <= slots.len() * slot_size, "{len} bytes in {} slots", slots.len());
        self.queue_datagram(udp, peer, len, slots);
        Ok(())
    }

    fn check_datagram(&self, udp: UdpToken, len: usize) -> Result<(), DatagramRefused> {
        let socket = self.udp.sockets.get(udp.0 as usize).ok_or(DatagramRefused::NoSocket)?;
        if len > DATAGRAM_BYTES_MAX {
            return Err(DatagramRefused::TooLong);
        }
        if socket.queue.len() + socket.refused.len() >= QUEUE_MAX {
            return Err(DatagramRefused::QueueFull);
        }
        if self.submitter.is_stuck() { Err(DatagramRefused::SubmissionQueueFull) } else { Ok(()) }
    }

    fn queue_datagram(&mut self, udp: UdpToken, peer: SocketAddr, len: usize, slots: &[u32]) {
        let index = self.udp.free.pop().unwrap_or_else(|| {
            // SAFETY: a message header is integers and pointers, for which zero is a value.
            let header = unsafe { std::mem::zeroed() };
            let address = SocketAddress::from(peer);
            self.udp.outgoing.push(Box::new(Outgoing { header, address, vectors: Vec::new(), slots: Vec::new() }));
            (self.udp.outgoing.len() - 1) as u32
        });
        let slot_size = self.send_memory.slot_size() as usize;
        let outgoing = &mut *self.udp.outgoing[index as usize];
        outgoing.address = SocketAddress::from(peer);
        outgoing.slots.clear();
        outgoing.vectors.clear();
        let mut left = len;
        for &slot in slots {
            let part = left.min(slot_size);
            let address = self.send_memory.slot_address(slot);
            outgoing.slots.push(slot);
            outgoing.vectors.push(libc::iovec { iov_base: address.cast(), iov_len: part });
            left -= part;
        }
        outgoing.header.msg_name = outgoing.address.as_ptr().cast_mut().cast();
        outgoing.header.msg_namelen = outgoing.address.len();
        outgoing.header.msg_iov = outgoing.vectors.as_mut_ptr();
        outgoing.header.msg_iovlen = outgoing.vectors.len() as _;
        let socket = &mut self.udp.sockets[udp.0 as usize];
        socket.queue.push_back(index);
        if !socket.dirty && !socket.blocked {
            socket.dirty = true;
            self.udp.dirty.push(udp.0);
        }
    }

    /// Hands queued datagrams and used buffers to the kernel.
    pub(super) fn prepare_udp(&mut self) {
        self.provide_datagram_buffers();
        while let Some(index) = self.udp.dirty.pop() {
            self.udp.sockets[index as usize].dirty = false;
            self.submit_datagrams(index);
        }
    }

    fn submit_datagrams(&mut self, index: u32) {
        let file = self.udp_file(index);
        let socket = &mut self.udp.sockets[index as usize];
        while socket.in_flight < IN_FLIGHT_MAX && !socket.blocked {
            let Some(number) = socket.refused.pop_front().or_else(|| socket.queue.pop_front()) else { return };
            socket.in_flight += 1;
            self.sends_submitted = true;
            let outgoing = &self.udp.outgoing[number as usize];
            // SAFETY: the box, and the slots that its vectors name, are used again only after the completion.
            let message = unsafe { PinnedMessage::new(&raw const outgoing.header) };
            self.submitter.push(Op::SendMessage { file, message }, Kind::Datagram, index, number);
        }
    }

    pub(super) fn datagram_sent<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let (index, number) = (completion.tag.slot(), completion.tag.generation());
        let socket = &mut self.udp.sockets[index as usize];
        socket.in_flight -= 1;
        match -completion.result {
            libc::EAGAIN | libc::ENOBUFS => {
                socket.refused.push_back(number);
                if !socket.blocked {
                    socket.blocked = true;
                    let file = self.udp_file(index);
                    self.submitter.push(Op::PollWritable { file }, Kind::DatagramRoom, index, 0);
                }
                return;
            }
            libc::EINTR => socket.refused.push_back(number),
            errno => {
                for slot in self.udp.outgoing[number as usize].slots.drain(..) {
                    host.send_slot_free(slot);
                }
                self.udp.free.push(number);
                if errno > 0 {
                    self.metrics.datagram_errors += 1;
                    host.datagram_failed(UdpToken(index), io::Error::from_raw_os_error(errno));
                } else {
                    self.metrics.datagrams_sent += 1;
                }
            }
        }
        self.touch_udp(index);
    }

    pub(super) fn datagram_room(&mut self, completion: Completion) {
        let index = completion.tag.slot();
        self.udp.sockets[index as usize].blocked = false;
        self.touch_udp(index);
    }

    fn touch_udp(&mut self, index: u32) {
        let socket = &mut self.udp.sockets[index as usize];
        let waiting = !socket.queue.is_empty() || !socket.refused.is_empty();
        if waiting && !socket.dirty && !socket.blocked {
            socket.dirty = true;
            self.udp.dirty.push(index);
        }
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
                self.deliver_datagram(host, index, bytes);
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

    fn deliver_datagram<H: Host<K>>(&mut self, host: &mut H, index: u32, bytes: &[u8]) {
        match Datagram::parse(bytes) {
            Some(datagram) if !datagram.truncated => {
                self.metrics.datagrams_received += 1;
                host.datagram(UdpToken(index), datagram.peer, datagram.payload);
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
    fn udp_file(&self, index: u32) -> FileIndex {
        FileIndex(self.settings.max_connections + 1 + index)
    }
}
