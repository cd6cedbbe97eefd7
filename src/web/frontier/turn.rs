//! The next step, and what the end of one means for its host.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;

use super::clocks::{LaneId, Nanos, Turn};
use super::host::{self, Closed, Phase};
use super::types::{Fetch, HostId, PageId, Resolved, Step};
use super::{Flight, Frontier, nanos};

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
        let name = name.to_owned();
        Ok(Some(Step::Resolve { host: id, name, port, deaths: host.live().n_deaths }))
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
        self.settle(id);
        Ok(None)
    }

    fn ask_robots(&mut self, lane: LaneId, id: HostId, now: Nanos) -> Step {
        self.launched(id, lane, now);
        self.n_asking += 1;
        let host = &mut self.hosts[id];
        host.phase = Phase::Asking;
        let url = format!("{}/robots.txt", host.key);
        let live = host.live();
        let addresses = live.addresses.iter().take(1).copied().collect();
        Step::Robots { host: id, url, addresses, deaths: live.n_deaths }
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
            crashes: 0,
            from: (entry.from != 0).then_some(PageId(entry.from)),
        })
    }

    /// After something has changed for a host.
    pub(super) fn settle(&mut self, id: HostId) {
        self.place_again(id);
        self.advance();
    }

    /// The same while not everything is known that may stand in the way of the next depth.
    pub(super) fn place_again(&mut self, id: HostId) {
        let most = self.settings.max_pages_per_host;
        if most.is_some_and(|most| self.hosts[id].n_fetched >= most) {
            self.close(id, Closed::Fate("budget: max_pages_per_host".to_owned()));
        }
        self.wake(id);
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
}
