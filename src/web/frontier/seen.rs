//! Sets of fingerprints: the URLs seen, and the digests of bodies.
//!
//! A URL is kept as 80 bits of its XXH3-128 under a seed drawn for this run (who writes pages
//! cannot aim at a collision). Two of n URLs share one with a probability of about n² / 2^81:
//! 4 * 10^-9 at 10^8 URLs, 4 * 10^-7 at 10^9; the second of them would be taken for known.
//!
//! **Invariant:** at most 16 bytes of memory a URL, from a thousand on: open addressing with
//! linear probing in 32 shards, each filled to between 71 and 85 %. An entry's place follows
//! from its high bits in order, so that growing copies from front to back.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use xxhash_rust::xxh3::xxh3_128_with_seed;

const SHARDS: usize = 32;
/// Filled up to 17/20.
const FULLEST: (usize, usize) = (17, 20);
/// A shard grows to 6/5 of its size.
const GROWTH: (usize, usize) = (6, 5);
const KEY: usize = 10;
const SMALLEST: usize = 8;

/// The URLs seen.
#[derive(Debug)]
pub struct Seen {
    table: Table<KEY>,
    seed: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { table: Table::default(), seed: RandomState::new().build_hasher().finish() }
    }
}

impl Seen {
    /// Adds a URL; whether it is new.
    pub fn insert(&mut self, url: &str) -> bool {
        let hash = xxh3_128_with_seed(url.as_bytes(), self.seed);
        self.table.insert(key(hash), &[]).is_none()
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.table.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.len == 0
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.table.memory()
    }
}

const ID: usize = 5;

/// The first page of each body digest: 80 bits of the digest and 40 of the page's number.
#[derive(Debug, Default)]
pub(super) struct Digests(Table<{ KEY + ID }>);

impl Digests {
    /// Adds a page's digest; the page that had it before.
    pub(super) fn insert(&mut self, digest: u128, page: u64) -> Option<u64> {
        let id = page.to_le_bytes();
        let found = self.0.insert(key(digest), &id[..ID])?;
        let mut id = [0; 8];
        id[..ID].copy_from_slice(&found[KEY..]);
        Some(u64::from_le_bytes(id))
    }

    pub(super) fn memory(&self) -> usize {
        self.0.memory()
    }
}

fn key(hash: u128) -> [u8; KEY] {
    let mut key = [0; KEY];
    key.copy_from_slice(&hash.to_be_bytes()[..KEY]);
    if key == [0; KEY] {
        key[KEY - 1] = 1; // zeros mark an empty place
    }
    key
}

/// Entries of `N` bytes, of which the first ten are the key.
#[derive(Debug)]
struct Table<const N: usize> {
    shards: Vec<Shard<N>>,
    len: u64,
}

#[derive(Debug)]
struct Shard<const N: usize> {
    places: Vec<[u8; N]>,
    len: usize,
}

impl<const N: usize> Default for Table<N> {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Shard { places: Vec::new(), len: 0 }).collect();
        Self { shards, len: 0 }
    }
}

impl<const N: usize> Table<N> {
    fn insert(&mut self, key: [u8; KEY], rest: &[u8]) -> Option<[u8; N]> {
        let found = self.shards[usize::from(key[0]) % SHARDS].insert(key, rest);
        self.len += u64::from(found.is_none());
        found
    }

    fn memory(&self) -> usize {
        let places: usize = self.shards.iter().map(|shard| shard.places.capacity() * N).sum();
        places + SHARDS * size_of::<Shard<N>>()
    }
}

impl<const N: usize> Shard<N> {
    fn insert(&mut self, key: [u8; KEY], rest: &[u8]) -> Option<[u8; N]> {
        if self.len * FULLEST.1 >= self.places.len() * FULLEST.0 {
            self.grow();
        }
        let place = self.find(&key);
        let found = self.places[place];
        if found[..KEY] == key {
            return Some(found);
        }
        self.places[place][..KEY].copy_from_slice(&key);
        self.places[place][KEY..].copy_from_slice(rest);
        self.len += 1;
        None
    }

    /// Where a key is, or the empty place where it belongs.
    fn find(&self, key: &[u8; KEY]) -> usize {
        let mut place = home(key, self.places.len());
        loop {
            let there = &self.places[place][..KEY];
            if there == key || there == [0; KEY] {
                return place;
            }
            place += 1;
            if place == self.places.len() {
                place = 0;
            }
        }
    }

    fn grow(&mut self) {
        let size = (self.places.len() * GROWTH.0).div_ceil(GROWTH.1).max(SMALLEST);
        let mut places = Vec::with_capacity(size);
        places.resize(size, [0; N]);
        let old = std::mem::replace(&mut self.places, places);
        for entry in old {
            if entry[..KEY] != [0; KEY] {
                let mut key = [0; KEY];
                key.copy_from_slice(&entry[..KEY]);
                let place = self.find(&key);
                self.places[place] = entry;
            }
        }
    }
}

/// The place of a key in a shard of `size`, in the order of its second to ninth byte (the first
/// chose the shard).
#[allow(clippy::cast_possible_truncation, reason = "below `size`")]
fn home(key: &[u8; KEY], size: usize) -> usize {
    let mut high = [0; 8];
    high.copy_from_slice(&key[1..9]);
    ((u128::from(u64::from_be_bytes(high)) * size as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_new_once() {
        let mut seen = Seen::default();
        let url = |n: u32| format!("http://host{}.example/page/{n}", n % 7);
        for n in 0..20_000 {
            assert!(seen.insert(&url(n)), "{n}");
            assert!(!seen.insert(&url(n / 2)), "{n}");
        }
        assert_eq!(seen.len(), 20_000);
    }

    #[test]
    fn a_url_costs_16_bytes_at_most() {
        let mut seen = Seen::default();
        for n in 0..300_000_u64 {
            seen.insert(&n.to_string());
            if n >= 1000 {
                let each = seen.memory() as f64 / seen.len() as f64;
                assert!(each <= 16.0, "{each} bytes each of {n}");
            }
        }
    }

    #[test]
    fn a_digest_names_its_first_page() {
        let mut digests = Digests::default();
        for n in 1..5000_u64 {
            let digest = u128::from(n % 1000) << 100;
            let first = (n >= 1000).then_some(if n % 1000 == 0 { 1000 } else { n % 1000 });
            let expected = if n == 1000 { None } else { first };
            assert_eq!(digests.insert(digest, n), expected, "{n}");
        }
    }
}
