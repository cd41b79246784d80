//! Tasks that wait for a counter to reach a position: the readers of a connection, or its senders.
//!
//! The usual case, one task that waits again and again, costs a comparison: its waker is kept from one wait to the next.

use std::task::Waker;

use super::waker;

/// Nobody waits.
const NEVER: u64 = u64::MAX;

/// Wakers of other runtimes' making, to be woken when no state is borrowed: they may run anything.
pub(crate) type ForeignWakes = Vec<Waker>;

/// Wakers with the position that each waits for.
pub(crate) struct Waiters {
    /// The waker that waited last, kept to be compared with the next one.
    kept: Option<Waker>,
    /// What `kept` waits for.
    due: u64,
    /// More wakers, while several tasks wait: rare, so an idle connection pays one pointer for it.
    #[allow(clippy::box_collection)]
    others: Option<Box<Vec<(u64, Waker)>>>,
}

impl Waiters {
    pub(crate) const fn new() -> Self {
        Self { kept: None, due: NEVER, others: None }
    }

    /// Whether anybody waits.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.due != NEVER || self.others.as_ref().is_some_and(|others| !others.is_empty())
    }

    /// Wakes `waker` when the counter reaches `due`.
    #[inline]
    pub(crate) fn wait(&mut self, due: u64, waker: &Waker) {
        match &self.kept {
            Some(kept) if kept.will_wake(waker) => self.due = self.due.min(due),
            _ if self.due == NEVER => {
                self.kept = Some(waker.clone());
                self.due = due;
            }
            _ => self.wait_beside(due, waker),
        }
    }

    #[cold]
    fn wait_beside(&mut self, due: u64, waker: &Waker) {
        let others = self.others.get_or_insert_default();
        match others.iter_mut().find(|(_, other)| other.will_wake(waker)) {
            Some((position, _)) => *position = due.min(*position),
            None => others.push((due, waker.clone())),
        }
    }

    /// Wakes those whose position has been reached.
    #[inline]
    pub(crate) fn reached(&mut self, position: u64, foreign: &mut ForeignWakes) {
        if self.due <= position {
            self.due = NEVER;
            if let Some(kept) = &self.kept {
                wake(kept, foreign);
            }
        }
        if self.others.is_some() {
            self.wake_others(position, foreign);
        }
    }

    #[cold]
    fn wake_others(&mut self, position: u64, foreign: &mut ForeignWakes) {
        let Some(others) = &mut self.others else { return };
        others.retain(|(due, waker)| {
            let reached = *due <= position;
            if reached {
                wake(waker, foreign);
            }
            !reached
        });
        if others.is_empty() {
            self.others = None;
        }
    }

    /// Wakes everybody.
    pub(crate) fn all(&mut self, foreign: &mut ForeignWakes) {
        self.reached(NEVER - 1, foreign);
    }
}

#[inline]
fn wake(waker: &Waker, foreign: &mut ForeignWakes) {
    if waker::is_own(waker) { waker.wake_by_ref() } else { foreign.push(waker.clone()) }
}
