//! What the driver tells the host that it runs in.
//!
//! A driver has exactly one host: the async runtime of this crate, or the bridge to a JavaScript environment. Events
//! are delivered while a turn is being processed, so an implementation only records them; it acts on the driver between
//! turns. No event is delivered for a connection before it was opened, none after [`Host::closed`].

use std::io;
use std::net::SocketAddr;

use ringline_ring::{DeviceFacts, FileFacts, Kernel};

use super::{Chunk, CommandCompletion, ConnToken, DeviceToken, FileCompletion, FileToken, PipeEnd, UdpToken};

/// Receives what happens in a [`Driver`](super::Driver).
pub trait Host<K: Kernel> {
    /// The listener accepted a socket. Which worker takes it is the host's choice; the one that does calls
    /// [`Driver::adopt`](super::Driver::adopt).
    fn incoming(&mut self, socket: K::Socket);

    /// An outbound connection stands.
    fn connected(&mut self, conn: ConnToken);

    /// An outbound connection could not be made. This is the last event of the token. `TimedOut` is the error when its
    /// time was up, ECANCELED when it was cancelled.
    fn connect_failed(&mut self, conn: ConnToken, error: io::Error);

    /// Bytes arrived. The host owns the chunk and gives it back with [`Driver::release`](super::Driver::release), or
    /// sends it on.
    fn received(&mut self, conn: ConnToken, chunk: Chunk);

    /// The peer sends nothing more (FIN). Sending is still possible.
    fn receive_ended(&mut self, conn: ConnToken);

    /// The kernel has taken more bytes: `position` counts all bytes of this connection that it took so far.
    fn sent(&mut self, conn: ConnToken, position: u64);

    /// Whether it makes a difference to the host when exactly it hears that the kernel has taken what is queued on a
    /// connection: whether somebody waits for [`sent`](Host::sent), or for memory that comes back with it. If not, that is
    /// told when something else ends the wait in which the kernel took it, which saves a system call.
    fn awaits_sent(&self, conn: ConnToken) -> bool {
        let _ = conn;
        true
    }

    /// The kernel no longer uses a send slot.
    fn send_slot_free(&mut self, slot: u32);

    /// The kernel writes no more into a slab: once every chunk and handle of it is gone, it will be used again.
    fn slab_retired(&mut self, slab: u32);

    /// The connection is gone and its slot is free. `error` tells why, unless it was closed from this side.
    fn closed(&mut self, conn: ConnToken, error: Option<io::Error>);

    /// A pipe that was made with this `key` has ended, after `moved` bytes.
    fn pipe_ended(&mut self, key: u64, moved: u64, end: PipeEnd) {
        let _ = (key, moved, end);
    }

    /// The memory of a guard is free again. `key` is the one it was queued with.
    fn guard_released(&mut self, key: u64) {
        let _ = key;
    }

    /// A datagram arrived. The bytes are lent: the host copies what it keeps.
    fn datagram(&mut self, udp: UdpToken, peer: SocketAddr, payload: &[u8]) {
        let _ = (udp, peer, payload);
    }

    /// A queued datagram could not be sent; the socket goes on.
    fn datagram_failed(&mut self, udp: UdpToken, error: io::Error) {
        let _ = (udp, error);
    }

    /// A file is open, or could not be opened; in the latter case its token is stale. `Unsupported` is the error when
    /// the file takes no direct I/O.
    fn file_opened(&mut self, file: FileToken, outcome: io::Result<FileFacts>) {
        let _ = (file, outcome);
    }

    /// An operation on a file has ended.
    fn file_completed(&mut self, completion: FileCompletion) {
        let _ = completion;
    }

    /// A file that the host closed is closed, and its slot is free.
    fn file_closed(&mut self, file: FileToken) {
        let _ = file;
    }

    /// An NVMe device is open, or could not be opened; in the latter case its token is stale. `Unsupported` is the error
    /// when it is not a generic NVMe device, `InvalidInput` when it is that of another namespace.
    fn device_opened(&mut self, device: DeviceToken, outcome: io::Result<DeviceFacts>) {
        let _ = (device, outcome);
    }

    /// An NVMe command has ended.
    fn command_completed(&mut self, completion: CommandCompletion) {
        let _ = completion;
    }

    /// A device that the host closed is closed, and its slot is free.
    fn device_closed(&mut self, device: DeviceToken) {
        let _ = device;
    }

    /// Some time has passed since [`Driver::trim_later`](super::Driver::trim_later): the host gives back memory that it has
    /// not needed since the last call. Answers whether there is more to give back later.
    fn trim(&mut self) -> bool {
        false
    }

    /// A timer that the host armed is due.
    fn timer(&mut self, key: u64);

    /// The other event loop of this thread has work; see [`Driver::watch_outer`](super::Driver::watch_outer).
    fn outer_ready(&mut self) {}

    /// Another thread rang the doorbell.
    fn doorbell(&mut self);
}
