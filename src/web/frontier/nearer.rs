//! URLs that a redirect leads to after a link to them was found, one step deeper.
//!
//! Pages of one depth are fetched in any order, so that a redirect from depth 2 to a page may be
//! heard after a link to it from another page of depth 2. Its depth is 2 all the same: it gets a
//! second line in the journal and goes out with its new depth; the URL that is queued for the
//! next depth goes out no more.

use std::borrow::Cow;

use anyhow::Result;
use xxhash_rust::xxh3::xxh3_64;

use super::Frontier;
use super::journal::PageLine;
use super::types::{Fetch, Found, PageId};

impl Frontier {
    /// Adds a URL to those seen; whether it is new. Depths count only where there is a greatest
    /// one.
    pub(super) fn is_new(&mut self, url: &str, depth: u32) -> bool {
        let depth = if self.settings.max_depth.is_some() { depth } else { 0 };
        self.seen.insert(url, depth).is_none()
    }

    /// Hears that a known URL was found: where it waits for a later depth, it does not any more.
    /// Patterns' budgets depend on the order in which URLs are found anyway: no need then.
    pub(super) fn found_nearer(
        &mut self,
        found: &Found<'_>,
        from: Option<PageId>,
        depth: u32,
    ) -> Result<bool> {
        let level = self.depths.level();
        let is_barred = self.settings.max_depth.is_some_and(|most| depth <= most);
        let is_fixed = !is_barred || depth > level || self.settings.max_pages_per_pattern.is_some();
        if is_fixed || self.refusal(found, depth, None).is_some() {
            return Ok(false);
        }
        let Some(mut known) = self.seen.insert(found.url, depth) else { return Ok(false) };
        let old = known.depth();
        if old <= level {
            return Ok(false);
        }
        known.set_depth(depth);
        self.supersede(found.url, old);
        let line = PageLine {
            n: self.journal.last() + 1,
            url: Cow::Borrowed(found.url),
            depth,
            from: from.map_or(0, |from| from.0),
            hops: found.hops,
            pattern: None,
            skip: None,
            nearer: true,
        };
        self.journal.page(&line)?;
        self.enqueue(&line)?;
        Ok(true)
    }

    /// Takes back what was decided on a URL at its old depth.
    fn supersede(&mut self, url: &str, old: u32) {
        if self.settings.max_depth.is_some_and(|most| old > most) {
            self.totals.take_back("budget: max_depth");
        } else {
            self.superseded.insert(xxh3_64(url.as_bytes()), old);
        }
    }

    /// Whether a URL that comes out of a queue is there for nothing.
    pub(super) fn is_superseded(&mut self, fetch: &Fetch) -> bool {
        if self.superseded.is_empty() {
            return false;
        }
        let hash = xxh3_64(fetch.url.as_bytes());
        let is_it = self.superseded.get(&hash) == Some(&fetch.depth);
        if is_it {
            self.superseded.remove(&hash);
            self.depths.remove(fetch.depth);
        }
        is_it
    }
}
