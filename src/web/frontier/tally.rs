//! What became of every URL seen, counted.
//!
//! **Invariant:** seeds + discovered = the sum of fates + open.

use std::collections::BTreeMap;

/// The URLs of a crawl, earlier runs included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// URLs that the user named, each once.
    pub seeds: u64,
    /// URLs that pages led to, each once.
    pub discovered: u64,
    /// By what became of them: `ok`, `duplicate`, `redirect`, `failed: connect`, `robots`,
    /// `budget: max_pages`, `scope`…
    pub fates: BTreeMap<String, u64>,
    /// URLs that are still to be fetched: the run ended early.
    pub open: u64,
}

impl Totals {
    pub(super) fn found(&mut self, is_seed: bool) {
        *if is_seed { &mut self.seeds } else { &mut self.discovered } += 1;
        self.open += 1;
    }

    /// An open URL has its fate, as the journal words it.
    pub(super) fn fate(&mut self, fate: &str) {
        self.open -= 1;
        let name = name(fate);
        match self.fates.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.fates.insert(name.to_owned(), 1)),
        }
    }

    /// A fate was not the last word: the URL is open again.
    pub(super) fn take_back(&mut self, fate: &str) {
        self.open += 1;
        let count = self.fates.get_mut(name(fate)).expect("it was counted");
        *count -= 1;
        if *count == 0 {
            self.fates.remove(name(fate));
        }
    }

    /// Whether the numbers add up.
    pub fn add_up(&self) -> bool {
        self.seeds + self.discovered == self.fates.values().sum::<u64>() + self.open
    }
}

/// What a fate is counted under.
pub(super) fn name(fate: &str) -> &str {
    if fate.starts_with("duplicate of ") {
        return "duplicate";
    }
    if fate.starts_with("failed: ") || fate.starts_with("budget: ") {
        return fate;
    }
    fate.split_once(':').map_or(fate, |(code, _)| code)
}

/// Whether a fate is one of this run only: the next one asks again.
pub(super) fn is_open_again(fate: &str) -> bool {
    fate.starts_with("budget: ") || fate.starts_with(ROBOTS_UNAVAILABLE)
}

/// Begins the fate of pages whose host has no robots for now.
pub(super) const ROBOTS_UNAVAILABLE: &str = "robots unavailable: ";
