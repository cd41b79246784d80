//! The load on a UDP echo server: some sockets, each with `--pipeline` datagrams in flight, moved many per system call so
//! that the load is not what limits: with `--joined` also many per send, which the kernel cuts up behind the costly part of
//! its work. The server gets single datagrams in either case, unless it asks for what was joined.
//!
//! Every datagram names its socket and its number, and carries the bytes of the stream that belong to that number: one
//! that comes back changed, twice, or on another socket is found. Datagrams may be lost; those are counted and sent anew.

use std::error::Error;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Instant;

use crate::batches::{Incoming, Outgoing, cut_sends, grow_buffer};
use crate::measurement::Measurement;
use crate::options::Options;
use crate::stream::{Cursor, Stream};

/// Socket and number of the datagram, before its bytes of the stream.
pub(crate) const HEADER_BYTES: usize = 8;
/// A datagram that has not come back after this long is lost.
const LOST_NS: u64 = 200_000_000;
/// Without any answer for this long the run fails.
const STALL_NS_MAX: u64 = 10_000_000_000;
const WAIT_MS: i32 = 50;
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// A datagram in flight, in a place of its own; the number of a datagram says its place.
struct InFlight {
    number: u32,
    sent_ns: u64,
}

/// One socket and the memory of its datagrams.
struct Peer {
    socket: UdpSocket,
    id: u32,
    next: u32,
    /// By place; none where an answer has come and no new datagram was sent.
    in_flight: Vec<Option<InFlight>>,
    /// Places that are to be sent.
    due: Vec<u32>,
    outgoing: Outgoing,
}

/// The whole load of one run.
struct Load<'options> {
    options: &'options Options,
    stream: Stream,
    peers: Vec<Peer>,
    incoming: Incoming,
    measurement: Measurement,
    began: Instant,
    now_ns: u64,
    may_request: bool,
    last_progress_ns: u64,
    lost: u64,
}

/// Runs the load to its end and returns its JSON.
pub(crate) fn run(options: &Options) -> Result<String, Box<dyn Error>> {
    let mut load = Load::new(options)?;
    let epoll = Epoll::new(&load.peers)?;
    for id in 0..load.peers.len() {
        load.send(id)?;
    }
    loop {
        let ready = epoll.wait()?;
        load.look_at_clock();
        for &id in &ready {
            load.receive(id)?;
            load.send(id)?;
        }
        if ready.is_empty() {
            load.give_up_lost()?;
        }
        if !load.may_request && load.peers.iter().all(|peer| peer.in_flight.iter().all(Option::is_none)) {
            return Ok(load.measurement.to_json(options, load.lost));
        }
        if load.now_ns > load.last_progress_ns + STALL_NS_MAX {
            return Err("no datagram has come back for 10 s".into());
        }
    }
}

impl<'options> Load<'options> {
    fn new(options: &'options Options) -> Result<Self, Box<dyn Error>> {
        let peers: Result<Vec<_>, _> = (0..options.connections).map(|id| Peer::new(id, options)).collect();
        let peers = peers.map_err(|error| format!("cannot make a socket for {}: {error}", options.addr))?;
        Ok(Load {
            options,
            stream: Stream::new(options.stream_period()),
            peers,
            incoming: Incoming::new(),
            measurement: Measurement::new(options),
            began: Instant::now(),
            now_ns: 0,
            may_request: true,
            last_progress_ns: 0,
            lost: 0,
        })
    }

    fn look_at_clock(&mut self) {
        self.now_ns = self.began.elapsed().as_nanos() as u64;
        self.may_request = self.measurement.advance(self.now_ns);
    }

    /// Sends what is due on a socket.
    fn send(&mut self, id: usize) -> io::Result<()> {
        let Load { options, stream, peers, now_ns, .. } = self;
        let peer = &mut peers[id];
        let pipeline = options.pipeline as u32;
        let count = peer.due.len();
        for index in 0..count {
            let place = peer.due[index];
            // The place stands in the number, so that an answer finds its datagram.
            let number = peer.next.wrapping_mul(pipeline).wrapping_add(place);
            peer.next = peer.next.wrapping_add(1) % (u32::MAX / pipeline);
            peer.in_flight[place as usize] = Some(InFlight { number, sent_ns: *now_ns });
            let bytes = peer.outgoing.at(index);
            bytes[..4].copy_from_slice(&peer.id.to_le_bytes());
            bytes[4..8].copy_from_slice(&number.to_le_bytes());
            bytes[8..].copy_from_slice(content(*stream, peer.id, number, options.size_bytes as usize));
        }
        peer.due.clear();
        peer.outgoing.send(&peer.socket, count)
    }

    /// Takes what has come on a socket, and makes the next datagrams due.
    fn receive(&mut self, id: usize) -> Result<(), String> {
        let Load { options, stream, peers, incoming, measurement, now_ns, may_request, .. } = self;
        let peer = &mut peers[id];
        for bytes in incoming.receive(&peer.socket) {
            let number = verify(bytes, *stream, peer.id, options.size_bytes as usize)?;
            let place = number % options.pipeline as u32;
            match &peer.in_flight[place as usize] {
                Some(sent) if sent.number == number => measurement.tally.response(now_ns.saturating_sub(sent.sent_ns)),
                // It was given up, and comes after all.
                _ => continue,
            }
            measurement.tally.bytes(bytes.len());
            peer.in_flight[place as usize] = None;
            if *may_request {
                peer.due.push(place);
            }
            self.last_progress_ns = *now_ns;
        }
        Ok(())
    }

    /// Sends datagrams anew that have not come back for too long.
    fn give_up_lost(&mut self) -> io::Result<()> {
        for id in 0..self.peers.len() {
            let peer = &mut self.peers[id];
            for (place, in_flight) in peer.in_flight.iter_mut().enumerate() {
                if in_flight.as_ref().is_some_and(|sent| sent.sent_ns + LOST_NS < self.now_ns) {
                    *in_flight = None;
                    self.lost += 1;
                    if self.may_request {
                        peer.due.push(place as u32);
                    }
                }
            }
            self.send(id)?;
        }
        Ok(())
    }
}

impl Peer {
    fn new(id: usize, options: &Options) -> io::Result<Self> {
        let unspecified = if options.addr.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(unspecified)?;
        socket.connect(options.addr)?;
        // Where it stays smaller, datagrams are lost and counted.
        let _ = grow_buffer(&socket, SOCKET_BUFFER_BYTES);
        if options.joined {
            cut_sends(&socket, options.size_bytes as usize)?;
        }
        let (pipeline, size) = (options.pipeline, options.size_bytes as usize);
        Ok(Peer {
            socket,
            id: id as u32,
            next: 0,
            in_flight: (0..pipeline).map(|_| None).collect(),
            due: (0..pipeline as u32).collect(),
            outgoing: Outgoing::new(pipeline, size, options.joined),
        })
    }
}

/// What a datagram carries behind its header.
fn content(stream: Stream, id: u32, number: u32, size: usize) -> &'static [u8] {
    let start: Cursor = stream.start((id as usize) << 20 ^ number as usize);
    stream.at(start, size - HEADER_BYTES)
}

/// The number of a datagram that came back whole.
fn verify(bytes: &[u8], stream: Stream, id: u32, size: usize) -> Result<u32, String> {
    let word = |at: usize| bytes.get(at..at + 4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    match (word(0), word(4)) {
        (Some(from), Some(number)) if from == id && bytes[HEADER_BYTES..] == *content(stream, id, number, size) => {
            Ok(number)
        }
        _ => Err(format!("socket {id} received a datagram of {} bytes that it did not send", bytes.len())),
    }
}

/// The sockets that have something to read.
struct Epoll(i32);

impl Epoll {
    fn new(peers: &[Peer]) -> io::Result<Self> {
        // SAFETY: no memory is involved.
        let epoll = Epoll(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) });
        if epoll.0 < 0 {
            return Err(io::Error::last_os_error());
        }
        for (id, peer) in peers.iter().enumerate() {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: id as u64 };
            // SAFETY: the event is valid for the call.
            if unsafe { libc::epoll_ctl(epoll.0, libc::EPOLL_CTL_ADD, peer.socket.as_raw_fd(), &mut event) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(epoll)
    }

    fn wait(&self) -> io::Result<Vec<usize>> {
        const EVENTS: usize = 256;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        // SAFETY: the events are valid for writing during the call.
        let count = unsafe { libc::epoll_wait(self.0, events.as_mut_ptr(), EVENTS as i32, WAIT_MS) };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(events[..count as usize].iter().map(|event| event.u64 as usize).collect())
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        // SAFETY: the descriptor is this value's own.
        unsafe { libc::close(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::SHORT_PERIOD_BYTES;

    fn datagram(stream: Stream, id: u32, number: u32) -> Vec<u8> {
        [&id.to_le_bytes(), &number.to_le_bytes(), content(stream, id, number, 64)].concat()
    }

    #[test]
    fn a_datagram_is_recognised_and_any_change_of_it_is_found() {
        let stream = Stream::new(SHORT_PERIOD_BYTES);
        let whole = datagram(stream, 3, 1_000_000);
        assert_eq!(verify(&whole, stream, 3, 64), Ok(1_000_000));
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(verify(&changed, stream, 3, 64).is_err(), "byte {at}");
        }
        assert!(verify(&whole[..63], stream, 3, 64).is_err());
        assert!(verify(&whole, stream, 4, 64).is_err());
    }
}
