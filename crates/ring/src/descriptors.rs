//! The file table for kernels whose fixed files close late: ordinary descriptors under the same indices.
//!
//! It owns a duplicate of each descriptor that it was given and closes it when the file leaves the table. An index that
//! names nothing becomes a descriptor that no process has, which the kernel answers with EBADF as it does for an empty
//! slot of its own table.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{FileIndex, limits};

/// The number that stands for no descriptor.
const NONE: RawFd = -1;

/// Descriptors of a file: that of its owner, and the duplicate.
const EACH: u64 = 2;

/// Descriptors that all tables of this process may come to need: the limit of open files counts them together.
static NEEDED: AtomicU64 = AtomicU64::new(0);

/// Descriptors by index. Memory is taken as indices are first used.
#[derive(Debug)]
pub(crate) struct Descriptors {
    by_index: Vec<Option<OwnedFd>>,
    limit: u32,
}

impl Descriptors {
    /// An empty table of at most `limit` files. The limit of open files is raised for them as far as it may be; where that
    /// is not enough, accepting will rest at it.
    pub(crate) fn new(limit: u32) -> Self {
        let own = u64::from(limit) * EACH;
        let needed = NEEDED.fetch_add(own, Ordering::Relaxed) + own;
        if let Err(refused) = limits::raise_open_files(needed) {
            let _ = limits::raise_open_files(refused.hard);
        }
        Self { by_index: Vec::new(), limit }
    }

    /// Puts a file into the table, in the place of one that stands there.
    ///
    /// # Errors
    ///
    /// EINVAL for an index beyond the table, as the kernel answers; EMFILE.
    pub(crate) fn insert(&mut self, file: FileIndex, descriptor: &OwnedFd) -> io::Result<()> {
        if file.0 >= self.limit {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let index = file.0 as usize;
        let own = descriptor.try_clone()?;
        if index >= self.by_index.len() {
            self.by_index.resize_with(index + 1, || None);
        }
        self.by_index[index] = Some(own);
        Ok(())
    }

    /// The descriptor at an index.
    pub(crate) fn get(&self, file: FileIndex) -> RawFd {
        self.by_index.get(file.0 as usize).and_then(Option::as_ref).map_or(NONE, AsRawFd::as_raw_fd)
    }

    /// Closes the file at an index; false when there is none.
    pub(crate) fn remove(&mut self, file: FileIndex) -> bool {
        self.by_index.get_mut(file.0 as usize).and_then(Option::take).is_some()
    }

    /// Closes every file.
    pub(crate) fn clear(&mut self) {
        self.by_index.clear();
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        NEEDED.fetch_sub(u64::from(self.limit) * EACH, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_file_stays_open_until_it_leaves_the_table() {
        let mut table = Descriptors::new(4);
        let file: OwnedFd = File::open("/dev/null").unwrap().into();
        table.insert(FileIndex(2), &file).unwrap();
        drop(file);
        let descriptor = table.get(FileIndex(2));
        assert!(descriptor >= 0 && table.get(FileIndex(1)) == NONE && table.get(FileIndex(3)) == NONE);
        assert!(table.remove(FileIndex(2)) && !table.remove(FileIndex(2)));
        assert_eq!(table.get(FileIndex(2)), NONE);
    }

    #[test]
    fn an_index_beyond_the_table_is_refused() {
        let file: OwnedFd = File::open("/dev/null").unwrap().into();
        let refused = Descriptors::new(4).insert(FileIndex(4), &file).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
    }
}
