//! A ring between one producer and one consumer that live on different sides of the shared memory.
//!
//! The producer writes records and publishes them with one store of the tail; the consumer reads them and gives their
//! room back with one store of the head. Each side keeps its own position to itself and only believes the other's
//! within the bounds of the ring, so that a wrong position on the far side costs messages, never memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::size::{COMPLETION_RING_RECORDS, SUBMISSION_RING_RECORDS};
use crate::protocol::{Record, control};
use crate::shared_memory::{Part, SharedMemory};

/// Reads a record. The far side may be writing it only if it breaks the protocol; the words are then of different
/// records, each of them whole.
#[inline]
fn load(cell: &[AtomicU64; 4]) -> Record {
    let [first, second, third, fourth] = cell;
    let (kind, slot) = split(first.load(Ordering::Relaxed));
    let (generation, a) = split(second.load(Ordering::Relaxed));
    let (b, c) = split(third.load(Ordering::Relaxed));
    let (d, e) = split(fourth.load(Ordering::Relaxed));
    Record { kind, slot, generation, values: [a, b, c, d, e] }
}

#[inline]
fn store(cell: &[AtomicU64; 4], record: Record) {
    let [a, b, c, d, e] = record.values;
    let [first, second, third, fourth] = cell;
    first.store(join(record.kind, record.slot), Ordering::Relaxed);
    second.store(join(record.generation, a), Ordering::Relaxed);
    third.store(join(b, c), Ordering::Relaxed);
    fourth.store(join(d, e), Ordering::Relaxed);
}

#[inline]
const fn join(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

#[inline]
const fn split(pair: u64) -> (u32, u32) {
    (pair as u32, (pair >> 32) as u32)
}

/// Where a ring stands in the shared memory.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    part: Part,
    head: u32,
    tail: u32,
    entries: u32,
}

impl Place {
    /// The completion ring.
    pub(crate) const COMPLETIONS: Self = Self {
        part: Part::Completions,
        head: control::COMPLETION_HEAD,
        tail: control::COMPLETION_TAIL,
        entries: COMPLETION_RING_RECORDS,
    };
    /// The submission ring.
    pub(crate) const SUBMISSIONS: Self = Self {
        part: Part::Submissions,
        head: control::SUBMISSION_HEAD,
        tail: control::SUBMISSION_TAIL,
        entries: SUBMISSION_RING_RECORDS,
    };
}

/// The ring has no room. The record was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// The end that writes.
pub(crate) struct Producer {
    memory: Arc<SharedMemory>,
    place: Place,
    tail: u32,
    published: u32,
    /// The consumer's head when it was last looked at.
    head: u32,
}

impl Producer {
    /// The writing end of a ring that is still empty. There may be only one.
    pub(crate) fn new(memory: Arc<SharedMemory>, place: Place) -> Self {
        Self { memory, place, tail: 0, published: 0, head: 0 }
    }

    /// Writes a record; the consumer sees it after [`publish`](Self::publish).
    #[inline(always)]
    pub(crate) fn push(&mut self, record: Record) -> Result<(), Full> {
        if !self.has_room(1) {
            return Err(Full);
        }
        store(self.memory.record(self.place.part, self.tail & (self.place.entries - 1)), record);
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// Whether `records` more fit. The consumer's position is looked at only when they do not seem to.
    #[inline]
    pub(crate) fn has_room(&mut self, records: u32) -> bool {
        if self.room() >= records {
            return true;
        }
        self.head = self.memory.control(self.place.head).load(Ordering::Acquire);
        self.room() >= records
    }

    /// Room as of the last look. A head that lies outside what was written makes the ring look full.
    #[inline]
    fn room(&self) -> u32 {
        self.place.entries.saturating_sub(self.tail.wrapping_sub(self.head))
    }

    /// Shows the consumer all records written so far. Answers whether there were new ones.
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        if self.published == self.tail {
            return false;
        }
        self.memory.control(self.place.tail).store(self.tail, Ordering::Release);
        self.published = self.tail;
        true
    }

    /// The position behind the last record written.
    pub(crate) fn position(&self) -> u32 {
        self.tail
    }

    /// How far the consumer says that it has read.
    #[inline]
    pub(crate) fn read(&self) -> u32 {
        self.memory.control(self.place.head).load(Ordering::Acquire)
    }

    /// Whether the consumer has read everything up to `position`, which was an earlier [`position`](Self::position).
    pub(crate) fn consumed(&mut self, position: u32) -> bool {
        self.head = self.memory.control(self.place.head).load(Ordering::Acquire);
        self.tail.wrapping_sub(self.head) <= self.tail.wrapping_sub(position)
    }
}

/// The tail claims more records than the ring holds: the far side does not keep to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt;

/// The end that reads.
pub(crate) struct Consumer {
    memory: Arc<SharedMemory>,
    place: Place,
    head: u32,
    released: u32,
    /// The producer's tail when it was last looked at.
    tail: u32,
}

impl Consumer {
    /// The reading end of a ring that is still empty. There may be only one.
    pub(crate) fn new(memory: Arc<SharedMemory>, place: Place) -> Self {
        Self { memory, place, head: 0, released: 0, tail: 0 }
    }

    /// Looks for published records and answers how many can be read.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when the tail lies further ahead than the ring is long.
    #[inline]
    pub(crate) fn refresh(&mut self) -> Result<u32, Corrupt> {
        let tail = self.memory.control(self.place.tail).load(Ordering::Acquire);
        let available = tail.wrapping_sub(self.head);
        if available > self.place.entries {
            return Err(Corrupt);
        }
        self.tail = tail;
        Ok(available)
    }

    /// Takes the next record of those that the last [`refresh`](Self::refresh) found.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Record> {
        if self.head == self.tail {
            return None;
        }
        let record = load(self.memory.record(self.place.part, self.head & (self.place.entries - 1)));
        self.head = self.head.wrapping_add(1);
        Some(record)
    }

    /// Gives the room of all records taken so far back to the producer.
    #[inline]
    pub(crate) fn release(&mut self) {
        if self.released != self.head {
            self.memory.control(self.place.head).store(self.head, Ordering::Release);
            self.released = self.head;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const ENTRIES: u32 = COMPLETION_RING_RECORDS;

    fn ring() -> (Arc<SharedMemory>, Producer, Consumer) {
        let memory = SharedMemory::new(4, 4).unwrap();
        let producer = Producer::new(Arc::clone(&memory), Place::COMPLETIONS);
        let consumer = Consumer::new(Arc::clone(&memory), Place::COMPLETIONS);
        (memory, producer, consumer)
    }

    fn record(n: u32) -> Record {
        Record::new(n, n ^ 1, n ^ 2, [n ^ 3, n ^ 4, n ^ 5, n ^ 6, n ^ 7])
    }

    #[test]
    fn records_are_seen_when_published_and_room_returns_when_released() {
        let (_memory, mut producer, mut consumer) = ring();
        for n in 0..ENTRIES {
            producer.push(record(n)).unwrap();
        }
        assert_eq!(producer.push(record(0)), Err(Full));
        assert_eq!(consumer.refresh(), Ok(0));
        assert!(producer.publish());
        assert!(!producer.publish());
        assert_eq!(consumer.refresh(), Ok(ENTRIES));
        assert_eq!([consumer.pop(), consumer.pop()], [Some(record(0)), Some(record(1))]);
        assert_eq!(producer.push(record(0)), Err(Full));
        consumer.release();
        assert!(producer.consumed(2) && !producer.consumed(3));
        producer.push(record(4)).unwrap();
        assert!(producer.has_room(1) && !producer.has_room(2));
        producer.push(record(5)).unwrap();
        assert_eq!(producer.push(record(6)), Err(Full));
    }

    #[test]
    fn positions_may_wrap_around() {
        let (memory, mut producer, mut consumer) = ring();
        let start = u32::MAX - 5;
        (producer.tail, producer.published, producer.head) = (start, start, start);
        (consumer.head, consumer.released, consumer.tail) = (start, start, start);
        memory.control(control::COMPLETION_HEAD).store(start, Ordering::Relaxed);
        memory.control(control::COMPLETION_TAIL).store(start, Ordering::Relaxed);
        for n in 0..50 {
            producer.push(record(n)).unwrap();
            producer.publish();
            assert_eq!(consumer.refresh(), Ok(1));
            assert_eq!(consumer.pop(), Some(record(n)));
            consumer.release();
            assert!(producer.consumed(producer.position()));
        }
    }

    #[test]
    fn a_wrong_position_of_the_far_side_stops_the_ring_and_harms_nothing() {
        let (memory, mut producer, mut consumer) = ring();
        memory.control(control::COMPLETION_TAIL).store(ENTRIES + 1, Ordering::Relaxed);
        assert_eq!(consumer.refresh(), Err(Corrupt));
        assert_eq!(consumer.pop(), None);
        for wrong in [1, ENTRIES + 1, u32::MAX / 2, u32::MAX - ENTRIES] {
            memory.control(control::COMPLETION_HEAD).store(wrong, Ordering::Relaxed);
            producer.head = wrong;
            assert_eq!(producer.push(record(9)), Err(Full), "head {wrong}");
        }
    }

    #[test]
    fn a_million_records_cross_threads_whole_and_in_order() {
        const RECORDS: u32 = if cfg!(miri) { 1_000 } else { 1_000_000 };
        let (_memory, mut producer, mut consumer) = ring();
        let writer = thread::spawn(move || {
            let mut n = 0;
            while n < RECORDS {
                while n < RECORDS && producer.push(record(n)).is_ok() {
                    n += 1;
                    if n.is_multiple_of(7) {
                        break;
                    }
                }
                if !producer.publish() {
                    thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < RECORDS {
            if consumer.refresh().unwrap() == 0 {
                thread::yield_now();
            }
            while let Some(seen) = consumer.pop() {
                assert_eq!(seen, record(expected));
                expected += 1;
            }
            consumer.release();
        }
        writer.join().unwrap();
    }
}
