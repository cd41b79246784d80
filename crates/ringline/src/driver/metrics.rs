//! Counters of one driver: plain numbers that its thread raises.

/// What a driver has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Calls into the kernel to submit and wait.
    pub enters: u64,
    /// Completions processed.
    pub completions: u64,
    /// Times that other threads woke this one.
    pub doorbells: u64,
    /// Chunks received.
    pub chunks: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Sends submitted.
    pub sends: u64,
    /// Those of them that were zero-copy sends.
    pub zero_copy_sends: u64,
    /// Zero-copy sends that the kernel copied all the same; their connections go back to plain sends.
    pub zero_copy_copied: u64,
    /// Bytes the kernel took.
    pub bytes_sent: u64,
    /// Receives that ended for want of buffers.
    pub buffer_shortages: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Accepted connections that were closed at once because every slot was taken.
    pub refused: u64,
    /// Accepts that failed.
    pub accept_errors: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams the kernel took.
    pub datagrams_sent: u64,
    /// Datagrams that could not be sent, and receives that failed.
    pub datagram_errors: u64,
    /// Reads and writes of files whose memory the kernel knew already.
    pub fixed_transfers: u64,
    /// Completions for a past owner of a slot.
    pub stale_completions: u64,
}
