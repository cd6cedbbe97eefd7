//! Which links a rank has reported already: those of a site's navigation stand on every page,
//! and rank 0 needs to hear of each of them once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use xxhash_rust::xxh3::xxh3_64;

/// Places in the table: 8 MiB.
const PLACES: usize = 1 << 20;

/// Fingerprints of addresses, each at the one place where it can stand: the last of those that
/// fall on a place is remembered.
///
/// **Invariant:** an address that was not reported is never taken for one that was, but for
/// a collision of 64 bits with the one in its place: one in 2^64.
#[derive(Debug)]
pub(super) struct Reported(Box<[AtomicU64]>);

impl Default for Reported {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Reported {
    /// Notes that an address is reported now; false where it is remembered. Two threads may both
    /// hear true of one address.
    pub(super) fn is_new(&self, url: &str) -> bool {
        let fingerprint = xxh3_64(url.as_bytes()).max(1);
        let place = (fingerprint >> 20) as usize % PLACES;
        self.0[place].swap(fingerprint, Relaxed) != fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reported_is_remembered_for_a_while() {
        let reported = Reported::default();
        assert!(reported.is_new("http://h/a") && reported.is_new("http://h/b"));
        assert!(!reported.is_new("http://h/a") && !reported.is_new("http://h/b"));
        let n_known = (0..3_000_000).filter(|n| !reported.is_new(&format!("http://h/{n}"))).count();
        assert_eq!(n_known, 0, "one that is forgotten is reported again; none is left out");
    }
}
