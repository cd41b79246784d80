//! What the driver tells the runtime. Events come while the driver works, so they are only recorded here, and the tasks
//! that wait for them are put on the ready queue.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use ringline_ring::{DeviceFacts, FileFacts, Uring};

use super::AsyncHost;
use super::arrivals::Chain;
use super::connection::{Connection, Phase};
use crate::driver::{
    Chunk, CommandCompletion, ConnToken, DeviceToken, FileCompletion, FileToken, Host, PipeEnd, UdpToken,
};

impl Host<Uring> for AsyncHost {
    fn incoming(&mut self, socket: OwnedFd) {
        self.incoming.push(socket);
    }

    fn connected(&mut self, conn: ConnToken) {
        if let Some(connection) = self.connections.get(conn) {
            connection.phase = Phase::Open;
        }
        self.attempt_over(conn, Ok(()));
    }

    fn connect_failed(&mut self, conn: ConnToken, error: io::Error) {
        if let Some(connection) = self.connections.get(conn) {
            connection.phase = Phase::Closed;
        }
        self.attempt_over(conn, Err(error));
    }

    #[inline(always)]
    fn received(&mut self, conn: ConnToken, chunk: Chunk) {
        let Some(connection) = self.connections.open_one(conn) else {
            // Nobody can read it. It is given back with the others at the end of the pass.
            return self.arrivals.push(&mut { Chain::EMPTY }, conn, chunk);
        };
        connection.received = connection.received.wrapping_add(chunk.len());
        connection.chunk_bytes += chunk.len();
        self.arrivals.push(&mut connection.chunks, conn, chunk);
        connection.wake_readers(&self.ready, &mut self.foreign);
    }

    fn receive_ended(&mut self, conn: ConnToken) {
        if let Some(connection) = self.connections.get(conn) {
            connection.receive_ended = true;
            connection.wake_readers(&self.ready, &mut self.foreign);
        }
    }

    #[inline(always)]
    fn sent(&mut self, conn: ConnToken, position: u64) {
        if let Some(connection) = self.connections.get(conn) {
            connection.sent = position;
            connection.wake_senders(position, &self.ready, &mut self.foreign);
        }
    }

    #[inline]
    fn awaits_sent(&self, conn: ConnToken) -> bool {
        self.connections.look(conn).is_some_and(Connection::is_sent_awaited)
    }

    #[inline(always)]
    fn send_slot_free(&mut self, slot: u32) {
        self.pool.give_back(slot);
    }

    fn slab_retired(&mut self, _slab: u32) {
        // Only a host that keeps its own view of slabs has to know.
    }

    fn closed(&mut self, conn: ConnToken, error: Option<io::Error>) {
        if let Some(connection) = self.connections.get(conn) {
            connection.phase = Phase::Closed;
            if let Some(error) = error {
                connection.set_error(error);
            }
            connection.chunks = Chain::EMPTY;
            connection.chunk_bytes = 0;
            connection.wake_readers(&self.ready, &mut self.foreign);
            connection.wake_senders(u64::MAX, &self.ready, &mut self.foreign);
            if let Some(accumulator) = connection.accumulator.take() {
                self.accumulators.give_back(accumulator);
            }
        }
    }

    fn trim(&mut self) -> bool {
        self.accumulators.trim()
    }

    fn pipe_ended(&mut self, key: u64, moved: u64, end: PipeEnd) {
        self.pipe_over(key, moved, end);
    }

    fn guard_released(&mut self, _key: u64) {
        self.guards_released = true;
    }

    #[inline]
    fn datagram(&mut self, udp: UdpToken, peer: SocketAddr, payload: &[u8]) {
        self.datagrams.arrived(udp, peer, payload, &mut self.foreign);
    }

    fn datagram_failed(&mut self, udp: UdpToken, _error: io::Error) {
        self.datagrams.failed(udp);
    }

    fn file_opened(&mut self, file: FileToken, outcome: io::Result<FileFacts>) {
        self.disk.file_opened(file, outcome, &mut self.foreign);
    }

    fn file_completed(&mut self, completion: FileCompletion) {
        self.disk.file_completed(completion, &mut self.foreign);
    }

    fn device_opened(&mut self, device: DeviceToken, outcome: io::Result<DeviceFacts>) {
        self.disk.device_opened(device, outcome, &mut self.foreign);
    }

    fn command_completed(&mut self, completion: CommandCompletion) {
        self.disk.command_completed(completion, &mut self.foreign);
    }

    fn timer(&mut self, key: u64) {
        self.sleeps.fired(key, &mut self.foreign);
    }

    fn doorbell(&mut self) {
        self.rung = true;
    }
}
