//! Whole jobs over a transport that delays messages, lets those of different ranks overtake each
//! other, and loses ranks at any moment.

use std::collections::{BTreeMap, VecDeque};
use std::thread;

use anyhow::{Result, bail};
use rankpool::message::Rank;
use rankpool::run;
use rankpool::transport::local::{self, Local};
use rankpool::transport::{Library, Transport};

use crate::chaos::Random;
use crate::local::{gathered, lead};
use crate::util::Dir;

const SEEDS: u64 = 1000;

/// A run that hangs ends at its walltime, and is found incomplete.
const JOB: &str = r#"
crash_limit = 9
walltime = "10s"

[[task]]
kind = "fibonacci"
n = ["0..=60", 7, 7, 3000]
value = "full"

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

/// What a world gathers in which about every second worker dies.
fn survive(seed: u64) -> BTreeMap<String, String> {
    let mut random = Random::new(seed);
    let dir = Dir::new();
    let output = dir.path().join("results.jsonl");
    let path = dir.write("job.toml", &format!("output = \"{}\"\n{JOB}", output.display()));
    let size = u32::try_from(1 + random.below(5)).unwrap();
    let mut ends = local::world(size).into_iter().map(|inner| {
        let dies = inner.rank() != Rank::ROOT && random.below(2) == 0;
        let polls_left = dies.then(|| random.below(40));
        let own = Random::new(seed ^ (u64::from(inner.rank().0) << 32));
        Flaky { inner, random: own, waiting: BTreeMap::new(), polls_left }
    });
    let mut root = ends.next().expect("a world has a rank 0");
    let workers: Vec<Flaky> = ends.collect();
    thread::scope(|scope| {
        for mut worker in workers {
            scope.spawn(move || {
                let dies = worker.polls_left.is_some();
                let ended = run::work(&mut worker);
                assert!(dies || ended.is_ok(), "{ended:?}");
            });
        }
        lead(&mut root, &path);
    });
    let mut records = dir.records("results.jsonl");
    for record in &mut records {
        record["attempts"] = 1.into();
    }
    gathered(&records)
}

#[test]
fn no_order_of_messages_and_deaths_loses_a_task() {
    let expected = gathered(&crate::local::run(1, JOB).1);
    for seed in 0..SEEDS {
        assert_eq!(survive(seed), expected, "seed {seed}");
    }
}
