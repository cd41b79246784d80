//! The ring's table of fixed files.

use ringline_ring::FileIndex;

use crate::world::SocketId;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// Nothing was ever opened here: an operation on it is a mistake of the runtime.
    NeverOpened,
    /// What stood here has been closed: operations answer EBADF, as they race with the close.
    Closed,
    Open(SocketId),
}

/// What stands in an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum File {
    NeverOpened,
    Closed,
    Open(SocketId),
    /// The index is beyond the table.
    Outside,
}

pub(crate) struct Files(Vec<Entry>);

impl Files {
    pub(crate) fn new(files_max: u32) -> Self {
        Self(vec![Entry::NeverOpened; files_max as usize])
    }

    pub(crate) fn get(&self, file: FileIndex) -> File {
        match self.0.get(file.0 as usize) {
            None => File::Outside,
            Some(Entry::NeverOpened) => File::NeverOpened,
            Some(Entry::Closed) => File::Closed,
            Some(&Entry::Open(id)) => File::Open(id),
        }
    }

    /// Fills an entry that [`get`](Files::get) has found free.
    pub(crate) fn open(&mut self, file: FileIndex, id: SocketId) {
        self.0[file.0 as usize] = Entry::Open(id);
    }

    /// Empties an entry, and answers what stood there.
    pub(crate) fn close(&mut self, file: FileIndex) -> Option<SocketId> {
        let entry = self.0.get_mut(file.0 as usize)?;
        let Entry::Open(id) = *entry else { return None };
        *entry = Entry::Closed;
        Some(id)
    }

    /// Empties the table.
    pub(crate) fn close_all(&mut self) -> Vec<SocketId> {
        let open: Vec<SocketId> =
            self.0.iter().filter_map(|entry| if let Entry::Open(id) = entry { Some(*id) } else { None }).collect();
        self.0.fill(Entry::Closed);
        open
    }
}
