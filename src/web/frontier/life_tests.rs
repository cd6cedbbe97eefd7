//! A host's life, a step at a time.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::tests::{Folder, failure, fates};
use super::*;
use crate::task::OutputLost;

const SECOND: Duration = Duration::from_secs(1);

struct Allowing(Option<Duration>);

impl Rules for Allowing {
    fn denied(&self, path: &str) -> Option<u32> {
        path.starts_with("/private").then_some(12)
    }

    fn crawl_delay(&self) -> Option<Duration> {
        self.0
    }

    fn memory(&self) -> usize {
        8
    }
}

/// A frontier with its time.
struct Crawl {
    frontier: Frontier,
    now: Duration,
}

impl Crawl {
    fn new(settings: Settings) -> Self {
        Self { frontier: Frontier::open(settings, None, None).unwrap(), now: Duration::ZERO }
    }

    fn at(settings: Settings, path: &Path, done: Option<&[&str]>) -> Self {
        let mut is_done = |url: &str| done.is_some_and(|done| done.contains(&url));
        let is_done: Option<&mut dyn FnMut(&str) -> bool> =
            if done.is_some() { Some(&mut is_done) } else { None };
        let frontier = Frontier::open(settings, Some(path), is_done).unwrap();
        Self { frontier, now: Duration::ZERO }
    }

    fn find(&mut self, urls: &[&str]) {
        for url in urls {
            self.frontier.found(&Found { url, ..Found::default() }, None, 0).unwrap();
        }
    }

    /// The next step, and when it is; `None` where only an outcome can bring one.
    fn step(&mut self) -> Option<Step> {
        for _ in 0..100 {
            match self.frontier.next(self.now).unwrap() {
                Step::Wait(Some(due)) => self.now = due,
                Step::Wait(None) => return None,
                step => return Some(step),
            }
        }
        panic!("no step");
    }

    /// Brings a host with an address up to its robots.
    fn resolve(&mut self, addresses: &[u8]) -> HostId {
        let Some(Step::Resolve { host, .. }) = self.step() else { panic!("an address") };
        let addresses = addresses.iter().map(|n| IpAddr::V4(Ipv4Addr::new(10, 0, 0, *n)));
        let addresses = Resolved::Addresses(addresses.collect());
        self.frontier.on_resolved(host, addresses, self.now).unwrap();
        host
    }

    fn robots(&mut self, end: RobotsEnd) -> IpAddr {
        let Some(Step::Robots { host, addresses, url, .. }) = self.step() else { panic!("robots") };
        assert!(url.ends_with("/robots.txt"));
        self.frontier.on_robots(host, end, self.now).unwrap();
        addresses[0]
    }

    fn fetch(&mut self) -> Fetch {
        match self.step() {
            Some(Step::Fetch(fetch)) => fetch,
            step => panic!("{step:?} instead of a fetch"),
        }
    }

    fn end(&mut self, fetch: &Fetch, end: &PageEnd<'_>) -> Fate {
        self.frontier.on_page(fetch.page, end, SECOND, self.now).unwrap()
    }

    fn open(&mut self, crawl_delay: Option<Duration>) {
        self.resolve(&[1]);
        self.robots(RobotsEnd::Rules(Box::new(Allowing(crawl_delay))));
    }

    fn fates(&mut self) -> Vec<(String, u64)> {
        self.frontier.finish().unwrap().fates.into_iter().collect()
    }
}

fn ok(digest: u128) -> PageEnd<'static> {
    PageEnd::Ok { digest: Some(digest), bytes: 1, slow_down: None }
}

fn failed(class: ErrorClass) -> PageEnd<'static> {
    PageEnd::Failed { class, again: None }
}

#[test]
fn a_host_is_resolved_then_asked_for_its_robots_then_for_pages() {
    let mut crawl = Crawl::new(Settings::default());
    crawl.find(&["http://h/a", "http://h/private", "http://h/b"]);
    let Some(Step::Resolve { host, name, port, .. }) = crawl.step() else { panic!() };
    assert_eq!((name.as_str(), port), ("h", 80));
    assert!(crawl.step().is_none(), "nothing else goes out meanwhile");
    let addresses = Resolved::Addresses(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    crawl.frontier.on_resolved(host, addresses, crawl.now).unwrap();
    crawl.robots(RobotsEnd::Rules(Box::new(Allowing(None))));
    let a = crawl.fetch();
    assert_eq!((a.url.as_str(), crawl.now, a.from), ("http://h/a", SECOND, None));
    assert!(crawl.step().is_none(), "one at a time");
    crawl.now += 3 * SECOND;
    assert_eq!(crawl.end(&a, &ok(1)), Fate::Final { duplicate_of: None });
    let b = crawl.fetch();
    assert_eq!((b.url.as_str(), crawl.now), ("http://h/b", 5 * SECOND));
    let first = Some((PageId(1), "http://h/a".to_owned()));
    assert_eq!(crawl.end(&b, &ok(1)), Fate::Final { duplicate_of: first });
    assert!(matches!(crawl.step(), Some(Step::Done)));
    let expected = [("duplicate", 1), ("ok", 1), ("robots", 1)];
    assert_eq!(crawl.fates(), expected.map(|(name, n)| (name.to_owned(), n)));
}

#[test]
fn a_crawl_delay_is_obeyed_up_to_a_bound() {
    for (asked, expected) in [(0, 1), (7, 7), (30, 30), (3600, 30)] {
        let mut crawl = Crawl::new(Settings::default());
        crawl.find(&["http://h/a"]);
        crawl.open(Some(asked * SECOND));
        crawl.fetch();
        assert_eq!(crawl.now, expected * SECOND, "asked for {asked}");
    }
}

#[test]
fn an_address_in_the_url_is_not_resolved() {
    let mut crawl = Crawl::new(Settings { robots: false, ..Settings::default() });
    crawl.find(&["http://[::1]:8080/a", "http://127.0.0.1/"]);
    let addresses: Vec<_> = [crawl.fetch(), crawl.fetch()].map(|fetch| fetch.addresses).into();
    assert_eq!(addresses, [["::1".parse::<IpAddr>().unwrap()], ["127.0.0.1".parse().unwrap()]]);
}

#[test]
fn hosts_with_one_address_share_its_clock() {
    let mut crawl = Crawl::new(Settings { robots: false, ..Settings::default() });
    crawl.find(&["http://g/", "http://h/"]);
    crawl.resolve(&[2, 1]);
    crawl.resolve(&[1, 2]);
    let g = crawl.fetch();
    assert!(crawl.step().is_none(), "the address is in use");
    crawl.end(&g, &ok(1));
    assert_eq!((crawl.fetch().url.as_str(), crawl.now), ("http://h/", SECOND));
}

#[test]
fn a_failed_page_is_tried_again_elsewhere_and_later() {
    let mut crawl = Crawl::new(Settings { robots: false, ..Settings::default() });
    crawl.find(&["http://h/"]);
    crawl.resolve(&[1, 2]);
    for (attempts, at, address) in [(0, 0, 1), (1, 10, 2), (2, 30, 1)] {
        let fetch = crawl.fetch();
        let seen = (fetch.attempts, crawl.now, fetch.addresses[0].to_string());
        assert_eq!(seen, (attempts, at * SECOND, format!("10.0.0.{address}")));
        let fate = crawl.end(&fetch, &failed(ErrorClass::Connect));
        assert_eq!(fate == Fate::Again, attempts < 2);
    }
    assert_eq!(crawl.fates(), [("failed: connect".to_owned(), 1)]);
}

#[test]
fn a_host_that_asks_for_a_pause_gets_it() {
    for (asked, expected) in [(0, 10), (25, 25), (86_400, 600)] {
        let mut crawl = Crawl::new(Settings { robots: false, ..Settings::default() });
        crawl.find(&["http://h/a", "http://h/b"]);
        crawl.resolve(&[1]);
        let a = crawl.fetch();
        let end = PageEnd::Ok { digest: None, bytes: 1, slow_down: Some(asked * SECOND) };
        assert_eq!(crawl.end(&a, &end), Fate::Again);
        assert_eq!((crawl.fetch().url.as_str(), crawl.now), ("http://h/a", expected * SECOND));
    }
}

#[test]
fn a_host_that_fails_in_a_row_is_put_aside_with_its_pages() {
    let settings =
        Settings { robots: false, retries: 0, max_host_failures: 3, ..Settings::default() };
    let mut crawl = Crawl::new(settings);
    crawl.find(&["http://h/1", "http://h/2", "http://h/3", "http://h/4", "http://h/5"]);
    crawl.resolve(&[1]);
    for _ in 0..3 {
        let fetch = crawl.fetch();
        crawl.end(&fetch, &failed(ErrorClass::Timeout));
    }
    for n in [4, 5] {
        let Some(Step::Failed(fetch, failure)) = crawl.step() else { panic!() };
        assert_eq!((fetch.page, failure.class), (PageId(n), ErrorClass::Timeout));
        let expected =
            "its host was put aside after 3 failures in a row, the last of class timeout";
        assert_eq!(failure.message, expected);
    }
    crawl.find(&["http://h/6"]);
    assert!(matches!(crawl.step(), Some(Step::Failed(..))), "so is what is found later");
    assert!(matches!(crawl.step(), Some(Step::Done)));
}

#[test]
fn the_death_of_a_rank_is_held_against_no_page_and_no_host() {
    let settings = Settings { retries: 0, max_host_failures: 1, ..Settings::default() };
    let mut crawl = Crawl::new(Settings { retries: 2, ..settings.clone() });
    crawl.find(&["http://h/a"]);
    crawl.resolve(&[1]);
    for n in 0..3 {
        let Some(Step::Robots { host, deaths, .. }) = crawl.step() else { panic!("robots") };
        assert_eq!(deaths, n);
        crawl.frontier.on_robots(host, RobotsEnd::Died, crawl.now).unwrap();
    }
    crawl.robots(RobotsEnd::Failed(failure(ErrorClass::Connect)));
    assert_eq!(crawl.now, 3 * SECOND, "the delay between two fetches, and no other pause");
    crawl.robots(RobotsEnd::Failed(failure(ErrorClass::Crashed)));
    assert!(matches!(
        crawl.step(),
        Some(Step::Failed(_, Failure { class: ErrorClass::Crashed, .. }))
    ));

    let mut crawl = Crawl::new(Settings { robots: false, ..settings });
    crawl.find(&["http://h/a"]);
    crawl.resolve(&[1]);
    let crashed = |again| PageEnd::Failed { class: ErrorClass::Crashed, again };
    for n in 0..3 {
        let fetch = crawl.fetch();
        assert_eq!((fetch.attempts, fetch.crashes), (n, n));
        assert_eq!(crawl.end(&fetch, &crashed(Some(Duration::ZERO))), Fate::Again);
    }
    let fetch = crawl.fetch();
    assert_eq!(crawl.end(&fetch, &crashed(None)), Fate::Final { duplicate_of: None });
    assert_eq!(crawl.fates(), [("failed: crashed".to_owned(), 1)]);
}

#[test]
fn without_robots_nothing_is_fetched() {
    let check = |end: fn() -> RobotsEnd, expected: &str| {
        let mut crawl = Crawl::new(Settings::default());
        crawl.find(&["http://h/a", "http://h/b"]);
        crawl.resolve(&[1]);
        for at in [0, 10, 30] {
            crawl.robots(end());
            assert_eq!(crawl.now, at * SECOND);
        }
        while !matches!(crawl.step(), Some(Step::Done)) {}
        assert_eq!(crawl.fates(), [(expected.to_owned(), 2)]);
    };
    let busy = || RobotsEnd::Unavailable { reason: "status 503".into(), again: None };
    check(busy, "robots unavailable");
    check(|| RobotsEnd::Failed(failure(ErrorClass::Connect)), "failed: connect");
}

#[test]
fn robots_and_addresses_are_asked_again_after_a_day() {
    let mut crawl = Crawl::new(Settings::default());
    crawl.find(&["http://h/a", "http://h/b"]);
    crawl.open(None);
    let a = crawl.fetch();
    crawl.now += 24 * 3600 * SECOND;
    crawl.end(&a, &ok(1));
    crawl.resolve(&[3]);
    let address = crawl.robots(RobotsEnd::Rules(Box::new(Allowing(None))));
    assert_eq!(address.to_string(), "10.0.0.3");
    assert_eq!(crawl.fetch().addresses, [address]);
}

#[test]
fn what_is_left_out_stays_open_for_the_next_run() {
    let folder = Folder::new();
    let settings = Settings { robots: false, ..Settings::default() };
    let mut crawl = Crawl::at(settings.clone(), &folder.journal(), None);
    crawl.find(&["http://h/a", "http://h/b"]);
    crawl.resolve(&[1]);
    let a = crawl.fetch();
    assert_eq!(crawl.end(&a, &PageEnd::LeftOut), Fate::Again);
    assert!(matches!(crawl.step(), Some(Step::Done)));
    let totals = crawl.frontier.finish().unwrap();
    assert_eq!((totals.open, totals.fates.len()), (2, 0));
    let mut crawl = Crawl::at(settings, &folder.journal(), Some(&[]));
    crawl.resolve(&[1]);
    assert_eq!(crawl.fetch().page, PageId(1));
}

#[test]
fn a_budget_may_be_raised_in_the_next_run() {
    let folder = Folder::new();
    let run = |most, done: Option<&[&str]>| {
        let settings = Settings { robots: false, max_pages: Some(most), ..Settings::default() };
        let mut crawl = Crawl::at(settings, &folder.journal(), done);
        crawl.find(&["http://h/a", "http://h/b", "http://h/c"]);
        let mut fetched = Vec::new();
        crawl.resolve(&[1]);
        while let Some(Step::Fetch(fetch)) = crawl.step() {
            crawl.end(&fetch, &ok(fetch.page.0.into()));
            fetched.push(fetch.url);
        }
        crawl.frontier.finish().unwrap();
        fetched
    };
    assert_eq!(run(1, None), ["http://h/a"]);
    assert_eq!(fates(&folder.journal())["http://h/c"], "budget: max_pages");
    assert_eq!(run(2, Some(&["http://h/a"])), ["http://h/b"], "the first one counts");
    assert_eq!(run(9, Some(&["http://h/a", "http://h/b"])), ["http://h/c"]);
    let fates = fates(&folder.journal());
    assert!(fates.values().all(|fate| fate == "ok"), "{fates:?}");
}

#[test]
fn near_duplicates_are_known_in_the_next_run() {
    let folder = Folder::new();
    let settings = Settings { robots: false, ..Settings::default() };
    let mut crawl = Crawl::at(settings.clone(), &folder.journal(), None);
    crawl.find(&["http://h/a", "http://h/b", "http://h/c"]);
    crawl.resolve(&[1]);
    for (print, near) in [(0b0000, None), (0b0111, Some("http://h/a".to_owned()))] {
        let fetch = crawl.fetch();
        crawl.end(&fetch, &ok(fetch.page.0.into()));
        assert_eq!(crawl.frontier.near(fetch.page, print).unwrap(), near);
    }
    crawl.frontier.finish().unwrap();
    for (done, near) in [(&["http://h/a"][..], Some("http://h/a".to_owned())), (&[], None)] {
        let mut crawl = Crawl::at(settings.clone(), &folder.journal(), Some(done));
        assert_eq!(crawl.frontier.near(PageId(3), 0b0111).unwrap(), near);
    }
}

#[test]
fn a_journal_that_is_none_is_named_with_its_line() {
    let check = |text: &str, expected: &str| {
        let folder = Folder::new();
        std::fs::write(folder.journal(), text).unwrap();
        let opened =
            Frontier::open(Settings::default(), Some(&folder.journal()), Some(&mut |_| false));
        let message = format!("{:#}", opened.err().unwrap());
        assert!(message.contains(expected), "{message}");
    };
    check("{\"n\":1,\"url\":\"http://h/\",\"depth\":0}\nnothing\n", "r.urls.jsonl:2: ");
    check("{\"n\":2,\"url\":\"http://h/\",\"depth\":0}\n", "r.urls.jsonl:1: URL 2 is out of turn");
}

#[test]
fn a_full_disk_is_told_once_and_names_the_file() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("/dev/full", folder.journal()).unwrap();
    let mut crawl = Crawl::at(Settings::default(), &folder.journal(), None);
    crawl.find(&["http://h/"]);
    let lost = crawl.frontier.flush().unwrap_err().downcast::<OutputLost>().unwrap().to_string();
    let expected = format!("cannot write `{}`, the journal of URLs: ", folder.journal().display());
    assert!(lost.starts_with(&expected), "{lost}");
    assert_eq!(crawl.frontier.finish().unwrap().seeds, 1);
}
