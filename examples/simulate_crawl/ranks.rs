//! Ranks as service stations around the real frontier, in virtual time.
//!
//! A rank has so many connections, one core that parses pages one after the other, and drops
//! links that it has reported before, as far as it remembers. Rank 0 handles what has come in
//! once a millisecond, or as soon as it is done with what came before: its CPU time, measured,
//! is time in which it does nothing else, so that it can become the bottleneck. What the rest of
//! rank 0 does (messages of MPI, chunks, records) is not in it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rankpool::web::frontier::{
    Fetch, Found, Frontier, HostId, PageEnd, PageId, Resolved, RobotsEnd, Rules, Settings, Step,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::web::{self, Page};
use crate::{cpu_seconds, resident};

const CONNECTIONS: u32 = 256;
/// A rank parses a page in so many seconds, and so many a link.
const PARSE: (f64, f64) = (300e-6, 2.5e-6);
/// Links that a rank remembers.
const REMEMBERED: usize = 1 << 16;
const ONE_WAY: Duration = Duration::from_millis(1);
const TURN: Duration = Duration::from_millis(1);
const SEEDS: u64 = 2000;
const DELAY: Duration = Duration::from_secs(1);

struct NoRules;

impl Rules for NoRules {
    fn denied(&self, _: &str) -> Option<u32> {
        None
    }

    fn crawl_delay(&self) -> Option<Duration> {
        None
    }

    fn memory(&self) -> usize {
        64
    }
}

/// What happens.
enum Event {
    /// A page is there, on its rank.
    Arrived(Fetch, usize),
    /// What reaches rank 0.
    Report(Report),
}

enum Report {
    Resolved(HostId, String),
    Robots(HostId, IpAddr),
    Page(Fetch, usize),
}

struct Rank {
    free: u32,
    /// When its core is free.
    core: Duration,
    reported: Vec<u32>,
}

struct Simulation {
    frontier: Frontier,
    ranks: Vec<Rank>,
    now: Duration,
    /// By arrival.
    events: BinaryHeap<Reverse<(Duration, u64)>>,
    pending: HashMap<u64, Event>,
    n_events: u64,
    free: u64,
    /// By address, when the last fetch ended.
    ended: HashMap<IpAddr, Duration>,
    shortest_gap: Duration,
    cpu: f64,
    /// Of it, for reported links.
    links_cpu: f64,
    found: u64,
    reported: u64,
    pages: u64,
}

pub(crate) fn print_head() {
    println!(
        "| ranks | virtual s | pages | pages/s | links found | reported | reported/s | rank 0's CPU s | of its time | links taken by a core a second | memory MB | bytes a URL | hosts | shortest gap s | late ms | connections in use |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
}

/// Crawls until so many links have been found, and prints a row.
pub(crate) fn simulate(n_ranks: u32, links: u64) -> Result<()> {
    let settings = Settings { delay: DELAY, queue_memory: 256 << 20, ..Settings::default() };
    let rank = || Rank { free: CONNECTIONS, core: Duration::ZERO, reported: vec![0; REMEMBERED] };
    let mut simulation = Simulation {
        frontier: Frontier::open(settings, None, None)?,
        ranks: (0..n_ranks).map(|_| rank()).collect(),
        now: Duration::ZERO,
        events: BinaryHeap::new(),
        pending: HashMap::new(),
        n_events: 0,
        free: u64::from(n_ranks) * u64::from(CONNECTIONS),
        ended: HashMap::new(),
        shortest_gap: Duration::MAX,
        cpu: 0.0,
        links_cpu: 0.0,
        found: 0,
        reported: 0,
        pages: 0,
    };
    let mut url = String::new();
    for n in 0..SEEDS {
        url.clear();
        Page::seed(n).put_url(&mut url);
        simulation.frontier.found(&Found { url: &url, ..Found::default() }, None, 0)?;
    }
    let mut busy = (0.0, 0_u64);
    while simulation.found < links {
        simulation.turn()?;
        let all = f64::from(n_ranks * CONNECTIONS);
        busy = (busy.0 + 1.0 - simulation.free as f64 / all, busy.1 + 1);
    }
    simulation.print(busy.0 / busy.1 as f64);
    Ok(())
}

impl Simulation {
    /// One turn of rank 0: hears what has come, hands out what may go.
    fn turn(&mut self) -> Result<()> {
        let mut heard = Vec::new();
        while let Some(&Reverse((at, n))) = self.events.peek().filter(|next| next.0.0 <= self.now) {
            self.events.pop();
            match self.pending.remove(&n).context("every event is kept once")? {
                Event::Arrived(fetch, rank) => self.parse(at, fetch, rank),
                Event::Report(report) => heard.push((at, self.links(report))),
            }
        }
        let mut steps = Vec::new();
        let start = cpu_seconds();
        for (_, (event, report)) in &heard {
            self.hear(event, report)?;
        }
        let mut room = self.free + heard.len() as u64;
        let mut due = None;
        while room > 0 {
            match self.frontier.next(self.now)? {
                Step::Wait(at) => {
                    due = at;
                    break;
                }
                Step::Done => break,
                step => steps.push(step),
            }
            room -= 1;
        }
        let took = cpu_seconds() - start;
        self.cpu += took;
        for (_, (event, report)) in &heard {
            self.end(event, report);
        }
        for step in steps {
            self.hand_out(step)?;
        }
        let next = self.events.peek().map(|next| next.0.0).into_iter().chain(due).min();
        let next = next.context("nothing is left to crawl")?;
        self.now = (self.now + TURN.max(Duration::from_secs_f64(took))).max(next);
        Ok(())
    }

    /// What a rank reports of a page: its new links, as bytes. Made when it is heard, so that
    /// what is on its way takes no memory.
    fn links(&mut self, event: Report) -> (Report, Vec<u8>) {
        let mut report = Vec::new();
        if let Report::Page(fetch, rank) = &event {
            let page = Page::parse(&fetch.url).unwrap_or(Page { host: 0, page: 0 });
            let mut url = String::new();
            for n in 0..page.n_links() {
                url.clear();
                page.link(n).put_url(&mut url);
                self.found += 1;
                let hash = xxh3_64(url.as_bytes());
                let known = &mut self.ranks[*rank].reported[hash as usize % REMEMBERED];
                if std::mem::replace(known, (hash >> 32) as u32) != (hash >> 32) as u32 {
                    self.reported += 1;
                    report.extend_from_slice(&(url.len() as u16).to_le_bytes());
                    report.extend_from_slice(url.as_bytes());
                }
            }
        }
        (event, report)
    }

    fn hear(&mut self, event: &Report, mut report: &[u8]) -> Result<()> {
        match event {
            Report::Resolved(host, name) => {
                let addresses = Resolved::Addresses(vec![web::address(name)]);
                self.frontier.on_resolved(*host, addresses, self.now)
            }
            Report::Robots(host, _) => {
                self.frontier.on_robots(*host, RobotsEnd::Rules(Box::new(NoRules)), self.now)
            }
            Report::Page(fetch, _) => {
                let start = cpu_seconds();
                let mut urls = Vec::new();
                while let Some((length, rest)) = report.split_first_chunk() {
                    let (url, rest) = rest.split_at(usize::from(u16::from_le_bytes(*length)));
                    urls.push(std::str::from_utf8(url)?);
                    report = rest;
                }
                self.frontier.prefetch(urls.iter().copied());
                for url in urls {
                    let found = Found { url, ..Found::default() };
                    self.frontier.found(&found, Some(fetch.page), fetch.depth + 1)?;
                }
                self.links_cpu += cpu_seconds() - start;
                let PageId(n) = fetch.page;
                let digest = Some(u128::from(n - n % 50 / 45) << 64 | 1);
                let end = PageEnd::Ok { digest, bytes: 20_000, slow_down: None };
                self.frontier.on_page(fetch.page, &end, TURN, self.now)?;
                Ok(())
            }
        }
    }

    fn end(&mut self, event: &Report, _: &[u8]) {
        self.free += 1;
        match event {
            Report::Resolved(..) => {}
            Report::Robots(_, address) => drop(self.ended.insert(*address, self.now)),
            Report::Page(fetch, rank) => {
                self.ranks[*rank].free += 1;
                self.pages += 1;
                self.ended.insert(fetch.addresses[0], self.now);
            }
        }
    }

    fn hand_out(&mut self, step: Step) -> Result<()> {
        self.free -= 1;
        let (at, event) = match step {
            Step::Resolve { host, name, .. } => {
                (self.now + Duration::from_millis(30), Report::Resolved(host, name))
            }
            Step::Robots { host, addresses, .. } => {
                self.check_gap(addresses[0])?;
                (self.now + Duration::from_millis(200), Report::Robots(host, addresses[0]))
            }
            Step::Fetch(fetch) => {
                self.check_gap(fetch.addresses[0])?;
                let page = Page::parse(&fetch.url).context("a URL of this web")?;
                let rank = self.rank_for(page.host);
                let rank_state = &mut self.ranks[rank];
                rank_state.free -= 1;
                self.push(self.now + ONE_WAY + page.latency(), Event::Arrived(fetch, rank));
                return Ok(());
            }
            step => anyhow::bail!("{step:?} in a web without failures"),
        };
        self.push(at + ONE_WAY, Event::Report(event));
        Ok(())
    }

    /// A page waits for its rank's core, is parsed and reported.
    fn parse(&mut self, arrived: Duration, fetch: Fetch, rank: usize) {
        let n_links = Page::parse(&fetch.url).map_or(0, Page::n_links);
        let took = Duration::from_secs_f64(PARSE.0 + PARSE.1 * n_links as f64);
        let core = &mut self.ranks[rank].core;
        *core = (*core).max(arrived) + took;
        let at = *core + ONE_WAY;
        self.push(at, Event::Report(Report::Page(fetch, rank)));
    }

    fn push(&mut self, at: Duration, event: Event) {
        self.n_events += 1;
        self.events.push(Reverse((at, self.n_events)));
        self.pending.insert(self.n_events, event);
    }

    /// The rank that a host belongs to, or the next one that has a connection free.
    fn rank_for(&self, host: u64) -> usize {
        let (own, n) = (host as usize % self.ranks.len(), self.ranks.len());
        let mut order = (0..n).map(|step| (own + step) % n);
        order.find(|&rank| self.ranks[rank].free > 0).unwrap_or(own)
    }

    fn check_gap(&mut self, address: IpAddr) -> Result<()> {
        if let Some(ended) = self.ended.get(&address) {
            let gap = self.now.saturating_sub(*ended);
            ensure!(gap >= DELAY, "{address} after {gap:?}");
            self.shortest_gap = self.shortest_gap.min(gap);
        }
        Ok(())
    }

    fn print(&self, in_use: f64) {
        let seconds = self.now.as_secs_f64();
        let memory = self.frontier.memory();
        let totals = self.frontier.totals();
        let urls = totals.seeds + totals.discovered;
        println!(
            "| {} | {seconds:.1} | {} | {:.0} | {:.3e} | {:.3e} | {:.0} | {:.2} | {:.1} % | {:.0} | {} | {:.1} | {} | {:.3} | {:.1} | {:.0} % |",
            self.ranks.len(),
            self.pages,
            self.pages as f64 / seconds,
            self.found as f64,
            self.reported as f64,
            self.reported as f64 / seconds,
            self.cpu,
            100.0 * self.cpu / seconds,
            self.reported as f64 / self.links_cpu,
            memory.total() >> 20,
            memory.total() as f64 / urls as f64,
            self.frontier.hosts().count(),
            self.shortest_gap.as_secs_f64(),
            self.frontier.lateness().as_secs_f64() * 1e3,
            100.0 * in_use,
        );
        eprintln!(
            "# URLs {urls}, open {}, {memory:?}, resident {} MB, CPU us a reported link {:.2}",
            totals.open,
            resident(false) >> 20,
            self.cpu * 1e6 / self.reported as f64
        );
    }
}
