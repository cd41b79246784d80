//! The sizes and switches that a driver is made with, already validated.

use ringline_ring::SocketOptions;

/// How a [`Driver`](super::Driver) is set up.
#[derive(Clone, Debug)]
pub struct DriverSettings {
    /// Connections at a time, inbound and outbound together.
    pub max_connections: u32,
    /// UDP sockets. They take buffer group `receive_group + 1`.
    pub udp_sockets_max: u32,
    /// Buffers of the provided-buffer ring; a power of two, at most 32,768.
    pub receive_entries: u16,
    /// Bytes of each.
    pub receive_buffer_size: u32,
    /// Buffer group identifier.
    pub receive_group: u16,
    /// Whether the host holds received memory for long, so that small buffers must not be handed out themselves.
    pub receive_for_keeps: bool,
    /// Send slots.
    pub send_slots: u32,
    /// Bytes of each.
    pub send_slot_size: u32,
    /// Guards that may be queued or in flight.
    pub guards_max: u32,
    /// A guarded send below this many bytes is copied, because zero-copy does not pay; 0 = always zero-copy.
    pub zero_copy_threshold: u32,
    /// Submissions of a chain at most; 0 = no chains. No more than [`CHAIN_LINKS_MAX`](super::CHAIN_LINKS_MAX), nor than fit
    /// into the submission queue.
    pub chain_links_max: u32,
    /// Settings of the sockets.
    pub sockets: SocketOptions,
    /// What the worker may have of files and NVMe devices.
    pub disk: DiskLimits,
    /// While a large batch of completions is processed, return to the host at least this often, in nanoseconds; 0 = only
    /// when the batch is done.
    pub flush_interval_ns: u64,
}

impl DriverSettings {
    /// Entries that the kernel's file table must have: one per connection, the listener, one per UDP socket, one per file
    /// and NVMe device.
    pub const fn fixed_files(&self) -> u32 {
        self.first_disk_file() + self.disk.files_max + self.disk.devices_max
    }

    /// The first entry of the file table that is a file's; those of devices follow.
    pub(super) const fn first_disk_file(&self) -> u32 {
        self.max_connections + 1 + self.udp_sockets_max
    }
}

/// How many files and NVMe devices a worker may have open, and how much may be in flight on them. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskLimits {
    /// Files open at a time, those that are being opened or closed included; 0 when files are not enabled.
    pub files_max: u32,
    /// Operations in flight on files.
    pub file_operations_max: u32,
    /// NVMe devices open at a time; 0 when NVMe is not enabled. The ring must have been made for it.
    pub devices_max: u32,
    /// NVMe commands in flight.
    pub commands_max: u32,
    /// How long a worker with few operations in flight waits awake before it sleeps, in nanoseconds; 0 = not at all.
    pub busy_poll_ns: u64,
}
