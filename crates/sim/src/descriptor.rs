//! Sockets outside the file table: the descriptors of the simulated process, and the handle that owns one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::world::SocketId;

/// The lowest number that a descriptor gets; those below are a process's standard streams.
const LOWEST: u32 = 3;

/// A descriptor that closes when it is dropped. It may be dropped on any thread; the simulated kernel notices at its
/// next call.
#[derive(Debug)]
pub struct SimSocket {
    number: u32,
    pub(crate) socket: SocketId,
    closed: Arc<Mutex<Vec<u32>>>,
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
    }
}

struct Entry {
    socket: SocketId,
    /// Whether a [`SimSocket`] owns it. Until then it is a bare number in a completion.
    owned: bool,
}

/// The descriptors that are open.
#[derive(Default)]
pub(crate) struct Descriptors {
    open: BTreeMap<u32, Entry>,
    closed: Arc<Mutex<Vec<u32>>>,
}

impl Descriptors {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Opens the lowest free number, as every Unix does: a number that was closed too early is soon somebody else's.
    pub(crate) fn open(&mut self, socket: SocketId) -> u32 {
        let number = (LOWEST..).find(|number| !self.open.contains_key(number)).expect("numbers do not run out");
        self.open.insert(number, Entry { socket, owned: false });
        number
    }

    /// The handle that owns an open number from now on; `None` when there is no such number or it has an owner.
    pub(crate) fn own(&mut self, number: u32) -> Option<SimSocket> {
        let entry = self.open.get_mut(&number).filter(|entry| !entry.owned)?;
        entry.owned = true;
        Some(SimSocket { number, socket: entry.socket, closed: Arc::clone(&self.closed) })
    }

    /// Whether the handle belongs to this table and not to that of another network.
    pub(crate) fn issued(&self, socket: &SimSocket) -> bool {
        Arc::ptr_eq(&self.closed, &socket.closed)
    }

    /// The sockets whose handles have been dropped since the last call.
    pub(crate) fn take_closed(&mut self) -> Vec<SocketId> {
        let closed = std::mem::take(&mut *self.closed.lock().unwrap_or_else(PoisonError::into_inner));
        closed.iter().filter_map(|number| self.open.remove(number)).map(|entry| entry.socket).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, SocketId, bool)> {
        self.open.iter().map(|(&number, entry)| (number, entry.socket, entry.owned))
    }
}
