//! What an NVMe device answers when a command fails: the status by its numbers and in words.
//!
//! The words are those of the NVM Express Base Specification, for the generic, command-specific and media statuses that
//! reads, writes and flushes can meet.

use std::fmt;

/// The status field of a failed command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NvmeStatus(u16);

/// Where the parts of the status stand: the code in the lower eight bits, its type in the three above, and whether trying
/// again is useless in bit 14.
const CODE: u16 = 0xff;
const TYPE_SHIFT: u16 = 8;
const TYPE: u16 = 0x7;
const DO_NOT_RETRY: u16 = 1 << 14;

impl NvmeStatus {
    /// A status as the kernel reports it in a completion.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// All bits, as the kernel reports them.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The status code (SC).
    pub const fn code(self) -> u8 {
        (self.0 & CODE) as u8
    }

    /// The status code type (SCT): 0 generic, 1 command specific, 2 media and data integrity, 3 path, 7 vendor specific.
    pub const fn code_type(self) -> u8 {
        ((self.0 >> TYPE_SHIFT) & TYPE) as u8
    }

    /// Whether the device says that the same command would fail again (DNR).
    pub const fn do_not_retry(self) -> bool {
        self.0 & DO_NOT_RETRY != 0
    }

    /// The type in words.
    pub const fn type_text(self) -> &'static str {
        match self.code_type() {
            0 => "generic",
            1 => "command specific",
            2 => "media and data integrity",
            3 => "path related",
            7 => "vendor specific",
            _ => "reserved",
        }
    }

    /// The code in words; none for a code that is not in the table.
    pub const fn text(self) -> Option<&'static str> {
        Some(match (self.code_type(), self.code()) {
            (0, 0x00) => "successful completion",
            (0, 0x01) => "invalid command opcode",
            (0, 0x02) => "invalid field in command",
            (0, 0x03) => "command id conflict",
            (0, 0x04) => "data transfer error",
            (0, 0x05) => "commands aborted due to power loss notification",
            (0, 0x06) => "internal error",
            (0, 0x07) => "command abort requested",
            (0, 0x08) => "command aborted due to submission queue deletion",
            (0, 0x09) => "command aborted due to failed fused command",
            (0, 0x0a) => "command aborted due to missing fused command",
            (0, 0x0b) => "invalid namespace or format",
            (0, 0x0c) => "command sequence error",
            (0, 0x0d) => "invalid SGL segment descriptor",
            (0, 0x0e) => "invalid number of SGL descriptors",
            (0, 0x0f) => "data SGL length invalid",
            (0, 0x10) => "metadata SGL length invalid",
            (0, 0x11) => "SGL descriptor type invalid",
            (0, 0x12) => "invalid use of controller memory buffer",
            (0, 0x13) => "PRP offset invalid",
            (0, 0x14) => "atomic write unit exceeded",
            (0, 0x15) => "operation denied",
            (0, 0x16) => "SGL offset invalid",
            (0, 0x18) => "host identifier inconsistent format",
            (0, 0x19) => "keep alive timer expired",
            (0, 0x1a) => "keep alive timeout invalid",
            (0, 0x1b) => "command aborted due to preempt and abort",
            (0, 0x1c) => "sanitize failed",
            (0, 0x1d) => "sanitize in progress",
            (0, 0x1e) => "SGL data block granularity invalid",
            (0, 0x1f) => "command not supported for queue in controller memory buffer",
            (0, 0x20) => "namespace is write protected",
            (0, 0x21) => "command interrupted",
            (0, 0x22) => "transient transport error",
            (0, 0x80) => "LBA out of range",
            (0, 0x81) => "capacity exceeded",
            (0, 0x82) => "namespace not ready",
            (0, 0x83) => "reservation conflict",
            (0, 0x84) => "format in progress",
            (1, 0x80) => "conflicting attributes",
            (1, 0x81) => "invalid protection information",
            (1, 0x82) => "attempted write to read only range",
            (1, 0x83) => "command size limit exceeded",
            (2, 0x80) => "write fault",
            (2, 0x81) => "unrecovered read error",
            (2, 0x82) => "end-to-end guard check error",
            (2, 0x83) => "end-to-end application tag check error",
            (2, 0x84) => "end-to-end reference tag check error",
            (2, 0x85) => "compare failure",
            (2, 0x86) => "access denied",
            (2, 0x87) => "deallocated or unwritten logical block",
            (2, 0x88) => "end-to-end storage tag check error",
            (3, 0x00) => "internal path error",
            (3, 0x01) => "asymmetric access persistent loss",
            (3, 0x02) => "asymmetric access inaccessible",
            (3, 0x03) => "asymmetric access transition",
            (3, 0x60) => "controller pathing error",
            (3, 0x70) => "host pathing error",
            (3, 0x71) => "command aborted by host",
            _ => return None,
        })
    }
}

impl fmt::Display for NvmeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text().unwrap_or("a status without a name here");
        let (code_type, type_text, code) = (self.code_type(), self.type_text(), self.code());
        write!(f, "NVMe status: {text} (status code type {code_type:#x}, {type_text}; status code {code:#04x})")?;
        if self.do_not_retry() { f.write_str("; trying again is useless") } else { Ok(()) }
    }
}

impl std::error::Error for NvmeStatus {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_by_type_and_code_and_in_words() {
        let status = NvmeStatus::from_bits(0x4080);
        assert_eq!((status.code_type(), status.code(), status.do_not_retry()), (0, 0x80, true));
        assert_eq!(
            status.to_string(),
            "NVMe status: LBA out of range (status code type 0x0, generic; status code 0x80); trying again is useless"
        );
        let media = NvmeStatus::from_bits(0x0281);
        assert_eq!(
            media.to_string(),
            "NVMe status: unrecovered read error (status code type 0x2, media and data integrity; status code 0x81)"
        );
    }

    #[test]
    fn a_status_without_a_name_is_told_by_its_numbers() {
        let text = NvmeStatus::from_bits(0x07c3).to_string();
        assert!(text.contains("status code type 0x7, vendor specific; status code 0xc3"), "{text}");
    }
}
