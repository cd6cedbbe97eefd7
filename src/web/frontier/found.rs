//! URLs on their way into the frontier.

use std::borrow::Cow;

use anyhow::Result;

use super::journal::PageLine;
use super::queue::Entry;
use super::types::{Found, PageId};
use super::{Frontier, host};

impl Frontier {
    /// Says which URLs [`Self::found`] is told next: what it needs of memory is read for all of
    /// them at once.
    pub fn prefetch<'a>(&self, urls: impl Iterator<Item = &'a str> + Clone) {
        self.seen.prefetch(urls.clone());
        self.hosts.prefetch(urls);
    }

    /// Hears that a page (`None`: the user) named a URL, `depth` links from a seed; whether it
    /// is new. To be called before the page's own [`Self::on_page`].
    pub fn found(&mut self, found: &Found<'_>, from: Option<PageId>, depth: u32) -> Result<bool> {
        if !self.is_new(found.url, depth) {
            return self.found_nearer(found, from, depth);
        }
        let refused = self.refusal(found, depth, Some(found.pattern));
        let pattern = self.settings.max_pages_per_pattern.map(|_| format!("{:x}", found.pattern));
        let line = PageLine {
            n: self.journal.last() + 1,
            url: Cow::Borrowed(found.url),
            depth,
            from: from.map_or(0, |from| from.0),
            hops: found.hops,
            pattern: pattern.as_deref(),
            skip: refused,
            nearer: false,
        };
        self.journal.page(&line)?;
        self.totals.found(from.is_none());
        match &line.skip {
            Some(reason) => self.totals.fate(reason),
            None => self.enqueue(&line)?,
        }
        Ok(true)
    }

    /// Why a URL that was found is not to be fetched.
    pub(super) fn refusal<'a>(
        &mut self,
        found: &Found<'a>,
        depth: u32,
        pattern: Option<u64>,
    ) -> Option<Cow<'a, str>> {
        let settings = &self.settings;
        if let Some(reason) = found.refused {
            return Some(Cow::Borrowed(reason));
        }
        if host::split(found.url).is_none() {
            return Some(Cow::Borrowed("url: it names no host"));
        }
        if found.hops > settings.redirects {
            return Some(Cow::Owned(format!("redirects: more than {}", settings.redirects)));
        }
        if settings.max_depth.is_some_and(|most| depth > most) {
            return Some(Cow::Borrowed("budget: max_depth"));
        }
        let most = settings.max_pages_per_pattern?;
        let accepted = self.patterns.entry(pattern?).or_default();
        *accepted += 1;
        (*accepted > most).then_some(Cow::Borrowed("budget: max_pages_per_pattern"))
    }

    /// Queues a URL with its host.
    pub(super) fn enqueue(&mut self, line: &PageLine<'_>) -> Result<()> {
        let (key, rest) = host::split(&line.url).expect("others are refused");
        let id = self.hosts.of(key);
        let entry = Entry { page: line.n, from: line.from, hops: line.hops, rest };
        let queue = &mut self.hosts[id].queue;
        let is_first = queue.depth().is_none_or(|depth| depth > line.depth);
        queue.push(line.depth, &entry, &mut self.store);
        self.depths.add(line.depth);
        // Otherwise the host stands where it has to.
        if is_first {
            self.wake(id);
        }
        if self.store.is_full() {
            self.store.sweep(&mut self.hosts.all, |host| &mut host.queue)?;
        }
        Ok(())
    }
}
