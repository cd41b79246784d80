//! The UDP sockets of a worker: datagrams that wait for a task, and who waits for them.
//!
//! Payloads are carved from an arena, so that a datagram costs a copy and a count, and no allocation of its own.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Poll, Waker};

use bytes::{Bytes, BytesMut};

use super::waiters::ForeignWakes;
use super::{AsyncHost, Inner, waker};
use crate::Error;
use crate::driver::{DATAGRAM_BYTES_MAX, DatagramRefused, UdpToken};
use crate::error::UdpSendError;

/// Datagrams that wait for a socket's task at most; the newest beyond it are dropped and counted.
pub const UDP_QUEUE_DATAGRAMS_MAX: usize = 4096;
/// Bytes of the datagrams that wait for a socket's task at most.
pub const UDP_QUEUE_BYTES_MAX: usize = 4 << 20;
/// Bytes of an arena that payloads are carved from. It is freed, or used again, when the last of them is gone.
const ARENA_BYTES: usize = 64 * 1024;

// One datagram always fits.
const _: () = assert!(UDP_QUEUE_BYTES_MAX >= DATAGRAM_BYTES_MAX);

/// The sockets, by their tokens.
#[derive(Default)]
pub(super) struct Datagrams {
    sockets: Vec<Socket>,
    arena: BytesMut,
}

#[derive(Default)]
struct Socket {
    queue: VecDeque<(Bytes, SocketAddr)>,
    /// Bytes of the queue.
    bytes: usize,
    dropped: u64,
    failed: u64,
    /// The future that waits.
    waiter: Option<(u64, Waker)>,
    /// How many futures have waited.
    waits: u64,
}

impl Datagrams {
    /// Makes room for one more socket.
    pub(super) fn add(&mut self) {
        self.sockets.push(Socket::default());
    }

    /// Datagrams that wait for tasks.
    pub(super) fn waiting(&self) -> usize {
        self.sockets.iter().map(|socket| socket.queue.len()).sum()
    }

    #[inline]
    pub(super) fn arrived(&mut self, udp: UdpToken, peer: SocketAddr, payload: &[u8], foreign: &mut ForeignWakes) {
        let Some(socket) = self.sockets.get_mut(udp.index() as usize) else { return };
        if socket.queue.len() >= UDP_QUEUE_DATAGRAMS_MAX || socket.bytes + payload.len() > UDP_QUEUE_BYTES_MAX {
            socket.dropped += 1;
            return;
        }
        if self.arena.capacity() < payload.len() {
            self.arena.reserve(ARENA_BYTES.max(payload.len()));
        }
        self.arena.extend_from_slice(payload);
        socket.bytes += payload.len();
        socket.queue.push_back((self.arena.split().freeze(), peer));
        match &socket.waiter {
            Some((_, waker)) if waker::is_own(waker) => waker.wake_by_ref(),
            Some((_, waker)) => foreign.push(waker.clone()),
            None => {}
        }
    }

    pub(super) fn failed(&mut self, udp: UdpToken) {
        if let Some(socket) = self.sockets.get_mut(udp.index() as usize) {
            socket.failed += 1;
        }
    }
}

impl AsyncHost {
    fn socket(&mut self, udp: UdpToken) -> Option<&mut Socket> {
        self.datagrams.sockets.get_mut(udp.index() as usize)
    }
}

impl Inner {
    /// Takes the oldest datagram, or registers the future whose number is in `wait` to be woken.
    #[inline]
    pub(super) fn poll_datagram(
        &mut self,
        udp: UdpToken,
        wait: &mut Option<u64>,
        waker: &Waker,
    ) -> Poll<Result<(Bytes, SocketAddr), Error>> {
        let Some(socket) = self.host.socket(udp) else { return Poll::Ready(Err(Error::OutsideWorker)) };
        let waiting = socket.waiter.as_ref().map(|(number, _)| *number);
        if waiting.is_some() && waiting != *wait {
            return Poll::Ready(Err(Error::UdpReceiverWaits));
        }
        if let Some((bytes, peer)) = socket.queue.pop_front() {
            socket.bytes -= bytes.len();
            socket.waiter = None;
            *wait = None;
            return Poll::Ready(Ok((bytes, peer)));
        }
        match &mut socket.waiter {
            Some((_, stored)) if stored.will_wake(waker) => {}
            Some((_, stored)) => *stored = waker.clone(),
            None => {
                socket.waits += 1;
                *wait = Some(socket.waits);
                socket.waiter = Some((socket.waits, waker.clone()));
            }
        }
        Poll::Pending
    }

    /// The future that had this number waits no more. Its waker comes back, to be dropped outside.
    pub(super) fn forget_wait(&mut self, udp: UdpToken, wait: u64) -> Option<Waker> {
        let socket = self.host.socket(udp)?;
        let (_, waker) = socket.waiter.take_if(|(number, _)| *number == wait)?;
        Some(waker)
    }

    /// Copies a datagram and queues it.
    #[inline]
    pub(super) fn send_datagram(&mut self, udp: UdpToken, peer: SocketAddr, bytes: &[u8]) -> Result<(), UdpSendError> {
        let Self { driver, host } = self;
        let needed = bytes.len().div_ceil(driver.send_memory().slot_size() as usize).max(1);
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(UdpSendError::Io(io::Error::from_raw_os_error(libc::EMSGSIZE)));
        }
        let slots = host.pool.peek(needed).ok_or(UdpSendError::PoolExhausted)?;
        driver.send_datagram(udp, peer, bytes, slots).map_err(refused)?;
        host.pool.take(needed);
        Ok(())
    }

    /// How many datagrams of a socket were dropped because its task did not keep up, and how many could not be sent.
    pub(super) fn udp_losses(&mut self, udp: UdpToken) -> (u64, u64) {
        self.host.socket(udp).map_or((0, 0), |socket| (socket.dropped, socket.failed))
    }
}

fn refused(refused: DatagramRefused) -> UdpSendError {
    match refused {
        DatagramRefused::QueueFull => UdpSendError::SendInFlight,
        DatagramRefused::SubmissionQueueFull => UdpSendError::SubmissionQueueFull,
        DatagramRefused::TooLong => UdpSendError::Io(io::Error::from_raw_os_error(libc::EMSGSIZE)),
        DatagramRefused::NoSocket => {
            let text = "the token names no UDP socket of this worker";
            UdpSendError::Io(io::Error::new(io::ErrorKind::NotFound, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_a_refusal_has_its_error() {
        assert!(matches!(refused(DatagramRefused::QueueFull), UdpSendError::SendInFlight));
        assert!(matches!(refused(DatagramRefused::SubmissionQueueFull), UdpSendError::SubmissionQueueFull));
        let errors = [DatagramRefused::TooLong, DatagramRefused::NoSocket].map(|reason| refused(reason).to_string());
        assert!(errors[0].contains("too long") && errors[1].contains("names no UDP socket"), "{errors:?}");
    }

    #[test]
    fn payloads_share_arenas_and_arenas_are_used_again() {
        let mut datagrams = Datagrams::default();
        datagrams.add();
        let (udp, peer) = (UdpToken::from_index(0), "127.0.0.1:9".parse().unwrap());
        let mut addresses = std::collections::HashSet::new();
        for round in 0..100_000u32 {
            datagrams.arrived(udp, peer, &round.to_ne_bytes(), &mut Vec::new());
            let socket = &mut datagrams.sockets[0];
            let (bytes, _) = socket.queue.pop_front().unwrap();
            socket.bytes -= bytes.len();
            assert_eq!(*bytes, round.to_ne_bytes());
            addresses.insert(bytes.as_ptr().addr() / ARENA_BYTES);
        }
        assert!(addresses.len() <= 4, "100,000 datagrams lay in {} places", addresses.len());
    }
}
