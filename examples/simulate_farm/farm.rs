//! A farm in virtual time: rank 0's CPU time is measured, and is time in which it does nothing
//! else, so that it can become the bottleneck; what MPI takes for a message is assumed.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rankpool::message::{OutcomesBuilder, Rank, Span, Status, ToRoot, ToWorker, decode_chunk};
use rankpool::policy::Policy;
use rankpool::root::{Config, Heard, Order, Root, Table};
use rankpool::schedule::Schedule;
use rankpool::task::{Done, Input, Item, Next, Pool, Source};

use crate::worker::Worker;
use crate::{cpu_seconds, resident};

/// From one rank's memory to another's, both ranks' polling included.
const ONE_WAY: f64 = 0.3e-3;
/// What MPI takes of rank 0's time to send or receive a message.
const MESSAGE: f64 = 2e-6;
/// Outcomes of several threads that end within so long leave together.
const TURN: f64 = 20e-6;
const MESSAGES_A_TURN: usize = 256;
/// Tasks a thread, and in all.
const PER_THREAD: u64 = 200;
const MOST_TASKS: u64 = 1 << 20;
/// Heavy tails end here, in means.
const LONGEST: f64 = 100.0;

/// How task times are spread around their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// From half the mean to one and a half.
    Uniform,
    /// Pareto's with exponent 1.5, up to 100 means: most are short, few take most of the time.
    Heavy,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Uniform { "uniform" } else { "heavy" })
    }
}

impl FromStr for Shape {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "uniform" => Ok(Self::Uniform),
            "heavy" => Ok(Self::Heavy),
            _ => bail!("`{text}` is none of uniform and heavy"),
        }
    }
}

/// What came of a farm.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Ideal time over actual.
    pub(crate) efficiency: f64,
    /// Part of the time in which rank 0 does something.
    pub(crate) busy: f64,
    /// Rank 0's messages a second, both ways.
    pub(crate) messages: f64,
    /// Rank 0's CPU seconds, without MPI.
    pub(crate) cpu: f64,
    pub(crate) tasks: f64,
    /// Virtual seconds.
    pub(crate) seconds: f64,
}

/// The numbers below `n`; nothing is known of their times.
struct Numbers {
    next: u64,
    n: u64,
}

impl Source for Numbers {
    fn next(&mut self, _: Duration) -> Result<Next> {
        if self.next == self.n {
            return Ok(Next::Exhausted);
        }
        self.next += 1;
        let input = Input::Number(self.next - 1);
        Ok(Next::Task(Item { input, cost: 1.0, ..Item::default() }))
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.n - self.next)
    }
}

enum Event {
    ToWorker(usize, Vec<u8>),
    End(usize, usize),
    Leave(usize),
}

/// A farm: every rank but rank 0 computes, with so many threads; one alone computes too.
pub(crate) struct Farm {
    mean: f64,
    shape: Shape,
    n_tasks: u64,
    root: Root,
    workers: Vec<Worker>,
    leaving: Vec<bool>,
    events: BTreeMap<(u64, u64), Event>,
    n_events: u64,
    /// What has reached rank 0.
    inbox: BTreeMap<(u64, u64), (usize, Vec<u8>)>,
    written: Vec<u8>,
    cpu: f64,
    busy: f64,
    n_messages: u64,
}

impl Farm {
    pub(crate) fn new(ranks: u32, threads: u32, mean: f64, shape: Shape) -> Self {
        let first = usize::from(ranks > 1);
        let n_threads = (u64::from(ranks) - first as u64) * u64::from(threads);
        let n_tasks = (n_threads * PER_THREAD).min(MOST_TASKS);
        let computes = |idx: usize| if idx >= first { threads } else { 0 };
        Self {
            mean,
            shape,
            n_tasks,
            root: root((0..ranks as usize).map(computes), n_tasks),
            workers: (0..ranks as usize).map(|idx| Worker::new(computes(idx))).collect(),
            leaving: vec![false; ranks as usize],
            events: BTreeMap::new(),
            n_events: 0,
            inbox: BTreeMap::new(),
            written: Vec::new(),
            cpu: 0.0,
            busy: 0.0,
            n_messages: 0,
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Result<Outcome> {
        let mut now = 0.0;
        loop {
            let turn = self.turn(now)?;
            now += turn;
            if self.root.is_done() {
                return Ok(self.result(now));
            }
            // Until something reaches rank 0, it waits.
            while self.inbox.first_key_value().is_none_or(|((at, _), _)| nanos(now) < *at) {
                let arrival = self.inbox.first_key_value().map(|(&(at, _), _)| at);
                match self.events.first_key_value().map(|(&(at, _), _)| at) {
                    Some(at) if arrival.is_none_or(|arrival| at <= arrival) => self.step()?,
                    _ => {
                        ensure!(arrival.is_some(), "nothing happens any more");
                        now = now.max(arrival.unwrap_or_default() as f64 * 1e-9 + 1e-9);
                    }
                }
            }
            while self.events.first_key_value().is_some_and(|((at, _), _)| *at <= nanos(now)) {
                self.step()?;
            }
        }
    }

    /// A turn of rank 0: hears, hands out, sends; how long it took.
    fn turn(&mut self, now: f64) -> Result<f64> {
        let mut heard = VecDeque::new();
        while heard.len() < MESSAGES_A_TURN {
            let due = self.inbox.first_entry().filter(|entry| entry.key().0 <= nanos(now));
            let Some(due) = due else { break };
            heard.push_back(due.remove());
        }
        let start = cpu_seconds();
        let written = &mut self.written;
        let mut write = |heard: &Heard<'_>| {
            written.extend_from_slice(heard.outcome.record);
            Ok(())
        };
        for (rank, message) in &heard {
            let mut rest = message.as_slice();
            while let Some(ToRoot::Outcomes(payload)) = ToRoot::decode(&mut rest)? {
                self.root.on_outcomes(Rank::at(*rank), payload, time(now), &mut write)?;
            }
        }
        if written.len() > 1 << 20 {
            written.clear();
        }
        let mut orders = Vec::new();
        self.root.hand_out(time(now), &mut orders)?;
        let mut outbox = BTreeMap::<usize, Vec<u8>>::new();
        for order in orders {
            if let Order::Chunk(rank, payload) = order {
                ToWorker::Chunk(&payload).encode(outbox.entry(rank.idx()).or_default());
            }
        }
        let cpu = cpu_seconds() - start;
        let n_messages = heard.len() + outbox.len();
        let took = cpu + n_messages as f64 * MESSAGE;
        for (rank, message) in outbox {
            self.at(now + took + ONE_WAY, Event::ToWorker(rank, message));
        }
        self.cpu += cpu;
        self.busy += took;
        self.n_messages += n_messages as u64;
        Ok(took.max(1e-9))
    }

    fn at(&mut self, seconds: f64, event: Event) {
        self.n_events += 1;
        self.events.insert((nanos(seconds), self.n_events), event);
    }

    /// The next thing that happens to a worker.
    fn step(&mut self) -> Result<()> {
        let Some(((at, _), event)) = self.events.pop_first() else { return Ok(()) };
        let now = at as f64 * 1e-9;
        match event {
            Event::ToWorker(rank, message) => {
                self.workers[rank].obey(&message)?;
                for thread in self.workers[rank].idle() {
                    self.start(rank, thread, now);
                }
            }
            Event::End(rank, thread) => {
                if self.workers[rank].end(thread, now) && !self.leaving[rank] {
                    self.leaving[rank] = true;
                    self.at(now + TURN, Event::Leave(rank));
                }
                self.start(rank, thread, now);
            }
            Event::Leave(rank) => {
                self.leaving[rank] = false;
                let message = self.workers[rank].message();
                self.n_events += 1;
                self.inbox.insert((nanos(now + ONE_WAY), self.n_events), (rank, message));
            }
        }
        Ok(())
    }

    fn start(&mut self, rank: usize, thread: usize, now: f64) {
        let (mean, shape) = (self.mean, self.shape);
        if let Some(seconds) = self.workers[rank].start(thread, |n| seconds(n, mean, shape)) {
            self.at(now + seconds, Event::End(rank, thread));
        }
    }

    fn result(&self, seconds_: f64) -> Outcome {
        let times = (0..self.n_tasks).map(|n| seconds(n, self.mean, self.shape));
        let (sum, longest) = times.fold((0.0, 0.0_f64), |(sum, max), s| (sum + s, max.max(s)));
        let n_threads: usize = self.workers.iter().map(|worker| worker.idle().len()).sum();
        let ideal = (sum / n_threads as f64).max(longest);
        Outcome {
            efficiency: ideal / seconds_,
            busy: self.busy / seconds_,
            messages: self.n_messages as f64 / seconds_,
            cpu: self.cpu,
            tasks: self.n_tasks as f64,
            seconds: seconds_,
        }
    }
}

fn root(threads: impl Iterator<Item = u32>, n_tasks: u64) -> Root {
    let source = Box::new(Numbers { next: 0, n: n_tasks });
    let table = Table { source, pool: Pool::Cpu, limit: None, own_retries: false };
    let config = Config {
        schedule: Schedule::Auto,
        ordered: false,
        threads: threads.map(|threads| [threads, 0]).collect(),
        reserve: [1, 0],
        policy: Policy::default(),
    };
    Root::new(config, vec![table])
}

/// What a rank costs rank 0 in memory: its state, and the tasks of 1 ms that it holds.
pub(crate) fn memory() -> Result<()> {
    println!("| ranks | bytes a rank | tasks that it holds |\n|---:|---:|---:|");
    for ranks in [256_u32, 1024, 4096, 16_384] {
        let before = resident();
        let mut root = root((0..ranks).map(|_| 1), u64::MAX);
        let mut held = Vec::new();
        let mut ignore = |_: &Heard<'_>| Ok(());
        // Rank 0 learns how long tasks take, and fills what ranks may hold.
        for _ in 0..20 {
            for (rank, id, tasks) in held.drain(..) {
                root.on_outcomes(rank, &outcomes(id, tasks), Duration::ZERO, &mut ignore)?;
            }
            let mut orders = Vec::new();
            root.hand_out(Duration::ZERO, &mut orders)?;
            for order in orders {
                if let Order::Chunk(rank, payload) = order {
                    let (id, spans) = decode_chunk(&payload)?;
                    let tasks: u32 = spans.iter().map(Span::n_tasks).sum();
                    held.push((rank, id, tasks as usize));
                }
            }
        }
        let tasks: usize = held.iter().map(|(.., tasks)| tasks).sum();
        let bytes = resident().saturating_sub(before) / u64::from(ranks);
        println!("| {ranks} | {bytes} | {} |", tasks / ranks as usize);
    }
    Ok(())
}

fn outcomes(chunk: u64, tasks: usize) -> Vec<u8> {
    let mut outcomes = OutcomesBuilder::new(chunk);
    for index in 0..tasks {
        outcomes.begin();
        outcomes.end(index as u32, Status::Ok, 1_000_000, &Done::default());
    }
    outcomes.finish()
}

/// The time of a task, the same each time it is asked.
fn seconds(n: u64, mean: f64, shape: Shape) -> f64 {
    let hash = xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes());
    let random = (hash >> 11) as f64 / (1_u64 << 53) as f64;
    match shape {
        Shape::Uniform => mean * (0.5 + random),
        // The mean of Pareto's distribution with exponent 1.5 is three times its least value;
        // without what is beyond the longest, a little less.
        Shape::Heavy => mean * LONGEST.min((1.0 - random).powf(-1.0 / 1.5) / 3.0),
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

fn time(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
