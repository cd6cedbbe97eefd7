//! A fingerprint of a page's words in which near-duplicates differ in few bits: Charikar's simhash
//! over runs of three words.
//!
//! Pages that differ in few words of many have fingerprints at a [`distance`] of at most
//! [`NEAR`]; those of pages with nothing in common are some 32 apart.

use xxhash_rust::xxh3::xxh3_64;

/// Fingerprints at most so many bits apart are of near-duplicates (Manku, Jain and Das Sarma,
/// "Detecting near-duplicates for web crawling", 2007).
pub const NEAR: u32 = 3;

/// Below so many words a fingerprint tells nothing.
const MIN_WORDS: u64 = 32;

/// Bytes of a word that count; the rest of a longer one is another word.
const MAX_WORD: usize = 64;

/// Words in a run.
const RUN: usize = 3;

/// In how many bits two fingerprints differ.
pub fn distance(one: u64, other: u64) -> u32 {
    (one ^ other).count_ones()
}

/// The fingerprint of a text that comes in pieces.
#[derive(Clone, Debug)]
pub struct Simhash {
    word: Vec<u8>,
    /// Of the last words, the newest last.
    last: [u64; RUN],
    n_words: u64,
    /// For each bit, in how many more runs it is set than not.
    counts: [i32; 64],
}

impl Default for Simhash {
    fn default() -> Self {
        Self { word: Vec::with_capacity(MAX_WORD), last: [0; RUN], n_words: 0, counts: [0; 64] }
    }
}

impl Simhash {
    /// Takes a piece of UTF-8 text; a word may go on in the next one.
    pub fn push(&mut self, text: &[u8]) {
        for &byte in text {
            // Every character beyond ASCII counts as a letter: what parts words there is text too.
            if byte.is_ascii_alphanumeric() || byte >= 0x80 {
                self.word.push(byte.to_ascii_lowercase());
                if self.word.len() == MAX_WORD {
                    self.end_word();
                }
            } else {
                self.end_word();
            }
        }
    }

    /// Ends the word, where there is one.
    pub fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        self.last.rotate_left(1);
        self.last[RUN - 1] = xxh3_64(&self.word);
        self.word.clear();
        self.n_words += 1;
        if self.n_words >= RUN as u64 {
            self.count_run();
        }
    }

    fn count_run(&mut self) {
        let run = self.last.map(u64::to_le_bytes);
        let hash = xxh3_64(run.as_flattened());
        for (bit, count) in self.counts.iter_mut().enumerate() {
            let step = if hash >> bit & 1 == 1 { 1 } else { -1 };
            *count = count.saturating_add(step);
        }
    }

    /// The fingerprint; `None` where there are fewer than 32 words.
    pub fn finish(mut self) -> Option<u64> {
        self.end_word();
        if self.n_words < MIN_WORDS {
            return None;
        }
        let set = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        Some(set.fold(0, |hash, (bit, _)| hash | 1 << bit))
    }
}

/// The fingerprint of a whole text.
pub fn simhash(text: &str) -> Option<u64> {
    let mut simhash = Simhash::default();
    simhash.push(text.as_bytes());
    simhash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text of words that depend on the seed.
    fn text(seed: u64, n_words: u64) -> String {
        let word = |n: u64| {
            let hash = xxh3_64(&(seed * 1_000_003 + n).to_le_bytes());
            format!("{:x} ", hash % 5000)
        };
        (0..n_words).map(word).collect()
    }

    #[test]
    fn near_duplicates_are_near() {
        for seed in 0..20 {
            let one = text(seed, 3000);
            let at = 7000 + one[7000..].find(' ').unwrap();
            let changed = format!("{} word{}", &one[..at], &one[at..]);
            let (a, b) = (simhash(&one).unwrap(), simhash(&changed).unwrap());
            assert!(distance(a, b) <= NEAR, "seed {seed}: {}", distance(a, b));
        }
    }

    #[test]
    fn case_punctuation_and_white_space_do_not_count() {
        let one = text(1, 500);
        let other = format!("  {}!", one.to_uppercase().replace(' ', ",\n "));
        assert_eq!(simhash(&one), simhash(&other));
    }

    #[test]
    fn different_texts_are_far() {
        let hashes: Vec<u64> = (0..100).map(|seed| simhash(&text(seed, 1000)).unwrap()).collect();
        for (idx, &one) in hashes.iter().enumerate() {
            for &other in &hashes[..idx] {
                assert!(distance(one, other) > 4 * NEAR, "{}", distance(one, other));
            }
        }
    }

    #[test]
    fn the_order_of_words_counts() {
        let one = text(3, 1000);
        let mut words: Vec<&str> = one.split(' ').collect();
        words.reverse();
        assert!(distance(simhash(&one).unwrap(), simhash(&words.join(" ")).unwrap()) > NEAR);
    }

    #[test]
    fn few_words_tell_nothing() {
        assert_eq!(simhash(""), None);
        assert_eq!(simhash(&text(1, 31)), None);
        assert!(simhash(&text(1, 32)).is_some());
    }

    #[test]
    fn pieces_make_the_same_text() {
        let whole = text(5, 200) + "größe";
        for size in [1, 3, 64, 1000] {
            let mut pieces = Simhash::default();
            whole.as_bytes().chunks(size).for_each(|piece| pieces.push(piece));
            assert_eq!(pieces.finish(), simhash(&whole), "{size}");
        }
    }
}
