//! The next step, and what the end of one means for its host.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;

use super::clocks::{LaneId, Nanos, Turn};
use super::host::{self, Closed, Phase};
use super::journal::PageLine;
use super::queue::Entry;
use super::types::{Failure, Fate, Fetch, Found, HostId, PageEnd, PageId, Resolved, Step};
use super::{Flight, Frontier, nanos};
use crate::task::ErrorClass;

/// Turns that lead to no step, such as URLs that robots deny, at most in one call: the caller
/// has others to answer.
const TURNS: u32 = 256;
/// URLs of one host that are denied in a row before others have their turn.
const DENIED: u32 = 64;

/// Where a host belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nowhere: it has no URLs, or an outcome is waited for.
    Nowhere,
    /// Among those that have deeper URLs only.
    Ahead,
    /// Among those whose URLs are not fetched.
    Closing,
    /// Among those without an address.
    Resolving,
    /// In its lane.
    Lane(LaneId),
}

impl Frontier {
    /// What is to be done next. `now` is the time since the run's start.
    pub fn next(&mut self, now: Duration) -> Result<Step> {
        self.now = nanos(now);
        let step = self.step(self.now)?;
        if matches!(step, Step::Failed(..) | Step::Wait(_) | Step::Done) {
            self.journal.flush()?;
        }
        Ok(step)
    }

    fn step(&mut self, now: Nanos) -> Result<Step> {
        for _ in 0..TURNS {
            self.advance();
            if self.is_ending || self.is_booked() {
                return Ok(self.idle(None));
            }
            self.is_closing_next = !self.is_closing_next;
            if self.is_closing_next
                && let Some(step) = self.close_next()?
            {
                return Ok(step);
            }
            let step = match self.clocks.pop(now) {
                Ok(Turn::Resolve(id)) => self.resolve(id)?,
                Ok(Turn::Visit(lane, id)) => self.visit(lane, id, now)?,
                Err(due) if self.closing.is_empty() && !self.advance() => return Ok(self.idle(due)),
                Err(_) => self.close_next()?,
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
        Ok(Step::Wait(Some(Duration::from_nanos(now))))
    }

    fn idle(&self, due: Option<Nanos>) -> Step {
        let is_over = self.totals.open == 0 || self.is_ending || self.is_spent();
        if is_over && self.flights.is_empty() && self.n_asking == 0 {
            return Step::Done;
        }
        Step::Wait(due.map(Duration::from_nanos))
    }

    /// Whether the budget of pages is used up.
    pub(super) fn is_spent(&self) -> bool {
        self.settings.max_pages.is_some_and(|most| self.n_fetched >= most)
    }

    /// The same with the pages in flight.
    fn is_booked(&self) -> bool {
        let booked = self.n_fetched + self.flights.len() as u64;
        self.settings.max_pages.is_some_and(|most| booked >= most)
    }

    /// Gives a URL of a closed host its fate.
    fn close_next(&mut self) -> Result<Option<Step>> {
        for _ in 0..TURNS {
            let Some(&id) = self.closing.front() else { return Ok(None) };
            let Some(fetch) = self.take(id, self.depths.level())? else {
                self.closing.pop_front();
                self.hosts[id].is_closing = false;
                self.wake(id);
                continue;
            };
            let closed = self.hosts[id].live().closed.clone();
            match closed.expect("only closed hosts are closing") {
                Closed::Fate(fate) => self.decide(&fetch, &fate, None)?,
                Closed::Failed(failure) => {
                    self.decide(&fetch, &format!("failed: {}", failure.class.as_str()), None)?;
                    self.advance();
                    return Ok(Some(Step::Failed(fetch, failure)));
                }
            }
            self.advance();
        }
        Ok(None)
    }

    fn resolve(&mut self, id: HostId) -> Result<Option<Step>> {
        self.hosts[id].is_waiting = false;
        if self.place(id) != Place::Resolving {
            self.wake(id);
            return Ok(None);
        }
        self.n_asking += 1;
        let host = &mut self.hosts[id];
        host.phase = Phase::Asking;
        let (name, port) = host::name_and_port(&host.key);
        if let Ok(address) = name.parse::<IpAddr>() {
            let addresses = Resolved::Addresses(vec![address]);
            self.on_resolved(id, addresses, Duration::from_nanos(self.now))?;
            return Ok(None);
        }
        Ok(Some(Step::Resolve { host: id, name: name.to_owned(), port }))
    }

    fn visit(&mut self, lane: LaneId, id: HostId, now: Nanos) -> Result<Option<Step>> {
        let host = &mut self.hosts[id];
        host.is_waiting = false;
        let is_stale = host.phase != Phase::Unresolved && host.live().until <= now;
        if is_stale && host.phase != Phase::Asking {
            host.phase = Phase::Unresolved;
        }
        if self.hosts[id].free_at > now || self.place(id) != Place::Lane(lane) {
            self.wake(id);
            return Ok(None);
        }
        if self.hosts[id].phase == Phase::Unruled {
            return Ok(Some(self.ask_robots(lane, id, now)));
        }
        for _ in 0..DENIED {
            let Some(fetch) = self.take(id, self.depths.level())? else { break };
            if let Some(line) = self.denied(&fetch) {
                self.hosts[id].live().stats.denied += 1;
                self.decide(&fetch, &format!("robots: line {line}"), None)?;
                continue;
            }
            self.launched(id, lane, now);
            self.flights.insert(fetch.page, Flight { fetch: fetch.clone(), lane });
            self.wake(id);
            return Ok(Some(Step::Fetch(fetch)));
        }
        self.settle(id)?;
        Ok(None)
    }

    fn ask_robots(&mut self, lane: LaneId, id: HostId, now: Nanos) -> Step {
        self.launched(id, lane, now);
        self.n_asking += 1;
        let host = &mut self.hosts[id];
        host.phase = Phase::Asking;
        let url = format!("{}/robots.txt", host.key);
        let addresses = host.live().addresses.iter().take(1).copied().collect();
        Step::Robots { host: id, url, addresses }
    }

    fn denied(&self, fetch: &Fetch) -> Option<u32> {
        let host = &self.hosts[fetch.host];
        let rules = host.live.as_ref()?.rules.as_ref()?;
        rules.denied(&fetch.url[host.key.len()..])
    }

    /// Takes a host's next URL out of its queue.
    pub(super) fn take(&mut self, id: HostId, deepest: u32) -> Result<Option<Fetch>> {
        while let Some(fetch) = self.take_any(id, deepest)? {
            if !self.is_superseded(&fetch) {
                return Ok(Some(fetch));
            }
        }
        Ok(None)
    }

    fn take_any(&mut self, id: HostId, deepest: u32) -> Result<Option<Fetch>> {
        let host = &mut self.hosts[id];
        let mut addresses = Vec::new();
        if let Some(live) = &mut host.live {
            addresses.extend(live.addresses.first());
            if let Some(fetch) = live.again.pop_front() {
                return Ok(Some(Fetch { addresses, ..fetch }));
            }
        }
        let key = &host.key;
        host.queue.pop(deepest, &mut self.store, |depth, entry| Fetch {
            page: PageId(entry.page),
            host: id,
            url: [key, entry.rest].concat(),
            addresses,
            depth,
            hops: entry.hops,
            attempts: 0,
            from: (entry.from != 0).then_some(PageId(entry.from)),
        })
    }

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
        class != Tls && fetch.attempts < self.settings.retries && !self.hosts[id].is_closed()
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
        if n_tries > self.settings.retries {
            self.close(id, closed);
        } else {
            self.pause(id, n_tries, asked, now);
        }
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

    fn close(&mut self, id: HostId, closed: Closed) {
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
        for _ in 0..DENIED.min(u32::try_from(self.rules.1.len()).unwrap_or(DENIED)) {
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
    fn launched(&mut self, id: HostId, lane: LaneId, now: Nanos) {
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

    /// After something has changed for a host.
    pub(super) fn settle(&mut self, id: HostId) -> Result<()> {
        let most = self.settings.max_pages_per_host;
        if most.is_some_and(|most| self.hosts[id].n_fetched >= most) {
            self.close(id, Closed::Fate("budget: max_pages_per_host".to_owned()));
        }
        self.wake(id);
        self.advance();
        Ok(())
    }

    /// Goes on to the next depth once everything nearer is done.
    fn advance(&mut self) -> bool {
        let Some(hosts) = self.depths.advance() else { return false };
        for id in hosts {
            self.hosts[id].is_ahead = false;
            self.wake(id);
        }
        true
    }

    /// Puts a host where it belongs.
    pub(super) fn wake(&mut self, id: HostId) {
        let place = self.place(id);
        let host = &mut self.hosts[id];
        let mark = match place {
            Place::Nowhere => return,
            Place::Ahead => &mut host.is_ahead,
            Place::Closing => &mut host.is_closing,
            Place::Resolving | Place::Lane(_) => &mut host.is_waiting,
        };
        if std::mem::replace(mark, true) {
            return;
        }
        let due = host.free_at.max(self.now);
        match place {
            Place::Nowhere => {}
            Place::Ahead => self.depths.wait(id),
            Place::Closing => self.closing.push_back(id),
            Place::Resolving => self.clocks.wait_to_resolve(id, due),
            Place::Lane(lane) => self.clocks.wait(lane, id, due),
        }
    }

    fn place(&self, id: HostId) -> Place {
        let host = &self.hosts[id];
        if !host.has_work(u32::MAX) {
            return Place::Nowhere;
        }
        if !host.has_work(self.depths.level()) {
            return Place::Ahead;
        }
        if host.is_closed() {
            return Place::Closing;
        }
        let in_flight = host.live.as_ref().map_or(0, |live| live.in_flight);
        let booked = host.n_fetched + u64::from(in_flight);
        let is_booked = self.settings.max_pages_per_host.is_some_and(|most| booked >= most);
        match host.phase {
            Phase::Asking => Place::Nowhere,
            Phase::Unresolved => Place::Resolving,
            _ if in_flight >= self.settings.per_host || is_booked => Place::Nowhere,
            Phase::Unruled | Phase::Open => {
                let lane = host.live.as_ref().and_then(|live| live.lane);
                Place::Lane(lane.expect("a resolved host has one"))
            }
        }
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
        self.hosts[id].queue.push(line.depth, &entry, &mut self.store);
        self.depths.add(line.depth);
        self.wake(id);
        if self.store.is_full() {
            self.store.sweep(&mut self.hosts.all, |host| &mut host.queue)?;
        }
        Ok(())
    }
}
