//! Rank 0's side of a table: which task next, and what its outcome means for those to come.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{ErrorClass, Input, TaskError};

/// Where a table's tasks come from, one at a time.
///
/// A source whose tasks lead to others hears their outcomes; only rank 0 asks it, so it needs
/// no lock. Its errors end the run at once, but for [`OutputLost`].
pub trait Source {
    /// Called once before a run's first [`Self::next`]; not where a job is only checked.
    fn begin(&mut self, begin: Begin<'_>) -> Result<()> {
        let _ = begin;
        Ok(())
    }

    /// The next task, if there is one now. `now` is the time since the run's start.
    fn next(&mut self, now: Duration) -> Result<Next>;

    /// Hears that a task that it gave is not run, because an earlier run has its record.
    fn on_recorded(&mut self, item: &Item, recorded: Recorded) {
        let _ = (item, recorded);
    }

    /// Whether its tasks wait for the end of other tables', so that none of them can go out now.
    fn is_held(&self) -> bool {
        false
    }

    /// As [`Self::next`], and where it can, tasks in a row: at most `most` of them.
    fn next_row(&mut self, most: u32, now: Duration) -> Result<Next> {
        let _ = most;
        self.next(now)
    }

    /// Whether it wants to hear how its tasks end.
    fn hears_outcomes(&self) -> bool {
        true
    }

    /// Whether the next task in the order of the job may be its: several tables may share one
    /// stream.
    fn is_turn(&self) -> bool {
        true
    }

    /// How many tasks are still to come, where that is known.
    fn remaining(&self) -> Option<u64>;

    /// Hears how one of its tasks ended, once a task, in the order of arrival, before the record
    /// is written.
    fn on_outcome(&mut self, ended: &Ended<'_>, now: Duration) -> Result<Note> {
        let _ = (ended, now);
        Ok(Note::default())
    }

    /// Gives the kernel what it has noted of outcomes, before their records go there.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// Called once when the run is over, however it ended: what it says of the run, as the JSON
    /// that goes into the statistics, and as text for people.
    fn finish(&mut self) -> Result<Option<Account>> {
        Ok(None)
    }
}

/// Results, or what a source keeps beside them, cannot be written any more: what is there is
/// whole, and the run can end in order.
#[derive(Debug)]
pub struct OutputLost(String);

impl OutputLost {
    /// Lost for this reason.
    pub fn because(error: &anyhow::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

impl std::fmt::Display for OutputLost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::error::Error for OutputLost {}

/// No tasks.
#[derive(Debug)]
pub struct Nothing;

impl Source for Nothing {
    fn next(&mut self, _: Duration) -> Result<Next> {
        Ok(Next::Exhausted)
    }

    fn remaining(&self) -> Option<u64> {
        Some(0)
    }
}

/// What a source says of a whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// For `--stats`.
    pub json: serde_json::Value,
    /// Lines for people, each with its line end.
    pub text: String,
}

/// What a source may know when a run begins.
pub struct Begin<'a> {
    /// The results file, where there is one: what a source keeps of its own stands beside it.
    pub results: Option<&'a Path>,
    /// Whether what an earlier run has left is to be replaced.
    pub overwrite: bool,
    /// Where an earlier run is gone on with: what it has recorded of a task. To be asked once a
    /// task; one that has a record is not to be given again.
    pub recorded: Option<&'a mut AskRecorded<'a>>,
}

/// What tells what is recorded of a task.
pub type AskRecorded<'a> = dyn FnMut(&Item) -> Option<Recorded> + 'a;

impl std::fmt::Debug for Begin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begin").field("results", &self.results).finish_non_exhaustive()
    }
}

/// An answer of [`Source::next`].
#[derive(Debug, PartialEq)]
pub enum Next {
    /// A task to hand out.
    Task(Item),
    /// A task that has failed already, such as a line that cannot be read: its source hears of
    /// it as of any other, and it is written as this error.
    Failed(Item, TaskError),
    /// None yet: whoever writes them is slower than the ranks, an outcome is waited for, or it
    /// is not the time.
    Waiting,
    /// No more tasks will come.
    Exhausted,
}

/// A task as its source gives it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// What to run.
    pub input: Input,
    /// How many tasks of the same kind and input came before in this job: part of the task's
    /// id. 0 for almost all.
    pub occurrence: u32,
    /// Expected seconds on an ordinary core. Only ratios matter: rank 0 scales them by what it
    /// measures. Longest are handed out first.
    pub cost: f32,
    /// How often it was started before; not 0 only where the source tries again by itself.
    pub earlier_attempts: u32,
    /// How many of those ended because their rank died.
    pub crashes: u32,
    /// Tasks with the same number go to the same rank while it keeps up; 0: any rank.
    pub near: u32,
    /// How many tasks follow that differ in their numbers alone, each `step` larger than the one
    /// before; not 0 only where a row was asked for.
    pub more: u32,
    /// What lies between their numbers.
    pub step: u64,
}

/// What an earlier run has recorded of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// An output.
    Ok,
    /// A failure.
    Failed,
}

/// How a task ended, as its source hears it.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The task.
    pub input: &'a Input,
    /// How.
    pub end: End,
    /// What it had to tell, [`super::Done::report`]; its message where it failed.
    pub report: &'a [u8],
    /// It asks to be tried again after so long; zero where it names no time.
    pub again: Option<Duration>,
    /// How long it ran.
    pub took: Duration,
    /// The rank that ran it.
    pub rank: u32,
}

/// The ways in which a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It gave an output.
    Ok,
    /// It failed for good.
    Failed(ErrorClass),
    /// It was not run, for it would not have ended in time: there is no record of it.
    LeftOut,
}

/// What a source wants of an outcome's record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// JSON members to add at its end: `,"name":value…`.
    pub members: Vec<u8>,
    /// It is the source's own business: not written, not counted.
    pub hidden: bool,
}
