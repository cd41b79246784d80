//! Received bytes on their way to JavaScript: the record that names them, and for how long they are its own.

use std::sync::atomic::{Ordering, fence};

use ringline::driver::{Chunk, ConnToken, Driver};
use ringline_ring::Kernel;

use super::Bridge;
use crate::lent::Lent;
use crate::protocol::{Record, completion, control};

impl<K: Kernel> Bridge<K> {
    #[inline]
    pub(super) fn write_received(&mut self, driver: &mut Driver<K>, conn: ConnToken, chunk: Chunk) {
        let borrows = self.lent.is_some();
        if !self.exports.is_offered(chunk.slab()) {
            self.exports.offer(if borrows { driver.share_lasting(&chunk) } else { driver.share(&chunk) });
        }
        let generation = driver.chunk_generation(&chunk);
        let values = [chunk.slab(), chunk.offset(), chunk.len(), generation, 0];
        self.push_usual(Record::new(completion::DATA, conn.slot(), conn.generation(), values));
        match &mut self.lent {
            Some(lent) => lent.lend(self.ring.position(), chunk),
            None => driver.release(chunk),
        }
    }

    /// Notes how far JavaScript has read, before what it has told is carried out.
    #[inline]
    pub(crate) fn note_read(&mut self) {
        if let Some(lent) = &mut self.lent {
            lent.note(self.ring.read());
        }
    }

    /// Takes back what JavaScript had borrowed and read when that was noted.
    #[inline]
    pub(crate) fn take_back(&mut self, driver: &mut Driver<K>) {
        if let Some(lent) = &mut self.lent {
            lent.take_back(driver);
            self.hold_or_not(driver);
        }
    }

    /// Keeps new buffers from the kernel while JavaScript has too much to read.
    #[inline]
    pub(super) fn hold_or_not(&mut self, driver: &mut Driver<K>) {
        let hold = self.has_pending() || self.lent.as_ref().is_some_and(Lent::is_full);
        if hold != self.holding {
            self.holding = hold;
            driver.hold_receive_buffers(hold);
        }
    }

    /// Whether JavaScript has read what the worker waits for, right before that blocks; if not, it will ring when it has.
    #[inline]
    pub(crate) fn has_been_read(&self) -> bool {
        self.lent.as_ref().is_some_and(|lent| lent.is_full() && self.ask_for_reading(lent))
    }

    #[cold]
    fn ask_for_reading(&self, lent: &Lent) -> bool {
        self.memory.control(control::WANTS_ROOM).store(1, Ordering::SeqCst);
        // Either this sees the head that JavaScript published, or JavaScript sees the flag after it has published.
        fence(Ordering::SeqCst);
        lent.has_news(self.ring.read())
    }
}
