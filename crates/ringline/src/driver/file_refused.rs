//! Why an operation on a file is not even begun, in words that name the value and the remedy.

use std::fmt;

use ringline_ring::FileFacts;

/// Why a file was not opened, or an operation on it not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileRefused {
    /// The worker was made without files.
    NotEnabled,
    /// Every file slot is taken.
    TooManyFiles {
        /// How many there are.
        limit: u32,
    },
    /// The path contains a zero byte.
    BadPath,
    /// The file is closed, being closed, or not open yet.
    NotOpen,
    /// The file was opened for reading alone.
    ReadOnly,
    /// As many operations are in flight as may be.
    TooManyOperations {
        /// How many that is.
        limit: u32,
    },
    /// The end of the operation would lie beyond the largest position that the kernel knows, 2^63 − 1.
    OutOfRange {
        /// Position in bytes.
        offset: u64,
        /// Length in bytes.
        len: usize,
    },
    /// Address, length or position is not aligned.
    Misaligned(Misaligned),
}

impl fmt::Display for FileRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnabled => f.write_str("direct I/O is not enabled for this worker; set direct_io in the config"),
            Self::TooManyFiles { limit } => {
                write!(f, "all {limit} file slots of this worker are taken; close a file, or raise direct_io.max_files")
            }
            Self::BadPath => f.write_str("the path contains a zero byte, which no path can"),
            Self::NotOpen => f.write_str("the file is closed"),
            Self::ReadOnly => f.write_str("the file was opened for reading alone"),
            Self::TooManyOperations { limit } => write!(
                f,
                "{limit} disk operations of this worker are in flight; wait for one, or raise \
                 direct_io.max_commands_in_flight"
            ),
            Self::OutOfRange { offset, len } => {
                write!(f, "{len} bytes at position {offset} end beyond the largest position of a file, 2^63 - 1")
            }
            Self::Misaligned(misaligned) => misaligned.fmt(f),
        }
    }
}

impl std::error::Error for FileRefused {}

/// What of an operation is not aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The address of the buffer.
    Address,
    /// The length of the buffer.
    Length,
    /// The position in the file.
    Offset,
}

/// A number that is no multiple of what direct I/O demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misaligned {
    /// Which number.
    pub place: Place,
    /// Its value.
    pub value: u64,
    /// What it must be a multiple of: the logical block size, or for the address what the device can reach.
    pub block_size: u32,
}

impl Misaligned {
    /// The first of the three that is not aligned.
    pub(super) fn find(facts: &FileFacts, address: u64, len: u64, offset: u64) -> Option<Self> {
        [
            (Place::Address, address, facts.memory_alignment),
            (Place::Length, len, facts.block_size),
            (Place::Offset, offset, facts.block_size),
        ]
        .into_iter()
        .find(|&(_, value, block_size)| !value.is_multiple_of(u64::from(block_size)))
        .map(|(place, value, block_size)| Self { place, value, block_size })
    }
}

impl fmt::Display for Misaligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, value, block_size } = self;
        match place {
            Place::Address => write!(
                f,
                "the address of the buffer, {value:#x}, is not a multiple of {block_size}, which direct I/O on this file \
                 demands; use an aligned buffer"
            ),
            Place::Length => write!(
                f,
                "the length of the buffer, {value}, is not a multiple of the file's logical block size, {block_size}"
            ),
            Place::Offset => {
                write!(f, "the offset, {value}, is not a multiple of the file's logical block size, {block_size}")
            }
        }
    }
}

impl std::error::Error for Misaligned {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_that_is_not_aligned_is_named_with_its_value_and_the_block_size() {
        let facts = FileFacts { memory_alignment: 4, block_size: 512, len: 0 };
        let text = |address, len, offset| Misaligned::find(&facts, address, len, offset).map(|found| found.to_string());
        assert_eq!(text(0x1004, 1024, 4096), None);
        let address = text(0x1002, 1024, 4096).unwrap();
        assert!(address.starts_with("the address of the buffer, 0x1002, is not a multiple of 4"), "{address}");
        let length = text(0x1000, 1000, 4096).unwrap();
        assert_eq!(length, "the length of the buffer, 1000, is not a multiple of the file's logical block size, 512");
        let offset = text(0x1000, 1024, 4095).unwrap();
        assert_eq!(offset, "the offset, 4095, is not a multiple of the file's logical block size, 512");
    }
}
