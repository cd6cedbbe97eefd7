//! Agents at rest, each with an open connection to one origin.
//!
//! One agent for all requests would be slow: `ureq` searches its idle connections one by one,
//! under a lock. So each has room for one connection, and they are found by origin here.
//!
//! **Invariant:** at most [`MOST`] rest, none longer than [`LONGEST`] after it was last used by
//! the time that another is looked for.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxBuildHasher;
use ureq::Agent;
use url::Url;

use super::slot::Slot;

/// Connections that are kept open: far from the usual limit of 1,024 files.
const MOST: usize = 256;

/// Servers close idle connections after 5 to 75 seconds.
pub(super) const LONGEST: Duration = Duration::from_secs(15);

/// An agent, its idle connection, and what its parts share.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) agent: Agent,
    pub(super) slot: Arc<Slot>,
}

/// A hash of scheme, host and port. Two origins that share one cost a connection, no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin(u64);

impl Origin {
    pub(super) fn of(url: &Url) -> Self {
        let parts = (url.scheme(), url.host_str(), url.port_or_known_default());
        Self(FxBuildHasher.hash_one(parts))
    }
}

#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<VecDeque<Resting>>);

#[derive(Debug)]
struct Resting {
    origin: Origin,
    since: Instant,
    connections: Connections,
}

impl Idle {
    /// The one for this origin that was used last.
    pub(super) fn take(&self, origin: Origin, now: Instant) -> Option<Connections> {
        let mut resting = self.resting();
        let age = |idle: &Resting| now.saturating_duration_since(idle.since);
        let young = resting.iter().position(|idle| age(idle) <= LONGEST);
        let young = young.unwrap_or(resting.len());
        let old: Vec<_> = resting.drain(..young).collect();
        let found = resting.iter().rposition(|idle| idle.origin == origin);
        let found = found.and_then(|idx| resting.remove(idx));
        drop(resting);
        // Connections are closed without the lock.
        drop(old);
        found.map(|idle| idle.connections)
    }

    pub(super) fn put(&self, origin: Origin, connections: Connections, now: Instant) {
        let mut resting = self.resting();
        resting.push_back(Resting { origin, since: now, connections });
        let one_too_many = if resting.len() > MOST { resting.pop_front() } else { None };
        drop(resting);
        drop(one_too_many);
    }

    fn resting(&self) -> MutexGuard<'_, VecDeque<Resting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
