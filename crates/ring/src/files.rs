//! What direct I/O needs of an open file: how its addresses, lengths and positions have to be aligned.
//!
//! It owns the questions that are put to the kernel about a descriptor; it neither opens nor reads anything.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// What is known of a file that was opened for direct I/O.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Addresses of buffers must be multiples of this many bytes; a power of two.
    pub memory_alignment: u32,
    /// Positions and lengths must be multiples of this many bytes: the logical block size; a power of two.
    pub block_size: u32,
    /// Size in bytes at the time of opening.
    pub len: u64,
}

/// No disk has smaller sectors.
const SECTOR: u32 = 512;

/// Asks the kernel about a file that was opened with O_DIRECT.
///
/// # Errors
///
/// When it is neither a regular file nor a block device, or takes no direct I/O.
pub(crate) fn examine(file: &OwnedFd) -> io::Result<FileFacts> {
    let status = status_of(file)?;
    let device = match libc::mode_t::from(status.stx_mode) & libc::S_IFMT {
        libc::S_IFREG => false,
        libc::S_IFBLK => true,
        libc::S_IFDIR => return Err(io::Error::from_raw_os_error(libc::EISDIR)),
        _ => return Err(refused("direct I/O needs a regular file or a block device, which this is not")),
    };
    let len = if device { device_len(file)? } else { status.stx_size };
    if status.stx_mask & libc::STATX_DIOALIGN != 0 {
        return match (status.stx_dio_mem_align, status.stx_dio_offset_align) {
            (0, _) | (_, 0) => Err(refused("the file system takes no direct I/O on this file")),
            (memory_alignment, block_size) => Ok(FileFacts { memory_alignment, block_size, len }),
        };
    }
    let block_size = if device { device_block_size(file)? } else { file_block_size(file, &status)? };
    // Devices would mostly do with less, but nobody says so.
    Ok(FileFacts { memory_alignment: block_size, block_size, len })
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

fn status_of(file: &OwnedFd) -> io::Result<libc::statx> {
    // SAFETY: statx is plain integers, for which zero is a value.
    let mut status: libc::statx = unsafe { std::mem::zeroed() };
    let wanted = libc::STATX_TYPE | libc::STATX_SIZE | libc::STATX_DIOALIGN;
    // What the kernel has in memory will do: a network file system is not asked across the network.
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    // SAFETY: the path is an empty string, and the structure lives across the call.
    check(unsafe { libc::statx(file.as_raw_fd(), c"".as_ptr(), flags, wanted, &raw mut status) })?;
    Ok(status)
}

/// `BLKGETSIZE64`; the libc crate does not have it.
const BLKGETSIZE64: u32 = 0x8008_1272;

fn device_len(device: &OwnedFd) -> io::Result<u64> {
    let mut bytes = 0u64;
    // SAFETY: the kernel writes eight bytes into `bytes`, which lives across the call.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKGETSIZE64 as _, &raw mut bytes) })?;
    Ok(bytes)
}

fn device_block_size(device: &OwnedFd) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes an int into `bytes`, which lives across the call.
    check(unsafe { libc::ioctl(device.as_raw_fd(), libc::BLKSSZGET as _, &raw mut bytes) })?;
    Ok(u32::try_from(bytes).map_or(SECTOR, |bytes| bytes.max(SECTOR)))
}

/// The logical block size of the disk below, where the file stands on one disk that the kernel names. Otherwise the
/// block size of the file system, but at most a page: what network file systems call by that name is a size of transfers.
fn file_block_size(file: &OwnedFd, status: &libc::statx) -> io::Result<u32> {
    let device = format!("/sys/dev/block/{}:{}", status.stx_dev_major, status.stx_dev_minor);
    // A partition has no queue of its own: it stands below its disk.
    for queue in ["queue", "../queue"] {
        let told = std::fs::read_to_string(format!("{device}/{queue}/logical_block_size"));
        if let Some(bytes) = told.ok().and_then(|text| text.trim().parse::<u32>().ok()) {
            return Ok(bytes.max(SECTOR));
        }
    }
    // SAFETY: statfs is plain integers, for which zero is a value.
    let mut system: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives across the call.
    check(unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut system) })?;
    let page = crate::page_size() as u32;
    let told = u32::try_from(system.f_bsize).unwrap_or(page);
    Ok(if told.is_power_of_two() { told.clamp(SECTOR, page) } else { page })
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_file_has_power_of_two_alignments_and_its_length() {
        let path = std::env::temp_dir().join(format!("ringline-facts-{}", std::process::id()));
        std::fs::write(&path, [0; 700]).unwrap();
        let facts = examine(&File::open(&path).unwrap().into());
        std::fs::remove_file(&path).unwrap();
        let facts = facts.unwrap();
        assert!(facts.memory_alignment.is_power_of_two() && facts.block_size.is_power_of_two(), "{facts:?}");
        assert!((SECTOR..=65_536).contains(&facts.block_size), "{facts:?}");
        assert_eq!(facts.len, 700);
    }

    #[test]
    fn where_the_kernel_is_silent_the_block_size_is_that_of_the_disk_or_at_most_a_page() {
        let file: OwnedFd = File::open(std::env::current_exe().unwrap()).unwrap().into();
        let block_size = file_block_size(&file, &status_of(&file).unwrap()).unwrap();
        assert!(block_size.is_power_of_two() && block_size <= crate::page_size() as u32, "{block_size}");
    }

    #[test]
    fn directories_and_character_devices_are_refused() {
        let directory = examine(&File::open("/").unwrap().into()).unwrap_err();
        assert_eq!(directory.raw_os_error(), Some(libc::EISDIR));
        let device = examine(&File::open("/dev/null").unwrap().into()).unwrap_err();
        assert!(device.to_string().contains("a regular file or a block device"), "{device}");
    }
}
