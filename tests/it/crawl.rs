//! The kind `crawl` as users run it, against servers on loopback: what all its tests use, and
//! what a crawl finds.
//!
//! Hosts are names that the job maps to loopback addresses ([`HOSTS`]). Every crawl's own account
//! is held against its journal and its records ([`Crawl::is_consistent`]).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::site::{Answer, Site, html, redirect};
use crate::util::{Dir, Ran, Rankpool, mpirun, rankpool, records};

/// Names of hosts and where they are: `a.test` and `same.test` share an address.
pub(crate) const HOSTS: &[(&str, &str)] = &[
    ("a.test", "127.0.0.2"),
    ("same.test", "127.0.0.2"),
    ("b.test", "127.0.0.3"),
    ("c.test", "127.0.0.4"),
    ("www.shop.co.uk", "127.0.0.5"),
    ("shop.co.uk", "127.0.0.6"),
    ("other.co.uk", "127.0.0.7"),
];

/// A crawl that is over.
pub(crate) struct Crawl {
    pub(crate) ran: Ran,
    pub(crate) dir: Dir,
    /// What the crawl says of itself in `--stats`.
    pub(crate) account: Value,
    /// By URL, as [`short`] writes it.
    pub(crate) records: BTreeMap<String, Value>,
    /// What became of each URL seen: its fate, or why it was not to be fetched; empty if open.
    pub(crate) fates: BTreeMap<String, String>,
}

/// A URL without its scheme and this site's port.
pub(crate) fn short(url: &str, site: &Site) -> String {
    url.trim_start_matches("http://").replacen(&format!(":{}", site.port()), "", 1)
}

/// A URL of a site from its short form, such as `a.test/x`.
pub(crate) fn long(short: &str, site: &Site) -> String {
    let (host, path) = short.split_at(short.find('/').expect("a path"));
    format!("http://{host}:{}{path}", site.port())
}

/// A crawl's job; delays are zero unless `more` says otherwise.
pub(crate) fn job(site: &Site, seeds: &[&str], more: &str) -> String {
    let seeds: Vec<_> = seeds.iter().map(|seed| format!("'{}'", long(seed, site))).collect();
    let hosts: Vec<_> = HOSTS.iter().map(|(host, at)| format!("'{host}' = '{at}'")).collect();
    let more = more.replace(":PORT", &format!(":{}", site.port()));
    let delay = if more.contains("delay = ") { "" } else { "delay = '0s'\n" };
    let seeds =
        if seeds.is_empty() { String::new() } else { format!("seeds = [{}]\n", seeds.join(", ")) };
    let private = if more.contains("allow_private") { "" } else { "allow_private = true\n" };
    format!(
        "heartbeat = '60s'\n[[task]]\nkind = 'crawl'\n{seeds}anonymous = true\n{private}\
         {delay}resolve = {{ {} }}\n{more}\n",
        hosts.join(", ")
    )
}

/// rankpool on so many ranks; 1 is without a launcher.
pub(crate) fn on(ranks: u32) -> Rankpool {
    if ranks == 1 { rankpool() } else { mpirun(ranks) }
}

/// Crawls a site to the end.
#[track_caller]
pub(crate) fn crawl(ranks: u32, site: &Site, seeds: &[&str], more: &str) -> Crawl {
    finish(on(ranks).job(&job(site, seeds, more)), site)
}

/// Runs a job to its end; it may have failed tasks.
#[track_caller]
pub(crate) fn finish(pool: Rankpool, site: &Site) -> Crawl {
    let (ran, dir) = pool.args(["--stats", "stats.json"]).run();
    let code = ran.status.code();
    assert!(matches!(code, Some(0 | 1)), "{code:?}: {}\n{}", ran.stdout, ran.stderr);
    Crawl::read(ran, dir, site)
}

impl Crawl {
    /// What a crawl has left in its folder.
    #[track_caller]
    pub(crate) fn read(ran: Ran, dir: Dir, site: &Site) -> Self {
        let stats: Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
        let account = stats["sources"][0].clone();
        let mut by_url = BTreeMap::new();
        for record in dir.records("job.results.jsonl") {
            let url = short(record["input"]["url"].as_str().unwrap(), site);
            assert!(by_url.insert(url.clone(), record).is_none(), "{url} has two records");
        }
        let fates = fates(&dir.read("job.results.urls.jsonl"), site);
        let crawl = Self { ran, dir, account, records: by_url, fates };
        crawl.is_consistent();
        crawl
    }

    /// Journal, records and account tell the same.
    #[track_caller]
    fn is_consistent(&self) {
        let account = &self.account;
        let count = |name: &str| account[name].as_u64().unwrap();
        let fates = account["fates"].as_object().unwrap();
        let sum: u64 = fates.values().map(|n| n.as_u64().unwrap()).sum();
        let seen = count("seeds") + count("discovered");
        assert_eq!(seen, sum + count("open"), "{account}");
        assert_eq!(seen, self.fates.len() as u64, "{account}\n{:?}", self.fates);
        let mut counted = BTreeMap::new();
        for (url, fate) in &self.fates {
            *counted.entry(name(fate)).or_insert(0_u64) += 1;
            let fetched = ["ok", "duplicate", "redirect", "type", "noindex"];
            let has = fate.starts_with("failed: ") || fetched.contains(&name(fate));
            assert_eq!(self.records.contains_key(url), has, "{url}: `{fate}`");
            let failed = self.records.get(url).is_some_and(|record| record["status"] == "failed");
            assert_eq!(failed, fate.starts_with("failed: "), "{url}: `{fate}`");
        }
        assert!(self.records.keys().all(|url| self.fates.contains_key(url)));
        assert_eq!(counted.remove("").unwrap_or(0), count("open"), "{account}");
        let fates: BTreeMap<&str, u64> =
            fates.iter().map(|(name, n)| (&**name, n.as_u64().unwrap())).collect();
        assert_eq!(counted, fates);
    }

    /// The URLs that were fetched and gave an answer.
    pub(crate) fn pages(&self) -> Vec<&str> {
        let ok = self.records.iter().filter(|(_, record)| record["status"] == "ok");
        ok.map(|(url, _)| &**url).collect()
    }

    /// A record's output.
    #[track_caller]
    pub(crate) fn output(&self, url: &str) -> &Value {
        &self.records.get(url).unwrap_or_else(|| panic!("no {url}: {:?}", self.fates))["output"]
    }

    #[track_caller]
    pub(crate) fn fate(&self, url: &str) -> &str {
        self.fates.get(url).unwrap_or_else(|| panic!("{url} was not seen: {:?}", self.fates))
    }

    /// The class of a record's error.
    #[track_caller]
    pub(crate) fn class(&self, url: &str) -> &str {
        let record = self.records.get(url).unwrap_or_else(|| panic!("no {url}: {:?}", self.fates));
        record["error"]["class"].as_str().unwrap_or_else(|| panic!("{record}"))
    }
}

/// What a fate is counted under in the account.
fn name(fate: &str) -> &str {
    match fate.split_once(':') {
        Some(("failed" | "budget", _)) => fate,
        Some((code, _)) => code,
        None if fate.starts_with("duplicate of ") => "duplicate",
        None => fate,
    }
}

/// What a journal says became of each URL: the last line on it counts. A URL has a second number
/// where it was found again nearer to the seeds.
#[track_caller]
pub(crate) fn fates(journal: &str, site: &Site) -> BTreeMap<String, String> {
    let (mut urls, mut numbers) = (Vec::new(), BTreeMap::new());
    for line in records(journal) {
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        let n = usize::try_from(line["n"].as_u64().unwrap()).unwrap();
        match text("url") {
            Some(url) => {
                let depth = line["depth"].as_u64().unwrap();
                urls.push((short(&url, site), text("skip").unwrap_or_default()));
                assert_eq!(n, urls.len(), "numbers follow each other: {line}");
                let earlier = numbers.insert(url, (n, depth));
                assert_eq!(earlier.is_some(), line["nearer"] == true, "once, or nearer: {line}");
                assert!(earlier.is_none_or(|(_, before)| depth < before), "{line}");
            }
            None if text("simhash").is_some() => {}
            None => urls[n - 1].1 = text("fate").expect("a line on a URL or on its fate"),
        }
    }
    numbers.values().map(|(n, _)| urls[n - 1].clone()).collect()
}

/// A page with these links.
pub(crate) fn links(to: &[&str]) -> Answer {
    let links: String = to.iter().map(|to| format!("<a href='{to}'>to {to}</a>\n")).collect();
    html(format!("<title>links</title>{links}"))
}

/// A page unlike any other, with these links.
pub(crate) fn page(path: &str, to: &[&str]) -> Answer {
    let links: String = to.iter().map(|to| format!("<a href='{to}'>to {to}</a>\n")).collect();
    html(format!("<title>page {path}</title><p>{path}</p>{links}"))
}

#[track_caller]
fn check_pages(crawl: &Crawl, expected: &[&str]) {
    let (pages, expected): (BTreeSet<_>, BTreeSet<_>) =
        (crawl.pages().into_iter().collect(), expected.iter().copied().collect());
    assert_eq!(pages, expected, "{:?}", crawl.fates);
}

#[test]
fn a_small_site_is_crawled() {
    let site = Site::hosts(|host, path| match (host, path) {
        ("a.test", "/") => {
            Some(page("/", &["/1", "2#there", "http://b.test/", "mailto:x@y", "/1"]))
        }
        ("a.test", "/1") => Some(page("/1", &["/", "/3"])),
        ("a.test", "/2") => Some(page("/2", &["/1"])),
        _ => None,
    });
    let crawl = crawl(1, &site, &["a.test/"], "");
    check_pages(&crawl, &["a.test/", "a.test/1", "a.test/2", "a.test/3"]);
    let record = &crawl.records["a.test/3"];
    assert_eq!(record["output"]["status"], 404);
    assert_eq!(record["output"]["depth"], 2);
    assert_eq!(short(record["parent"].as_str().unwrap(), &site), "a.test/1");
    let first = &crawl.records["a.test/"];
    assert_eq!((&first["output"]["title"], &first["parent"]), (&"page /".into(), &Value::Null));
    assert_eq!(first["output"]["type"], "text/html");
    assert!(crawl.fates.keys().any(|url| url.starts_with("b.test")), "{:?}", crawl.fates);
    crawl.ran.code(0).says("The crawl: 5 URLs seen, 1 of them seeds");
    let asked = site.paths();
    assert_eq!(asked[0], "/robots.txt");
    assert_eq!(asked.len(), 5, "each page once: {asked:?}");
}

#[test]
fn redirects_lead_on() {
    let site = Site::hosts(|host, path| {
        Some(match (host, path) {
            ("a.test", "/") => page("/", &["/chain0", "/loop", "/out", "/far", "/self"]),
            ("a.test", "/loop") => redirect(302, "/pool"),
            ("a.test", "/pool") => redirect(307, "/loop"),
            ("a.test", "/self") => redirect(301, "/self"),
            ("a.test", "/out") => redirect(303, "//elsewhere.test/x"),
            ("a.test", "/far") => redirect(308, "/end"),
            ("a.test", "/end") => page("/end", &["/after"]),
            ("a.test", path) if path.starts_with("/chain") => {
                let n: u32 = path["/chain".len()..].parse().unwrap();
                redirect(301, &format!("/chain{}", n + 1))
            }
            _ => return None,
        })
    });
    let crawl = crawl(1, &site, &["a.test/"], "redirects = 3\ndepth = 2");
    for n in 0..3 {
        assert_eq!(crawl.fate(&format!("a.test/chain{n}")), "redirect", "{n}");
    }
    assert_eq!(crawl.class("a.test/chain3"), "http");
    assert!(!crawl.fates.contains_key("a.test/chain4"));
    assert_eq!((crawl.fate("a.test/loop"), crawl.fate("a.test/pool")), ("redirect", "redirect"));
    assert_eq!(crawl.fate("a.test/out"), "redirect");
    assert!(crawl.fate("elsewhere.test/x").starts_with("scope-host: "));
    let end = &crawl.records["a.test/end"];
    let from = short(end["redirected_from"].as_str().unwrap(), &site);
    assert_eq!((&*from, &end["output"]["depth"]), ("a.test/far", &1.into()));
    assert_eq!(
        short(crawl.output("a.test/far")["redirect"].as_str().unwrap(), &site),
        "a.test/end"
    );
    assert_eq!(crawl.output("a.test/after")["depth"], 2, "a redirect is no step");
}

#[test]
fn the_same_body_is_a_duplicate() {
    let site = Site::hosts(|_, path| {
        Some(match path {
            "/" => page("/", &["/x", "/y", "/empty1", "/empty2", "/gone1", "/gone2"]),
            "/x" | "/y" => html("<link rel=canonical href=/x#f><p>the same"),
            "/empty1" | "/empty2" => html(""),
            _ => return None,
        })
    });
    let crawl = crawl(1, &site, &["a.test/"], "");
    let duplicates: Vec<_> =
        crawl.records.values().filter_map(|record| record["duplicate_of"].as_str()).collect();
    assert_eq!(duplicates.len(), 1, "neither errors nor empty pages are: {duplicates:?}");
    let first = short(duplicates[0], &site);
    let second = if first == "a.test/x" { "a.test/y" } else { "a.test/x" };
    assert!(crawl.fate(second).starts_with("duplicate of "), "{}", crawl.fate(second));
    assert_eq!(crawl.fate(&first), "ok");
    let canonical = crawl.output("a.test/y")["canonical"].as_str().unwrap();
    assert_eq!(short(canonical, &site), "a.test/x");
}

#[test]
fn nearly_the_same_words_are_a_near_duplicate() {
    let words = |seed: usize| (0..400).map(|n| format!("word{} ", n * (seed + 7) % 397)).collect();
    let text = |seed| -> String { words(seed) };
    let (one, other) = (text(1), text(2));
    let site = Site::hosts(move |_, path| {
        Some(match path {
            "/" => page("/", &["/1", "/2", "/3", "/few1", "/few2", "/gone1", "/gone2"]),
            "/1" => html(format!("<p>{one} at 12:01")),
            "/2" => html(format!("<div>{one} at 12:02</div>")),
            "/3" => html(other.clone()),
            "/few1" | "/few2" => html(format!("few words {path}")),
            path => html(format!("{other} {path}")).status(404),
        })
    });
    let near = |crawl: &Crawl| -> Vec<String> {
        let near = |record: &Value| record.get("near_duplicate_of")?.as_str().map(str::to_owned);
        crawl.records.values().filter_map(near).map(|url| short(&url, &site)).collect()
    };
    let looking = crawl(2, &site, &["a.test/"], "near_duplicates = true");
    let found = near(&looking);
    assert!(found == ["a.test/1"] || found == ["a.test/2"], "{found:?}");
    assert_eq!(looking.account["fates"]["ok"], 8, "{}", looking.account);
    assert!(near(&crawl(1, &site, &["a.test/"], "")).is_empty());
}
