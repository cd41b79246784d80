//! The NVMe command as the kernel's passthrough takes it, and what has to be known of a device before the first command.
//!
//! It owns the layout of the command and the questions that are put to a device when it is opened. It does not know what
//! a command is for.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::memory::Region;

/// `NVME_URING_CMD_IO`: `_IOWR('N', 0x80, struct nvme_uring_cmd)`, 72 bytes.
pub const NVME_URING_CMD_IO: u32 = 0xC048_4E80;

/// `struct nvme_uring_cmd`: the submission of an NVMe command, in the kernel's layout.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NvmeCommand {
    /// What to do: flush 0, write 1, read 2.
    pub opcode: u8,
    /// 0.
    pub flags: u8,
    /// 0.
    pub reserved: u16,
    /// The namespace.
    pub namespace: u32,
    /// 0 for the commands used here.
    pub cdw2: u32,
    /// 0 for the commands used here.
    pub cdw3: u32,
    /// Address of metadata that is apart from the data; 0 for none.
    pub metadata: u64,
    /// Address of the data; 0 for none.
    pub address: u64,
    /// Bytes of metadata.
    pub metadata_len: u32,
    /// Bytes of data.
    pub data_len: u32,
    /// For reads and writes: the lower half of the first block's number.
    pub cdw10: u32,
    /// For reads and writes: the upper half.
    pub cdw11: u32,
    /// For reads and writes: the number of blocks less one.
    pub cdw12: u32,
    /// 0 for the commands used here.
    pub cdw13: u32,
    /// 0 for the commands used here.
    pub cdw14: u32,
    /// 0 for the commands used here.
    pub cdw15: u32,
    /// After how many milliseconds the kernel gives up; 0 = its own time limit.
    pub timeout_ms: u32,
    /// 0.
    pub reserved2: u32,
}

const _: () = assert!(size_of::<NvmeCommand>() == 72);

impl NvmeCommand {
    /// The 80 bytes that a wide submission entry carries.
    pub(crate) fn bytes(&self) -> [u8; 80] {
        let mut bytes = [0; 80];
        // SAFETY: the structure is 72 bytes of plain integers without padding, which its size above shows.
        let own = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(self).cast::<u8>(), size_of::<Self>()) };
        bytes[..own.len()].copy_from_slice(own);
        bytes
    }
}

/// What is known of an NVMe namespace that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Bytes that one logical block takes in a buffer.
    pub block_size: u32,
    /// Number of logical blocks.
    pub blocks: u64,
}

/// Asks a device that was opened for commands about a namespace.
///
/// This waits for one admin command, which a controller answers within some hundred microseconds. The passthrough of
/// namespaces does not take admin commands through a ring on all supported kernels.
///
/// # Errors
///
/// When the descriptor is not the generic character device of that namespace, or the device does not answer.
pub(crate) fn examine(device: &OwnedFd, namespace: u32) -> io::Result<DeviceFacts> {
    // SAFETY: stat is plain integers, for which zero is a value.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives across the call.
    check(unsafe { libc::fstat(device.as_raw_fd(), &raw mut status) })?;
    // SAFETY: this call takes no argument; a device of another kind answers ENOTTY.
    let id = unsafe { libc::ioctl(device.as_raw_fd(), NVME_IOCTL_ID as _) };
    if status.st_mode & libc::S_IFMT != libc::S_IFCHR || id <= 0 {
        let text = "not the generic character device of an NVMe namespace, /dev/ng0n1 for example";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    if id as u32 != namespace {
        let text = format!("the device belongs to namespace {id}, not {namespace}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let answer = Region::new(IDENTIFY_BYTES)?;
    let mut command = NvmeCommand {
        opcode: IDENTIFY,
        namespace,
        address: answer.as_ptr() as u64,
        data_len: IDENTIFY_BYTES as u32,
        ..NvmeCommand::default()
    };
    // SAFETY: the command has the kernel's layout (`struct nvme_passthru_cmd` is the same but for the name of its last
    // field), and it and the region that it names live across the call.
    let result = check(unsafe { libc::ioctl(device.as_raw_fd(), NVME_IOCTL_ADMIN_CMD as _, &raw mut command) })?;
    if result != 0 {
        return Err(io::Error::other(format!("the device answered Identify with NVMe status {result:#x}")));
    }
    // SAFETY: the region is at least that long, and the device is done with it.
    let answer = unsafe { std::slice::from_raw_parts(answer.as_ptr(), IDENTIFY_BYTES) };
    read_identify(answer)
}

/// `NVME_IOCTL_ID`, `_IO('N', 0x40)`: the number of the namespace.
const NVME_IOCTL_ID: u32 = 0x4E40;
/// `NVME_IOCTL_ADMIN_CMD`, `_IOWR('N', 0x41, struct nvme_admin_cmd)`.
const NVME_IOCTL_ADMIN_CMD: u32 = 0xC048_4E41;
/// The opcode of Identify. With `cdw10` 0 it describes a namespace.
const IDENTIFY: u8 = 0x06;
/// Bytes of its answer.
const IDENTIFY_BYTES: usize = 4096;
/// Where the answer holds the size of the namespace in blocks (NSZE), the format in use (FLBAS) and the formats (LBAF).
const NSZE: usize = 0;
const FLBAS: usize = 26;
const LBAF: usize = 128;

/// Block size and count out of an Identify Namespace structure.
fn read_identify(answer: &[u8]) -> io::Result<DeviceFacts> {
    let flbas = answer[FLBAS];
    // Bits 6:5 are the upper bits of the format's number where a device has more than sixteen.
    let format = usize::from(flbas & 0xf) | usize::from((flbas >> 5) & 0x3) << 4;
    let lbaf = LBAF + 4 * format;
    let metadata = u32::from(u16::from_le_bytes([answer[lbaf], answer[lbaf + 1]]));
    let extended = flbas & 0x10 != 0;
    let exponent = answer[lbaf + 2];
    if !(9..=16).contains(&exponent) {
        let text = format!("the device says that a block has 2^{exponent} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    if metadata > 0 && !extended {
        let text = "the namespace is formatted with metadata apart from the data, which is not supported";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    let blocks = u64::from_le_bytes(answer[NSZE..NSZE + 8].try_into().expect("eight bytes"));
    Ok(DeviceFacts { block_size: (1 << exponent) + metadata, blocks })
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `_IOWR(type, number, size)` of asm-generic/ioctl.h.
    const fn iowr(kind: u8, number: u8, size: usize) -> u32 {
        3 << 30 | (size as u32) << 16 | (kind as u32) << 8 | number as u32
    }

    #[test]
    fn f1_the_command_number_of_the_passthrough_is_the_kernels() {
        assert_eq!(NVME_URING_CMD_IO, 0xC048_4E80);
        assert_eq!(NVME_URING_CMD_IO, iowr(b'N', 0x80, size_of::<NvmeCommand>()));
        assert_eq!(NVME_IOCTL_ADMIN_CMD, iowr(b'N', 0x41, size_of::<NvmeCommand>()));
    }

    #[test]
    fn the_fields_of_a_command_stand_where_the_kernel_reads_them() {
        let command = NvmeCommand {
            opcode: 2,
            namespace: 0x0403_0201,
            address: 0x1817_1615_1413_1211,
            data_len: 0x2423_2221,
            cdw10: 0x3433_3231,
            cdw11: 0x4443_4241,
            cdw12: 0x5453_5251,
            timeout_ms: 0x6463_6261,
            ..NvmeCommand::default()
        };
        let bytes = command.bytes();
        assert_eq!(bytes[0], 2);
        assert_eq!(bytes[4..8], [1, 2, 3, 4]);
        assert_eq!(bytes[24..32], [0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]);
        assert_eq!(bytes[36..40], [0x21, 0x22, 0x23, 0x24]);
        assert_eq!(bytes[40..44], [0x31, 0x32, 0x33, 0x34]);
        assert_eq!(bytes[44..48], [0x41, 0x42, 0x43, 0x44]);
        assert_eq!(bytes[48..52], [0x51, 0x52, 0x53, 0x54]);
        assert_eq!(bytes[64..68], [0x61, 0x62, 0x63, 0x64]);
        assert_eq!(bytes[72..], [0; 8]);
    }

    #[test]
    fn identify_names_the_block_size_of_the_format_in_use() {
        let mut answer = vec![0; IDENTIFY_BYTES];
        answer[..8].copy_from_slice(&131_072u64.to_le_bytes());
        answer[LBAF + 2] = 9;
        answer[LBAF + 4..LBAF + 8].copy_from_slice(&[8, 0, 12, 0]);
        assert_eq!(read_identify(&answer).unwrap(), DeviceFacts { block_size: 512, blocks: 131_072 });
        answer[FLBAS] = 1;
        assert_eq!(read_identify(&answer).unwrap_err().kind(), io::ErrorKind::Unsupported);
        answer[FLBAS] = 0x11;
        assert_eq!(read_identify(&answer).unwrap().block_size, 4096 + 8);
        answer[FLBAS] = 2;
        assert_eq!(read_identify(&answer).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_is_no_nvme_namespace_is_refused() {
        for path in ["/dev/null", "/proc/self/exe"] {
            let refused = examine(&std::fs::File::open(path).unwrap().into(), 1).unwrap_err();
            assert!(refused.to_string().contains("/dev/ng0n1"), "{path}: {refused}");
        }
    }
}
