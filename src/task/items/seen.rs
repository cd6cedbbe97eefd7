//! How often an input came before: the occurrence that tells two tasks of one content apart.
//!
//! **Invariant:** a range costs a few words however long it is, because its members are found
//! by arithmetic; only single values are kept one by one.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use xxhash_rust::xxh3::xxh3_64;

use super::NumberRange;

/// The inputs that one content group named so far: same kind, same options that matter.
///
/// The tables of one group are consumed one after the other, so that it fills as items come.
#[derive(Debug, Default)]
pub struct Seen {
    numbers: Counts,
    /// Coverage of whole ranges, by step and remainder.
    ranges: BTreeMap<u64, HashMap<u64, Coverage>>,
    texts: Counts,
    /// The smallest and the largest number named so far.
    bounds: Option<(u64, u64)>,
}

impl Seen {
    /// Names the number `n` once more and says how often it came before.
    pub fn number(&mut self, n: u64) -> u32 {
        self.bound(n, n);
        self.covered(n).saturating_add(self.numbers.add(n))
    }

    /// Names the text `t` once more and says how often it came before.
    ///
    /// Texts are told apart by a fingerprint of 64 bits: of two that share one, the second
    /// counts as a repetition, which costs nothing but a stranger occurrence.
    pub fn text(&mut self, t: &str) -> u32 {
        self.texts.add(xxh3_64(t.as_bytes()))
    }

    /// How often `n` came before, without naming it: for a member of a range in progress.
    pub fn times(&self, n: u64) -> u32 {
        self.covered(n).saturating_add(self.numbers.get(n))
    }

    /// Names every number of `range` once more: a range that is wholly handed out.
    pub fn range(&mut self, range: &NumberRange) {
        self.bound(range.first, range.last());
        if range.count <= 1 {
            self.numbers.add(range.first);
            return;
        }
        let residues = self.ranges.entry(range.step).or_default();
        let first = range.first / range.step;
        residues.entry(range.first % range.step).or_default().add(first, first + range.count);
    }

    /// Whether it is plain to see that no number from `first` to `last` was named before.
    pub fn is_free(&self, first: u64, last: u64) -> bool {
        self.bounds.is_none_or(|(smallest, largest)| last < smallest || largest < first)
    }

    fn bound(&mut self, first: u64, last: u64) {
        let (smallest, largest) = self.bounds.unwrap_or((first, last));
        self.bounds = Some((smallest.min(first), largest.max(last)));
    }

    fn covered(&self, n: u64) -> u32 {
        let times = |(step, residues): (&u64, &HashMap<u64, Coverage>)| {
            residues.get(&(n % step)).map_or(0, |coverage| coverage.times(n / step))
        };
        self.ranges.iter().map(times).fold(0, u32::saturating_add)
    }
}

/// The [`Seen`] of each content group, by a text that describes the group.
#[derive(Debug, Default)]
pub struct SeenByContent(HashMap<String, Rc<RefCell<Seen>>>);

impl SeenByContent {
    /// The group of `content`, such as `fibonacci` with its modulus; new groups start empty.
    pub fn of(&mut self, content: &str) -> Rc<RefCell<Seen>> {
        Rc::clone(self.0.entry(content.to_owned()).or_default())
    }
}

/// A step function: from each key on, up to the next one, the number of ranges that cover it.
#[derive(Debug, Default)]
struct Coverage(BTreeMap<u64, u32>);

impl Coverage {
    fn times(&self, at: u64) -> u32 {
        self.0.range(..=at).next_back().map_or(0, |(_, times)| *times)
    }

    /// Covers `from..to` once more.
    fn add(&mut self, from: u64, to: u64) {
        for edge in [from, to] {
            let times = self.times(edge);
            self.0.insert(edge, times);
        }
        for times in self.0.range_mut(from..to).map(|(_, times)| times) {
            *times = times.saturating_add(1);
        }
        for edge in [from, to] {
            self.join(edge);
        }
    }

    /// Forgets an edge without a step, so that ranges in a row stay one.
    fn join(&mut self, edge: u64) {
        let before = self.0.range(..edge).next_back().map_or(0, |(_, times)| *times);
        if self.0.get(&edge) == Some(&before) {
            self.0.remove(&edge);
        }
    }
}

/// How often each 64-bit key was added: nine bytes and some slack for a key that came once.
#[derive(Debug, Default)]
struct Counts {
    once: HashSet<u64, BuildHasherDefault<Spread>>,
    more: HashMap<u64, u32, BuildHasherDefault<Spread>>,
}

impl Counts {
    fn add(&mut self, key: u64) -> u32 {
        if self.once.insert(key) {
            return 0;
        }
        let times = self.more.entry(key).or_insert(1);
        let before = *times;
        *times = before.saturating_add(1);
        before
    }

    fn get(&self, key: u64) -> u32 {
        if self.once.contains(&key) { self.more.get(&key).copied().unwrap_or(1) } else { 0 }
    }
}

/// A hash of one `u64`: a multiplication that spreads it over all bits, because hash maps take
/// their buckets from the low ones and their tags from the high ones.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        self.write_u64(xxh3_64(bytes));
    }

    fn write_u64(&mut self, n: u64) {
        let wide = u128::from(n ^ self.0) * 0x9e37_79b9_7f4a_7c15;
        #[expect(clippy::cast_possible_truncation, reason = "the two halves are folded together")]
        let folded = (wide >> 64) as u64 ^ wide as u64;
        self.0 = folded;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
