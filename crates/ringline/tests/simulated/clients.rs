//! The peers of a random run: each sends bytes that tell who it is and where in its stream they stand, and keeps what
//! it has read.

use std::cell::RefCell;
use std::rc::Rc;

use ringline_sim::Peer;

/// A peer, shared with the actions that the network's calendar holds.
pub(crate) type SharedClient = Rc<RefCell<Client>>;

/// One peer.
pub(crate) struct Client {
    pub(crate) id: u8,
    pub(crate) peer: Peer,
    /// Bytes written so far.
    pub(crate) written: usize,
    pub(crate) read: Vec<u8>,
    /// It has sent FIN.
    pub(crate) finished: bool,
    /// It has closed or reset the connection, and what was under way to it may be lost.
    pub(crate) gone: bool,
}

/// What client `id` sends at `position`. The first byte tells who it is.
pub(crate) fn byte_of(id: u8, position: usize) -> u8 {
    if position == 0 { id } else { (position * 31 + (position >> 8) * 7) as u8 ^ id.wrapping_mul(113) }
}

/// `len` bytes of the stream of client `id`.
pub(crate) fn bytes_of(id: u8, from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|position| byte_of(id, position)).collect()
}

impl Client {
    pub(crate) fn new(id: u8, peer: Peer, written: usize) -> SharedClient {
        Rc::new(RefCell::new(Self { id, peer, written, read: Vec::new(), finished: false, gone: false }))
    }

    pub(crate) fn write(&mut self, len: usize) {
        if !self.finished && !self.gone && self.peer.write(&bytes_of(self.id, self.written, len)) {
            self.written += len;
        }
    }

    /// Reads what has come, up to `most` bytes; how many that were.
    pub(crate) fn read(&mut self, most: usize) -> usize {
        let bytes = if self.gone { Vec::new() } else { self.peer.read_up_to(most) };
        self.read.extend(&bytes);
        bytes.len()
    }

    pub(crate) fn finish(&mut self) {
        if !self.gone {
            self.finished = true;
            self.peer.shutdown_write();
        }
    }

    pub(crate) fn close(&mut self) {
        if !self.gone {
            self.finished = true;
            self.gone = true;
            self.peer.close();
        }
    }

    pub(crate) fn reset(&mut self) {
        if !self.gone {
            self.finished = true;
            self.gone = true;
            self.peer.reset();
        }
    }

    /// The other side has ended the connection in one way or the other.
    pub(crate) fn sees_the_end(&self) -> bool {
        self.peer.sees_end() || self.peer.sees_reset()
    }
}
