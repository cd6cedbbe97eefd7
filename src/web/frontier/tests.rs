//! The frontier against a made-up web in virtual time: random latencies, failures, addresses
//! that hosts share, retries, kills.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::*;

/// Many more were run once.
const CASES: u32 = 100;
const MS: Duration = Duration::from_millis(1);

/// What the web is made from.
#[derive(Clone, Debug)]
struct Web {
    seed: u64,
    hosts: u64,
    addresses: u64,
    pages: u64,
    links: u64,
    /// Of a hundred pages, so many fail, ask to come again, lead elsewhere.
    failing: u64,
    busy: u64,
    redirects: u64,
    /// Whether robots deny, are missing, and hosts have no address.
    has_bad_hosts: bool,
    /// Latencies differ, everything else stays.
    timing: u64,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            seed: 1,
            hosts: 8,
            addresses: 5,
            pages: 40,
            links: 4,
            failing: 10,
            busy: 10,
            redirects: 10,
            has_bad_hosts: true,
            timing: 0,
        }
    }
}

struct TestRules(u64);

impl Rules for TestRules {
    fn denied(&self, path: &str) -> Option<u32> {
        (self.0.is_multiple_of(3) && xxh3_64_with_seed(path.as_bytes(), self.0).is_multiple_of(5))
            .then_some(7)
    }

    fn crawl_delay(&self) -> Option<Duration> {
        (self.0 % 4 == 1).then_some(3000 * MS)
    }

    fn memory(&self) -> usize {
        100
    }
}

impl Web {
    fn hash(&self, text: &str, salt: u64) -> u64 {
        xxh3_64_with_seed(text.as_bytes(), self.seed ^ (salt << 32))
    }

    fn latency(&self, text: &str, attempt: u64) -> Duration {
        let hash = xxh3_64_with_seed(text.as_bytes(), self.timing + attempt);
        MS * u32::try_from(match hash % 20 {
            0 => 5000 + hash / 20 % 20_000,
            _ => hash / 20 % 300,
        })
        .unwrap()
    }

    fn url(&self, hash: u64) -> String {
        let host = (hash % self.hosts).min(hash / 1000 % self.hosts);
        format!("http://h{host}.example/p{}", hash / 1_000_000 % self.pages)
    }

    fn links(&self, url: &str) -> Vec<String> {
        (0..self.links).map(|n| self.url(self.hash(url, 10 + n))).collect()
    }

    fn address(&self, name: &str) -> Vec<IpAddr> {
        let hash = self.hash(name, 1);
        let address =
            |n: u64| IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(n % self.addresses).unwrap()));
        if hash.is_multiple_of(3) {
            vec![address(hash / 3), address(hash / 5)]
        } else {
            vec![address(hash / 3)]
        }
    }

    /// Unreachable; busy; without an address.
    fn badness(&self, name: &str) -> u64 {
        if self.has_bad_hosts { self.hash(name, 2) % 9 } else { 8 }
    }
}

/// A thing that has been handed out.
enum Out {
    Resolve(HostId, String),
    Robots(HostId, IpAddr, String),
    Page(Fetch),
}

/// Drives a frontier and checks what it hands out.
struct Driver {
    web: Web,
    frontier: Frontier,
    settings: Settings,
    now: Duration,
    /// Fetches that the workers can do at once.
    room: usize,
    out: BTreeMap<(Duration, u64), Out>,
    n_out: u64,
    /// By host and by address: when the last fetch ended and how many are out.
    ended: HashMap<String, Duration>,
    flying: HashMap<String, u32>,
    delays: HashMap<HostId, Duration>,
    attempts: HashMap<String, u32>,
    /// Pages with a record: their depth and how they ended.
    records: BTreeMap<String, (u32, &'static str)>,
    fetched: Vec<String>,
}

impl Driver {
    fn new(web: Web, settings: Settings, journal: Option<&Path>) -> Self {
        let frontier = Frontier::open(settings.clone(), journal, None).unwrap();
        Self::with(web, settings, frontier)
    }

    fn with(web: Web, settings: Settings, frontier: Frontier) -> Self {
        Self {
            web,
            frontier,
            settings,
            now: Duration::ZERO,
            room: 7,
            out: BTreeMap::new(),
            n_out: 0,
            ended: HashMap::new(),
            flying: HashMap::new(),
            delays: HashMap::new(),
            attempts: HashMap::new(),
            records: BTreeMap::new(),
            fetched: Vec::new(),
        }
    }

    fn seeds(&mut self, n: u64) {
        for n in 0..n {
            let url = self.web.url(self.web.hash("seed", n));
            self.found(&url, None, 0, 0);
        }
    }

    fn found(&mut self, url: &str, from: Option<PageId>, depth: u32, hops: u8) {
        let hash = self.web.hash(url, 3);
        let refused = (hash.is_multiple_of(11) && from.is_some()).then_some("scope: another");
        let found = Found { url, pattern: hash % 17, refused, hops };
        self.frontier.found(&found, from, depth).unwrap();
    }

    /// Goes on until everything is done, or for so many outcomes.
    fn run(&mut self, most: usize) -> bool {
        let mut n_heard = 0;
        while n_heard < most {
            let mut due = None;
            if self.out.len() < self.room {
                match self.frontier.next(self.now).unwrap() {
                    Step::Done => {
                        assert!(self.out.is_empty(), "done while something is out");
                        return true;
                    }
                    Step::Wait(at) => due = at,
                    step => {
                        self.hand_out(step);
                        continue;
                    }
                }
            }
            let next = self.out.first_key_value().map(|((at, _), _)| *at);
            let is_event = next.is_some_and(|next| due.is_none_or(|due| next <= due));
            if is_event {
                n_heard += 1;
                self.hear();
            } else {
                let due = due.expect("nothing is out, and nothing is due");
                assert!(due >= self.now, "{due:?} is past at {:?}", self.now);
                self.now = due;
            }
        }
        false
    }

    fn hand_out(&mut self, step: Step) {
        let (out, text, attempt) = match step {
            Step::Resolve { host, name, port, .. } => {
                assert_eq!(port, 80);
                (Out::Resolve(host, name.clone()), name, 0)
            }
            Step::Robots { host, url, addresses, .. } => {
                self.start(host, &url, addresses[0]);
                let name = url.strip_suffix("/robots.txt").unwrap().to_owned();
                (Out::Robots(host, addresses[0], name), url, 0)
            }
            Step::Fetch(fetch) => {
                assert!(self.delays.contains_key(&fetch.host) || !self.settings.robots);
                self.start(fetch.host, &fetch.url, fetch.addresses[0]);
                let attempts = self.attempts.entry(fetch.url.clone()).or_default();
                assert_eq!(*attempts, fetch.attempts, "{}", fetch.url);
                *attempts += 1;
                self.fetched.push(fetch.url.clone());
                let (url, attempts) = (fetch.url.clone(), fetch.attempts);
                (Out::Page(fetch), url, u64::from(attempts))
            }
            Step::Failed(fetch, _) => {
                self.record(&fetch, "failed");
                return;
            }
            Step::Wait(_) | Step::Done => unreachable!(),
        };
        self.n_out += 1;
        let at = self.now + self.web.latency(&text, attempt);
        self.out.insert((at, self.n_out), out);
    }

    fn keys(host: HostId, url: &str, address: IpAddr) -> [String; 2] {
        let (key, _) = host::split(url).unwrap();
        [format!("{host:?} {key}"), address.to_string()]
    }

    fn start(&mut self, host: HostId, url: &str, address: IpAddr) {
        let delays =
            [self.delays.get(&host).copied().unwrap_or(self.settings.delay), self.settings.delay];
        for (key, delay) in Self::keys(host, url, address).into_iter().zip(delays) {
            if let Some(ended) = self.ended.get(&key) {
                assert!(self.now >= *ended + delay, "{key}: {ended:?} {:?}", self.now);
            }
            let flying = self.flying.entry(key).or_default();
            *flying += 1;
            assert!(*flying <= self.settings.per_host);
        }
    }

    fn end(&mut self, host: HostId, url: &str, address: IpAddr) {
        for key in Self::keys(host, url, address) {
            *self.flying.get_mut(&key).unwrap() -= 1;
            self.ended.insert(key, self.now);
        }
    }

    fn hear(&mut self) {
        let ((at, _), out) = self.out.pop_first().unwrap();
        self.now = self.now.max(at);
        match out {
            Out::Resolve(host, name) => {
                let end = match self.web.badness(&name) {
                    0 => Resolved::Failed(failure(ErrorClass::Dns)),
                    _ => Resolved::Addresses(self.web.address(&name)),
                };
                self.frontier.on_resolved(host, end, self.now).unwrap();
            }
            Out::Robots(host, address, name) => {
                self.end(host, &name, address);
                let end = match self.web.badness(name.strip_prefix("http://").unwrap()) {
                    1 => RobotsEnd::Failed(failure(ErrorClass::Connect)),
                    2 => RobotsEnd::Unavailable { reason: "status 503".into(), again: None },
                    _ => RobotsEnd::Rules(Box::new(TestRules(self.web.hash(&name, 4)))),
                };
                if let RobotsEnd::Rules(rules) = &end {
                    let asked = rules.crawl_delay().unwrap_or_default();
                    self.delays.insert(host, self.settings.delay.max(asked));
                }
                self.frontier.on_robots(host, end, self.now).unwrap();
            }
            Out::Page(fetch) => self.page(&fetch),
        }
    }

    fn page(&mut self, fetch: &Fetch) {
        self.end(fetch.host, &fetch.url, fetch.addresses[0]);
        let (hash, web) = (self.web.hash(&fetch.url, 5), &self.web);
        // Busy ones are so at the first attempt, failing ones at all of them.
        let (sort, end) = match hash % 100 {
            n if n < web.failing => {
                ("failed", PageEnd::Failed { class: ErrorClass::Http, again: None })
            }
            n if n < web.failing + web.busy && fetch.attempts == 0 => {
                let again = Some(if hash.is_multiple_of(2) { Duration::ZERO } else { 2500 * MS });
                let class = ErrorClass::Unavailable;
                (
                    "again",
                    match hash / 100 % 2 {
                        0 => PageEnd::Failed { class, again },
                        _ => PageEnd::Ok { digest: None, bytes: 1, slow_down: again },
                    },
                )
            }
            n if (40..40 + web.redirects).contains(&n) && web.links > 0 => {
                ("redirect", PageEnd::Redirect)
            }
            _ => {
                let digest = u128::from(hash / 100 % (4 * web.pages)) << 64 | 1;
                ("ok", PageEnd::Ok { digest: Some(digest), bytes: 10, slow_down: None })
            }
        };
        let links = web.links(&fetch.url);
        match sort {
            "ok" => {
                for link in &links {
                    self.found(link, Some(fetch.page), fetch.depth + 1, 0);
                }
            }
            "redirect" => self.found(&links[0], Some(fetch.page), fetch.depth, fetch.hops + 1),
            _ => {}
        }
        let fate = self.frontier.on_page(fetch.page, &end, 5 * MS, self.now).unwrap();
        // Its record may be with the kernel from here on.
        self.frontier.flush().unwrap();
        match fate {
            Fate::Again => assert_eq!(sort, "again"),
            Fate::Final { duplicate_of } => {
                if let Some((first, url)) = duplicate_of {
                    assert_eq!(self.frontier.url(first).unwrap(), url);
                    assert!(self.records.contains_key(&url) || self.fetched.len() < 2);
                }
                let sort = if sort == "again" { "failed" } else { sort };
                self.record(fetch, sort);
            }
        }
    }

    fn record(&mut self, fetch: &Fetch, sort: &'static str) {
        let old = self.records.insert(fetch.url.clone(), (fetch.depth, sort));
        assert!(old.is_none(), "{} has two records", fetch.url);
    }
}

pub(super) fn failure(class: ErrorClass) -> Failure {
    Failure { class, message: "no".to_owned() }
}

fn quick() -> Settings {
    Settings { pause: 1000 * MS, queue_memory: 2000, ..Settings::default() }
}

/// Every URL of a journal with its last fate.
pub(super) fn fates(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut urls = HashMap::new();
    let mut fates = BTreeMap::new();
    let mut n_nearer = 0;
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let n = line["n"].as_u64().unwrap();
        if let Some(url) = line["url"].as_str() {
            assert_eq!(n, urls.len() as u64 + 1);
            if line["nearer"].is_boolean() {
                fates.remove(url);
                n_nearer += 1;
            } else {
                assert!(!urls.values().any(|known| known == url), "{url} twice");
            }
            urls.insert(n, url.to_owned());
        }
        if let Some(fate) = line["fate"].as_str().or(line["skip"].as_str()) {
            fates.insert(urls[&n].clone(), fate.to_owned());
        }
    }
    assert_eq!(fates.len() + n_nearer, urls.len(), "every URL has a fate");
    fates
}

pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let path = spill::unused_path();
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.0.join("r.urls.jsonl")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn webs() -> impl Strategy<Value = Web> {
    (any::<u64>(), 1..12_u64, 1..8_u64, 1..60_u64, 0..6_u64, 0..20_u64, 0..20_u64, any::<bool>())
        .prop_map(|(seed, hosts, addresses, pages, links, failing, busy, has_bad_hosts)| Web {
            seed,
            hosts,
            addresses,
            pages,
            links,
            failing,
            busy,
            redirects: 20,
            has_bad_hosts,
            timing: seed,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    /// The driver checks delays, limits and attempts.
    #[test]
    fn a_crawl_is_polite_and_loses_nothing(
        web in webs(),
        per_host in 1..4_u32,
        robots in any::<bool>(),
        delay in prop_oneof![Just(0), Just(1000_u64), 0..3000_u64],
        max_depth in prop::option::of(0..6_u32),
        max_pages in prop::option::of(0..200_u64),
        max_pages_per_host in prop::option::of(0..40_u64),
        max_pages_per_pattern in prop::option::of(0..15_u64),
        room in 1..40_usize,
    ) {
        let folder = Folder::new();
        let delay = MS * u32::try_from(delay).unwrap();
        let settings = Settings {
            delay, per_host, robots, max_depth, max_pages, max_pages_per_host, max_pages_per_pattern,
            rules_memory: 250,
            ..quick()
        };
        let mut driver = Driver::new(web, settings, Some(&folder.journal()));
        driver.room = room;
        driver.seeds(6);
        prop_assert!(driver.run(usize::MAX));
        let totals = driver.frontier.finish().unwrap();
        prop_assert!(totals.add_up(), "{:?}", totals);
        prop_assert_eq!(totals.open, 0);
        let fates = fates(&folder.journal());
        let mut counts = BTreeMap::new();
        for fate in fates.values() {
            *counts.entry(tally::name(fate).to_owned()).or_insert(0_u64) += 1;
        }
        prop_assert_eq!(&counts, &totals.fates);
        for (url, fate) in &fates {
            let sort = driver.records.get(url).map(|(_, sort)| *sort);
            let expected = match tally::name(fate) {
                "ok" | "duplicate" => Some("ok"),
                "redirect" => Some("redirect"),
                name if name.starts_with("failed") => Some("failed"),
                _ => None,
            };
            prop_assert_eq!(sort, expected, "{} {}", url, fate);
        }
        if let Some(most) = max_pages {
            prop_assert!(driver.frontier.n_fetched() <= most);
        }
        if let Some(most) = max_pages_per_host {
            let pages = driver.frontier.hosts().map(|(_, stats)| stats.pages).max();
            prop_assert!(pages.unwrap_or(0) <= most);
        }
        // What was found nearer may be queued for a depth that nothing is left of.
        prop_assert!(max_depth.is_some() || driver.frontier.store.size() == (0, 0));
    }

    /// With a greatest depth, neither timing nor the number of workers changes the result.
    #[test]
    fn a_crawl_to_a_depth_gives_the_same_at_any_speed(
        web in webs(), max_depth in 0..6_u32, rooms in (1..30_usize, 1..30_usize), timing in any::<u64>(),
    ) {
        let settings = Settings {
            max_depth: Some(max_depth), retries: 9, max_host_failures: 1000, redirects: 255, ..quick()
        };
        let run = |room, timing| {
            let web = Web { timing, ..web.clone() };
            let mut driver = Driver::new(web, settings.clone(), None);
            driver.room = room;
            driver.seeds(4);
            assert!(driver.run(usize::MAX));
            (driver.records, driver.frontier.finish().unwrap())
        };
        prop_assert_eq!(run(rooms.0, 0), run(rooms.1, timing));
    }

    /// Killed while the journal is written, any number of times.
    #[test]
    fn a_killed_crawl_goes_on(
        web in webs(),
        kills in prop::collection::vec((1..60_usize, any::<prop::sample::Index>()), 1..5),
        max_depth in prop::option::of(1..5_u32),
    ) {
        let folder = Folder::new();
        let path = folder.journal();
        let settings = Settings { max_depth, retries: 9, max_host_failures: 1000, redirects: 255, ..quick() };
        let mut whole = Driver::new(web.clone(), settings.clone(), None);
        whole.seeds(5);
        prop_assert!(whole.run(usize::MAX));
        let expected = whole.frontier.finish().unwrap();

        let mut driver = Driver::new(web.clone(), settings.clone(), Some(&path));
        driver.seeds(5);
        let mut fetches = HashMap::<String, usize>::new();
        for (events, cut) in kills {
            if driver.run(events) {
                break;
            }
            // The last thing it does is to hear of something; the kill leaves no record of it.
            let before = driver.records.clone();
            let length = std::fs::metadata(&path).unwrap().len();
            driver.frontier.flush().unwrap();
            if !driver.out.is_empty() {
                driver.hear();
            }
            let after = std::fs::metadata(&path).unwrap().len();
            let torn = length + cut.index(usize::try_from(after - length + 1).unwrap()) as u64;
            File::options().write(true).open(&path).unwrap().set_len(torn).unwrap();
            let in_flight: HashSet<&String> = driver.fetched.iter().filter(|url| !before.contains_key(*url)).collect();
            for url in driver.fetched.iter().collect::<BTreeSet<_>>() {
                if !in_flight.contains(url) {
                    *fetches.entry(url.clone()).or_default() += 1;
                }
            }
            let mut is_done = |url: &str| before.contains_key(url);
            let frontier = Frontier::open(settings.clone(), Some(&path), Some(&mut is_done)).unwrap();
            assert!(frontier.totals.add_up());
            driver = Driver::with(web.clone(), settings.clone(), frontier);
            driver.seeds(5);
            driver.records = before;
            driver.room += 3;
        }
        prop_assert!(driver.run(usize::MAX));
        // Nothing that had its record was fetched again.
        for (url, n) in fetches {
            prop_assert!(n == 1 && !driver.fetched.contains(&url), "{} {}", url, n);
        }
        let totals = driver.frontier.finish().unwrap();
        prop_assert_eq!(totals.open, 0);
        prop_assert_eq!(driver.records.keys().collect::<Vec<_>>(), whole.records.keys().collect::<Vec<_>>());
        if max_depth.is_some() {
            prop_assert_eq!(totals, expected);
        }
        fates(&path);
    }
}
