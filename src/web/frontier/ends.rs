//! What the end of a step means for its page and its host.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::Result;

use super::clocks::{LaneId, Nanos};
use super::host::{Closed, Phase};
use super::types::{Failure, Fate, Fetch, HostId, PageEnd, PageId};
use super::{Frontier, nanos};
use crate::task::ErrorClass;

/// Hosts looked at in one go for rules to forget.
const LOOKED_AT: usize = 64;

impl Frontier {
    /// A page has its fate.
    pub(super) fn decide(&mut self, fetch: &Fetch, fate: &str, digest: Option<u128>) -> Result<()> {
        self.totals.fate(fate);
        self.depths.remove(fetch.depth);
        self.journal.fate(fetch.page.0, fate, digest)
    }

    /// What the end of a fetch means for its page.
    pub(super) fn judge(
        &mut self,
        mut fetch: Fetch,
        end: &PageEnd<'_>,
        now: Nanos,
    ) -> Result<Fate> {
        let id = fetch.host;
        let (fate, digest) = match *end {
            PageEnd::LeftOut => {
                self.is_ending = true;
                self.hosts[id].live().again.push_front(fetch);
                return Ok(Fate::Again);
            }
            PageEnd::Ok { slow_down: Some(asked), .. }
                if self.goes_again(&fetch, ErrorClass::Unavailable, Some(asked), now) =>
            {
                fetch.attempts += 1;
                self.hosts[id].live().again.push_back(fetch);
                return Ok(Fate::Again);
            }
            PageEnd::Failed { class: ErrorClass::Crashed, again: Some(_) } => {
                fetch.attempts += 1;
                fetch.crashes += 1;
                self.hosts[id].live().again.push_back(fetch);
                return Ok(Fate::Again);
            }
            PageEnd::Failed { class, again } if self.goes_again(&fetch, class, again, now) => {
                fetch.attempts += 1;
                self.hosts[id].live().again.push_back(fetch);
                return Ok(Fate::Again);
            }
            PageEnd::Ok { digest, bytes, slow_down } => {
                self.count(id, bytes, slow_down.is_some());
                (Cow::Borrowed("ok"), digest)
            }
            PageEnd::Failed { class, .. } => {
                (Cow::Owned(format!("failed: {}", class.as_str())), None)
            }
            PageEnd::Redirect => {
                let live = self.hosts[id].live();
                live.n_failures = 0;
                live.stats.redirects += 1;
                (Cow::Borrowed("redirect"), None)
            }
            PageEnd::Refused(reason) => {
                self.hosts[id].live().n_failures = 0;
                (Cow::Borrowed(reason), None)
            }
        };
        let first = digest.and_then(|digest| self.digests.insert(digest, fetch.page.0));
        let Some(first) = first.filter(|&first| first != fetch.page.0) else {
            self.decide(&fetch, &fate, digest)?;
            return Ok(Fate::Final { duplicate_of: None });
        };
        self.decide(&fetch, &format!("duplicate of {first}"), None)?;
        let url = self.journal.url(PageId(first))?;
        Ok(Fate::Final { duplicate_of: Some((PageId(first), url)) })
    }

    fn count(&mut self, id: HostId, bytes: u64, is_slowed: bool) {
        self.n_fetched += 1;
        let host = &mut self.hosts[id];
        host.n_fetched += 1;
        let live = host.live();
        live.stats.pages += 1;
        live.stats.bytes += bytes;
        if !is_slowed {
            live.n_failures = 0;
        }
    }

    /// Hears a failure, which may be its host's; whether the page is tried again.
    fn goes_again(
        &mut self,
        fetch: &Fetch,
        class: ErrorClass,
        asked: Option<Duration>,
        now: Nanos,
    ) -> bool {
        use ErrorClass::{Connect, Dns, Timeout, Tls, Unavailable};
        let id = fetch.host;
        self.hosts[id].live().stats.error(class);
        if !matches!(class, Connect | Timeout | Dns | Tls | Unavailable) {
            return false;
        }
        if class == Connect {
            self.use_another_address(id);
        }
        let n_failures = self.hosts[id].live().n_failures + 1;
        self.hosts[id].live().n_failures = n_failures;
        self.pause(id, n_failures, asked, now);
        if n_failures >= self.settings.max_host_failures {
            let message = format!(
                "its host was put aside after {n_failures} failures in a row, the last of class {}",
                class.as_str()
            );
            self.close(id, Closed::Failed(Failure { class, message }));
            return false;
        }
        let tried = fetch.attempts - fetch.crashes;
        class != Tls && tried < self.settings.retries && !self.hosts[id].is_closed()
    }

    /// Hears that a host's address or robots were not had.
    pub(super) fn failed_to_ask(
        &mut self,
        id: HostId,
        closed: Closed,
        asked: Option<Duration>,
        now: Nanos,
    ) {
        let live = self.hosts[id].live();
        live.n_tries += 1;
        let n_tries = live.n_tries;
        let is_final = |failure: &Failure| {
            matches!(failure.class, ErrorClass::Crashed | ErrorClass::Cancelled)
        };
        let is_closed = n_tries > self.settings.retries
            || matches!(&closed, Closed::Failed(failure) if is_final(failure));
        if is_closed {
            self.close(id, closed);
        } else {
            self.pause(id, n_tries, asked, now);
        }
    }

    /// Hears that the rank died that asked for a host's address or robots: the host needs no
    /// pause for that, and it is no failure of the host's.
    pub(super) fn died_asking(&mut self, id: HostId, now: Nanos) {
        let host = &mut self.hosts[id];
        let live = host.live();
        live.stats.error(ErrorClass::Crashed);
        live.n_deaths += 1;
        let delay = live.delay;
        host.free_at = host.free_at.max(now + delay);
    }

    /// No fetch for a while: for as long as the host asks, or twice as long each time.
    fn pause(&mut self, id: HostId, n_times: u32, asked: Option<Duration>, now: Nanos) {
        let doubled = self.settings.pause.saturating_mul(1 << (n_times - 1).min(20));
        let pause = asked.filter(|asked| !asked.is_zero()).unwrap_or(doubled);
        let pause = nanos(pause.min(self.settings.max_pause));
        let host = &mut self.hosts[id];
        let delay = host.live().delay;
        host.free_at = host.free_at.max(now + pause.max(delay));
    }

    pub(super) fn close(&mut self, id: HostId, closed: Closed) {
        self.hosts[id].live().closed.get_or_insert(closed);
    }

    pub(super) fn use_another_address(&mut self, id: HostId) {
        let live = self.hosts[id].live();
        if live.addresses.len() > 1 {
            live.addresses.rotate_left(1);
            live.lane = Some(self.clocks.lane(live.addresses[0]));
        }
    }

    /// Forgets rules of hosts that have nothing queued, while there are too many.
    pub(super) fn forget_rules(&mut self) {
        for _ in 0..LOOKED_AT.min(self.rules.1.len()) {
            if self.rules.0 <= self.settings.rules_memory {
                return;
            }
            let Some(id) = self.rules.1.pop_front() else { return };
            let host = &mut self.hosts[id];
            let is_idle = host.phase == Phase::Open && !host.has_work(u32::MAX);
            let live = host.live();
            if !is_idle || live.in_flight > 0 {
                self.rules.1.push_back(id);
            } else if let Some(rules) = live.rules.take() {
                self.rules.0 -= rules.memory();
                host.phase = Phase::Unruled;
            }
        }
    }

    /// A fetch goes out.
    pub(super) fn launched(&mut self, id: HostId, lane: LaneId, now: Nanos) {
        self.clocks.start(lane, now);
        let host = &mut self.hosts[id];
        let live = host.live();
        live.in_flight += 1;
        live.stats.fetches += 1;
        if let Some(ended_at) = live.ended_at {
            live.stats.gap(now - ended_at);
        }
        let free_at = now + live.delay;
        host.free_at = host.free_at.max(free_at);
    }

    /// A fetch has ended.
    pub(super) fn landed(&mut self, id: HostId, lane: LaneId, now: Nanos) {
        self.now = now;
        self.clocks.end(lane, now);
        let host = &mut self.hosts[id];
        let live = host.live();
        live.in_flight -= 1;
        live.ended_at = Some(now);
        let free_at = now + live.delay;
        host.free_at = host.free_at.max(free_at);
    }
}
