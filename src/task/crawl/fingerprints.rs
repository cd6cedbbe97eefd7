//! A set of fingerprints that any number of threads use without a lock, and that forgets some.
//!
//! It takes as little memory as it has fingerprints: each look-up is a wait for memory, and what
//! lies close together is more often near.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Fingerprints that can stand at one place: half of what a processor fetches at once.
const WAYS: usize = 4;

/// Places at first.
const FEWEST: usize = 256;

/// The most places: 8 MiB.
const MOST: usize = 1 << 18;

/// Fingerprints of 64 bits, each at the place that its lowest bits name, where others stand too.
///
/// **Invariant:** one that was not put there is never taken for one that was, but for a collision
/// of 64 bits with one at its place.
#[derive(Debug)]
pub(super) struct Fingerprints {
    places: Box<[[AtomicU64; WAYS]]>,
    /// How many places are in use: a power of two.
    n_places: AtomicUsize,
    n_put: AtomicUsize,
    growth: Mutex<()>,
}

impl Default for Fingerprints {
    fn default() -> Self {
        Self {
            places: bytemuck::zeroed_slice_box(MOST),
            n_places: FEWEST.into(),
            n_put: AtomicUsize::default(),
            growth: Mutex::default(),
        }
    }
}

impl Fingerprints {
    fn place(&self, fingerprint: u64) -> &[AtomicU64; WAYS] {
        &self.places[at(fingerprint) & (self.n_places.load(Relaxed) - 1)]
    }

    /// Whether one is remembered.
    pub(super) fn has(&self, fingerprint: u64) -> bool {
        let fingerprint = fingerprint.max(1);
        self.place(fingerprint).iter().any(|one| one.load(Relaxed) == fingerprint)
    }

    /// Puts one; false where it is remembered. Two threads may both hear true of the same.
    pub(super) fn put(&self, fingerprint: u64) -> bool {
        if self.has(fingerprint) {
            return false;
        }
        let fingerprint = fingerprint.max(1);
        let place = self.place(fingerprint);
        let free = place.iter().find(|one| one.load(Relaxed) == 0);
        // Where there is no room, any is forgotten.
        let way = free.unwrap_or(&place[(fingerprint >> 32) as usize % WAYS]);
        way.store(fingerprint, Relaxed);
        let n_put = self.n_put.fetch_add(1, Relaxed);
        if self.is_crowded(n_put) {
            self.grow();
        }
        true
    }

    /// So full that one in forty was forgotten for want of room at its place.
    fn is_crowded(&self, n_put: usize) -> bool {
        let n_places = self.n_places.load(Relaxed);
        n_places < MOST && n_put > n_places * WAYS * 3 / 8
    }

    fn grow(&self) {
        // Who finds it growing has nothing to do.
        let Ok(_one) = self.growth.try_lock() else { return };
        if !self.is_crowded(self.n_put.load(Relaxed)) {
            return;
        }
        let n_places = self.n_places.load(Relaxed);
        // First: what others put from now on stands where it is looked for.
        self.n_places.store(2 * n_places, Relaxed);
        let (old, new) = self.places[..2 * n_places].split_at(n_places);
        for (from, to) in old.iter().flatten().zip(new.iter().flatten()) {
            let fingerprint = from.load(Relaxed);
            if at(fingerprint) & n_places != 0 {
                // Where another one has come, that one stays.
                let _ = to.compare_exchange(0, fingerprint, Relaxed, Relaxed);
                let _ = from.compare_exchange(fingerprint, 0, Relaxed, Relaxed);
            }
        }
    }
}

/// The place in a table without an end.
fn at(fingerprint: u64) -> usize {
    usize::try_from(fingerprint % MOST as u64).expect("fewer places than addresses")
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn fingerprint(n: u64) -> u64 {
        xxh3_64(&n.to_le_bytes())
    }

    #[test]
    fn those_that_were_put_are_remembered_and_no_others() {
        let set = Fingerprints::default();
        let all = 0..400_000;
        let n_new = all.clone().filter(|&n| set.put(fingerprint(n))).count();
        assert_eq!(n_new, 400_000, "one that is forgotten is put again; none is left out");
        assert_eq!(set.n_places.load(Relaxed), MOST);
        let n_left = all.filter(|&n| set.has(fingerprint(n))).count();
        assert!(n_left > 380_000, "{n_left}");
        assert!((400_000..500_000).all(|n| !set.has(fingerprint(n))));
    }

    #[test]
    fn a_full_set_forgets_some_of_the_old() {
        let set = Fingerprints::default();
        let n_new = (0..3_000_000).filter(|&n| set.put(fingerprint(n))).count();
        assert_eq!(n_new, 3_000_000);
        let n_left = (2_900_000..3_000_000).filter(|&n| set.has(fingerprint(n))).count();
        assert!(n_left > 90_000, "{n_left}");
    }

    #[test]
    fn it_grows_as_it_is_filled() {
        let set = Fingerprints::default();
        let most = FEWEST * WAYS * 3 / 8;
        for n in 0..=most as u64 {
            assert!(set.put(fingerprint(n)) && !set.put(fingerprint(n)));
        }
        assert_eq!(set.n_places.load(Relaxed), FEWEST);
        assert!(set.put(0) && set.has(0) && !set.put(0), "zero is a fingerprint like others");
        assert_eq!(set.n_places.load(Relaxed), 2 * FEWEST);
        let n_left = (0..=most as u64).filter(|&n| set.has(fingerprint(n))).count();
        assert!(n_left > most * 9 / 10, "{n_left}");
    }

    #[test]
    fn threads_that_put_at_once_leave_a_set_like_others() {
        let set = Fingerprints::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let set = &set;
                scope.spawn(move || {
                    for n in 0..50_000 {
                        assert!(set.put(fingerprint(4 * n + thread)));
                    }
                });
            }
        });
        assert!((200_000..300_000).all(|n| !set.has(fingerprint(n))));
        // What was forgotten while it grew is remembered from now on.
        let n_new = (0..200_000).filter(|&n| set.put(fingerprint(n))).count();
        let n_left = (0..200_000).filter(|&n| set.has(fingerprint(n))).count();
        assert!(n_left > 180_000, "{n_new} new, {n_left} left");
    }
}
