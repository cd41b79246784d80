//! The provided-buffer ring of a worker: which slab stands behind which buffer identifier, and when to put new ones in.
//!
//! Where the kernel consumes buffers incrementally, the buffers are slabs and a chunk is a piece of one; slabs are larger
//! while pieces are. Elsewhere each receive uses up a whole buffer; a host that hands slabs out for long asks for its chunks
//! to be copied into slabs of their own, so that the small buffers go straight back to the ring.

use std::io;

use ringline_ring::{Kernel, ProvidedBuffer};

use super::slabs::{Chunk, Slabs, Traffic};

/// Bytes of a slab that the kernel consumes incrementally, and of the slabs that received bytes are copied into.
pub const SLAB_BYTES: u32 = 64 * 1024;

/// Bytes of a slab for bulk at most, so that whoever keeps a piece of it does not keep too much. What a slab costs beside its
/// bytes, such as an object of a garbage collector, is paid for all of them at once.
const BULK_SLAB_BYTES_MAX: u64 = 512 * 1024;

/// Slabs for bulk that a ring can hold at least.
const BULK_SLABS_MIN: u64 = 8;

/// Traffic is looked at after so many bytes.
const JUDGED_BYTES: u64 = SLAB_BYTES as u64;

/// It is bulk when those came in pieces that were at least so long on the average ...
const BULK_PIECE_BYTES: u64 = 3 * 1024;

/// ... and no longer when they are shorter than this.
const MESSAGE_PIECE_BYTES: u64 = 2 * 1024;

/// Bytes of slabs that the kernel has at a time, when they come back soon: it takes all of them in turn, so that all take
/// part in the working set of the cache.
const HOT_RING_BYTES: u64 = 1024 * 1024;

/// Most buffers that are handed to the kernel at a time.
const PROVIDE_BATCH_MAX: usize = 64;

/// The buffer group and what its identifiers stand for.
pub(super) struct ReceiveBuffers {
    group: u16,
    /// What every chunk that leaves this file lies in, and what the kernel writes into unless there is staging.
    slabs: Slabs,
    /// Where the kernel writes if received bytes are copied.
    staging: Option<Staging>,
    /// The slab behind each identifier that the kernel holds.
    posted: Vec<u32>,
    /// Bytes of these slabs, and how many they may be.
    posted_bytes: u64,
    posted_bytes_max: u64,
    /// How many they may be while most of what arrives is passed on by pipes, and so comes back soon.
    passing_bytes_max: u64,
    free_ids: Vec<u16>,
    arrived: Arrived,
    held_back: bool,
}

/// Small buffers, each of which a receive uses up.
struct Staging {
    buffers: Slabs,
    /// The slab that their bytes are being copied into.
    filling: Option<u32>,
}

/// What has arrived, and what it is: by the length of its pieces, and by whether pipes pass most of it on.
struct Arrived {
    bytes: u64,
    /// Pieces since it was last judged. Narrower than the bytes: the compiler would add two alike as one vector, in more steps.
    pieces: u32,
    /// So many of the bytes did pipes pass on.
    passed: u64,
    traffic: Traffic,
    passing: bool,
    /// How much of the three it was when it was last judged.
    judged: (u64, u64, u64),
    /// It is judged again at so many bytes.
    judged_next: u64,
}

impl Arrived {
    const NOTHING: Self = Self {
        bytes: 0,
        pieces: 0,
        passed: 0,
        traffic: Traffic::Messages,
        passing: false,
        judged: (0, 0, 0),
        judged_next: JUDGED_BYTES,
    };

    #[inline(always)]
    fn count(&mut self, len: u32) {
        self.bytes += u64::from(len);
        self.pieces += 1;
    }

    /// Judges what has arrived, if it suffices. It is asked where it matters, when a buffer is full.
    fn judge(&mut self) {
        if self.bytes < self.judged_next {
            return;
        }
        let least = match self.traffic {
            Traffic::Messages => BULK_PIECE_BYTES,
            Traffic::Bulk => MESSAGE_PIECE_BYTES,
        };
        let pieces = u64::from(std::mem::take(&mut self.pieces));
        let (bytes, passed) = (self.bytes - self.judged.0, self.passed - self.judged.2);
        self.traffic = if bytes / pieces >= least { Traffic::Bulk } else { Traffic::Messages };
        self.passing = passed > bytes / 2;
        self.judged = (self.bytes, self.judged.1 + pieces, self.passed);
        self.judged_next = self.bytes + JUDGED_BYTES;
    }
}

/// What became of a completed receive.
pub(super) struct Taken {
    /// The bytes; none when there were none, or when there was no memory to copy them to.
    pub(super) chunk: Option<Chunk>,
    /// A slab that will not be written any more.
    pub(super) retired: Option<u32>,
}

/// Bytes of a slab for bulk in a ring of so many bytes; none where that is too little to make huge pages of.
fn bulk_slab_size(ring_bytes: u64, slab_size: u32) -> Option<u32> {
    let size = (ring_bytes / BULK_SLABS_MIN).min(BULK_SLAB_BYTES_MAX).max(u64::from(slab_size));
    (ring_bytes >= HOT_RING_BYTES).then_some(size as u32)
}

/// Bytes that a ring of so many may hold while pipes pass on what arrives: they hold what they send for a moment only.
fn passing_bytes_max(ring_bytes: u64, slab_size: u32) -> u64 {
    ring_bytes.min(HOT_RING_BYTES.max(2 * u64::from(slab_size)))
}

impl ReceiveBuffers {
    /// Makes the buffer group: `entries` × `buffer_size` bytes in all, touched only as they are used; fewer where they are
    /// slabs that the host does not keep.
    pub(super) fn new<K: Kernel>(
        kernel: &mut K,
        group: u16,
        entries: u16,
        buffer_size: u32,
        for_keeps: bool,
    ) -> io::Result<Self> {
        let incremental = kernel.incremental_buffers();
        let (entries, size) = if incremental {
            let configured = u64::from(entries) * u64::from(buffer_size);
            let total = if for_keeps { configured } else { configured.min(HOT_RING_BYTES) };
            let size = buffer_size.max(SLAB_BYTES);
            let slabs = (total / u64::from(size)).clamp(4, u64::from(entries).max(4)) as u16;
            (slabs.next_power_of_two(), size)
        } else {
            (entries, buffer_size)
        };
        kernel.create_buffer_group(group, entries, incremental)?;
        let posted_bytes_max = u64::from(entries) * u64::from(size);
        let bulk_size = bulk_slab_size(posted_bytes_max, size.max(SLAB_BYTES));
        let staged = for_keeps && !incremental;
        let (slab_size, in_bulk) = if staged { (size.max(SLAB_BYTES), true) } else { (size, incremental) };
        let staging = staged.then(|| Staging { buffers: Slabs::new(size, kernel.doorbell()), filling: None });
        let mut this = Self {
            group,
            slabs: Slabs::with_bulk(slab_size, bulk_size.filter(|_| in_bulk), kernel.doorbell()),
            staging,
            posted: vec![u32::MAX; entries as usize],
            posted_bytes: 0,
            posted_bytes_max,
            passing_bytes_max: if incremental { passing_bytes_max(posted_bytes_max, size) } else { posted_bytes_max },
            free_ids: (0..entries).rev().collect(),
            arrived: Arrived::NOTHING,
            held_back: false,
        };
        this.replenish(kernel);
        if this.available() == 0 { Err(io::ErrorKind::OutOfMemory.into()) } else { Ok(this) }
    }

    /// The group that receives name.
    #[inline]
    pub(super) fn group(&self) -> u16 {
        self.group
    }

    /// Buffers that the kernel holds.
    #[inline]
    pub(super) fn available(&self) -> usize {
        self.posted.len() - self.free_ids.len()
    }

    /// Whether the ring could take more buffers.
    #[inline]
    pub(super) fn wants_buffers(&self) -> bool {
        !self.free_ids.is_empty() && !self.held_back && self.has_room()
    }

    /// Whether the ring may hold one more slab of what is needed now.
    #[inline]
    fn has_room(&self) -> bool {
        let most = if self.arrived.passing { self.passing_bytes_max } else { self.posted_bytes_max };
        self.posted_bytes + u64::from(self.buffers().slab_size(self.arrived.traffic)) <= most
    }

    /// A pipe has taken bytes that were received: the host does not hear of them, nor keep them.
    pub(super) fn passed_on(&mut self, len: u32) {
        self.arrived.passed += u64::from(len);
    }

    /// While held back, no buffer goes to the kernel, so that receiving stops when those it has are full.
    pub(super) fn hold_back(&mut self, hold: bool) {
        self.held_back = hold;
    }

    /// Fills the ring up again.
    pub(super) fn replenish<K: Kernel>(&mut self, kernel: &mut K) {
        let mut batch = [ProvidedBuffer { id: 0, address: std::ptr::null_mut(), len: 0 }; PROVIDE_BATCH_MAX];
        while self.wants_buffers() {
            let mut filled = 0;
            while filled < PROVIDE_BATCH_MAX && self.has_room() {
                let Some(&id) = self.free_ids.last() else { break };
                let traffic = self.arrived.traffic;
                let Some(slab) = self.buffers_mut().take(traffic) else { break };
                self.free_ids.pop();
                self.posted[id as usize] = slab;
                let len = self.buffers().size_of(slab);
                self.posted_bytes += u64::from(len);
                batch[filled] = ProvidedBuffer { id, address: self.buffers().address(slab), len };
                filled += 1;
            }
            if filled == 0 {
                return;
            }
            // SAFETY: a slab is mapped until this table is dropped, after the kernel; it is neither read beyond what
            // was received nor provided again before the kernel has retired it.
            unsafe { kernel.provide_buffers(self.group, &batch[..filled]) };
        }
    }

    /// Accounts for bytes in a buffer that the kernel goes on filling, which it does only where there is no staging.
    #[inline(always)]
    pub(super) fn take_piece(&mut self, id: u16, len: u32) -> Chunk {
        debug_assert!(self.staging.is_none(), "buffers that are staged are used up at once");
        self.arrived.count(len);
        self.slabs.fill(self.posted[id as usize], len)
    }

    /// Accounts for a completion that names a buffer.
    pub(super) fn take(&mut self, id: u16, len: u32, more: bool) -> Taken {
        if !more {
            // Without this piece: what becomes of it is not known yet.
            self.arrived.judge();
        }
        let slab = self.posted[id as usize];
        let chunk = (len > 0).then(|| self.buffers_mut().fill(slab, len));
        if len > 0 {
            self.arrived.count(len);
        }
        let mut retired = None;
        if !more {
            self.posted[id as usize] = u32::MAX;
            self.posted_bytes -= u64::from(self.buffers().size_of(slab));
            self.free_ids.push(id);
            self.buffers_mut().retire(slab);
            retired = Some(slab);
        }
        if self.staging.is_some() { self.copy_out(chunk) } else { Taken { chunk, retired } }
    }

    /// Moves a chunk out of a small buffer into a slab that may be held for long.
    fn copy_out(&mut self, chunk: Option<Chunk>) -> Taken {
        let (Some(source), Some(staging)) = (chunk, self.staging.as_mut()) else {
            return Taken { chunk: None, retired: None };
        };
        let full = staging.filling.filter(|&slab| self.slabs.room(slab) < source.len);
        if let Some(slab) = full {
            self.slabs.retire(slab);
            staging.filling = None;
        }
        staging.filling = staging.filling.or_else(|| self.slabs.take(self.arrived.traffic));
        let chunk = staging.filling.map(|slab| self.slabs.append(slab, staging.buffers.bytes(&source)));
        staging.buffers.release(source);
        Taken { chunk, retired: full }
    }

    /// Bytes that have arrived, and in how many pieces.
    pub(super) fn arrived(&self) -> (u64, u64) {
        (self.arrived.bytes, self.arrived.judged.1 + u64::from(self.arrived.pieces))
    }

    /// The slabs that chunks lie in.
    #[inline]
    pub(super) fn slabs(&self) -> &Slabs {
        &self.slabs
    }

    /// As [`slabs`](Self::slabs), to count holders.
    #[inline]
    pub(super) fn slabs_mut(&mut self) -> &mut Slabs {
        &mut self.slabs
    }

    /// What the kernel writes into.
    #[inline]
    fn buffers(&self) -> &Slabs {
        self.staging.as_ref().map_or(&self.slabs, |staging| &staging.buffers)
    }

    #[inline]
    fn buffers_mut(&mut self) -> &mut Slabs {
        self.staging.as_mut().map_or(&mut self.slabs, |staging| &mut staging.buffers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_bulk_while_its_pieces_are_large() {
        let mut arrived = Arrived::NOTHING;
        let mut after = |count, len| {
            (0..count).for_each(|_| {
                arrived.count(len);
                arrived.judge();
            });
            arrived.traffic
        };
        assert_eq!(after(3, 16_384), Traffic::Messages, "too few to tell");
        assert_eq!(after(1, 16_384), Traffic::Bulk);
        // Between the two limits it stays what it was.
        assert_eq!(after(28, 2500), Traffic::Bulk);
        assert_eq!(after(1024, 64), Traffic::Messages);
        assert_eq!(after(28, 2500), Traffic::Messages);
        assert_eq!(after(1, u32::MAX / 2), Traffic::Bulk);
    }

    #[test]
    fn traffic_is_passed_on_while_pipes_take_more_than_half_of_it() {
        let mut arrived = Arrived::NOTHING;
        let mut after = |received: u64, passed| {
            arrived.count(received as u32);
            arrived.passed += passed;
            arrived.judge();
            arrived.passing
        };
        assert!(!after(JUDGED_BYTES, JUDGED_BYTES / 2));
        assert!(after(JUDGED_BYTES, JUDGED_BYTES / 2 + 1));
        assert!(after(JUDGED_BYTES - 1, 0), "too few to tell");
        assert!(!after(1, 0));
    }

    #[test]
    fn a_ring_for_pipes_fits_the_cache_and_holds_two_slabs() {
        let kib = |ring_kib: u64, slab_kib: u32| passing_bytes_max(ring_kib << 10, slab_kib << 10) >> 10;
        assert_eq!([kib(4096, 64), kib(256, 64), kib(16_384, 2048)], [1024, 256, 4096]);
    }

    #[test]
    fn slabs_for_bulk_are_an_eighth_of_the_ring_within_limits() {
        let kib = |size: Option<u32>| size.map(|size| size / 1024);
        assert_eq!(kib(bulk_slab_size(4 << 20, SLAB_BYTES)), Some(512));
        assert_eq!(kib(bulk_slab_size(64 << 20, SLAB_BYTES)), Some(512));
        assert_eq!(kib(bulk_slab_size(HOT_RING_BYTES, SLAB_BYTES)), Some(128));
        assert_eq!(kib(bulk_slab_size(4 << 20, 1 << 20)), Some(1024));
        assert_eq!(bulk_slab_size(HOT_RING_BYTES - 1, SLAB_BYTES), None);
    }
}
