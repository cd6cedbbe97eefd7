//! The kind `fibonacci`: terms of the Fibonacci sequence, whole, summed up, or modulo m.
//!
//! ```toml
//! [[task]]
//! kind = "fibonacci"
//! n = [4, 3, "0..=1000:5"]   # numbers, ranges with an optional step
//! n_from = "terms.txt"       # more of them, one a line; `-` is standard input
//! value = "full"             # or "summary", or "none"
//! modulus = 1000000007       # instead of `value`: the term's remainder
//! timeout = "30s"            # or "3x" the median
//! ```

mod check;
mod cost;
mod decimal;
mod describe;
mod memory;
mod output;
mod residue;
mod term;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use toml::Value as Toml;

use super::items::{self, NumberItems, NumberSource};
use super::limit;
use super::stream::{self, Lines, Streamed};
use super::{
    Context, Done, ErrorClass, Input, Kind, Plan, PlanContext, Pool, Source, TaskError, Work,
};
use crate::json;
use decimal::Decimal;

/// A table that names more tasks than this gathers summaries, unless it says otherwise.
const MOST_FULL_TASKS: u64 = 1_000;

/// Outputs up to here are kept: to copy one takes a tenth of the time to make it.
const LAST_KEPT: usize = 1_000;

/// From here on the digits of a term are computed in decimal: GMP, with its conversion, takes
/// longer.
const FIRST_IN_DECIMAL: u64 = 60_000;

/// From here on its transforms are so long that threads share them (`SHARED_LEN`).
const FIRST_SHARED: u64 = 1_500_000;

/// A table with a larger n gathers summaries, unless it says otherwise.
const LARGEST_FULL_N: u64 = 100_000;

/// Terms of the Fibonacci sequence.
#[derive(Debug)]
pub struct Fibonacci;

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    n: Option<Toml>,
    n_from: Option<PathBuf>,
    value: Option<Value>,
    modulus: Option<Toml>,
    timeout: Option<Toml>,
}

/// How much of a term stands in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Value {
    /// Every digit.
    Full,
    /// How many digits, the first and the last of them, and a digest of all.
    Summary,
    /// How many bits: the term is computed and dropped.
    None,
}

impl Value {
    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Summary => "summary",
            Self::None => "none",
        }
    }
}

/// What a task of the table computes; crosses to every rank as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    value: Value,
    /// The remainder is asked for; `value` does not matter then.
    modulus: Option<u64>,
}

impl Kind for Fibonacci {
    fn name(&self) -> &'static str {
        "fibonacci"
    }

    fn plan(&self, table: toml::Table, context: &mut PlanContext<'_>) -> Result<Plan> {
        let Table { n, n_from, value, modulus, timeout } = table.clone().try_into()?;
        let limit = limit::of_table(timeout.as_ref())?;
        let modulus = modulus.as_ref().map(read_modulus).transpose()?;
        if n.is_none() && n_from.is_none() {
            bail!(
                "no `n`; add a number, a range such as `\"1..=1000\"`, a list of these, or `n_from`, a file"
            );
        }
        let seen = context.seen.of(&group(modulus));
        let from = n_from.map(|path| items::path_in(context.folder, path));
        let cost = cost::of(value, modulus);
        let source = NumberItems::new("n", n.as_ref(), from)?.source("n", seen, cost)?;
        // A remainder is always whole: what `value` says then makes no difference.
        let value = value.filter(|_| modulus.is_none());
        let options = Options { value: value.unwrap_or_else(|| default_value(&source)), modulus };
        Ok(Plan {
            resolved: resolved(table, options),
            options: serde_json::to_string(&options)?,
            source: Box::new(source),
            pool: Pool::Cpu,
            limit,
            own_retries: false,
        })
    }

    fn work(&self, options: &str) -> Result<Box<dyn Work>> {
        Ok(Box::new(Terms::new(serde_json::from_str(options)?)))
    }

    fn fits(&self, options: &str, output: &serde_json::Value) -> Result<bool> {
        let options: Options = serde_json::from_str(options)?;
        let written = output::form(output);
        // A remainder's input names its modulus: it is another task than the whole term.
        if options.modulus.is_some() || written.is_none() {
            return Ok(options.modulus.is_some() == written.is_none());
        }
        if let Some(written) = written.filter(|written| *written != options.value) {
            let (written, asked) = (written.as_str(), options.value.as_str());
            bail!(
                "has the form `value = \"{written}\"`, but this job asks for `\"{asked}\"`; \
                 `value = \"{written}\"` in the job goes on with it"
            );
        }
        Ok(true)
    }

    fn streamed(&self) -> Option<&'static dyn Streamed> {
        Some(&Self)
    }

    fn describe(&self, record: &serde_json::Value) -> String {
        describe::describe(record)
    }
}

impl Streamed for Fibonacci {
    fn word(&self) -> &'static str {
        "fib"
    }

    fn table(&self, like: Option<&toml::Table>) -> toml::Table {
        let mut table = stream::without(like, &["n", "n_from"]);
        table.insert("n".to_owned(), Toml::Array(Vec::new()));
        // How many terms will come is not known.
        table.entry("value").or_insert(Value::Summary.as_str().into());
        table
    }

    fn lines(&self, resolved: &toml::Table, context: &mut PlanContext<'_>) -> Result<Lines> {
        let Table { value, modulus, .. } = resolved.clone().try_into()?;
        let modulus = modulus.as_ref().map(read_modulus).transpose()?;
        let cost = cost::of(value, modulus);
        let read = move |line: &stream::Line<'_>| {
            let n = line.number("n")?;
            Ok((Input::Number(n), cost(n)))
        };
        Ok(Lines { read: Box::new(read), seen: context.seen.of(&group(modulus)) })
    }
}

/// Terms with the same text are the same tasks.
fn group(modulus: Option<u64>) -> String {
    modulus.map_or("fibonacci".to_owned(), |m| format!("fibonacci modulo {m}"))
}

/// Reads a modulus; TOML's integers end at 2^63 - 1, larger ones are strings.
fn read_modulus(value: &Toml) -> Result<u64> {
    let modulus = match value {
        Toml::Integer(modulus) => u64::try_from(*modulus).ok(),
        Toml::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    modulus.filter(|modulus| *modulus > 0).with_context(|| {
        format!(
            "`modulus` is `{text}`; use a whole number from 1 to 18446744073709551615 (2^64 - 1)"
        )
    })
}

/// Every digit where that is little to read, a summary otherwise.
fn default_value(source: &NumberSource) -> Value {
    let few = source.remaining().is_some_and(|n_tasks| n_tasks <= MOST_FULL_TASKS);
    let short = source.largest().is_none_or(|n| n <= LARGEST_FULL_N);
    if few && short { Value::Full } else { Value::Summary }
}

/// The table with its defaults; one with a modulus needs no `value`.
fn resolved(mut table: toml::Table, options: Options) -> toml::Table {
    if options.modulus.is_none() {
        table.insert("value".to_owned(), options.value.as_str().into());
    }
    table
}

/// Computes terms.
struct Terms {
    options: Options,
    /// What follows `n` in an input's JSON: the modulus, if there is one, and the brace.
    after_n: Vec<u8>,
    /// Outputs up to [`LAST_KEPT`], as far as they were asked for.
    kept: Box<[OnceLock<Box<[u8]>>]>,
}

impl Terms {
    fn new(options: Options) -> Self {
        let mut after_n = Vec::new();
        if let Some(modulus) = options.modulus {
            after_n.extend_from_slice(b",\"modulus\":");
            json::put_exact(&mut after_n, modulus);
        }
        after_n.push(b'}');
        let n_kept = if options.modulus.is_some() { 0 } else { LAST_KEPT + 1 };
        Self { options, after_n, kept: (0..n_kept).map(|_| OnceLock::new()).collect() }
    }

    /// Appends the output of F(n).
    fn put(&self, n: u64, context: &Context<'_>, record: &mut Vec<u8>) -> Result<(), TaskError> {
        if let Some(term) = term::small(n) {
            output::small(record, term, self.options.value);
            return Ok(());
        }
        memory::check(n, self.options.value, context.memory)
            .map_err(|message| TaskError::new(ErrorClass::Memory, message))?;
        self.long(n, context, record)
    }

    /// A term of more than 128 bits, by whichever route is the shortest to what is asked for.
    fn long(&self, n: u64, context: &Context<'_>, record: &mut Vec<u8>) -> Result<(), TaskError> {
        let value = self.options.value;
        if value != Value::None && n >= FIRST_IN_DECIMAL {
            let mut compute = || {
                let term = Decimal::term(n, &|| context.check())?;
                check::rounding(n, term.farthest())?;
                output::decimal(record, n, value, context, |text| term.write(text))
            };
            return if n >= FIRST_SHARED { context.with_help(compute) } else { compute() };
        }
        let term = term::large(n, || context.check())?;
        if value == Value::None {
            return output::binary(record, n, &term);
        }
        let digits = term.to_string_radix(10);
        output::decimal(record, n, value, context, |text| text.extend_from_slice(digits.as_bytes()))
    }
}

impl Work for Terms {
    fn write_input(&self, input: &Input, record: &mut Vec<u8>) {
        match input {
            Input::Number(n) => {
                record.extend_from_slice(b"{\"n\":");
                json::put_exact(record, *n);
            }
            Input::Text(line) => {
                record.extend_from_slice(b"{\"line\":");
                json::put_text(record, line);
            }
        }
        record.extend_from_slice(&self.after_n);
    }

    fn footprint(&self, input: &Input) -> u64 {
        match input {
            Input::Number(n) if self.options.modulus.is_none() => {
                memory::footprint(*n, self.options.value)
            }
            _ => 0,
        }
    }

    fn run(
        &self,
        input: &Input,
        context: &Context<'_>,
        record: &mut Vec<u8>,
    ) -> Result<Done, TaskError> {
        let n = items::number_of(input)?;
        if let Some(modulus) = self.options.modulus {
            output::residue(record, residue::of(n, modulus));
            return Ok(Done::default());
        }
        let Some(kept) = usize::try_from(n).ok().and_then(|n| self.kept.get(n)) else {
            self.put(n, context, record)?;
            return Ok(Done::default());
        };
        if kept.get().is_none() {
            let mut output = Vec::new();
            self.put(n, context, &mut output)?;
            // Another thread may have been faster.
            let _ = kept.set(output.into());
        }
        record.extend_from_slice(kept.get().map_or(&[], |output| output));
        Ok(Done::default())
    }
}
