//! Things that were begun, each under a key, and the one task that waits for the outcome of each.
//!
//! An outcome stays until it is taken or its waiter has gone.

use std::collections::HashMap;
use std::hash::Hash;
use std::task::{Poll, Waker};

use super::waiters::ForeignWakes;
use super::waker;

struct Entry<V> {
    outcome: Option<V>,
    waker: Option<Waker>,
}

/// Outcomes by key.
pub(crate) struct Outcomes<K, V>(HashMap<K, Entry<V>>);

impl<K: Eq + Hash, V> Outcomes<K, V> {
    pub(crate) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Somebody will wait for the outcome of `key`.
    pub(crate) fn expect(&mut self, key: K) {
        self.0.insert(key, Entry { outcome: None, waker: None });
    }

    /// The outcome is there: wakes who waits for it. It ends here when nobody does.
    pub(crate) fn resolve(&mut self, key: &K, outcome: V, foreign: &mut ForeignWakes) {
        let Some(entry) = self.0.get_mut(key) else { return };
        entry.outcome = Some(outcome);
        match entry.waker.take() {
            Some(waker) if waker::is_own(&waker) => waker.wake(),
            Some(waker) => foreign.push(waker),
            None => {}
        }
    }

    /// Takes the outcome, or waits for it; none when nothing is known of the key.
    pub(crate) fn poll(&mut self, key: &K, waker: &Waker) -> Poll<Option<V>> {
        let Some(entry) = self.0.get_mut(key) else { return Poll::Ready(None) };
        match entry.outcome.take() {
            Some(outcome) => {
                self.0.remove(key);
                Poll::Ready(Some(outcome))
            }
            None => {
                if !entry.waker.as_ref().is_some_and(|stored| stored.will_wake(waker)) {
                    entry.waker = Some(waker.clone());
                }
                Poll::Pending
            }
        }
    }

    /// Nobody waits any more. Answers the outcome if it was there already.
    pub(crate) fn forget(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)?.outcome
    }
}
