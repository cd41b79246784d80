//! Receiving straight into memory of the user's.
//!
//! While a sink has room, what a connection receives goes there first, in order, and not to the accumulator. It is filled
//! whenever somebody looks at the connection and at the end of each pass, always on the worker's thread.

use std::io;

use super::Inner;
use super::connection::{Connection, Phase};
use crate::Error;
use crate::driver::ConnToken;

/// Memory that received bytes go to.
pub(super) struct Sink {
    address: *mut u8,
    len: usize,
    filled: usize,
}

impl Sink {
    /// Copies as many bytes as there is room for.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.len - self.filled);
        // SAFETY: whoever set the sink promised that its memory may be written until it is taken, which drops this value;
        // received bytes lie in the worker's own memory, so the two do not overlap.
        unsafe { self.address.add(self.filled).copy_from_nonoverlapping(bytes.as_ptr(), count) };
        self.filled += count;
        count
    }

    fn has_room(&self) -> bool {
        self.filled < self.len
    }
}

impl Connection {
    /// Whether a sink has received something.
    pub(super) fn sink_has_bytes(&mut self) -> bool {
        self.sink().is_some_and(|sink| sink.filled > 0)
    }
}

impl Inner {
    /// Sets a sink and fills it with what is buffered.
    pub(super) fn set_sink(&mut self, conn: ConnToken, address: *mut u8, len: usize) -> Result<(), Error> {
        let connection = self.host.connections.open_one(conn).ok_or(Error::InvalidConnection)?;
        if connection.sink().is_some() {
            let text = "the connection has a receive sink already: take it first";
            return Err(Error::Io(io::Error::new(io::ErrorKind::AlreadyExists, text)));
        }
        connection.set_sink(Sink { address, len, filled: 0 });
        self.fill_sink(conn);
        Ok(())
    }

    /// Takes the sink away; returns how many bytes it has received.
    pub(super) fn take_sink(&mut self, conn: ConnToken) -> Option<usize> {
        self.fill_sink(conn);
        self.host.connections.get(conn)?.take_sink().map(|sink| sink.filled)
    }

    /// Moves what is buffered into the sink, as far as there is room.
    #[cold]
    pub(super) fn fill_sink(&mut self, conn: ConnToken) {
        while let Some(connection) = self.host.connections.get(conn) {
            let open = connection.phase == Phase::Open && !connection.lent;
            let (accumulator, chunks) = (connection.accumulator.take_if(|_| open), connection.chunks);
            let Some(sink) = connection.sink().filter(|sink| open && sink.has_room()) else {
                connection.accumulator = connection.accumulator.take().or(accumulator);
                return;
            };
            if let Some(accumulator) = accumulator {
                let count = sink.fill(accumulator.bytes());
                self.settle_accumulator(conn, accumulator, count);
            } else if let Some(chunk) = self.host.arrivals.lend(chunks) {
                let count = sink.fill(self.driver.chunk_bytes(&chunk));
                self.settle(conn, chunk, count);
            } else {
                return;
            }
        }
    }
}
