//! What a run counts: tasks, attempts and times, by kind and by rank.
//!
//! **Invariant:** pure; every outcome that counts is recorded once, and times are those that the
//! executors measured.

mod hosts;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::executor::Ledger;
use crate::inventory::Inventory;
use crate::message::{Status, Times};
use crate::root::{Heard, Resumed};
use crate::task::{Account, ErrorClass};
pub use hosts::HostSummary;

/// Counts of a run while it goes on.
#[derive(Debug)]
pub struct Stats {
    kinds: Vec<Kind>,
    /// Each table's index in `kinds`.
    kind_of_table: Vec<usize>,
    ranks: Vec<Rank>,
    attempts: u64,
    dead_ranks: u64,
}

#[derive(Debug)]
struct Kind {
    name: &'static str,
    ok: u64,
    cancelled: u64,
    errors: BTreeMap<&'static str, u64>,
    nanos: u128,
    /// Nanoseconds, to two significant digits.
    times: Histogram<u64>,
}

#[derive(Clone, Debug, Default)]
struct Rank {
    tasks: u64,
    nanos: u128,
}

/// Task times are kept between a nanosecond and 32 years.
const LONGEST_NANOS: u64 = 1_000_000_000_000_000_000;

impl Stats {
    /// Nothing counted yet; `kinds` are the names of the tables' kinds, by table.
    pub fn new(kinds: &[&'static str], n_ranks: usize) -> Self {
        let mut stats = Self {
            kinds: Vec::new(),
            kind_of_table: Vec::new(),
            ranks: vec![Rank::default(); n_ranks],
            attempts: 0,
            dead_ranks: 0,
        };
        for &name in kinds {
            let known = stats.kinds.iter().position(|kind| kind.name == name);
            stats.kind_of_table.push(known.unwrap_or(stats.kinds.len()));
            if known.is_none() {
                stats.kinds.push(Kind::new(name));
            }
        }
        stats
    }

    /// Counts an outcome, and those heard with it.
    pub fn record(&mut self, heard: &Heard<'_>) {
        let kind = &mut self.kinds[self.kind_of_table[usize::from(heard.task.table)]];
        let n = 1 + heard.also.iter().map(|times| u64::from(times.n)).sum::<u64>();
        match heard.outcome.status {
            Status::Ok => kind.ok += n,
            Status::Failed(ErrorClass::Cancelled) => kind.cancelled += n,
            Status::Failed(class) => *kind.errors.entry(class.as_str()).or_default() += n,
        }
        let is_timed = heard.outcome.status != Status::Failed(ErrorClass::Cancelled);
        let rank = &mut self.ranks[heard.rank.idx()];
        let first = Times { n: 1, nanos: heard.outcome.nanos };
        for &Times { n, nanos } in std::iter::once(&first).chain(heard.also) {
            let all = u128::from(nanos) * u128::from(n);
            kind.nanos += all;
            rank.nanos += all;
            if is_timed {
                kind.times.saturating_record_n(nanos.max(1), n.into());
            }
        }
        rank.tasks += n;
        self.attempts += n * (u64::from(heard.task.earlier_attempts) + 1);
    }

    /// Counts a rank that died.
    pub fn count_dead(&mut self) {
        self.dead_ranks += 1;
    }

    /// Tasks that failed.
    pub fn n_failed(&self) -> u64 {
        self.kinds.iter().map(Kind::n_failed).sum()
    }

    /// Tasks that were cancelled.
    pub fn n_cancelled(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.cancelled).sum()
    }

    /// The whole run, once every rank's ledger is there.
    pub fn summary(&self, job: &str, world: &[Inventory], ledgers: &[Ledger]) -> Summary {
        let wall = ledgers.first().map_or(0.0, |ledger| ledger.wall);
        let ok: u64 = self.kinds.iter().map(|kind| kind.ok).sum();
        let (failed, cancelled) = (self.n_failed(), self.n_cancelled());
        let tasks = ok + failed + cancelled;
        let per = |whole: f64, n: f64| if n > 0.0 { whole / n } else { 0.0 };
        let dispatch = ledgers.first().map_or(0.0, |ledger| ledger.communication);
        let ranks = self.ranks.iter().zip(world.iter().zip(ledgers));
        let ranks: Vec<RankSummary> = ranks
            .map(|(rank, (inventory, ledger))| rank.summary(inventory, ledger, tasks))
            .collect();
        Summary {
            job: job.to_owned(),
            tasks,
            ok,
            failed,
            cancelled,
            attempts: self.attempts,
            resumed: 0,
            resumed_failed: 0,
            unnamed: 0,
            unwritten: 0,
            dead_ranks: self.dead_ranks,
            wall_seconds: wall,
            tasks_per_second: per(tasks as f64, wall),
            dispatch_seconds_per_task: per(dispatch, tasks as f64),
            imbalance: imbalance(ledgers),
            kinds: self.kinds.iter().map(|kind| kind.summary(wall)).collect(),
            hosts: hosts::by_host(&ranks),
            ranks,
            sources: Vec::new(),
            texts: Vec::new(),
        }
    }
}

/// How much longer the busiest rank's threads computed than the average: `max / mean - 1`.
fn imbalance(ledgers: &[Ledger]) -> f64 {
    let working = ledgers.iter().filter(|ledger| ledger.thread_seconds > 0.0);
    let loads: Vec<f64> =
        working.map(|ledger| ledger.compute * ledger.wall / ledger.thread_seconds).collect();
    let mean = loads.iter().sum::<f64>() / loads.len().max(1) as f64;
    let max = loads.iter().copied().fold(0.0, f64::max);
    if mean > 0.0 { max / mean - 1.0 } else { 0.0 }
}

impl Kind {
    fn new(name: &'static str) -> Self {
        let times = Histogram::new_with_bounds(1, LONGEST_NANOS, 2).expect("bounds are in order");
        Self { name, ok: 0, cancelled: 0, errors: BTreeMap::new(), nanos: 0, times }
    }

    fn n_failed(&self) -> u64 {
        self.errors.values().sum()
    }

    fn summary(&self, wall: f64) -> KindSummary {
        let quantile = |q| self.times.value_at_quantile(q) as f64 * 1e-9;
        let tasks = self.ok + self.n_failed() + self.cancelled;
        KindSummary {
            kind: self.name,
            tasks,
            ok: self.ok,
            failed: self.n_failed(),
            cancelled: self.cancelled,
            errors: self.errors.clone(),
            task_seconds: self.nanos as f64 * 1e-9,
            tasks_per_second: if wall > 0.0 { tasks as f64 / wall } else { 0.0 },
            p50_seconds: quantile(0.5),
            p95_seconds: quantile(0.95),
            p99_seconds: quantile(0.99),
            max_seconds: self.times.max() as f64 * 1e-9,
        }
    }
}

impl Rank {
    fn summary(&self, inventory: &Inventory, ledger: &Ledger, all_tasks: u64) -> RankSummary {
        let task_seconds = self.nanos as f64 * 1e-9;
        let per = |whole: f64, n: u64| if n > 0 { whole / n as f64 } else { 0.0 };
        RankSummary {
            rank: inventory.rank,
            host: inventory.host.clone(),
            pid: inventory.pid,
            tasks: self.tasks,
            percent_of_tasks: 100.0 * per(self.tasks as f64, all_tasks),
            task_seconds,
            seconds_per_task: per(task_seconds, self.tasks),
            ledger: ledger.clone(),
        }
    }
}

/// A finished run in numbers: what `--stats` writes. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The job's name.
    pub job: String,
    /// Tasks with an outcome.
    pub tasks: u64,
    /// Those that gave an output.
    pub ok: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were cancelled.
    pub cancelled: u64,
    /// How often tasks were started.
    pub attempts: u64,
    /// Tasks of the job that were not run, because the results file had their records; they are
    /// not among `tasks`.
    pub resumed: u64,
    /// Those of them whose record is one of a failure.
    pub resumed_failed: u64,
    /// Records in the results file of tasks that the job no longer names.
    pub unnamed: u64,
    /// Tasks that have ended and whose records could not be written: who goes on runs them again.
    pub unwritten: u64,
    /// Ranks that died before the end.
    pub dead_ranks: u64,
    /// From the first task handed out to the last outcome gathered.
    pub wall_seconds: f64,
    /// Over that time.
    pub tasks_per_second: f64,
    /// Time of rank 0's main thread with messages, files and decisions, per task.
    pub dispatch_seconds_per_task: f64,
    /// How much longer the busiest rank's threads computed than the average.
    pub imbalance: f64,
    /// By kind, in the order of the job.
    pub kinds: Vec<KindSummary>,
    /// By host, in the order of their first ranks.
    pub hosts: Vec<HostSummary>,
    /// By rank.
    pub ranks: Vec<RankSummary>,
    /// What the sources of tasks that lead to others say, each with the number of its `table`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<serde_json::Value>,
    /// The same for people.
    #[serde(skip)]
    pub texts: Vec<String>,
}

impl Summary {
    /// The summary of a run that went on with the results of an earlier one.
    #[must_use]
    pub fn after(self, resumed: Resumed) -> Self {
        let Resumed { tasks, failed, unnamed } = resumed;
        Self { resumed: tasks, resumed_failed: failed, unnamed, ..self }
    }

    /// The summary of a run whose last records could not be written.
    #[must_use]
    pub fn with_unwritten(self, unwritten: u64) -> Self {
        Self { unwritten, ..self }
    }

    /// The summary with what sources say of the run, by table.
    #[must_use]
    pub fn with_accounts(self, accounts: Vec<(usize, Account)>) -> Self {
        let (mut sources, mut texts) = (Vec::new(), Vec::new());
        for (table, Account { mut json, text }) in accounts {
            json["table"] = (table + 1).into();
            sources.push(json);
            texts.push(text);
        }
        Self { sources, texts, ..self }
    }

    /// Whether a task of the job failed or was cancelled, now or in a run that this one went on with.
    pub fn has_failed(&self) -> bool {
        self.failed + self.cancelled + self.resumed_failed > 0
    }
}

/// One kind's part of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindSummary {
    /// Its name.
    pub kind: &'static str,
    /// Tasks with an outcome.
    pub tasks: u64,
    /// Those that gave an output.
    pub ok: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were cancelled.
    pub cancelled: u64,
    /// How many failed with each class of error.
    pub errors: BTreeMap<&'static str, u64>,
    /// Sum of the tasks' times.
    pub task_seconds: f64,
    /// Over the run's time.
    pub tasks_per_second: f64,
    /// Half of the tasks took no longer.
    pub p50_seconds: f64,
    /// 95 % of the tasks took no longer.
    pub p95_seconds: f64,
    /// 99 % of the tasks took no longer.
    pub p99_seconds: f64,
    /// The longest task.
    pub max_seconds: f64,
}

/// One rank's part of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankSummary {
    /// The rank.
    pub rank: u32,
    /// Its host.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// Tasks that it ran.
    pub tasks: u64,
    /// Of all tasks.
    pub percent_of_tasks: f64,
    /// Sum of their times.
    pub task_seconds: f64,
    /// Their average.
    pub seconds_per_task: f64,
    /// Where its time went.
    pub ledger: Ledger,
}
