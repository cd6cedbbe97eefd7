//! Which links a rank has reported already: those of a site's navigation stand on every page,
//! and rank 0 needs to hear of each of them once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use xxhash_rust::xxh3::xxh3_64;

/// Places in a table: 8 MiB.
const PLACES: usize = 1 << 20;

/// Remembers the links that were reported last.
#[derive(Debug, Default)]
pub(super) struct Reported {
    addresses: Fingerprints,
    /// Links by what is written (`written` of `web::links`), whose addresses need not be known.
    written: Fingerprints,
}

impl Reported {
    /// Notes that an address is reported now; false where it is remembered. Two threads may both
    /// hear true of one address.
    pub(super) fn is_new(&self, url: &str, written: Option<u64>) -> bool {
        if let Some(written) = written {
            self.written.put(written);
        }
        self.addresses.put(xxh3_64(url.as_bytes()))
    }

    /// Whether a link's address is remembered to have been reported.
    pub(super) fn knows(&self, written: u64) -> bool {
        self.written.has(written)
    }
}

/// Fingerprints of 64 bits, each at the one place where it can stand: the last of those that fall
/// on a place is remembered.
///
/// **Invariant:** one that was not put there is never taken for one that was, but for
/// a collision of 64 bits with the one in its place: one in 2^64.
#[derive(Debug)]
struct Fingerprints(Box<[AtomicU64]>);

impl Default for Fingerprints {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Fingerprints {
    fn place(&self, fingerprint: u64) -> &AtomicU64 {
        &self.0[(fingerprint >> 20) as usize % PLACES]
    }

    /// Puts one; false where it is there.
    fn put(&self, fingerprint: u64) -> bool {
        let fingerprint = fingerprint.max(1);
        self.place(fingerprint).swap(fingerprint, Relaxed) != fingerprint
    }

    fn has(&self, fingerprint: u64) -> bool {
        let fingerprint = fingerprint.max(1);
        self.place(fingerprint).load(Relaxed) == fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reported_is_remembered_for_a_while() {
        let reported = Reported::default();
        let is_new = |url: &str| reported.is_new(url, None);
        assert!(is_new("http://h/a") && is_new("http://h/b"));
        assert!(!is_new("http://h/a") && !is_new("http://h/b"));
        let n_known = (0..3_000_000).filter(|n| !is_new(&format!("http://h/{n}"))).count();
        assert_eq!(n_known, 0, "one that is forgotten is reported again; none is left out");
    }

    #[test]
    fn a_link_is_known_as_it_is_written_once_its_address_is_reported() {
        let reported = Reported::default();
        assert!(!reported.knows(7) && !reported.knows(0));
        assert!(reported.is_new("http://h/a", Some(7)) && reported.knows(7));
        assert!(!reported.is_new("http://h/a", Some(8)) && reported.knows(8));
        assert!(!reported.knows(9));
    }
}
