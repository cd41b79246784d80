//! UDP: datagrams on their way out.
//!
//! Datagrams that follow each other to one peer and are of one size go out as one send, which the kernel cuts into
//! datagrams behind the costly part of its work (UDP_SEGMENT). They are joined only while they wait, so none waits for
//! it. A path that cannot do that answers with an error, and the datagrams are then sent one by one.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use ringline_ring::{Completion, Kernel, Op, PinnedMessage, SegmentControl, SocketAddress};

use super::kind::Kind;
use super::udp::{DATAGRAM_BYTES_MAX, DatagramRefused, UdpToken};
use super::{Driver, Host};

/// Datagrams of one socket that may wait to be sent.
const QUEUE_MAX: usize = 1024;
/// Sends of one socket that are submitted at a time.
const IN_FLIGHT_MAX: u32 = 64;
/// The kernel cuts one send into so many datagrams at most.
const SEGMENTS_MAX: usize = 64;
/// Longer datagrams are not joined: behind their headers they would not fit into the packets of Ethernet, which the
/// kernel refuses.
const SEGMENT_BYTES_MAX: usize = 1452;

/// One send: a datagram, or several of one size to one peer. It stays at one place while it is in flight.
struct Outgoing {
    header: libc::msghdr,
    peer: SocketAddr,
    address: SocketAddress,
    /// The pieces of a single datagram, or one piece for each of several.
    vectors: Vec<libc::iovec>,
    slots: Vec<u32>,
    /// Bytes in all.
    len: usize,
    /// Datagrams in it.
    count: usize,
    /// Whether another datagram may join: all so far fill a slot each and are of the size of the first.
    open: bool,
    control: SegmentControl,
}

impl Outgoing {
    fn empty() -> Box<Self> {
        let peer = SocketAddr::from(([0, 0, 0, 0], 0));
        Box::new(Self {
            // SAFETY: a message header is integers and pointers, for which zero is a value.
            header: unsafe { std::mem::zeroed() },
            peer,
            address: SocketAddress::from(peer),
            vectors: Vec::new(),
            slots: Vec::new(),
            len: 0,
            count: 0,
            open: false,
            control: SegmentControl::default(),
        })
    }

    fn begin(&mut self, peer: SocketAddr) {
        self.peer = peer;
        self.address = SocketAddress::from(peer);
        self.vectors.clear();
        self.slots.clear();
        (self.len, self.count, self.open) = (0, 0, false);
    }

    fn push(&mut self, slot: u32, address: *mut u8, len: usize) {
        self.slots.push(slot);
        self.vectors.push(libc::iovec { iov_base: address.cast(), iov_len: len });
        self.len += len;
    }

    /// Whether a datagram of this length to this peer may be joined to those here.
    #[inline]
    fn takes(&self, peer: SocketAddr, len: usize) -> bool {
        self.open
            && len > 0
            && len <= self.vectors[0].iov_len
            && self.count < SEGMENTS_MAX
            && self.len + len <= DATAGRAM_BYTES_MAX
            && self.peer == peer
    }

    /// Joins a datagram. One that is shorter than the others is the last.
    fn join(&mut self, slot: u32, address: *mut u8, len: usize) {
        self.open = len == self.vectors[0].iov_len;
        self.push(slot, address, len);
        self.count += 1;
    }

    /// Describes it to the kernel.
    fn describe(&mut self) {
        self.header.msg_name = self.address.as_ptr().cast_mut().cast();
        self.header.msg_namelen = self.address.len();
        self.header.msg_iov = self.vectors.as_mut_ptr();
        self.header.msg_iovlen = self.vectors.len() as _;
        let (control, len) = if self.count > 1 {
            self.control.segments_of(self.vectors[0].iov_len as u16)
        } else {
            SegmentControl::NONE
        };
        self.header.msg_control = control;
        self.header.msg_controllen = len as _;
    }
}

/// What a socket has to send.
#[derive(Default)]
pub(super) struct SendQueue {
    /// Sends that wait, oldest first, by their place among the outgoing.
    queue: VecDeque<u32>,
    /// Those the kernel had no room for, or that were taken apart, to go first.
    refused: VecDeque<u32>,
    /// Datagrams in both.
    waiting: usize,
    in_flight: u32,
    /// A poll for room is in flight.
    blocked: bool,
    dirty: bool,
    /// The kernel has refused to cut sends into datagrams.
    whole: bool,
}

/// The sends of all sockets.
#[derive(Default)]
pub(super) struct Outgoings {
    /// Boxed, because each keeps its place while it is in flight.
    #[allow(clippy::vec_box)]
    all: Vec<Box<Outgoing>>,
    free: Vec<u32>,
}

impl Outgoings {
    fn take(&mut self, peer: SocketAddr) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.all.push(Outgoing::empty());
            (self.all.len() - 1) as u32
        });
        self.all[number as usize].begin(peer);
        number
    }
}

impl<K: Kernel> Driver<K> {
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
        let queue = self.udp.sends.get(udp.index() as usize).ok_or(DatagramRefused::NoSocket)?;
        if len > DATAGRAM_BYTES_MAX {
            return Err(DatagramRefused::TooLong);
        }
        if queue.waiting >= QUEUE_MAX {
            return Err(DatagramRefused::QueueFull);
        }
        if self.submitter.is_stuck() { Err(DatagramRefused::SubmissionQueueFull) } else { Ok(()) }
    }

    fn queue_datagram(&mut self, udp: UdpToken, peer: SocketAddr, len: usize, slots: &[u32]) {
        let sends = &mut self.udp.sends[udp.index() as usize];
        sends.waiting += 1;
        let single = slots.len() == 1 && len <= SEGMENT_BYTES_MAX && !sends.whole;
        let last = sends.queue.back().map(|&number| &mut self.udp.outgoing.all[number as usize]);
        match last {
            Some(last) if single && last.takes(peer, len) => {
                last.join(slots[0], self.send_memory.slot_address(slots[0]), len);
            }
            _ => {
                let number = self.udp.outgoing.take(peer);
                let outgoing = &mut self.udp.outgoing.all[number as usize];
                let slot_size = self.send_memory.slot_size() as usize;
                let mut left = len;
                for &slot in slots {
                    let part = left.min(slot_size);
                    outgoing.push(slot, self.send_memory.slot_address(slot), part);
                    left -= part;
                }
                outgoing.count = 1;
                outgoing.open = single && len > 0;
                sends.queue.push_back(number);
            }
        }
        self.touch_sends(udp.index());
    }

    /// Hands queued datagrams to the kernel.
    pub(super) fn submit_dirty_datagrams(&mut self) {
        while let Some(index) = self.udp.dirty.pop() {
            self.udp.sends[index as usize].dirty = false;
            self.submit_datagrams(index);
        }
    }

    fn submit_datagrams(&mut self, index: u32) {
        let file = self.udp_file(index);
        let sends = &mut self.udp.sends[index as usize];
        while sends.in_flight < IN_FLIGHT_MAX && !sends.blocked {
            let Some(number) = sends.refused.pop_front().or_else(|| sends.queue.pop_front()) else { return };
            let outgoing = &mut self.udp.outgoing.all[number as usize];
            outgoing.describe();
            sends.waiting -= outgoing.count;
            sends.in_flight += 1;
            self.sends_awaited = true;
            // SAFETY: the box, and the slots that its vectors name, are used again only after the completion.
            let message = unsafe { PinnedMessage::new(&raw const outgoing.header) };
            self.submitter.push(Op::SendMessage { file, message }, Kind::Datagram, index, number);
        }
    }

    pub(super) fn datagram_sent<H: Host<K>>(&mut self, host: &mut H, completion: Completion) {
        let (index, number) = (completion.tag.slot(), completion.tag.generation());
        let sends = &mut self.udp.sends[index as usize];
        let count = self.udp.outgoing.all[number as usize].count;
        sends.in_flight -= 1;
        match -completion.result {
            libc::EAGAIN | libc::ENOBUFS => {
                sends.refused.push_back(number);
                sends.waiting += count;
                if !sends.blocked {
                    sends.blocked = true;
                    let file = self.udp_file(index);
                    self.submitter.push(Op::PollWritable { file }, Kind::DatagramRoom, index, 0);
                }
                return;
            }
            libc::EINTR => {
                sends.refused.push_back(number);
                sends.waiting += count;
            }
            errno if errno > 0 && count > 1 => self.take_apart(index, number, errno),
            errno => {
                for slot in self.udp.outgoing.all[number as usize].slots.drain(..) {
                    host.send_slot_free(slot);
                }
                self.udp.outgoing.free.push(number);
                if errno > 0 {
                    self.metrics.datagram_errors += 1;
                    host.datagram_failed(UdpToken::from_index(index), io::Error::from_raw_os_error(errno));
                } else {
                    self.metrics.datagrams_sent += count as u64;
                }
            }
        }
        self.touch_sends(index);
    }

    /// Queues the datagrams of a send that failed one by one, so that each has an outcome of its own.
    #[cold]
    fn take_apart(&mut self, index: u32, number: u32, errno: i32) {
        let sends = &mut self.udp.sends[index as usize];
        // Any other error is about the peer or the moment.
        sends.whole |= matches!(errno, libc::EINVAL | libc::EMSGSIZE | libc::EIO | libc::EOPNOTSUPP);
        let joined = &mut self.udp.outgoing.all[number as usize];
        let (peer, slots, vectors) =
            (joined.peer, std::mem::take(&mut joined.slots), std::mem::take(&mut joined.vectors));
        self.udp.outgoing.free.push(number);
        for (slot, vector) in slots.into_iter().zip(vectors) {
            let single = self.udp.outgoing.take(peer);
            let outgoing = &mut self.udp.outgoing.all[single as usize];
            outgoing.push(slot, vector.iov_base.cast(), vector.iov_len);
            outgoing.count = 1;
            sends.refused.push_back(single);
            sends.waiting += 1;
        }
    }

    pub(super) fn datagram_room(&mut self, completion: Completion) {
        let index = completion.tag.slot();
        self.udp.sends[index as usize].blocked = false;
        self.touch_sends(index);
    }

    fn touch_sends(&mut self, index: u32) {
        let sends = &mut self.udp.sends[index as usize];
        if sends.waiting > 0 && !sends.dirty && !sends.blocked {
            sends.dirty = true;
            self.udp.dirty.push(index);
        }
    }
}
