//! Why an NVMe command is not even submitted, and why one that was has failed.

use std::{fmt, io};

use super::nvme_status::NvmeStatus;

/// Why a device was not opened, or a command not submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NvmeRefused {
    /// The worker was made without NVMe.
    NotEnabled,
    /// Every device slot is taken.
    TooManyDevices {
        /// How many there are.
        limit: u32,
    },
    /// The path contains a zero byte.
    BadPath,
    /// The device is closed, being closed, or not open yet.
    NotOpen,
    /// As many commands are in flight as may be.
    TooManyCommands {
        /// How many that is.
        limit: u32,
    },
    /// A number of blocks of 0: a device would take it for 65,536.
    NoBlocks,
    /// The buffer does not have the size of the blocks.
    WrongLength {
        /// Bytes of the buffer.
        len: usize,
        /// Number of blocks.
        blocks: u16,
        /// Bytes of a block.
        block_size: u32,
    },
}

impl fmt::Display for NvmeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnabled => f.write_str("NVMe commands are not enabled for this worker; set nvme in the config"),
            Self::TooManyDevices { limit } => {
                write!(
                    f,
                    "all {limit} device slots of this worker are taken; close a device, or raise nvme.max_devices"
                )
            }
            Self::BadPath => f.write_str("the path contains a zero byte, which no path can"),
            Self::NotOpen => f.write_str("the device is closed"),
            Self::TooManyCommands { limit } => write!(
                f,
                "{limit} NVMe commands of this worker are in flight; wait for one, or raise nvme.max_commands_in_flight"
            ),
            Self::NoBlocks => f.write_str("num_blocks is 0, but must be between 1 and 65535"),
            Self::WrongLength { len, blocks, block_size } => write!(
                f,
                "the buffer has {len} bytes, but {blocks} blocks of {block_size} bytes need {}",
                u64::from(*blocks) * u64::from(*block_size)
            ),
        }
    }
}

impl std::error::Error for NvmeRefused {}

/// Why a command failed.
#[derive(Debug)]
pub enum NvmeError {
    /// The kernel did not take it, or gave it up.
    Io(io::Error),
    /// The device answered with this status.
    Status(NvmeStatus),
}

impl NvmeError {
    /// The outcome that the result of a completion stands for: 0 is success, a negative number an errno, and a positive
    /// one a status of the device, which is an error as much as the others.
    pub(super) fn of_result(result: i32) -> Result<(), Self> {
        match result {
            0 => Ok(()),
            1.. => Err(Self::Status(NvmeStatus::from_bits(result as u16))),
            errno => Err(Self::Io(io::Error::from_raw_os_error(-errno))),
        }
    }
}

impl fmt::Display for NvmeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Status(status) => status.fmt(f),
        }
    }
}

impl std::error::Error for NvmeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f2_a_positive_result_is_an_error() {
        assert!(NvmeError::of_result(0).is_ok());
        let status = NvmeError::of_result(0x4080).unwrap_err();
        assert!(matches!(status, NvmeError::Status(status) if status.code() == 0x80), "{status}");
        let errno = NvmeError::of_result(-libc::EINVAL).unwrap_err();
        assert!(matches!(&errno, NvmeError::Io(error) if error.raw_os_error() == Some(libc::EINVAL)), "{errno}");
    }

    #[test]
    fn a_length_that_does_not_fit_is_told_with_the_one_that_would() {
        let refused = NvmeRefused::WrongLength { len: 4096, blocks: 3, block_size: 512 };
        assert_eq!(refused.to_string(), "the buffer has 4096 bytes, but 3 blocks of 512 bytes need 1536");
    }
}
