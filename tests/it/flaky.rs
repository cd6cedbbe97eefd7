//! Whole jobs over a transport that delays messages, lets those of different ranks overtake each
//! other, and loses ranks at any moment.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use rankpool::message::Rank;
use rankpool::transport::local::{self, Local};
use rankpool::transport::{Library, Transport};
use rankpool::{control, run};

use serde_json::Value;

use crate::chaos::{Random, outcomes};
use crate::local::{lead, lead_controlled};
use crate::site::{Site, html};
use crate::util::Dir;

const SEEDS: u64 = 1000;
/// Each waits for answers.
const SEEDS_ASKED: u64 = 200;
/// Each waits for pages.
const SEEDS_CRAWLED: u64 = 100;

/// A run that hangs ends at its walltime, and is found incomplete.
const JOB: &str = r#"
crash_limit = 9
walltime = "10s"

[retry]
failed = { retries = 2, backoff = "1ms", other_rank = true }

[[task]]
name = "terms"
kind = "fibonacci"
n = ["0..=60", 7, 7, 3000]
value = "full"

[[task]]
kind = "probe"
n = "101..=130"
after = "terms"

[[task]]
kind = "probe"
n = "1..=12"
action = "busy"
time = "50us"

[[task]]
kind = "probe"
n = "1..=20"
action = "fail"
every = 7
"#;

/// One end of a world of threads, with everything that a network may do to it.
struct Flaky {
    inner: Local,
    random: Random,
    /// Messages that have arrived and wait, by sender.
    waiting: BTreeMap<Rank, VecDeque<Vec<u8>>>,
    /// This rank dies when it has polled so often.
    polls_left: Option<u64>,
}

impl Transport for Flaky {
    fn rank(&self) -> Rank {
        self.inner.rank()
    }

    fn size(&self) -> u32 {
        self.inner.size()
    }

    fn send(&mut self, to: Rank, message: Vec<u8>) -> Result<()> {
        self.inner.send(to, message)
    }

    fn poll(&mut self) -> Result<Option<(Rank, Vec<u8>)>> {
        match &mut self.polls_left {
            Some(0) => bail!("this rank dies"),
            Some(left) => *left -= 1,
            None => {}
        }
        while let Some((from, message)) = self.inner.poll()? {
            self.waiting.entry(from).or_default().push_back(message);
        }
        self.waiting.retain(|_, messages| !messages.is_empty());
        if self.waiting.is_empty() || self.random.below(3) == 0 {
            return Ok(None);
        }
        let which = usize::try_from(self.random.below(self.waiting.len() as u64)).unwrap();
        let (&from, messages) = self.waiting.iter_mut().nth(which).expect("one of those there");
        Ok(messages.pop_front().map(|message| (from, message)))
    }

    fn failed(&mut self) -> Result<Vec<Rank>> {
        self.inner.failed()
    }

    fn forget(&mut self, rank: Rank) {
        self.waiting.remove(&rank);
        self.inner.forget(rank);
    }

    fn is_sending(&mut self) -> Result<bool> {
        self.inner.is_sending()
    }

    fn broadcast(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        self.inner.broadcast(bytes)
    }

    fn gather(&mut self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        self.inner.gather(bytes)
    }

    fn scatter(&mut self, parts: Vec<Vec<u8>>) -> Result<Vec<u8>> {
        self.inner.scatter(parts)
    }

    fn describe(&self) -> Library {
        self.inner.describe()
    }
}

/// A job of a world in which about every second worker dies.
struct World<'a> {
    seed: u64,
    job: &'a str,
    /// What is asked of it meanwhile.
    asks: Vec<String>,
}

impl World<'_> {
    /// What it gathers.
    fn survive(self) -> Vec<Value> {
        let Self { seed, job, asks } = self;
        let mut random = Random::new(seed);
        let dir = Dir::new();
        let output = dir.path().join("results.jsonl");
        let path = dir.write("job.toml", &format!("output = \"{}\"\n{job}", output.display()));
        let size = u32::try_from(1 + random.below(5)).unwrap();
        let mut ends = local::world(size).into_iter().map(|inner| {
            let dies = inner.rank() != Rank::ROOT && random.below(2) == 0;
            let polls_left = dies.then(|| random.below(40));
            let own = Random::new(seed ^ (u64::from(inner.rank().0) << 32));
            Flaky { inner, random: own, waiting: BTreeMap::new(), polls_left }
        });
        let mut root = ends.next().expect("a world has a rank 0");
        let workers: Vec<Flaky> = ends.collect();
        let (is_over, control) = (AtomicBool::new(false), &dir.path().join("ctl"));
        let asks = &asks;
        thread::scope(|scope| {
            for mut worker in workers {
                scope.spawn(move || {
                    let dies = worker.polls_left.is_some();
                    let ended = run::work(&mut worker);
                    assert!(dies || ended.is_ok(), "{ended:?}");
                });
            }
            if asks.is_empty() {
                lead(&mut root, &path);
            } else {
                scope.spawn(|| ask(control, asks, &is_over));
                lead_controlled(&mut root, &path, control);
                is_over.store(true, Ordering::Release);
            }
        });
        dir.records("results.jsonl")
    }
}

/// Asks all of this of a run, as far as it lives to hear it; what it refuses leaves it as it was.
fn ask(control: &Path, asks: &[String], is_over: &AtomicBool) {
    for line in asks {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let is_there =
            || control::ask(control, &["status".into()], Duration::from_secs(10)).is_ok();
        while !is_over.load(Ordering::Acquire) && !is_there() {
            thread::yield_now();
        }
        let _ = control::ask(control, &words, Duration::from_secs(10));
    }
}

/// What is asked of a world; at its end every rank may work again. With the ids of tasks that
/// are asked to be cancelled.
fn draw_asks(random: &mut Random, cancellable: &[&str]) -> (Vec<String>, Vec<String>) {
    let (mut asks, mut cancelled) = (Vec::new(), Vec::new());
    for _ in 0..=random.below(5) {
        asks.push(match random.below(5) {
            0 => "pause".to_owned(),
            1 => format!("drain {}", random.below(4)),
            2 => format!("threads {} --rank {}", 1 + random.below(3), random.below(4)),
            3 => "resume".to_owned(),
            _ => {
                let which = usize::try_from(random.below(cancellable.len() as u64)).unwrap();
                cancelled.push(cancellable[which].to_owned());
                format!("cancel {}", cancellable[which])
            }
        });
    }
    asks.extend(["resume".to_owned(), "threads 2 --rank all".to_owned()]);
    (asks, cancelled)
}

/// The same outcomes of the same tasks.
#[track_caller]
fn check(seed: u64, found: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) {
    let differ = |id: &&String| found.get(*id) != expected.get(*id);
    let differing = found.keys().chain(expected.keys()).filter(differ);
    let shown: Vec<_> = differing.map(|id| (found.get(id), expected.get(id))).take(3).collect();
    assert!(shown.is_empty(), "seed {seed}, what was found and what was expected: {shown:#?}");
}

/// Whether all of the tasks that others wait for were done before any of those.
fn is_in_order(records: &[Value]) -> bool {
    let is_last = |record: &Value| record["input"]["n"].as_u64().is_some_and(|n| n > 100);
    let waited = |record: &&Value| record["kind"] == "probe" && is_last(record);
    let terms = records.iter().rposition(|record| record["kind"] == "fibonacci").unwrap();
    records[..terms].iter().find(waited).is_none()
}

#[test]
fn no_order_of_messages_and_deaths_loses_a_task() {
    let expected = outcomes(&crate::local::run(1, JOB).1);
    for seed in 0..SEEDS {
        let records = World { seed, job: JOB, asks: Vec::new() }.survive();
        check(seed, &outcomes(&records), &expected);
        assert!(is_in_order(&records), "seed {seed}");
    }
}

#[test]
fn nor_does_what_is_asked_meanwhile() {
    let records = crate::local::run(1, JOB).1;
    let expected = outcomes(&records);
    let is_awaited_by_none = |record: &&Value| record["input"]["n"].as_u64().unwrap() <= 20;
    let probes = records.iter().filter(|record| record["kind"] == "probe");
    let ids = probes.filter(is_awaited_by_none).map(|record| record["id"].as_str().unwrap());
    let cancellable: Vec<&str> = ids.collect();
    assert_eq!(cancellable.len(), 32);
    let mut n_cancelled = 0;
    for seed in 0..SEEDS_ASKED {
        let (asks, cancelled) = draw_asks(&mut Random::new(!seed), &cancellable);
        let mut found = outcomes(&World { seed, job: JOB, asks }.survive());
        for id in cancelled {
            // It may have ended before.
            if found.get(&id).is_some_and(|what| what.contains("\"cancelled\"")) {
                n_cancelled += 1;
                found.insert(id.clone(), expected[&id].clone());
            }
        }
        check(seed, &found, &expected);
    }
    assert!(n_cancelled > 0);
}

/// Pages go to the rank that has their host.
#[test]
fn nor_is_a_page_lost_that_waits_for_its_own_rank() {
    let site = Site::hosts(|_, path| {
        let n: u32 = path.trim_start_matches('/').parse().ok().filter(|&n| n < 12)?;
        Some(html(format!("<a href=/{}>1</a><a href=/{}>2</a>", 2 * n + 1, 2 * n + 2)))
    });
    let port = site.port();
    let job = format!(
        "crash_limit = 9\nwalltime = \"10s\"\n[[task]]\nkind = \"crawl\"\nanonymous = true\n\
         seeds = [\"http://127.0.0.9:{port}/0\", \"http://127.0.0.8:{port}/3\"]\n\
         allow_private = true\ndelay = \"0s\"\nper_host = 4\n"
    );
    let expected = outcomes(&crate::local::run(1, &job).1);
    assert!(expected.len() > 12, "{expected:?}");
    for seed in 0..SEEDS_CRAWLED {
        let records = World { seed, job: &job, asks: Vec::new() }.survive();
        check(seed, &outcomes(&records), &expected);
    }
}
