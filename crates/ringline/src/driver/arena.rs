//! Slabs for bytes that a host copies for keeps, such as the payloads of datagrams.
//!
//! They follow the same rules as slabs that the kernel receives into: written once from start to end, counted by chunks
//! and handles, and used again only when nobody needs them. The arena belongs to one worker.

use ringline_ring::Doorbell;

use super::SLAB_BYTES;
use super::slab_handle::SlabHandle;
use super::slabs::{Chunk, Slabs, Traffic};

/// Slabs that bytes are copied into, one after the other.
pub struct Arena {
    slabs: Slabs,
    filling: Option<u32>,
}

/// Where bytes were stored.
#[derive(Debug)]
pub struct Stored {
    /// The bytes. To be given back with [`Arena::release`].
    pub chunk: Chunk,
    /// A slab that was too full for them and is not written any more. Its chunks stay valid.
    pub retired: Option<u32>,
}

impl Arena {
    /// An arena that has no memory yet. `bell` is rung when many of its slabs have come back from other threads.
    pub fn new(bell: Doorbell) -> Self {
        Self { slabs: Slabs::new(SLAB_BYTES, bell), filling: None }
    }

    /// Copies bytes, no more than [`SLAB_BYTES`]. None when there is no memory.
    ///
    /// # Panics
    ///
    /// When the bytes are more than a slab holds.
    #[inline]
    pub fn store(&mut self, bytes: &[u8]) -> Option<Stored> {
        let len = bytes.len() as u32;
        assert!(bytes.len() <= SLAB_BYTES as usize, "{len} bytes do not fit into a slab");
        if let Some(slab) = self.filling
            && self.slabs.room(slab) >= len
        {
            return Some(Stored { chunk: self.slabs.append(slab, bytes), retired: None });
        }
        let slab = self.slabs.take(Traffic::Messages)?;
        let retired = self.filling.replace(slab).inspect(|&full| self.slabs.retire(full));
        Some(Stored { chunk: self.slabs.append(slab, bytes), retired })
    }

    /// Takes a chunk back.
    #[inline]
    pub fn release(&mut self, chunk: Chunk) {
        self.slabs.release(chunk);
    }

    /// A handle that keeps the slab of a chunk readable on any thread.
    pub fn share(&self, chunk: &Chunk) -> SlabHandle {
        self.slabs.share(chunk)
    }

    /// Gives the pages of slabs back to the system that nobody has needed since the last call. To be called from
    /// [`Host::trim`](super::Host::trim).
    pub fn trim(&mut self) {
        self.slabs.trim();
    }

    /// Whether many slabs are free, those included that have come back from other threads:
    /// [`Driver::trim_later`](super::Driver::trim_later) is worth calling.
    #[inline]
    pub fn wants_trim(&mut self) -> bool {
        self.slabs.collect_returned();
        self.slabs.wants_trim()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_lie_side_by_side_until_a_slab_is_full() {
        let mut arena = Arena::new(Doorbell::new().unwrap());
        let first = arena.store(&[1; 60_000]).unwrap();
        let second = arena.store(&[2; 5536]).unwrap();
        assert_eq!((first.chunk.slab(), second.chunk.offset()), (second.chunk.slab(), 60_000));
        assert!(first.retired.is_none() && second.retired.is_none());
        assert_eq!(arena.slabs.bytes(&second.chunk), [2; 5536]);
        let third = arena.store(&[]).unwrap();
        assert_eq!((third.chunk.slab(), third.retired), (first.chunk.slab(), None), "nothing always fits");
        let fourth = arena.store(&[3]).unwrap();
        assert_eq!(fourth.retired, Some(first.chunk.slab()));
        for stored in [first, second, third, fourth] {
            arena.release(stored.chunk);
        }
    }

    #[test]
    fn a_slab_is_written_again_only_when_its_chunks_and_handles_are_gone() {
        let mut arena = Arena::new(Doorbell::new().unwrap());
        let kept = arena.store(&[7; SLAB_BYTES as usize]).unwrap().chunk;
        let handle = arena.share(&kept);
        let slab = kept.slab();
        for _ in 0..4 {
            let stored = arena.store(&[8; SLAB_BYTES as usize]).unwrap();
            assert_ne!(stored.chunk.slab(), slab);
            arena.release(stored.chunk);
        }
        arena.release(kept);
        let stored = arena.store(&[9; SLAB_BYTES as usize]).unwrap();
        assert_ne!(stored.chunk.slab(), slab, "the handle keeps it");
        arena.release(stored.chunk);
        drop(handle);
        let taken: Vec<u32> = (0..4).map(|_| arena.store(&[1; SLAB_BYTES as usize]).unwrap().chunk.slab()).collect();
        assert!(taken.contains(&slab), "{taken:?}");
    }
}
