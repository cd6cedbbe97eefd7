//! The tables' sources, read lazily: which table the next task of a pool comes from. What an
//! earlier run has done is left out here.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::POOLS;
use super::done::{Done, Resumed};
use crate::message::{History, Rank, Span, Task};
use crate::task::{Account, End, Ended, Item, Next, Note, Pool, Source, TaskError, TimeLimit};

/// Tasks that are done are passed over, at most so many a turn of rank 0's loop: it has others
/// to answer.
const LEFT_OUT_A_TURN: u32 = 50_000;
/// Tasks read ahead, at most, to find out which failed ones the job still has.
const MOST_AHEAD: u64 = 1_000_000;

/// One `[[task]]` table as rank 0 sees it.
pub struct Table {
    /// Where its tasks come from.
    pub source: Box<dyn Source>,
    /// The pool they run in.
    pub pool: Pool,
    /// How long its tasks may run.
    pub limit: Option<TimeLimit>,
    /// Whether its source tries again by itself.
    pub own_retries: bool,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// Tasks on their way from their source.
#[derive(Debug)]
pub(super) struct Fed {
    /// Where they run.
    pub(super) pool: Pool,
    pub(super) span: Span,
    /// It has failed already, for this reason; such a task stands alone.
    pub(super) error: Option<TaskError>,
}

/// A source's answer, with its table.
type Pulled = (usize, Item, Option<TaskError>);

/// What an outcome says to its source.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    pub(super) report: &'a [u8],
    pub(super) again: Option<Duration>,
    pub(super) nanos: u64,
}

/// The sources in the order of the job.
pub(super) struct Feed {
    tables: Vec<Table>,
    exhausted: Vec<bool>,
    /// Whether tasks are pulled in the order of the job, or the pools' tables side by side.
    in_order: bool,
    next_seq: u64,
    done: Option<Done>,
    /// Tasks read ahead, by the pool that asked for them.
    ahead: [VecDeque<Pulled>; 2],
    /// How many of them run in each pool.
    n_ahead: [u64; 2],
    /// The turn, and how many done tasks may still be passed over in it.
    turn: (Duration, u32),
}

impl Feed {
    /// The tasks of `tables` that are not `done`.
    ///
    /// To know which failed tasks run again, sources are read ahead until all these have come:
    /// not beyond what a stream has at hand, and no further than to a million tasks to be run.
    /// Where that does not settle it, all of them count as tasks of this job.
    pub(super) fn new(tables: Vec<Table>, in_order: bool, done: Option<Done>) -> Result<Self> {
        let exhausted = vec![false; tables.len()];
        let mut feed = Self {
            tables,
            exhausted,
            in_order,
            next_seq: 0,
            done,
            ahead: Default::default(),
            n_ahead: [0; 2],
            turn: (Duration::MAX, 0),
        };
        feed.find_failed()?;
        Ok(feed)
    }

    fn find_failed(&mut self) -> Result<()> {
        for pool in POOLS {
            while !self.knows_failed() && self.n_ahead.iter().sum::<u64>() < MOST_AHEAD {
                self.turn.1 = u32::MAX;
                let Some(read) = self.pull(pool, 1, Duration::ZERO)? else { break };
                self.n_ahead[self.tables[read.0].pool as usize] += 1;
                self.ahead[self.queue(pool)].push_back(read);
            }
        }
        let is_settled = self.knows_failed() || !self.exhausted.contains(&false);
        if let Some(done) = self.done.as_mut().filter(|_| !is_settled) {
            done.take_all_failed();
        }
        Ok(())
    }

    fn knows_failed(&self) -> bool {
        self.done.as_ref().is_none_or(Done::knows_failed)
    }

    /// Which of the queues of tasks read ahead serves a pool.
    fn queue(&self, pool: Pool) -> usize {
        if self.in_order { 0 } else { pool as usize }
    }

    /// The next task of `pool` (of any pool, where the job's order is kept), and what is in a row
    /// with it, `most` tasks at most.
    pub(super) fn next(&mut self, pool: Pool, most: u32, now: Duration) -> Result<Option<Fed>> {
        let (idx, item, error) = if let Some(read) = self.ahead[self.queue(pool)].pop_front() {
            self.n_ahead[self.tables[read.0].pool as usize] -= 1;
            read
        } else {
            if self.turn.0 != now {
                self.turn = (now, LEFT_OUT_A_TURN);
            }
            let Some(read) = self.pull(pool, most, now)? else { return Ok(None) };
            read
        };
        let first = Task {
            seq: self.next_seq,
            table: u16::try_from(idx).expect("job files are checked for this"),
            earlier_attempts: item.earlier_attempts,
            occurrence: item.occurrence,
            cost: item.cost,
            near: item.near,
            history: (item.crashes > 0).then(|| History::of(item.crashes)),
            limit: None,
            input: item.input,
        };
        let span = Span { first, more: item.more, step: item.step };
        self.next_seq += u64::from(span.n_tasks());
        Ok(Some(Fed { pool: self.tables[idx].pool, span, error }))
    }

    /// Reads on to the next task that is not done. Where some are, each is asked for alone.
    fn pull(&mut self, pool: Pool, most: u32, now: Duration) -> Result<Option<Pulled>> {
        let most = if self.done.is_some() { 1 } else { most };
        // Tables before this one have nothing yet.
        let mut first = 0;
        while let Some(idx) = self.current(pool, first) {
            let next = self.tables[idx].source.next_row(most, now);
            let (item, error) = match next.with_context(|| format!("[[task]] {}", idx + 1))? {
                Next::Exhausted => {
                    self.exhausted[idx] = true;
                    continue;
                }
                // Another table's turn may have come to light.
                Next::Waiting if self.in_order && self.current(pool, 0) != Some(idx) => continue,
                Next::Waiting if self.in_order => return Ok(None),
                // A table that waits, for a writer or for outcomes, holds no other.
                Next::Waiting => {
                    first = idx + 1;
                    continue;
                }
                Next::Task(item) => (item, None),
                Next::Failed(item, error) => (item, Some(error)),
            };
            let recorded = self.done.as_mut().and_then(|done| done.recorded(idx, &item));
            let Some(recorded) = recorded else { return Ok(Some((idx, item, error))) };
            self.tables[idx].source.on_recorded(&item, recorded);
            self.turn.1 = self.turn.1.saturating_sub(1);
            if self.turn.1 == 0 {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// The next table to ask, from number `first` on.
    fn current(&self, pool: Pool, first: usize) -> Option<usize> {
        (first..self.tables.len()).filter(|&idx| !self.exhausted[idx]).find(|&idx| {
            if self.in_order {
                self.tables[idx].source.is_turn()
            } else {
                self.tables[idx].pool == pool
            }
        })
    }

    /// Tasks of `pool` still to come and to be run, where every one of its sources knows; without
    /// those that are held. An estimate after a resume: records may belong to tasks that the job
    /// no longer names.
    pub(super) fn remaining(&self, pool: Pool) -> Option<u64> {
        let is_held = |idx: usize| self.tables[idx].source.is_held();
        let open =
            |idx: &usize| self.tables[*idx].pool == pool && !self.exhausted[*idx] && !is_held(*idx);
        let to_come = (0..self.tables.len())
            .filter(open)
            .map(|idx| self.tables[idx].source.remaining())
            .sum::<Option<u64>>()?;
        let mut left = 0;
        if let Some(done) = &self.done {
            let mut kinds: Vec<usize> = (0..self.tables.len()).filter(open).collect();
            kinds.sort_unstable_by_key(|idx| done.kind(*idx));
            kinds.dedup_by_key(|idx| done.kind(*idx));
            left = kinds.into_iter().map(|idx| done.left(idx)).sum();
        }
        Some(to_come.saturating_sub(left) + self.n_ahead[pool as usize])
    }

    /// Tasks that are held, where every one of their sources knows.
    pub(super) fn held(&self) -> Option<u64> {
        let open = self.tables.iter().zip(&self.exhausted).filter(|(_, exhausted)| !**exhausted);
        let held = open.map(|(table, _)| &table.source).filter(|source| source.is_held());
        held.map(|source| source.remaining()).sum()
    }

    /// The place of the next task in the order of the job, and so the number pulled so far.
    pub(super) fn n_pulled(&self) -> u64 {
        self.next_seq
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.n_ahead == [0; 2] && self.exhausted.iter().all(|&exhausted| exhausted)
    }

    /// What is left out, once all of it is known.
    pub(super) fn resumed(&self) -> Resumed {
        let mut resumed = self.done.as_ref().map(Done::resumed).unwrap_or_default();
        if !self.is_exhausted() {
            resumed.unnamed = 0;
        }
        resumed
    }

    /// Whether a task's source tries again by itself.
    pub(super) fn has_own_retries(&self, task: &Task) -> bool {
        self.tables[usize::from(task.table)].own_retries
    }

    /// Whether a task's source wants to hear how it ends.
    pub(super) fn hears_outcomes(&self, task: &Task) -> bool {
        self.tables[usize::from(task.table)].source.hears_outcomes()
    }

    /// Tells a task's source how it ended.
    pub(super) fn on_outcome(
        &mut self,
        task: &Task,
        (rank, end): (Rank, End),
        said: Said<'_>,
        now: Duration,
    ) -> Result<Note> {
        let ended = Ended {
            input: &task.input,
            end,
            report: said.report,
            again: said.again,
            took: Duration::from_nanos(said.nanos),
            rank: rank.0,
        };
        let idx = usize::from(task.table);
        let note = self.tables[idx].source.on_outcome(&ended, now);
        note.with_context(|| format!("[[task]] {}", idx + 1))
    }

    /// Has the sources give the kernel what they have noted.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.tables.iter_mut().try_for_each(|table| table.source.flush())
    }

    /// What the sources say of the run, with their tables.
    pub(super) fn finish(&mut self) -> Result<Vec<(usize, Account)>> {
        let mut accounts = Vec::new();
        for (idx, table) in self.tables.iter_mut().enumerate() {
            accounts.extend(table.source.finish()?.map(|account| (idx, account)));
        }
        Ok(accounts)
    }

    pub(super) fn done(&self) -> Option<&Done> {
        self.done.as_ref()
    }
}
