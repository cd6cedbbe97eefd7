//! Sets of fingerprints: the URLs seen, and the digests of bodies.
//!
//! A URL is kept as 74 bits of its XXH3-128 under a seed drawn for this run (who writes pages
//! cannot aim at a collision) and six of its depth. Two of n URLs share the 74 with a probability
//! of about n² / 2^75: 3 * 10^-7 at 10^8 URLs, 3 * 10^-5 at 10^9; the second of them would be
//! taken for known.
//!
//! **Invariant:** at most 16 bytes of memory a URL, from a thousand on: open addressing with
//! linear probing in 32 shards, each filled to between 71 and 85 %. Entries stand in the order of
//! their keys (Amble and Knuth, *Ordered hash tables*, 1974), so that a search for a key that is
//! not there ends at the first greater one, and growing copies from front to back.

use std::cmp::Ordering;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::hint::black_box;

use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

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
    table: Table<KEY, { !DEPTH }>,
    seed: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { table: Table::default(), seed: draw_seed() }
    }
}

/// A seed of hashes that nobody outside this process knows.
pub(super) fn draw_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A URL that was seen before.
#[derive(Debug)]
pub struct Known<'a>(&'a mut u8);

/// The low bits of a key's last byte.
const DEPTH: u8 = 0x3f;

impl Known<'_> {
    /// The depth that it was seen at; from 63 on 63.
    pub fn depth(&self) -> u32 {
        u32::from(*self.0 & DEPTH)
    }

    /// Notes another depth.
    pub fn set_depth(&mut self, depth: u32) {
        *self.0 = (*self.0 & !DEPTH) | depth_bits(depth);
    }
}

fn depth_bits(depth: u32) -> u8 {
    u8::try_from(depth).unwrap_or(DEPTH).min(DEPTH)
}

impl Seen {
    /// Adds a URL with its depth; `None` if it is new.
    pub fn insert(&mut self, url: &str, depth: u32) -> Option<Known<'_>> {
        let mut key = self.key(url);
        key[KEY - 1] = (key[KEY - 1] & !DEPTH) | depth_bits(depth);
        let (entry, is_new) = self.table.insert(key, &[]);
        (!is_new).then(|| Known(&mut entry[KEY - 1]))
    }

    /// Reads where URLs have their places: many reads at once wait for memory hardly longer than
    /// one does.
    pub(super) fn prefetch<'a>(&self, urls: impl Iterator<Item = &'a str>) {
        let keys: Vec<Key> = urls.map(|url| self.key(url)).collect();
        black_box(keys.iter().fold(0, |sum, &key| sum ^ self.table.first(key)));
    }

    fn key(&self, url: &str) -> Key {
        key(xxh3_128_with_seed(url.as_bytes(), self.seed))
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

/// The first page of each body digest: 80 bits of a hash of the digest and 40 of the page's number.
#[derive(Debug, Default)]
pub(super) struct Digests(Table<{ KEY + ID }, 0xff>);

impl Digests {
    /// Adds a page's digest; the page that had it before.
    pub(super) fn insert(&mut self, digest: u128, page: u64) -> Option<u64> {
        let bytes = page.to_le_bytes();
        let hash = xxh3_128(&digest.to_le_bytes());
        let (entry, is_new) = self.0.insert(key(hash), &bytes[..ID]);
        let mut first = [0; 8];
        first[..ID].copy_from_slice(&entry[KEY..]);
        (!is_new).then(|| u64::from_le_bytes(first))
    }

    pub(super) fn memory(&self) -> usize {
        self.0.memory()
    }
}

type Key = [u8; KEY];

fn key(hash: u128) -> Key {
    let mut key = [0; KEY];
    key.copy_from_slice(&hash.to_be_bytes()[..KEY]);
    key[0] |= u8::from(key[..KEY - 1] == [0; KEY - 1]); // zeros mark an empty place
    key
}

/// Entries of `N` bytes, of which the first ten are the key, and of its last byte the bits in
/// `LAST`.
#[derive(Debug)]
struct Table<const N: usize, const LAST: u8> {
    shards: Vec<Shard<N, LAST>>,
    len: u64,
}

#[derive(Debug)]
struct Shard<const N: usize, const LAST: u8> {
    /// As many as keys have homes, and behind them what found no room there.
    places: Vec<[u8; N]>,
    n_homes: usize,
    len: usize,
}

impl<const N: usize, const LAST: u8> Default for Table<N, LAST> {
    fn default() -> Self {
        let shards =
            (0..SHARDS).map(|_| Shard { places: Vec::new(), n_homes: 0, len: 0 }).collect();
        Self { shards, len: 0 }
    }
}

impl<const N: usize, const LAST: u8> Table<N, LAST> {
    /// The entry of a key, and whether it is new, with this `rest`.
    fn insert(&mut self, key: Key, rest: &[u8]) -> (&mut [u8; N], bool) {
        let shard = &mut self.shards[usize::from(key[KEY - 2]) % SHARDS];
        let (entry, is_new) = shard.insert(key, rest);
        self.len += u64::from(is_new);
        (entry, is_new)
    }

    /// A byte of where a search for a key begins, and some of what it and a move go on to.
    fn first(&self, key: Key) -> u8 {
        const LINE: usize = 64;
        let shard = &self.shards[usize::from(key[KEY - 2]) % SHARDS];
        let home = home(halves(key).0, shard.n_homes);
        let byte =
            |line: usize| shard.places.get(home + line * LINE / N).map_or(0, |entry| entry[0]);
        byte(0) ^ byte(1) ^ byte(2)
    }

    fn memory(&self) -> usize {
        let places: usize = self.shards.iter().map(|shard| shard.places.capacity() * N).sum();
        places + SHARDS * size_of::<Shard<N, LAST>>()
    }
}

impl<const N: usize, const LAST: u8> Shard<N, LAST> {
    fn insert(&mut self, key: Key, rest: &[u8]) -> (&mut [u8; N], bool) {
        if self.len * FULLEST.1 >= self.n_homes * FULLEST.0 {
            self.grow();
        }
        let (place, is_new) = self.find(key);
        if is_new {
            self.make_room(place);
            let entry = &mut self.places[place];
            entry[..KEY].copy_from_slice(&key);
            entry[KEY..].copy_from_slice(rest);
            self.len += 1;
        }
        (&mut self.places[place], is_new)
    }

    /// Where a key is, or belongs, and whether it is new.
    fn find(&self, key: Key) -> (usize, bool) {
        let mask = u16::from_le_bytes([0xff, LAST]);
        let (high, low) = halves(key);
        let mut place = home(high, self.n_homes);
        while let Some(entry) = self.places.get(place) {
            if is_empty(entry) {
                break;
            }
            let (high_there, low_there) = first_halves(entry);
            match (high_there, low_there & mask).cmp(&(high, low & mask)) {
                Ordering::Less => place += 1,
                Ordering::Equal => return (place, false),
                Ordering::Greater => break,
            }
        }
        (place, true)
    }

    /// Moves what is at a place and behind it by one, up to the next empty place.
    fn make_room(&mut self, place: usize) {
        let empty = self.places[place..].iter().position(is_empty);
        let empty = empty.map_or(self.places.len(), |at| place + at);
        if empty == self.places.len() {
            push(&mut self.places, [0; N]);
        }
        self.places.copy_within(place..empty, place + 1);
    }

    fn grow(&mut self) {
        self.n_homes = (self.n_homes * GROWTH.0).div_ceil(GROWTH.1).max(SMALLEST);
        let mut places = vec![[0; N]; self.n_homes];
        let mut free = 0;
        for entry in &self.places {
            if !is_empty(entry) {
                let (high, _) = first_halves(entry);
                let place = home(high, self.n_homes).max(free);
                if place == places.len() {
                    push(&mut places, *entry);
                } else {
                    places[place] = *entry;
                }
                free = place + 1;
            }
        }
        self.places = places;
    }
}

/// Adds a place behind all others, with room for few more: a vector's own growth would double it.
fn push<const N: usize>(places: &mut Vec<[u8; N]>, entry: [u8; N]) {
    if places.len() == places.capacity() {
        places.reserve_exact(places.len() / 64 + 1);
    }
    places.push(entry);
}

/// Whether a place has no entry: no key begins so.
fn is_empty<const N: usize>(entry: &[u8; N]) -> bool {
    entry[..KEY - 1] == [0; KEY - 1]
}

/// Eight bytes, by which keys are placed, and two.
fn halves(key: Key) -> (u64, u16) {
    let (high, low) = key.split_at(8);
    let high = high.try_into().map(u64::from_be_bytes).expect("eight bytes");
    (high, low.try_into().map(u16::from_le_bytes).expect("two bytes"))
}

fn first_halves<const N: usize>(entry: &[u8; N]) -> (u64, u16) {
    let mut key = [0; KEY];
    key.copy_from_slice(&entry[..KEY]);
    halves(key)
}

/// Where the search for a key begins in a shard of `size`.
#[allow(clippy::cast_possible_truncation, reason = "below `size`")]
fn home(high: u64, size: usize) -> usize {
    ((u128::from(high) * size as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_new_once() {
        let mut seen = Seen::default();
        let url = |n: u32| format!("http://host{}.example/page/{n}", n % 7);
        for n in 0..20_000 {
            assert!(seen.insert(&url(n), n % 80).is_none(), "{n}");
            let known = seen.insert(&url(n / 2), 1).expect("it was added");
            assert_eq!(known.depth(), (n / 2 % 80).min(63));
        }
        seen.insert(&url(5), 0).unwrap().set_depth(2);
        assert_eq!(seen.insert(&url(5), 9).unwrap().depth(), 2);
        assert_eq!(seen.len(), 20_000);
    }

    #[test]
    fn a_url_costs_16_bytes_at_most() {
        let mut seen = Seen::default();
        for n in 0..300_000_u64 {
            seen.insert(&n.to_string(), 0);
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
