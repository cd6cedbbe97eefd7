//! Rank 0's frontier: every URL seen, those still to be fetched, and which one goes out when.
//!
//! It is told what was found ([`Frontier::found`]) and how each step ended (`on_…`), and says
//! what is to be done next ([`Frontier::next`]); others do it.
//!
//! A URL's way here: new to [`seen`], a line in the [`journal`], queued with its host
//! ([`queue`], on the disk where memory is short: [`spill`]), handed out when its host and its
//! host's address may be asked again ([`clocks`]), done with one fate, counted in [`tally`].
//! A host's way ([`host`]): its address, its robots, its pages; put aside when it fails too
//! often.
//!
//! # What holds
//!
//! - Between the end of a fetch, as it is heard, and the next one that is handed out for the same
//!   host or the same address is never less than the delay; never more than
//!   [`Settings::per_host`] are in flight for either. The delay is [`Settings::delay`], for a
//!   host also what its robots and its answers ask for. Hosts are looked up again only when their
//!   robots are, so that a host has one address at a time.
//! - A URL is handed out once an attempt, and every URL seen ends with exactly one fate.
//! - No clock and no thread: time comes in as an argument. The journal and the spill file are the
//!   only files.

mod clocks;
mod depths;
mod ends;
mod found;
mod host;
mod journal;
mod near;
mod nearer;
mod queue;
mod resume;
mod seen;
mod spill;
mod tally;
mod turn;
mod types;

#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustc_hash::FxHashMap;

pub use host::HostStats;
pub use seen::{Known, Seen};
pub use tally::Totals;
pub use types::{
    Failure, Fate, Fetch, Found, HostId, PageEnd, PageId, Resolved, RobotsEnd, Rules, Settings,
    Step,
};

use crate::task::ErrorClass;
use clocks::{Clocks, LaneId, Nanos};
use depths::Depths;
use host::{Closed, Hosts, Phase};
use journal::Journal;
use near::NearIndex;
use queue::Store;
use seen::Digests;
use spill::Spill;

/// Rank 0's frontier.
#[derive(Debug)]
pub struct Frontier {
    settings: Settings,
    seen: Seen,
    digests: Digests,
    /// Fingerprints of texts, where they are told.
    near: NearIndex,
    hosts: Hosts,
    clocks: Clocks,
    store: Store,
    journal: Journal,
    depths: Depths,
    /// URLs accepted of each pattern, where they have a budget.
    patterns: FxHashMap<u64, u64>,
    /// Pages that are being fetched.
    flights: FxHashMap<PageId, Flight>,
    /// Addresses and robots that are being asked for.
    n_asking: u64,
    /// Hosts whose URLs get their fate without being fetched.
    closing: VecDeque<HostId>,
    is_closing_next: bool,
    /// Bytes of rules, and the hosts whose rules were had, in this order.
    rules: (usize, VecDeque<HostId>),
    n_fetched: u64,
    totals: Totals,
    /// URLs that were found again nearer to the seeds, by a hash of each, with the depth at which
    /// they are queued for nothing.
    superseded: FxHashMap<u64, u32>,
    /// A step was left out: nothing goes out any more.
    is_ending: bool,
    /// The last time that was told.
    now: Nanos,
}

#[derive(Debug)]
struct Flight {
    fetch: Fetch,
    lane: LaneId,
}

impl Frontier {
    /// An empty frontier, or with `is_done`, which tells whether a URL has its record, the one
    /// that an earlier run has left in `journal`. Without a path the journal has no name and
    /// ends with this.
    pub fn open(
        settings: Settings,
        journal: Option<&Path>,
        is_done: Option<&mut dyn FnMut(&str) -> bool>,
    ) -> Result<Self> {
        let spill = journal.map_or_else(spill::unused_path, |path| {
            let mut name = path.as_os_str().to_owned();
            name.push(".spill");
            name.into()
        });
        let (journal, is_done) = match (journal, is_done) {
            (Some(path), Some(is_done)) => (Journal::open(path)?, Some(is_done)),
            (path, _) => (Journal::create(path)?, None),
        };
        let mut frontier = Self {
            seen: Seen::default(),
            digests: Digests::default(),
            near: NearIndex::default(),
            hosts: Hosts::default(),
            clocks: Clocks::new(nanos(settings.delay), settings.per_host),
            store: Store::new(Spill::new(&spill), settings.queue_memory),
            journal,
            depths: Depths::new(settings.max_depth.is_some()),
            patterns: FxHashMap::default(),
            flights: FxHashMap::default(),
            n_asking: 0,
            closing: VecDeque::new(),
            is_closing_next: false,
            rules: (0, VecDeque::new()),
            n_fetched: 0,
            totals: Totals::default(),
            superseded: FxHashMap::default(),
            is_ending: false,
            now: 0,
            settings,
        };
        if let Some(is_done) = is_done {
            frontier.resume(is_done)?;
        }
        Ok(frontier)
    }

    /// Hears how a page's fetch ended, which took so long.
    pub fn on_page(
        &mut self,
        page: PageId,
        end: &PageEnd<'_>,
        took: Duration,
        now: Duration,
    ) -> Result<Fate> {
        let flight = self.flights.remove(&page);
        let Flight { fetch, lane } = flight.with_context(|| format!("URL {page} is not out"))?;
        let (id, now) = (fetch.host, nanos(now));
        self.landed(id, lane, now);
        self.hosts[id].live().stats.took += took;
        let fate = self.judge(fetch, end, now)?;
        self.settle(id);
        Ok(fate)
    }

    /// Gives the kernel the journal's lines. When it returns, the journal has everything on the
    /// pages that were heard of that their records may rely on: what they led to, and their fate.
    pub fn flush(&mut self) -> Result<()> {
        self.journal.flush()
    }

    /// Hears how a [`Step::Resolve`] ended.
    pub fn on_resolved(&mut self, id: HostId, end: Resolved, now: Duration) -> Result<()> {
        self.n_asking -= 1;
        let (now, until) = (nanos(now), nanos(now + self.settings.robots_max_age));
        self.now = now;
        let has_robots = self.settings.robots;
        let host = &mut self.hosts[id];
        host.phase = Phase::Unresolved;
        match end {
            Resolved::LeftOut => self.is_ending = true,
            Resolved::Died => self.died_asking(id, now),
            Resolved::Failed(failure) => {
                host.live().stats.error(failure.class);
                self.failed_to_ask(id, Closed::Failed(failure), None, now);
            }
            Resolved::Addresses(mut addresses) => {
                // In one order, so that hosts with the same addresses use the same one.
                addresses.sort_unstable();
                addresses.dedup();
                let Some(&first) = addresses.first() else {
                    let message = "the host name has no address".to_owned();
                    let failure = Failure { class: ErrorClass::Dns, message };
                    self.failed_to_ask(id, Closed::Failed(failure), None, now);
                    self.settle(id);
                    return Ok(());
                };
                host.phase = if has_robots { Phase::Unruled } else { Phase::Open };
                let delay = nanos(self.settings.delay);
                let live = host.live();
                live.delay = live.delay.max(delay);
                (live.addresses, live.until) = (addresses, until);
                (live.n_tries, live.n_deaths) = (0, 0);
                live.lane = Some(self.clocks.lane(first));
            }
        }
        self.settle(id);
        Ok(())
    }

    /// Hears how a [`Step::Robots`] ended.
    pub fn on_robots(&mut self, id: HostId, end: RobotsEnd, now: Duration) -> Result<()> {
        self.n_asking -= 1;
        let (now, until) = (nanos(now), nanos(now + self.settings.robots_max_age));
        let lane = self.hosts[id].live().lane.expect("robots are asked for at an address");
        self.landed(id, lane, now);
        let settings = &self.settings;
        let host = &mut self.hosts[id];
        host.phase = Phase::Unruled;
        match end {
            RobotsEnd::LeftOut => self.is_ending = true,
            RobotsEnd::Died => self.died_asking(id, now),
            RobotsEnd::Failed(failure) => {
                host.live().stats.error(failure.class);
                self.use_another_address(id);
                self.failed_to_ask(id, Closed::Failed(failure), None, now);
            }
            RobotsEnd::Unavailable { reason, again } => {
                let fate = format!("{}{reason}", tally::ROBOTS_UNAVAILABLE);
                self.failed_to_ask(id, Closed::Fate(fate), again, now);
            }
            RobotsEnd::Rules(rules) => {
                host.phase = Phase::Open;
                let asked = rules.crawl_delay().unwrap_or_default().min(settings.max_crawl_delay);
                let live = host.live();
                live.delay = nanos(settings.delay.max(asked));
                live.until = until;
                (live.n_failures, live.n_tries, live.n_deaths) = (0, 0, 0);
                let free_at = now + live.delay;
                self.rules.0 += rules.memory();
                let old = live.rules.replace(rules);
                self.rules.0 -= old.as_ref().map_or(0, |rules| rules.memory());
                host.free_at = host.free_at.max(free_at);
                if old.is_none() {
                    self.rules.1.push_back(id);
                }
                self.forget_rules();
            }
        }
        self.settle(id);
        Ok(())
    }

    /// Ends the run: where a budget ended it, the URLs that are left have that fate. The
    /// statistics of the hosts are [`Self::hosts`].
    pub fn finish(&mut self) -> Result<Totals> {
        if self.is_spent() && !self.is_ending {
            for idx in 0..self.hosts.all.len() {
                let id = HostId(u32::try_from(idx).expect("hosts are counted in 32 bits"));
                while let Some(fetch) = self.take(id, u32::MAX)? {
                    self.decide(&fetch, "budget: max_pages", None)?;
                }
            }
        }
        self.journal.flush()?;
        Ok(self.totals.clone())
    }

    /// The URLs so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Pages fetched, earlier runs included.
    pub fn n_fetched(&self) -> u64 {
        self.n_fetched
    }

    /// Hosts that were asked, with what is counted of them in this run.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, &HostStats)> {
        self.hosts.all.iter().filter_map(|host| Some((&*host.key, &host.live.as_ref()?.stats)))
    }

    /// How long, on average, a host went after it could have: nobody had asked for the next step.
    pub fn lateness(&self) -> Duration {
        let (late, n) = self.clocks.late();
        Duration::from_nanos(late / n.max(1))
    }

    /// A page's URL.
    pub fn url(&mut self, page: PageId) -> Result<String> {
        self.journal.url(page)
    }

    /// Bytes in memory, about, without the digests' bodies: of the seen set, the queues, and
    /// everything else.
    pub fn memory(&self) -> Memory {
        let (queued, spilled) = self.store.size();
        let flights = self.flights.capacity() * (size_of::<(PageId, Flight)>() + 100);
        let patterns = self.patterns.capacity() * (size_of::<(u64, u64)>() + 1);
        Memory {
            seen: self.seen.memory(),
            digests: self.digests.memory() + self.near.memory(),
            hosts: self.hosts.memory(),
            queued,
            clocks: self.clocks.memory(),
            journal: self.journal.memory(),
            other: flights + patterns,
            spilled,
        }
    }
}

/// What a frontier takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The URLs seen.
    pub seen: usize,
    /// The digests of bodies and the fingerprints of texts.
    pub digests: usize,
    /// Hosts with their rules and queues.
    pub hosts: usize,
    /// Of these, queued URLs.
    pub queued: usize,
    /// Addresses and whose turn it is.
    pub clocks: usize,
    /// Lines not written yet, and where lines are.
    pub journal: usize,
    /// Pages in flight and patterns.
    pub other: usize,
    /// Of the file in which queued URLs wait; not in memory.
    pub spilled: u64,
}

impl Memory {
    /// All of it that is memory.
    pub fn total(&self) -> usize {
        self.seen + self.digests + self.hosts + self.clocks + self.journal + self.other
    }
}

fn nanos(span: Duration) -> Nanos {
    Nanos::try_from(span.as_nanos()).unwrap_or(Nanos::MAX)
}
