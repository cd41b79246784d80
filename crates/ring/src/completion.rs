//! What the kernel says of an operation: a plain copy of a completion queue entry.

use crate::Tag;

/// The kernel will post more completions for the same operation.
pub const FLAG_MORE: u32 = 1 << 1;
/// The completion carries a provided buffer.
pub const FLAG_BUFFER: u32 = 1;
/// The completion is the notification of a zero-copy send: its memory is free again.
pub const FLAG_NOTIFICATION: u32 = 1 << 3;
/// The provided buffer is not used up: later completions will name it again (incremental consumption).
pub const FLAG_BUFFER_MORE: u32 = 1 << 4;
/// Where the identifier of the provided buffer stands in the flags.
pub const BUFFER_ID_SHIFT: u32 = 16;

/// One completion.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// The tag of the submission.
    pub tag: Tag,
    /// What the system call of the same name would have returned; a negative number is a negated errno.
    pub result: i32,
    /// The raw completion flags.
    pub flags: u32,
}

impl Completion {
    /// Whether the operation goes on and will complete again.
    #[inline]
    pub const fn more(&self) -> bool {
        self.flags & FLAG_MORE != 0
    }

    /// Whether this is the notification that a zero-copy send no longer uses its memory.
    #[inline]
    pub const fn is_notification(&self) -> bool {
        self.flags & FLAG_NOTIFICATION != 0
    }

    /// On a notification: whether the kernel copied the bytes after all (IORING_NOTIF_USAGE_ZC_COPIED). It always does on
    /// loopback, and then a zero-copy send costs more than a plain one.
    #[inline]
    pub const fn was_copied(&self) -> bool {
        self.result as u32 & (1 << 31) != 0
    }

    /// The provided buffer that the kernel used, if any.
    #[inline]
    pub const fn buffer_id(&self) -> Option<u16> {
        if self.flags & FLAG_BUFFER != 0 { Some((self.flags >> BUFFER_ID_SHIFT) as u16) } else { None }
    }

    /// Whether the kernel goes on filling the same provided buffer.
    #[inline]
    pub const fn buffer_more(&self) -> bool {
        self.flags & FLAG_BUFFER_MORE != 0
    }

    /// Whether bytes were received, and both the operation and the kernel's filling of the same provided buffer go on.
    #[inline]
    pub const fn goes_on_receiving(&self) -> bool {
        const ALL: u32 = FLAG_MORE | FLAG_BUFFER | FLAG_BUFFER_MORE;
        self.flags & ALL == ALL && self.result > 0
    }

    /// The result as bytes done, or the error it stands for.
    #[inline]
    pub fn outcome(&self) -> std::io::Result<u32> {
        u32::try_from(self.result).map_err(|_| std::io::Error::from_raw_os_error(-self.result))
    }
}
