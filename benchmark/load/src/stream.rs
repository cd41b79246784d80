//! The bytes that go out and must come back.
//!
//! One block of random bytes repeats for ever, and each connection sends it from a starting point of its own. Any byte
//! lost, doubled, swapped or delivered to another connection shifts a stream against what is expected of it, and random
//! bytes do not match when shifted. The block never changes and lives as long as the process: sends name it directly
//! and verification is one comparison of memory, so the load copies nothing.

/// The longest run of bytes that can be named at once.
pub(crate) const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// Stays in the second-level cache. A prime, so that no power-of-two block of it repeats at a power-of-two distance.
pub(crate) const SHORT_PERIOD_BYTES: usize = 65_521;

/// A prime near 16 MiB.
pub(crate) const LONG_PERIOD_BYTES: usize = 16_777_213;

/// The repeating block. Cheap to copy: it refers to memory that is never freed.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    /// One period and then its beginning again, so that every chunk is contiguous.
    bytes: &'static [u8],
    period: usize,
}

/// A place in the stream.
#[derive(Clone, Copy)]
pub(crate) struct Cursor(usize);

impl Stream {
    pub(crate) fn new(period: usize) -> Self {
        let mut random = Random::new(0x7269_6e67);
        let mut bytes = Vec::with_capacity(period + CHUNK_BYTES_MAX + 8);
        while bytes.len() < period {
            bytes.extend_from_slice(&random.next().to_le_bytes());
        }
        bytes.truncate(period);
        while bytes.len() < period + CHUNK_BYTES_MAX {
            let missing = period + CHUNK_BYTES_MAX - bytes.len();
            bytes.extend_from_within(..missing.min(period));
        }
        Stream { bytes: Vec::leak(bytes), period }
    }

    /// Where connection `id` starts; no two of the first `period` connections start at the same place.
    pub(crate) fn start(self, id: usize) -> Cursor {
        // The multiplier is prime to both periods (they are prime themselves), so the starting points are a permutation.
        Cursor(id.wrapping_mul(40_503) % self.period)
    }

    /// The `length` bytes from `cursor` on.
    pub(crate) fn at(self, cursor: Cursor, length: usize) -> &'static [u8] {
        &self.bytes[cursor.0..cursor.0 + length]
    }

    /// The place `length` bytes after `cursor`.
    pub(crate) fn after(self, cursor: Cursor, length: usize) -> Cursor {
        let mut place = cursor.0 + length;
        while place >= self.period {
            place -= self.period;
        }
        Cursor(place)
    }
}

/// SplitMix64: small, seedable, and good enough to fill a block and to choose sizes.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_repeats_across_the_end_of_its_period() {
        let stream = Stream::new(1009);
        let end = stream.after(Cursor(0), 1000);
        let across = stream.at(end, 2018);
        assert_eq!(&across[9..1018], stream.at(Cursor(0), 1009));
        assert_eq!(stream.at(stream.after(end, 2018), 100), &across[..100]);
    }

    #[test]
    fn connections_start_at_places_of_their_own() {
        let stream = Stream::new(SHORT_PERIOD_BYTES);
        let starts: std::collections::HashSet<_> = (0..30_000).map(|id| stream.start(id).0).collect();
        assert_eq!(starts.len(), 30_000);
    }
}
