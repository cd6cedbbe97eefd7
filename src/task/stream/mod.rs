//! Tasks that come as lines while a job runs, from any process: `run --tasks`.
//!
//! A thread reads and parses them ([`reader`]), as far ahead as a few thousand lines: then it
//! does not read, and whoever writes is held. Each kind has a table of its own, whose source
//! takes what is its kind's from the one stream ([`Stream`]). A line that cannot be read is a
//! task of the kind [`BadLine`] that has failed. What the outcomes of tasks name comes the same
//! way ([`Naming`]).
//!
//! **Invariant:** each line that means something becomes one task, in the order of the lines
//! within its kind; memory is bounded however long the stream is, but for what tells
//! repetitions apart.

mod bad_line;
mod follow;
mod parse;
mod reader;
mod records;
mod source;

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

pub use bad_line::BadLine;
pub use follow::{Naming, report};
pub use parse::{LONGEST_LINE, Parser};
pub use reader::From;
pub use source::{Stream, TableSource};

use super::items::{NumberRange, Seen};
use super::{Input, PlanContext};

/// Tasks of a kind as lines of a stream.
pub trait Streamed: Sync {
    /// The word that begins a short line: `fib` of `fib 1000`.
    fn word(&self) -> &'static str;

    /// A table (without `kind`) that names no tasks, for those of a stream; with the options of
    /// a table of the job file, where it has one of this kind.
    fn table(&self, like: Option<&toml::Table>) -> toml::Table;

    /// What reads lines for such a table, `resolved` by [`super::Kind::plan`].
    fn lines(&self, resolved: &toml::Table, context: &mut PlanContext<'_>) -> Result<Lines>;
}

/// What reads the lines of one table.
pub struct Lines {
    /// The input that a line names, and its expected seconds.
    pub read: Read,
    /// What tells repetitions apart.
    pub seen: Rc<RefCell<Seen>>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

/// Reads a line on whichever thread.
pub type Read = Box<dyn Fn(&Line<'_>) -> Result<(Input, f32)> + Send + Sync>;

/// A line without what says its kind.
#[derive(Clone, Copy, Debug)]
pub enum Line<'a> {
    /// What follows the word.
    Short(&'a str),
    /// The members of a JSON object.
    Json(&'a Map<String, Value>),
}

impl Line<'_> {
    /// The text of a line that names one thing alone: what follows the word, or the member `key`.
    pub fn text(&self, key: &str) -> Result<Cow<'_, str>> {
        let members = match *self {
            Line::Short("") => bail!("the task is missing"),
            Line::Short(text) => return Ok(text.into()),
            Line::Json(members) => members,
        };
        if let Some(other) = members.keys().find(|name| *name != key) {
            bail!("unknown key `{other}`; a line names `{key}`, options stand in a job file");
        }
        match members.get(key).with_context(|| format!("no `{key}`"))? {
            Value::String(text) => Ok(text.into()),
            Value::Number(number) => Ok(number.to_string().into()),
            other => bail!("`{key}` is `{other}`; use a text or a number"),
        }
    }

    /// The number of a line that names one alone.
    pub fn number(&self, key: &str) -> Result<u64> {
        let text = self.text(key)?;
        let range = NumberRange::parse(&text)?;
        if range.count != 1 {
            bail!("`{text}` is a range; a line names one task");
        }
        Ok(range.first)
    }
}

/// A table without the keys that list tasks.
pub(super) fn without(like: Option<&toml::Table>, lists: &[&str]) -> toml::Table {
    let mut table = like.cloned().unwrap_or_default();
    for key in lists {
        table.remove(*key);
    }
    table
}

#[cfg(test)]
mod tests;
