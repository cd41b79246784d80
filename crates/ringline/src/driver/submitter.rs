//! Submissions that cannot be lost.
//!
//! The kernel's queue may be full. What does not fit waits here, in order, and goes in as soon as there is room: no
//! caller has to handle a full queue, and no close, cancel or re-arm is ever dropped because of one. The backlog is
//! bounded by the number of operations that may be outstanding, a few per connection.

use std::collections::VecDeque;

use ringline_ring::{Kernel, Op, Tag};

use super::kind::Kind;

/// The kernel, with a backlog in front of it.
pub(super) struct Submitter<K> {
    pub(super) kernel: K,
    backlog: VecDeque<Waiting>,
}

/// What did not fit.
enum Waiting {
    One(Op, Tag),
    Chain(Vec<(Op, Tag)>),
}

impl<K: Kernel> Submitter<K> {
    pub(super) fn new(kernel: K) -> Self {
        Self { kernel, backlog: VecDeque::new() }
    }

    /// Queues an operation.
    pub(super) fn push(&mut self, op: Op, kind: Kind, slot: u32, generation: u32) {
        self.push_made(|| op, kind, slot, generation);
    }

    /// Queues the operation that `make` makes; see [`Kernel::push_made`].
    #[inline(always)]
    pub(super) fn push_made(&mut self, make: impl Fn() -> Op, kind: Kind, slot: u32, generation: u32) {
        let tag = Tag::new(kind as u8, slot, generation);
        if !self.backlog.is_empty() || self.kernel.push_made(&make, tag).is_err() {
            self.put_off(make(), tag);
        }
    }

    #[cold]
    fn put_off(&mut self, op: Op, tag: Tag) {
        self.backlog.push_back(Waiting::One(op, tag));
    }

    /// Queues operations that run one after the other.
    pub(super) fn push_chain(&mut self, links: Vec<(Op, Tag)>) {
        if !self.backlog.is_empty() || self.kernel.push_chain(&links).is_err() {
            self.backlog.push_back(Waiting::Chain(links));
        }
    }

    /// Whether operations wait because the kernel's queue is full.
    #[inline]
    pub(super) fn is_stuck(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Moves as much of the backlog as fits into the kernel's queue. Answers whether something is left.
    #[inline]
    pub(super) fn retry(&mut self) -> bool {
        while let Some(waiting) = self.backlog.front() {
            let pushed = match waiting {
                Waiting::One(op, tag) => self.kernel.push(*op, *tag),
                Waiting::Chain(links) => self.kernel.push_chain(links),
            };
            if pushed.is_err() {
                return true;
            }
            self.backlog.pop_front();
        }
        false
    }
}
