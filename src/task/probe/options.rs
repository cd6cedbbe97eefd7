//! What a `probe` table says, checked and completed.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use toml::Value as Toml;

use crate::task::items::{self, NumberItems, NumberRange};
use crate::task::{Plan, PlanContext, Pool, limit};
use crate::units;

/// Expected seconds of a task that does next to nothing.
const NOTHING: f32 = 1e-7;

/// Expected seconds for a byte of output: memory is written at about 1 GB/s, twice.
const A_BYTE: f32 = 2e-9;

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    n: Option<Toml>,
    n_from: Option<PathBuf>,
    count: Option<u64>,
    #[serde(default)]
    action: Action,
    time: Option<String>,
    every: Option<u64>,
    bytes: Option<Toml>,
    slower: Option<u32>,
    again: Option<String>,
    memory: Option<Toml>,
    pool: Option<Pool>,
    timeout: Option<Toml>,
}

/// What a task does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    /// Gives its input back.
    #[default]
    Echo,
    /// Waits.
    Sleep,
    /// Computes.
    Busy,
    /// Fails.
    Fail,
    /// Panics.
    Panic,
    /// Gives a long text.
    Output,
    /// Ends its rank, as a crash does.
    Exit,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Sleep => "sleep",
            Self::Busy => "busy",
            Self::Fail => "fail",
            Self::Panic => "panic",
            Self::Output => "output",
            Self::Exit => "exit",
        }
    }

    fn pool(self) -> Pool {
        if self == Self::Sleep { Pool::Io } else { Pool::Cpu }
    }
}

/// What a task does, complete; crosses to every rank as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    pub(super) action: Action,
    pub(super) time: Duration,
    /// Only multiples of this fail, panic or exit, or are slower; at least 1.
    pub(super) every: u64,
    pub(super) bytes: u64,
    /// How many times as long the slower ones take.
    pub(super) slower: u32,
    /// What the outcome asks for.
    pub(super) again: Option<Duration>,
    /// What it claims to need; by itself the bytes of its output.
    pub(super) memory: Option<u64>,
}

impl Options {
    /// What rank 0 is told: not which tasks are slower, for that is what they try.
    fn cost(&self) -> f32 {
        match self.action {
            Action::Sleep | Action::Busy => self.time.as_secs_f32(),
            Action::Output => NOTHING + A_BYTE * self.bytes as f32,
            _ => NOTHING,
        }
    }
}

/// Checks a table.
pub(super) fn plan(mut written: toml::Table, context: &mut PlanContext<'_>) -> Result<Plan> {
    let table: Table = written.clone().try_into()?;
    let (options, limit) = (options(&table)?, limit::of_table(table.timeout.as_ref())?);
    let (cost, pool) = (options.cost(), table.pool.unwrap_or(table.action.pool()));
    let seen = Rc::clone(&context.seen.of("probe"));
    let source = numbers(table, context)?.source("n", seen, Box::new(move |_| cost))?;
    written.insert("action".to_owned(), options.action.as_str().into());
    written.insert("pool".to_owned(), if pool == Pool::Io { "io" } else { "cpu" }.into());
    let options = serde_json::to_string(&options)?;
    Ok(Plan {
        resolved: written,
        options,
        source: Box::new(source),
        pool,
        limit,
        own_retries: false,
    })
}

/// Expected seconds of a task of a table.
pub(super) fn cost(table: &toml::Table) -> Result<f32> {
    Ok(options(&table.clone().try_into()?)?.cost())
}

fn numbers(table: Table, context: &PlanContext<'_>) -> Result<NumberItems> {
    if table.n.is_none() && table.n_from.is_none() && table.count.is_none() {
        bail!("no `n`; add numbers as in `n = \"0..10\"`, `n_from`, a file of them, or `count`");
    }
    let from = table.n_from.map(|path| items::path_in(context.folder, path));
    let mut numbers = NumberItems::new("n", table.n.as_ref(), from)?;
    if let Some(count) = table.count.filter(|count| *count > 0) {
        numbers.parts.push(NumberRange { first: 0, step: 1, count });
    }
    Ok(numbers)
}

fn options(table: &Table) -> Result<Options> {
    let Table { action, time, every, bytes, slower, again, memory, .. } = table;
    let waits = &[Action::Sleep, Action::Busy];
    only_for("time", time.is_some(), *action, waits, true)?;
    only_for("slower", slower.is_some(), *action, waits, every.is_some())?;
    only_for("again", again.is_some(), *action, &[Action::Echo, Action::Fail], false)?;
    only_for("bytes", bytes.is_some(), *action, &[Action::Output], true)?;
    only_for(
        "every",
        every.is_some(),
        *action,
        &[Action::Fail, Action::Panic, Action::Exit, Action::Sleep, Action::Busy],
        false,
    )?;
    let time = time.as_deref().map(units::parse_duration).transpose().context("`time`")?;
    let again = again.as_deref().map(units::parse_duration).transpose().context("`again`")?;
    if *every == Some(0) {
        bail!("`every` is `0`; use 1 or more");
    }
    Ok(Options {
        action: *action,
        time: time.unwrap_or_default(),
        every: every.unwrap_or(1),
        slower: slower.unwrap_or(1),
        again,
        bytes: bytes.as_ref().map(|value| read_bytes("bytes", value)).transpose()?.unwrap_or(0),
        memory: memory.as_ref().map(|value| read_bytes("memory", value)).transpose()?,
    })
}

/// Refuses a key with an action that has no use for it, and an action without a key it needs.
fn only_for(
    key: &str,
    given: bool,
    action: Action,
    actions: &[Action],
    needed: bool,
) -> Result<()> {
    let name = action.as_str();
    match (given, actions.contains(&action)) {
        (true, false) => bail!("`{key}` means nothing to the action `{name}`; leave it out"),
        (false, true) if needed => bail!("no `{key}`; the action `{name}` needs it"),
        _ => Ok(()),
    }
}

/// Reads a number of bytes: `50000000` or `"50MB"`.
fn read_bytes(key: &str, value: &Toml) -> Result<u64> {
    let bytes = match value {
        Toml::String(text) => units::parse_size(text).with_context(|| format!("`{key}`"))?,
        other => {
            let bytes = other.as_integer().and_then(|bytes| u64::try_from(bytes).ok());
            bytes.with_context(|| format!("`{key}` is `{other}`; use `50000000` or `\"50MB\"`"))?
        }
    };
    Ok(bytes)
}
