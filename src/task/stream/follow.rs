//! Tasks that others name: what an outcome says of them goes into the stream, as if it were
//! lines.
//!
//! **Invariant:** a stream does not end before each task that may name others has ended; the
//! tables whose tasks do are held while thousands wait.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::Stream;
use crate::task::{Account, Begin, End, Ended, Item, Next, Note, Recorded, Source};

/// What a task names, as its outcome tells it.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    /// The input of the task that names them.
    pub(super) of: Value,
    /// The tasks, as texts or objects.
    pub(super) then: Vec<Value>,
}

/// What a task tells its source that names others; `of` is its input as in its record.
pub fn report(of: &[u8], then: &Value) -> Vec<u8> {
    let mut report = b"{\"of\":".to_vec();
    report.extend_from_slice(of);
    report.extend_from_slice(b",\"then\":");
    serde_json::to_writer(&mut report, then).expect("writing to a buffer cannot fail");
    report.push(b'}');
    report
}

/// The source of a table whose tasks may name others.
pub struct Naming {
    source: Box<dyn Source>,
    stream: Stream,
    /// Whether its own tasks come from the stream, which then counts them.
    is_streamed: bool,
    is_exhausted: bool,
}

impl Naming {
    /// The tasks of `source`; those that they name go into `stream`, whose table it may be.
    pub fn new(source: Box<dyn Source>, stream: Stream, is_streamed: bool) -> Self {
        if !is_streamed {
            stream.expect_table();
        }
        Self { source, stream, is_streamed, is_exhausted: false }
    }
}

impl Source for Naming {
    fn begin(&mut self, begin: Begin<'_>) -> Result<()> {
        if let (Some(results), Some(_)) = (begin.results, &begin.recorded) {
            self.stream.follow_records(results)?;
        }
        self.source.begin(begin)
    }

    fn next(&mut self, now: Duration) -> Result<Next> {
        if !self.is_streamed && self.stream.is_full() {
            return Ok(Next::Waiting);
        }
        let next = self.source.next(now)?;
        match next {
            Next::Task(_) | Next::Failed(..) if !self.is_streamed => self.stream.expect_task(),
            Next::Exhausted if !self.is_streamed && !self.is_exhausted => {
                self.is_exhausted = true;
                self.stream.table_ended();
            }
            _ => {}
        }
        Ok(next)
    }

    fn on_recorded(&mut self, item: &Item, recorded: Recorded) {
        self.source.on_recorded(item, recorded);
        self.stream.task_ended();
    }

    fn on_outcome(&mut self, ended: &Ended<'_>, now: Duration) -> Result<Note> {
        let note = self.source.on_outcome(ended, now)?;
        if ended.end == End::Ok && !ended.report.is_empty() {
            self.stream.follow(&serde_json::from_slice(ended.report)?);
        }
        self.stream.task_ended();
        Ok(note)
    }

    fn is_held(&self) -> bool {
        self.source.is_held()
    }

    fn is_turn(&self) -> bool {
        self.source.is_turn()
    }

    fn remaining(&self) -> Option<u64> {
        self.source.remaining()
    }

    fn finish(&mut self) -> Result<Option<Account>> {
        self.source.finish()
    }
}

impl std::fmt::Debug for Naming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Naming").field("is_streamed", &self.is_streamed).finish_non_exhaustive()
    }
}
