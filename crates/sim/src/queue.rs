//! The completion queue, with the list into which it overflows.

use std::collections::VecDeque;

use ringline_ring::{Completion, Tag};

/// A completion, and the group of the buffer that it gives back.
#[derive(Clone, Copy)]
pub(crate) struct Posted {
    pub(crate) completion: Completion,
    pub(crate) group: Option<u16>,
}

pub(crate) struct CompletionQueue {
    entries: VecDeque<Posted>,
    entries_max: usize,
    overflow: VecDeque<Posted>,
}

impl CompletionQueue {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { entries: VecDeque::new(), entries_max, overflow: VecDeque::new() }
    }

    /// Whether the next completion would overflow. A multishot operation ends then instead of going on.
    pub(crate) fn full(&self) -> bool {
        self.entries.len() == self.entries_max || !self.overflow.is_empty()
    }

    /// Posts a completion. None is ever lost: what has no room waits on the overflow list.
    pub(crate) fn post(&mut self, posted: Posted) {
        if self.full() {
            self.overflow.push_back(posted);
        } else {
            self.entries.push_back(posted);
        }
    }

    /// Moves what has overflowed into the queue as far as there is room; whether nothing is left over.
    pub(crate) fn flush_overflow(&mut self) -> bool {
        while self.entries.len() < self.entries_max {
            match self.overflow.pop_front() {
                Some(posted) => self.entries.push_back(posted),
                None => return true,
            }
        }
        self.overflow.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The tags of those in the queue, oldest first.
    pub(crate) fn tags(&self) -> impl Iterator<Item = Tag> + '_ {
        self.entries.iter().map(|posted| posted.completion.tag)
    }

    pub(crate) fn pop(&mut self) -> Option<Posted> {
        self.entries.pop_front()
    }
}
