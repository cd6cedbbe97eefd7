//! The tables' sources, read lazily: which table the next task of a pool comes from.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::message::Task;
use crate::task::{Next, Pool, Source, TimeLimit};

/// One `[[task]]` table as rank 0 sees it.
pub struct Table {
    /// Where its tasks come from.
    pub source: Box<dyn Source>,
    /// The pool they run in.
    pub pool: Pool,
    /// How long its tasks may run.
    pub limit: Option<TimeLimit>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// The sources in the order of the job.
pub(super) struct Feed {
    tables: Vec<Table>,
    exhausted: Vec<bool>,
    /// Whether tasks are pulled in the order of the job, or the pools' tables side by side.
    in_order: bool,
    next_seq: u64,
}

impl Feed {
    pub(super) fn new(tables: Vec<Table>, in_order: bool) -> Self {
        let exhausted = vec![false; tables.len()];
        Self { tables, exhausted, in_order, next_seq: 0 }
    }

    /// The next task of `pool` (of any pool, where the job's order is kept), with its pool.
    pub(super) fn next(&mut self, pool: Pool, now: Duration) -> Result<Option<(Pool, Task)>> {
        while let Some(idx) = self.current(pool) {
            let table = &mut self.tables[idx];
            let next = table.source.next(now);
            match next.with_context(|| format!("[[task]] {}", idx + 1))? {
                Next::Exhausted => self.exhausted[idx] = true,
                Next::Waiting => return Ok(None),
                Next::Task(item) => {
                    let task = Task {
                        seq: self.next_seq,
                        table: u16::try_from(idx).expect("job files are checked for this"),
                        earlier_attempts: 0,
                        occurrence: item.occurrence,
                        cost: item.cost,
                        history: None,
                        limit: None,
                        input: item.input,
                    };
                    self.next_seq += 1;
                    return Ok(Some((table.pool, task)));
                }
            }
        }
        Ok(None)
    }

    fn current(&self, pool: Pool) -> Option<usize> {
        (0..self.tables.len())
            .find(|&idx| !self.exhausted[idx] && (self.in_order || self.tables[idx].pool == pool))
    }

    /// Tasks of `pool` still to come, where every one of its sources knows.
    pub(super) fn remaining(&self, pool: Pool) -> Option<u64> {
        let tables = self.tables.iter().zip(&self.exhausted);
        tables
            .filter(|(table, exhausted)| table.pool == pool && !**exhausted)
            .map(|(table, _)| table.source.remaining())
            .sum()
    }

    /// The place of the next task in the order of the job, and so the number pulled so far.
    pub(super) fn n_pulled(&self) -> u64 {
        self.next_seq
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted.iter().all(|&exhausted| exhausted)
    }
}
