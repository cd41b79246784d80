//! Free slabs of one size, and the mappings that new ones are cut from.
//!
//! A stock knows slabs by number; who uses one is the business of `slabs.rs`. Slabs for bulk are cut from huge pages, which
//! are resident as a whole or not at all, so memory goes back to the system by whole mappings.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ringline_ring::{HUGE_PAGE_BYTES, Region, page_size};

/// Bytes of free slabs that keep their pages.
const FREE_BYTES_KEPT: usize = 4 * 1024 * 1024;

/// The memory of one slab, in a mapping that it may share with others.
#[derive(Clone)]
pub(super) struct Span {
    mapping: Arc<Region>,
    offset: usize,
    len: usize,
}

impl Span {
    /// The first byte. The pointer may be used for the whole span while it, or a clone of it, lives.
    #[inline]
    pub(super) fn as_ptr(&self) -> *mut u8 {
        self.mapping.as_ptr().wrapping_add(self.offset)
    }

    /// Number of bytes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// The free slabs of one size.
pub(super) struct Stock {
    slab_size: usize,
    /// From one slab of a mapping to the next.
    stride: usize,
    mapping_bytes: usize,
    huge: bool,
    /// What the next slabs are cut from, and how much of it is cut.
    uncut: Option<(Arc<Region>, usize)>,
    /// The one used last is at the end and taken first, so those at the start are used only under load.
    free: Vec<u32>,
    /// So many at the start of `free` have given their pages back to the system.
    cold: usize,
    /// The fewest free slabs since the last trim.
    fewest_free: usize,
    /// So many free slabs with pages are no reason to trim.
    kept: usize,
}

impl Stock {
    /// A stock of slabs with a mapping of their own each.
    pub(super) fn new(slab_size: u32) -> Self {
        let slab_size = slab_size as usize;
        let stride = slab_size.next_multiple_of(page_size());
        Self::cut_from(slab_size, stride, stride, false)
    }

    /// A stock of slabs in huge pages.
    pub(super) fn huge(slab_size: u32) -> Self {
        let slab_size = slab_size as usize;
        let stride = slab_size.next_multiple_of(page_size());
        Self::cut_from(slab_size, stride, stride.next_multiple_of(HUGE_PAGE_BYTES), true)
    }

    fn cut_from(slab_size: usize, stride: usize, mapping_bytes: usize, huge: bool) -> Self {
        Self {
            slab_size,
            stride,
            mapping_bytes,
            huge,
            uncut: None,
            free: Vec::new(),
            cold: 0,
            fewest_free: 0,
            kept: FREE_BYTES_KEPT / slab_size,
        }
    }

    /// Bytes of each slab.
    #[inline]
    pub(super) fn slab_size(&self) -> u32 {
        self.slab_size as u32
    }

    /// Whether no slab is free.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    /// Takes the slab that was used last.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<u32> {
        let number = self.free.pop()?;
        self.cold = self.cold.min(self.free.len());
        self.fewest_free = self.fewest_free.min(self.free.len());
        Some(number)
    }

    /// Nobody uses the slab any more.
    #[inline]
    pub(super) fn push(&mut self, number: u32) {
        self.free.push(number);
    }

    /// Memory for one more slab. None when there is none.
    pub(super) fn grow(&mut self) -> Option<Span> {
        let (mapping, cut) = match self.uncut.take() {
            Some(uncut) => uncut,
            None => (Arc::new(self.map()?), 0),
        };
        let rest = cut + self.stride;
        if rest + self.stride <= self.mapping_bytes {
            self.uncut = Some((Arc::clone(&mapping), rest));
        }
        Some(Span { mapping, offset: cut, len: self.slab_size })
    }

    fn map(&self) -> Option<Region> {
        if self.huge { Region::huge(self.mapping_bytes).ok() } else { Region::new(self.mapping_bytes).ok() }
    }

    /// Whether so many slabs are free that [`trim`](Self::trim) should look at them in a while.
    #[inline]
    pub(super) fn wants_trim(&self) -> bool {
        self.free.len() - self.cold > self.kept
    }

    /// Gives the pages of slabs back that have not been needed since the last trim, but for a stock: of whole mappings only.
    pub(super) fn trim<'a>(&mut self, span: impl Fn(u32) -> &'a Span) {
        let kept = FREE_BYTES_KEPT / self.slab_size;
        let unneeded = self.fewest_free.min(self.free.len()).saturating_sub(kept).max(self.cold);
        // Of each mapping, how many slabs are free, and whether any of them may have pages.
        let mut mappings: HashMap<*mut u8, (usize, bool)> = HashMap::new();
        for (index, &number) in self.free.iter().enumerate() {
            let (free, warm) = mappings.entry(span(number).mapping.as_ptr()).or_default();
            *free += 1;
            *warm |= index >= self.cold;
        }
        let whole = self.mapping_bytes / self.stride;
        let mut chosen = HashSet::new();
        let (cold, warm): (Vec<u32>, Vec<u32>) = self.free.iter().partition(|&&number| {
            let mapping = span(number).mapping.as_ptr();
            if (chosen.len() + 1) * whole <= unneeded && mappings[&mapping].0 == whole {
                chosen.insert(mapping);
            }
            chosen.contains(&mapping)
        });
        for span in cold.iter().map(|&number| span(number)) {
            if span.offset == 0 && mappings[&span.mapping.as_ptr()].1 {
                // SAFETY: all slabs of the mapping are free: neither the kernel nor anybody else uses its bytes.
                unsafe { span.mapping.discard(0, span.mapping.len()) };
            }
        }
        self.cold = cold.len();
        // What shares a mapping with a slab in use is looked at again when more is free.
        self.kept = kept + unneeded - self.cold;
        self.free = [cold, warm].concat();
        self.fewest_free = self.free.len();
    }

    /// The numbers of free slabs.
    #[cfg(test)]
    pub(super) fn free(&self) -> &[u32] {
        &self.free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLAB: u32 = 512 * 1024;

    /// A stock of slabs that were all written, and their memory by number.
    fn written(count: u32) -> (Stock, Vec<Span>) {
        let mut stock = Stock::huge(SLAB);
        let spans: Vec<Span> = (0..count).map(|_| stock.grow().unwrap()).collect();
        for (number, span) in spans.iter().enumerate() {
            // SAFETY: the span is mapped, and nobody else uses it.
            unsafe { span.as_ptr().write_bytes(7, span.len()) };
            stock.push(number as u32);
        }
        (stock, spans)
    }

    fn is_discarded(span: &Span) -> bool {
        // SAFETY: the span is mapped, and nobody writes into it.
        unsafe { span.as_ptr().read() == 0 && span.as_ptr().add(span.len() - 1).read() == 0 }
    }

    #[test]
    fn slabs_of_huge_pages_share_them_without_overlapping() {
        let (_stock, spans) = written(5);
        let mut starts: Vec<usize> = spans.iter().map(|span| span.as_ptr().addr()).collect();
        starts.sort_unstable();
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= SLAB as usize));
        assert_eq!(spans[0].as_ptr().addr() % HUGE_PAGE_BYTES, 0);
        assert!(spans[1..4].iter().all(|span| Arc::ptr_eq(&span.mapping, &spans[0].mapping)));
        assert!(!Arc::ptr_eq(&spans[4].mapping, &spans[0].mapping));
    }

    /// The slabs without pages after a burst and a while in which nothing was needed.
    fn discarded_at_rest(stock: &mut Stock, spans: &[Span]) -> Vec<usize> {
        for _ in 0..2 {
            stock.trim(|number| &spans[number as usize]);
        }
        (0..spans.len()).filter(|&number| is_discarded(&spans[number])).collect()
    }

    #[test]
    fn only_mappings_that_are_free_as_a_whole_go_back_to_the_system() {
        let (mut stock, spans) = written(20);
        // Slab 5 is in use: the three others of its mapping have to wait for it.
        stock.free.retain(|&number| number != 5);
        assert_eq!(discarded_at_rest(&mut stock, &spans), [0, 1, 2, 3, 8, 9, 10, 11]);
        assert!(!stock.wants_trim(), "nothing else can be given back");
        stock.push(5);
        assert_eq!(discarded_at_rest(&mut stock, &spans), (0..12).collect::<Vec<_>>());
        assert!(!stock.wants_trim());
    }

    #[test]
    fn the_first_trim_after_a_burst_gives_nothing_back_and_wants_another() {
        let (mut stock, spans) = written(12);
        assert!(stock.wants_trim());
        stock.trim(|number| &spans[number as usize]);
        assert!(stock.wants_trim() && !spans.iter().any(is_discarded));
    }

    #[test]
    fn a_mapping_that_was_used_again_is_given_back_again() {
        let (mut stock, spans) = written(12);
        assert_eq!(discarded_at_rest(&mut stock, &spans), [0, 1, 2, 3]);
        let taken: Vec<u32> = (0..9).map(|_| stock.pop().unwrap()).collect();
        assert_eq!(taken[8], 3, "what has pages is taken first");
        // SAFETY: the span is mapped, and nobody else uses it.
        unsafe { spans[3].as_ptr().write_bytes(7, spans[3].len()) };
        taken.into_iter().rev().for_each(|number| stock.push(number));
        assert_eq!(discarded_at_rest(&mut stock, &spans), [0, 1, 2, 3]);
        assert!(!stock.wants_trim());
    }
}
