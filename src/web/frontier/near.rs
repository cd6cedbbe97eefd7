//! Which page of those seen so far has nearly the same words, by their fingerprints
//! ([`crate::web::simhash`]).
//!
//! Two fingerprints that differ in at most three bits agree in at least one of four blocks of
//! sixteen: those that do are compared (Manku, Jain and Das Sarma, 2007). A block is shared by
//! one in 65,536 of all, so that a look-up among a million pages compares some sixty.
//!
//! **Invariant:** some 50 bytes of memory a fingerprint, and 15 MB for the lists.

use anyhow::Result;
use rustc_hash::FxHashMap;

use super::Frontier;
use super::types::PageId;
use crate::web::simhash::{NEAR, distance};

const BLOCKS: usize = 4;
/// Fewer bits than blocks: one block at least is the same.
const _: () = assert!((NEAR as usize) < BLOCKS);

/// Fingerprints with their pages.
#[derive(Debug, Default)]
pub(super) struct NearIndex {
    prints: Vec<(u64, u64)>,
    /// Where fingerprints with this block at this place stand.
    blocks: [FxHashMap<u16, Vec<u32>>; BLOCKS],
}

impl NearIndex {
    /// The page with a fingerprint near to this one that was added first.
    pub(super) fn find(&self, print: u64) -> Option<u64> {
        let alike =
            self.blocks.iter().zip(blocks(print)).filter_map(|(map, block)| map.get(&block));
        let places = alike.flatten().map(|&place| place as usize);
        let near = places.filter(|&place| distance(self.prints[place].0, print) <= NEAR);
        near.min().map(|place| self.prints[place].1)
    }

    /// Adds a page's fingerprint; no more than 2^32 - 1 of them.
    pub(super) fn insert(&mut self, print: u64, page: u64) {
        let Ok(place) = u32::try_from(self.prints.len()) else { return };
        self.prints.push((print, page));
        for (map, block) in self.blocks.iter_mut().zip(blocks(print)) {
            map.entry(block).or_default().push(place);
        }
    }

    /// Bytes of memory, about.
    pub(super) fn memory(&self) -> usize {
        let places: usize = self.blocks.iter().flat_map(FxHashMap::values).map(Vec::capacity).sum();
        let lists: usize = self.blocks.iter().map(FxHashMap::capacity).sum();
        self.prints.capacity() * size_of::<(u64, u64)>()
            + places * size_of::<u32>()
            + lists * size_of::<(u16, Vec<u32>)>()
    }
}

impl Frontier {
    /// Hears the fingerprint of a page that is done and no duplicate; the page that had nearly the
    /// same words before.
    pub fn near(&mut self, page: PageId, print: u64) -> Result<Option<String>> {
        if let Some(first) = self.near.find(print) {
            return self.url(PageId(first)).map(Some);
        }
        self.near.insert(print, page.0);
        self.journal.simhash(page.0, print)?;
        Ok(None)
    }
}

fn blocks(print: u64) -> [u16; BLOCKS] {
    [0, 16, 32, 48].map(|shift| u16::try_from(print >> shift & 0xffff).expect("sixteen bits"))
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn print(n: u64) -> u64 {
        xxh3_64(&n.to_le_bytes())
    }

    #[test]
    fn every_fingerprint_three_bits_away_is_found_and_none_further() {
        let mut index = NearIndex::default();
        (0..20_000).for_each(|n| index.insert(print(n), n));
        for n in 0..300 {
            let flip = |bits: &[u64]| bits.iter().fold(print(n), |print, bit| print ^ 1 << bit);
            let bits: Vec<u64> = [0, 17, 34, 51].iter().map(|step| (n + step) % 64).collect();
            for n_bits in 0..=3 {
                assert_eq!(index.find(flip(&bits[..n_bits])), Some(n), "{n_bits} of {bits:?}");
            }
            assert_eq!(index.find(flip(&bits)), None, "{bits:?}");
        }
    }

    #[test]
    fn the_first_of_several_is_named() {
        let mut index = NearIndex::default();
        index.insert(0b11, 7);
        index.insert(0b00, 3);
        assert_eq!((index.find(0b01), index.find(0b1_1111)), (Some(7), Some(7)));
        assert_eq!(index.find(u64::MAX), None);
    }

    #[test]
    fn a_fingerprint_costs_few_bytes() {
        let mut index = NearIndex::default();
        (0..200_000).for_each(|n| index.insert(print(n), n));
        let lists = 15_000_000;
        let each = index.memory().saturating_sub(lists) / 200_000;
        assert!((20..=50).contains(&each), "{each}");
    }
}
