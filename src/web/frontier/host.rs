//! What is known of each host, and the table that finds it.
//!
//! **Invariant:** a host of which only URLs are known costs a few words beside its name and its
//! queue: there may be a million of them.

use std::collections::VecDeque;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::Duration;

use memchr::{memchr, memchr3};
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::clocks::{LaneId, Nanos};
use super::queue::Queue;
use super::seen::draw_seed;
use super::types::{Failure, Fetch, HostId, Rules};
use crate::task::ErrorClass;

/// Where a host is on its way to its pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its address is not known.
    #[default]
    Unresolved,
    /// Its address or its robots are being asked for.
    Asking,
    /// Its robots are not known.
    Unruled,
    /// Its pages may go.
    Open,
}

/// One host.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// Scheme and authority.
    pub(super) key: Box<str>,
    /// Of its key's hash.
    other_half: u64,
    pub(super) queue: Queue,
    /// From then on its next fetch may start.
    pub(super) free_at: Nanos,
    pub(super) phase: Phase,
    /// It stands among those whose turn comes.
    pub(super) is_waiting: bool,
    /// It stands among those whose URLs get their fate without being fetched.
    pub(super) is_closing: bool,
    /// It stands among those whose URLs are too deep as yet.
    pub(super) is_ahead: bool,
    /// Pages that count against its budget.
    pub(super) n_fetched: u64,
    /// From its first turn on.
    pub(super) live: Option<Box<Live>>,
}

/// A host that had its turn.
#[derive(Default)]
pub(super) struct Live {
    /// The first one is used, until it fails.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) lane: Option<LaneId>,
    pub(super) delay: Nanos,
    pub(super) rules: Option<Box<dyn Rules>>,
    /// Rules and addresses are asked again after this.
    pub(super) until: Nanos,
    /// Pages to be tried again.
    pub(super) again: VecDeque<Fetch>,
    pub(super) in_flight: u32,
    /// Failures in a row.
    pub(super) n_failures: u32,
    /// Attempts to get the address or the robots that have failed in a row.
    pub(super) n_tries: u32,
    /// Ranks that have died of these attempts.
    pub(super) n_deaths: u32,
    pub(super) closed: Option<Closed>,
    /// When its last fetch ended.
    pub(super) ended_at: Option<Nanos>,
    pub(super) stats: HostStats,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Why no page of a host goes out any more.
#[derive(Clone, Debug)]
pub(super) enum Closed {
    /// It cannot be reached.
    Failed(Failure),
    /// For another reason, as it stands in the journal.
    Fate(String),
}

/// What is counted of a host in this run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostStats {
    /// Fetches handed out, robots included.
    pub fetches: u64,
    /// Answers that count.
    pub pages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Redirects.
    pub redirects: u64,
    /// URLs that its robots denied.
    pub denied: u64,
    /// Failed attempts by class.
    pub errors: Vec<(ErrorClass, u64)>,
    /// Time that its fetches took.
    pub took: Duration,
    /// The shortest time from the end of a fetch to the start of the next.
    pub shortest_gap: Option<Duration>,
    /// These times summed up.
    pub gaps: Duration,
    /// How many there were.
    pub n_gaps: u64,
}

impl HostStats {
    pub(super) fn gap(&mut self, gap: Nanos) {
        let gap = Duration::from_nanos(gap);
        self.shortest_gap = Some(self.shortest_gap.map_or(gap, |shortest| shortest.min(gap)));
        self.gaps += gap;
        self.n_gaps += 1;
    }

    pub(super) fn error(&mut self, class: ErrorClass) {
        match self.errors.iter_mut().find(|(known, _)| *known == class) {
            Some((_, count)) => *count += 1,
            None => self.errors.push((class, 1)),
        }
    }
}

impl Host {
    pub(super) fn live(&mut self) -> &mut Live {
        self.live.get_or_insert_default()
    }

    /// Whether it has a page of `deepest` or less.
    pub(super) fn has_work(&self, deepest: u32) -> bool {
        self.live.as_ref().is_some_and(|live| !live.again.is_empty())
            || self.queue.depth().is_some_and(|depth| depth <= deepest)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.closed.is_some())
    }

    /// Bytes of memory beside itself and its queue.
    fn memory(&self) -> usize {
        let rules = |live: &Live| live.rules.as_ref().map_or(0, |rules| rules.memory());
        let live = |live: &Live| {
            size_of::<Live>()
                + live.addresses.capacity() * size_of::<IpAddr>()
                + live.again.capacity() * size_of::<Fetch>()
                + rules(live)
        };
        self.key.len() + self.queue.memory() + self.live.as_deref().map_or(0, live)
    }
}

/// Every host seen.
#[derive(Debug)]
pub(super) struct Hosts {
    pub(super) all: Vec<Host>,
    /// By half of a hash of the key, or the next free number where two keys share one.
    by_hash: FxHashMap<u64, HostId>,
    /// Drawn for this run: those who name hosts cannot aim at a collision.
    seed: u64,
}

impl Default for Hosts {
    fn default() -> Self {
        Self { all: Vec::new(), by_hash: FxHashMap::default(), seed: draw_seed() }
    }
}

impl Hosts {
    /// The host of a key, known or new. Keys are told apart by 128 bits of their hashes: one of
    /// them is in the host, which is needed next anyway, unlike its key.
    pub(super) fn of(&mut self, key: &str) -> HostId {
        let (mut by, other_half) = self.hash(key);
        while let Some(&id) = self.by_hash.get(&by) {
            if self[id].other_half == other_half {
                return id;
            }
            by = by.wrapping_add(1);
        }
        let id = HostId(u32::try_from(self.all.len()).expect("hosts are counted in 32 bits"));
        self.by_hash.insert(by, id);
        self.all.push(Host { key: key.into(), other_half, ..Host::default() });
        id
    }

    /// Reads what [`Self::of`] and a push will need, as [`super::Seen::prefetch`] does.
    pub(super) fn prefetch<'a>(&self, urls: impl Iterator<Item = &'a str>) {
        let keys = urls.filter_map(|url| Some(split(url)?.0));
        let hashes: Vec<_> = keys.map(|key| self.hash(key).0).collect();
        let ids: Vec<_> = hashes.iter().filter_map(|by| self.by_hash.get(by)).collect();
        black_box(ids.iter().fold(0, |sum, &&id| sum ^ self[id].other_half ^ self[id].free_at));
        black_box(ids.iter().fold(0, |sum, &&id| sum ^ self[id].queue.prefetch()));
    }

    /// The half that finds a host, and the other half.
    #[allow(clippy::cast_possible_truncation, reason = "the low half")]
    fn hash(&self, key: &str) -> (u64, u64) {
        let hash = xxh3_128_with_seed(key.as_bytes(), self.seed);
        (hash as u64, (hash >> 64) as u64)
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.all.capacity() * size_of::<Host>()
            + self.by_hash.capacity() * (size_of::<(u64, HostId)>() + 1)
            + self.all.iter().map(Host::memory).sum::<usize>()
    }
}

impl std::ops::Index<HostId> for Hosts {
    type Output = Host;

    fn index(&self, id: HostId) -> &Host {
        &self.all[id.0 as usize]
    }
}

impl std::ops::IndexMut<HostId> for Hosts {
    fn index_mut(&mut self, id: HostId) -> &mut Host {
        &mut self.all[id.0 as usize]
    }
}

/// Scheme and authority of a URL, and what follows.
pub(super) fn split(url: &str) -> Option<(&str, &str)> {
    let bytes = url.as_bytes();
    let authority = memchr(b':', bytes).filter(|&colon| bytes[colon..].starts_with(b"://"))? + 3;
    let rest = &bytes[authority..];
    let length = memchr3(b'/', b'?', b'#', rest).unwrap_or(rest.len());
    (length > 0).then(|| url.split_at(authority + length))
}

/// The name in a host's key, without brackets, and its port.
pub(super) fn name_and_port(key: &str) -> (&str, u16) {
    let (scheme, authority) = key.split_once("://").expect("a host's key has a scheme");
    let default = if scheme == "https" { 443 } else { 80 };
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().unwrap_or(default)),
        _ => (authority, default),
    };
    (name.trim_start_matches('[').trim_end_matches(']'), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_scheme_and_authority() {
        let check = |url, expected| assert_eq!(split(url), expected, "{url}");
        check("http://h/a?b", Some(("http://h", "/a?b")));
        check("https://h:8443/", Some(("https://h:8443", "/")));
        check("http://h", Some(("http://h", "")));
        check("http://h?q", Some(("http://h", "?q")));
        check("mailto:a", None);
        check("file:///etc", None);
    }

    #[test]
    fn names_and_ports_are_told_apart() {
        let check = |key, expected| assert_eq!(name_and_port(key), expected, "{key}");
        check("http://h", ("h", 80));
        check("https://h", ("h", 443));
        check("http://h:8080", ("h", 8080));
        check("http://[::1]", ("::1", 80));
        check("http://[::1]:81", ("::1", 81));
    }

    #[test]
    fn a_host_is_known_again() {
        let mut hosts = Hosts::default();
        let ids: Vec<_> = ["http://a", "http://b", "http://a"].map(|key| hosts.of(key)).into();
        assert_eq!(ids, [HostId(0), HostId(1), HostId(0)]);
    }
}
