//! What an earlier run has done: which tasks of a job have a record already.
//!
//! **Invariant:** a record costs 16 bytes, or 17 if it is one of a failure, whatever it holds.

use std::collections::BTreeMap;

use super::Root;
use crate::task::{self, Item, Recorded, Work};

impl Root {
    /// What an earlier run has done of this job, so far as its sources have told.
    pub fn resumed(&self) -> Resumed {
        self.feed.resumed()
    }

    /// The records of an earlier run.
    pub fn done(&self) -> Option<&Done> {
        self.feed.done()
    }
}

/// Ids of tasks, sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids(Vec<u128>);

impl Ids {
    /// The distinct ones of `ids`.
    pub fn new(mut ids: Vec<u128>) -> Self {
        ids.sort_unstable();
        ids.dedup();
        ids.shrink_to_fit();
        Self(ids)
    }

    /// The same without those of `others`.
    #[must_use]
    pub fn without(mut self, others: &Self) -> Self {
        self.0.retain(|&id| others.position(id).is_none());
        self
    }

    /// Where an id stands among them, if it does.
    pub fn position(&self, id: u128) -> Option<usize> {
        self.0.binary_search(&id).ok()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a results file holds, as far as handing out goes.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Tasks that gave an output.
    pub ok: Ids,
    /// Tasks that only failed.
    pub failed: Ids,
    /// How many of both there are of each kind.
    pub by_kind: BTreeMap<String, [u64; 2]>,
    /// Records of tasks that have another one.
    pub n_repeated: u64,
}

/// What makes the ids of a table's tasks.
pub struct Naming {
    /// Their kind.
    pub kind: &'static str,
    /// What writes their inputs.
    pub work: Box<dyn Work>,
}

impl std::fmt::Debug for Naming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Naming").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The records of an earlier run, compared with the tasks of this one as its sources give them.
pub struct Done {
    records: Records,
    namings: Vec<Naming>,
    /// Whether what failed is run again.
    retry: bool,
    /// Records of each table's kind whose tasks have not come yet, as far as they are not run
    /// again.
    left: BTreeMap<&'static str, u64>,
    n_ok: u64,
    n_failed: u64,
    /// Which of the failed ones this job has.
    named: Vec<bool>,
    n_named: usize,
    scratch: Vec<u8>,
}

/// How much of a job an earlier run has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Tasks that were not run because they have a record.
    pub tasks: u64,
    /// Those of them whose record is one of a failure.
    pub failed: u64,
    /// Records whose tasks the job does not name; known once its sources have ended.
    pub unnamed: u64,
}

impl Done {
    /// The `records` of an earlier run; `namings` by table.
    pub fn new(records: Records, namings: Vec<Naming>, retry: bool) -> Self {
        let left = |naming: &Naming| {
            let [ok, failed] = records.by_kind.get(naming.kind).copied().unwrap_or_default();
            (naming.kind, if retry { ok } else { ok + failed })
        };
        Self {
            left: namings.iter().map(left).collect(),
            named: vec![false; records.failed.len()],
            records,
            namings,
            retry,
            n_ok: 0,
            n_failed: 0,
            n_named: 0,
            scratch: Vec::new(),
        }
    }

    /// What is recorded of a task of `table`, if it is not to run again; asked once a task.
    pub fn recorded(&mut self, table: usize, item: &Item) -> Option<Recorded> {
        let naming = &self.namings[table];
        self.scratch.clear();
        naming.work.write_input(&item.input, &mut self.scratch);
        let id = task::id(naming.kind, &self.scratch, item.occurrence);
        let is_ok = self.records.ok.position(id).is_some();
        if !is_ok {
            let idx = self.records.failed.position(id)?;
            self.n_named += usize::from(!std::mem::replace(&mut self.named[idx], true));
            if self.retry {
                return None;
            }
        }
        self.n_ok += u64::from(is_ok);
        self.n_failed += u64::from(!is_ok);
        let left = self.left.get_mut(naming.kind).expect("every table's kind is there");
        *left = left.saturating_sub(1);
        Some(if is_ok { Recorded::Ok } else { Recorded::Failed })
    }

    /// Whether it is known which of the failed records belong to this job.
    pub(super) fn knows_failed(&self) -> bool {
        !self.retry || self.n_named == self.records.failed.len()
    }

    /// Takes every failed record for one of this job: that the others belong to no task of it
    /// cannot be found out before the run.
    pub(super) fn take_all_failed(&mut self) {
        self.named.fill(true);
        self.n_named = self.named.len();
    }

    /// Records of a table's kind whose tasks are still to come and will not be run.
    pub(super) fn left(&self, table: usize) -> u64 {
        self.left.get(self.kind(table)).copied().unwrap_or_default()
    }

    pub(super) fn kind(&self, table: usize) -> &'static str {
        self.namings[table].kind
    }

    /// Whether a failed record is dropped because its task runs again.
    pub fn runs_again(&self, id: u128) -> bool {
        let is_named = |idx: usize| self.named[idx];
        self.retry && self.records.failed.position(id).is_some_and(is_named)
    }

    /// How many failed tasks run again.
    pub fn n_again(&self) -> usize {
        if self.retry { self.n_named } else { 0 }
    }

    /// What the file held at first.
    pub fn records(&self) -> &Records {
        &self.records
    }

    pub(super) fn resumed(&self) -> Resumed {
        let n_records = self.records.ok.len() + self.records.failed.len();
        let n_named = self.n_ok + self.n_named as u64;
        Resumed {
            tasks: self.n_ok + self.n_failed,
            failed: self.n_failed,
            unnamed: (n_records as u64).saturating_sub(n_named),
        }
    }
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Done").field("resumed", &self.resumed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::POOLS;
    use super::super::feed::{Fed, Feed, Table};
    use super::*;
    use crate::task::{self, Input, Next, Pool, Source};

    struct Upwards(std::ops::Range<u64>);

    impl Source for Upwards {
        fn next(&mut self, _: Duration) -> anyhow::Result<Next> {
            let item = |n| Item { input: Input::Number(n), cost: 1.0, ..Item::default() };
            Ok(self.0.next().map_or(Next::Exhausted, |n| Next::Task(item(n))))
        }

        fn remaining(&self) -> Option<u64> {
            Some(self.0.end - self.0.start)
        }
    }

    fn table(range: std::ops::Range<u64>, pool: Pool) -> Table {
        Table { source: Box::new(Upwards(range)), pool, limit: None, own_retries: false }
    }

    fn id(n: u64) -> u128 {
        task::id("fibonacci", format!("{{\"n\":{n}}}").as_bytes(), 0)
    }

    /// A feed of these tables after a run with these records.
    fn feed(
        tables: Vec<Table>,
        in_order: bool,
        ok: impl Iterator<Item = u64>,
        failed: &[u64],
        retry: bool,
    ) -> Feed {
        let ok = Ids::new(ok.map(id).collect());
        let failed = Ids::new(failed.iter().copied().map(id).collect()).without(&ok);
        let counts = [ok.len() as u64, failed.len() as u64];
        let by_kind = BTreeMap::from([("fibonacci".to_owned(), counts)]);
        let records = Records { ok, failed, by_kind, n_repeated: 0 };
        let work =
            || task::kind("fibonacci").unwrap().work("{\"value\":\"full\",\"modulus\":null}");
        let naming = |_: &Table| Naming { kind: "fibonacci", work: work().unwrap() };
        let done = Done::new(records, tables.iter().map(naming).collect(), retry);
        Feed::new(tables, in_order, Some(done)).unwrap()
    }

    /// Everything that is still to be run, and in how many turns it came.
    fn drain(feed: &mut Feed, pools: &[Pool]) -> (Vec<u64>, u32) {
        let (mut numbers, mut turns) = (Vec::new(), 0);
        while !feed.is_exhausted() {
            turns += 1;
            for &pool in pools {
                while let Some(Fed { span, .. }) =
                    feed.next(pool, 1, Duration::from_secs(turns.into())).unwrap()
                {
                    assert_eq!(span.first.seq, numbers.len() as u64);
                    let Input::Number(n) = span.first.input else { panic!("numbers were given") };
                    numbers.push(n);
                }
            }
        }
        (numbers, turns)
    }

    #[test]
    fn what_has_a_record_is_left_out() {
        let tables = vec![table(0..10, Pool::Cpu)];
        let mut feed = feed(tables, false, 3..6, &[7, 100], false);
        assert_eq!(feed.remaining(Pool::Cpu), Some(5), "one record is of no task");
        assert_eq!(drain(&mut feed, &[Pool::Cpu]).0, [0, 1, 2, 6, 8, 9]);
        assert_eq!(feed.resumed(), Resumed { tasks: 4, failed: 1, unnamed: 1 });
        assert_eq!(feed.remaining(Pool::Cpu), Some(0));
    }

    #[test]
    fn rank_0_does_not_pass_over_too_many_at_a_time() {
        let mut feed = feed(vec![table(0..200_001, Pool::Cpu)], false, 0..200_000, &[], false);
        assert_eq!(feed.remaining(Pool::Cpu), Some(1));
        let (numbers, turns) = drain(&mut feed, &[Pool::Cpu]);
        assert_eq!(numbers, [200_000]);
        assert!((4..=5).contains(&turns), "{turns}");
    }

    #[test]
    fn failed_ones_are_looked_for_no_further_than_they_are() {
        for in_order in [false, true] {
            let tables = vec![table(0..1 << 40, Pool::Cpu), table(1 << 40..1 << 41, Pool::Io)];
            let feed = feed(tables, in_order, 0..5, &[3, 9], true);
            let done = feed.done().unwrap();
            assert_eq!(done.n_again(), 1, "3 is not failed: its record of an output counts");
            assert!(done.runs_again(id(9)) && !done.runs_again(id(3)));
            let to_come = (1 << 40) - 10 + 5;
            assert_eq!(feed.remaining(Pool::Cpu), Some(to_come), "10 were read, 5 wait");
        }
    }

    #[test]
    fn failed_ones_of_no_task_are_kept() {
        let tables = || vec![table(0..10, Pool::Cpu), table(10..20, Pool::Io)];
        for in_order in [false, true] {
            let mut feed = feed(tables(), in_order, 0..5, &[15, 99], true);
            let done = feed.done().unwrap();
            assert!(done.runs_again(id(15)) && !done.runs_again(id(99)));
            assert_eq!(POOLS.map(|pool| feed.remaining(pool)), [Some(5), Some(10)]);
            let pools = if in_order { &[Pool::Io][..] } else { &POOLS };
            assert_eq!(drain(&mut feed, pools).0, (5..20).collect::<Vec<_>>());
            assert_eq!(feed.resumed(), Resumed { tasks: 5, failed: 0, unnamed: 1 });
        }
    }

    #[test]
    fn looking_for_failed_ones_ends() {
        let tables = vec![table(0..1 << 40, Pool::Cpu)];
        let feed = feed(tables, false, 0..1, &[1 << 41], true);
        assert!(feed.done().unwrap().runs_again(id(1 << 41)), "it may still come");
    }
}
