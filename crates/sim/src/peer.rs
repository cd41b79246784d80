//! The other end of a connection, played by the test.

use crate::network::Network;
use crate::world::SocketId;

/// The other end of a connection. Clones are the same end; dropping it does nothing to the connection.
#[derive(Clone)]
pub struct Peer {
    network: Network,
    id: SocketId,
}

impl Peer {
    pub(crate) fn new(network: Network, id: SocketId) -> Self {
        Self { network, id }
    }

    /// Sends bytes, all of them, whatever the window of the other side: they arrive as there is room. Answers whether
    /// the connection could still be written to.
    pub fn write(&self, bytes: &[u8]) -> bool {
        self.change(|stream| stream.peer_write(bytes))
    }

    /// Sends FIN after everything that was written, and goes on reading.
    pub fn shutdown_write(&self) {
        self.change(|stream| stream.peer_shut_down());
    }

    /// Closes: FIN after everything that was written, and a reset for bytes that come later. A reset at once when
    /// there are unread bytes.
    pub fn close(&self) {
        self.change(|stream| stream.peer_close());
    }

    /// Sends a reset. Bytes that were written and have not arrived are lost.
    pub fn reset(&self) {
        self.change(|stream| stream.peer_reset());
    }

    /// Reads everything that has come.
    pub fn read(&self) -> Vec<u8> {
        self.read_up_to(usize::MAX)
    }

    /// Reads at most so many bytes.
    pub fn read_up_to(&self, most: usize) -> Vec<u8> {
        self.change(|stream| stream.peer_read(most))
    }

    /// Says how many bytes may come that nobody has read; 0 closes the window.
    pub fn set_window(&self, bytes: usize) {
        self.change(|stream| stream.set_window(bytes));
    }

    /// Bytes that can be read now.
    pub fn unread(&self) -> usize {
        self.network.world().stream(self.id).inbox_len()
    }

    /// Bytes that were written and have not arrived at the other side.
    pub fn in_flight(&self) -> usize {
        self.network.world().stream(self.id).wire_len()
    }

    /// Whether FIN has come, and everything before it has been read.
    pub fn sees_end(&self) -> bool {
        self.network.world().stream(self.id).peer_sees_end()
    }

    /// Whether the other side has reset the connection.
    pub fn sees_reset(&self) -> bool {
        self.network.world().stream(self.id).peer_sees_reset()
    }

    fn change<T>(&self, change: impl FnOnce(&mut crate::stream::Stream) -> T) -> T {
        let mut world = self.network.world();
        let result = change(world.stream(self.id));
        world.settle(self.id);
        result
    }
}
