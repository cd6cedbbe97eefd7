//! What runs the tasks of a `[[task]]` table.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::task::{self, Pool, Work};

/// One `[[task]]` table as an executor sees it.
pub struct Table {
    /// The kind's name, for records.
    pub kind: &'static str,
    /// What runs its tasks.
    pub work: Box<dyn Work>,
    /// Where they run.
    pub pool: Pool,
    /// How long each may run.
    pub limit: Option<Duration>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What runs the tasks of a job's tables on this rank.
pub fn table(kind: &str, options: &str, pool: Pool, limit: Option<Duration>) -> Result<Table> {
    let kind = task::kind(kind).with_context(|| format!("unknown kind `{kind}`"))?;
    Ok(Table { kind: kind.name(), work: kind.work(options)?, pool, limit })
}
