//! Provided-buffer rings, and the rule that each buffer has one owner: the kernel, a completion that nobody has reaped,
//! or the runtime.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::memory::Region;

/// The most buffers that a ring can hold.
const ENTRIES_MAX: u16 = 32_768;

struct Buffer {
    id: u16,
    region: Region,
    /// Bytes that are used up (incremental consumption).
    used: usize,
}

struct Group {
    entries: usize,
    incremental: bool,
    /// The kernel's, in the order in which it uses them.
    queue: VecDeque<Buffer>,
    /// Named by a completion that has not been reaped.
    in_completions: BTreeSet<u16>,
}

/// A piece of a buffer that a receive has filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    pub(crate) id: u16,
    /// The kernel keeps the buffer and goes on filling it.
    pub(crate) more: bool,
}

#[derive(Default)]
pub(crate) struct Groups {
    groups: BTreeMap<u16, Group>,
    /// Ends of the address ranges that the kernel owns, by their starts.
    owned: BTreeMap<usize, usize>,
}

impl Groups {
    /// Makes a group; the errno of the kernel when it would not.
    pub(crate) fn create(&mut self, group: u16, entries: u16, incremental: bool) -> Result<(), i32> {
        if !entries.is_power_of_two() || entries > ENTRIES_MAX {
            return Err(libc::EINVAL);
        }
        if self.groups.contains_key(&group) {
            return Err(libc::EEXIST);
        }
        let empty = Group {
            entries: usize::from(entries),
            incremental,
            queue: VecDeque::new(),
            in_completions: BTreeSet::new(),
        };
        self.groups.insert(group, empty);
        Ok(())
    }

    pub(crate) fn exists(&self, group: u16) -> bool {
        self.groups.contains_key(&group)
    }

    /// Whether a buffer with this identifier and these addresses may be handed in; the broken rule if not.
    pub(crate) fn may_provide(&self, group: u16, id: u16, address: usize, len: usize) -> Result<(), String> {
        let Some(ring) = self.groups.get(&group) else {
            return Err(format!("buffer {id} was provided to group {group}, which does not exist"));
        };
        if len == 0 {
            return Err(format!("buffer {id} of group {group} was provided with no bytes"));
        }
        if ring.queue.len() == ring.entries {
            return Err(format!("buffer {id} is one more than the {} entries of group {group}", ring.entries));
        }
        if ring.queue.iter().any(|buffer| buffer.id == id) {
            return Err(format!("buffer {id} of group {group} was provided while the kernel owns it"));
        }
        if ring.in_completions.contains(&id) {
            return Err(format!("buffer {id} of group {group} was provided before its completion was reaped"));
        }
        let below = self.owned.range(..address + len).next_back();
        if below.is_some_and(|(_, &end)| end > address) {
            return Err(format!("buffer {id} of group {group} shares bytes with a buffer that the kernel owns"));
        }
        Ok(())
    }

    /// Takes a buffer for which [`may_provide`](Groups::may_provide) has found nothing wrong.
    pub(crate) fn provide(&mut self, group: u16, id: u16, region: Region) {
        let addresses = region.addresses();
        self.owned.insert(addresses.start, addresses.end);
        let ring = self.groups.get_mut(&group).expect("the group was checked");
        ring.queue.push_back(Buffer { id, region, used: 0 });
    }

    /// Room of the buffer that the next receive fills; `None` when the group is empty.
    pub(crate) fn room(&self, group: u16) -> Option<usize> {
        let next = self.groups.get(&group)?.queue.front()?;
        Some(next.region.len() - next.used)
    }

    /// Puts received bytes, no more than there is [`room`](Groups::room) for, into the next buffer. The broken rule if
    /// somebody has written where they go.
    pub(crate) fn fill(&mut self, group: u16, bytes: &[u8]) -> Result<Filled, String> {
        let ring = self.groups.get_mut(&group).expect("room was found in the group");
        let buffer = ring.queue.front_mut().expect("room was found in a buffer");
        let id = buffer.id;
        if !buffer.region.poisoned(buffer.used) {
            return Err(format!("buffer {id} of group {group} was written while the kernel owned it"));
        }
        buffer.region.write(buffer.used, bytes);
        buffer.used += bytes.len();
        let more = ring.incremental && buffer.used < buffer.region.len();
        if !more {
            self.owned.remove(&buffer.region.addresses().start);
            ring.queue.pop_front();
            ring.in_completions.insert(id);
        }
        Ok(Filled { id, more })
    }

    /// The completion that gave a buffer back has been reaped.
    pub(crate) fn reaped(&mut self, group: u16, id: u16) {
        if let Some(ring) = self.groups.get_mut(&group) {
            ring.in_completions.remove(&id);
        }
    }

    /// The first buffer that somebody has written while the kernel owned it.
    pub(crate) fn spoiled(&self) -> Option<(u16, u16)> {
        self.groups.iter().find_map(|(&group, ring)| {
            let spoiled = ring.queue.iter().find(|buffer| !buffer.region.poisoned(buffer.used));
            spoiled.map(|buffer| (group, buffer.id))
        })
    }

    /// How many buffers of a group the kernel owns.
    pub(crate) fn owned_by_kernel(&self, group: u16) -> usize {
        self.groups.get(&group).map_or(0, |ring| ring.queue.len())
    }

    /// The bytes of these buffers, used up or not.
    pub(crate) fn bytes_owned_by_kernel(&self, group: u16) -> usize {
        self.groups.get(&group).map_or(0, |ring| ring.queue.iter().map(|buffer| buffer.region.len()).sum())
    }
}
