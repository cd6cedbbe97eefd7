//! From a line to the task that it names: `fib 1000`, or `{"kind":"fibonacci","n":1000}`.

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Map, Value};

use super::{Line, Read};
use crate::task::{Input, Kind};

/// Longest line that is taken, in bytes.
pub const LONGEST_LINE: usize = 1 << 20;
/// As much of a line that cannot be read is kept, in characters.
const SHOWN: usize = 200;

/// What reads the lines of a stream.
pub struct Parser {
    tables: Vec<Table>,
}

struct Table {
    kind: &'static str,
    word: &'static str,
    read: Read,
}

/// A line that means something.
#[derive(Debug, PartialEq)]
pub(super) enum Parsed {
    /// A task, with the place of its table in the stream.
    Task(usize, Input, f32),
    /// Its text, as far as it is kept, and what is wrong with it.
    Bad(String, String),
}

impl std::fmt::Debug for Parser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<_> = self.tables.iter().map(|table| table.kind).collect();
        f.debug_struct("Parser").field("kinds", &kinds).finish()
    }
}

impl Parser {
    /// Reads lines of these kinds, each with its own reader.
    pub fn new(tables: Vec<(&'static dyn Kind, Read)>) -> Self {
        let table = |(kind, read): (&'static dyn Kind, Read)| {
            let word = kind.streamed().map_or(kind.name(), |lines| lines.word());
            Table { kind: kind.name(), word, read }
        };
        Self { tables: tables.into_iter().map(table).collect() }
    }

    /// How many kinds there are.
    pub(super) fn n_tables(&self) -> usize {
        self.tables.len()
    }

    /// The line number `number` of `name`; `None` where it is blank or a comment.
    pub(super) fn line(&self, bytes: &[u8], number: u64, name: &str) -> Option<Parsed> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.trim(),
            Err(_) => return Some(bad(bytes, &anyhow!("it is not valid UTF-8"), number, name)),
        };
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        Some(match self.task(text) {
            Ok((idx, input, cost)) => Parsed::Task(idx, input, cost),
            Err(error) => bad(bytes, &error, number, name),
        })
    }

    /// The task that a text names, with the place of its table in the stream.
    pub(super) fn task(&self, text: &str) -> Result<(usize, Input, f32)> {
        if text.starts_with('{') {
            let members =
                serde_json::from_str(text).map_err(|error| anyhow!("it is no JSON: {error}"))?;
            return self.members(members);
        }
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        self.read(word, &Line::Short(rest.trim_start()))
    }

    /// The task that a JSON object names.
    pub(super) fn members(&self, mut members: Map<String, Value>) -> Result<(usize, Input, f32)> {
        let kind = members.remove("kind").context("no `kind`")?;
        let kind = kind.as_str().with_context(|| format!("`kind` is `{kind}`"))?;
        self.read(kind, &Line::Json(&members))
    }

    fn read(&self, word: &str, line: &Line<'_>) -> Result<(usize, Input, f32)> {
        let is_of = |table: &Table| table.word == word || table.kind == word;
        let Some(idx) = self.tables.iter().position(is_of) else {
            let words: Vec<_> = self.tables.iter().map(|table| table.word).collect();
            let words = words.join(", ");
            if crate::task::kind(word).is_some() {
                bail!("`{word}` takes no lines, but a table of a job file; lines are of {words}");
            }
            bail!("unknown kind `{}`; begin with one of {words}", shown(word))
        };
        let (input, cost) = (self.tables[idx].read)(line)?;
        Ok((idx, input, cost))
    }
}

/// A line that cannot be read.
pub(super) fn bad(bytes: &[u8], error: &anyhow::Error, number: u64, name: &str) -> Parsed {
    let bytes = bytes.trim_ascii();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN)]);
    Parsed::Bad(shown(&text), format!("line {number} of {name}: {error:#}"))
}

pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
