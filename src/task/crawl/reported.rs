//! Which links a rank has reported already: those of a site's navigation stand on every page,
//! and rank 0 needs to hear of each of them once.

use xxhash_rust::xxh3::xxh3_64;

use super::fingerprints::Fingerprints;
use crate::web::links::Known;

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
}

impl Known for Reported {
    fn knows(&self, written: u64) -> bool {
        self.written.has(written)
    }

    /// An address in its one spelling keeps it, so what is equal to one that was reported needs not
    /// be brought into it. None is asked for that is as long as those that are reported cut.
    fn knows_address(&self, address: &str, written: u64) -> bool {
        let is_known = self.addresses.has(xxh3_64(address.as_bytes()));
        if is_known {
            self.written.put(written);
        }
        is_known
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
    }

    #[test]
    fn a_link_is_known_as_it_is_written_once_its_address_is_reported() {
        let reported = Reported::default();
        assert!(!reported.knows(7) && !reported.knows(0));
        assert!(reported.is_new("http://h/a", Some(7)) && reported.knows(7));
        assert!(!reported.is_new("http://h/a", Some(8)) && reported.knows(8));
        assert!(!reported.knows(9));
        assert!(reported.knows_address("http://h/a", 9) && reported.knows(9));
        assert!(!reported.knows_address("http://h/b", 10) && !reported.knows(10));
    }
}
