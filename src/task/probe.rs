//! The kind `probe`: tasks that do as they are told, for tests and for trying a cluster.
//!
//! ```toml
//! [[task]]
//! kind = "probe"
//! n = "0..1000"      # or `n_from`, a file, or `count = 1000`
//! action = "sleep"   # or "echo", "busy", "fail", "panic", "output", "exit"
//! time = "10ms"      # for "sleep" and "busy"
//! bytes = "1MB"      # for "output": the length of the text in the output
//! every = 10         # for "fail", "panic" and "exit": only where n is a multiple of this
//! slower = 50        # for "sleep" and "busy" with `every`: multiples take so many times `time`
//! again = "10ms"     # for "echo" and "fail": the outcome asks to be tried again after this
//! memory = "1GB"     # as much is set aside for each, for tries of what fits together
//! timeout = "1s"     # or "3x" the median
//! pool = "io"        # default: "io" for "sleep", else "cpu"
//! ```

mod options;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use anyhow::Result;

use super::stream::{self, Lines, Streamed};
use super::{Context, Done, ErrorClass, Input, Kind, Plan, PlanContext, TaskError, Work, items};
use crate::json;
use options::{Action, Options};

/// Tasks that do as they are told.
#[derive(Debug)]
pub struct Probe;

impl Kind for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn plan(&self, table: toml::Table, context: &mut PlanContext<'_>) -> Result<Plan> {
        options::plan(table, context)
    }

    fn work(&self, options: &str) -> Result<Box<dyn Work>> {
        Ok(Box::new(Orders(serde_json::from_str(options)?)))
    }

    fn streamed(&self) -> Option<&'static dyn Streamed> {
        Some(&Self)
    }

    fn describe(&self, record: &serde_json::Value) -> String {
        let field = |name: &str| match &record[name] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let output = match record["output"]["text"].as_str() {
            Some(text) => format!("a text of {} bytes", text.len()),
            None => field("output"),
        };
        let n = record["input"]["n"].to_string();
        let (rank, pid, host) = (field("rank"), field("pid"), field("host"));
        let n = n.trim_matches('"');
        format!(
            "for input {n}, the probe run by rank {rank} pid {pid} on host {host} gave {output}"
        )
    }
}

impl Streamed for Probe {
    fn word(&self) -> &'static str {
        "probe"
    }

    fn table(&self, like: Option<&toml::Table>) -> toml::Table {
        let mut table = stream::without(like, &["n", "n_from"]);
        table.insert("count".to_owned(), 0.into());
        table
    }

    fn lines(&self, resolved: &toml::Table, context: &mut PlanContext<'_>) -> Result<Lines> {
        let cost = options::cost(resolved)?;
        let read = move |line: &stream::Line<'_>| Ok((Input::Number(line.number("n")?), cost));
        Ok(Lines { read: Box::new(read), seen: context.seen.of(self.name()) })
    }
}

/// Runs the tasks of a table.
struct Orders(Options);

impl Work for Orders {
    fn write_input(&self, input: &Input, record: &mut Vec<u8>) {
        match input {
            Input::Number(n) => echo(*n, record),
            Input::Text(line) => {
                record.extend_from_slice(b"{\"line\":");
                json::put_text(record, line);
                record.push(b'}');
            }
        }
    }

    fn footprint(&self, _: &Input) -> u64 {
        self.0.memory.unwrap_or(self.0.bytes)
    }

    fn run(
        &self,
        input: &Input,
        context: &Context<'_>,
        record: &mut Vec<u8>,
    ) -> Result<Done, TaskError> {
        let n = items::number_of(input)?;
        let Options { action, time, every, bytes, slower, again, .. } = self.0;
        fits(self.footprint(input), context.memory)?;
        match action {
            Action::Sleep | Action::Busy => {
                let time = if n % every == 0 { time.saturating_mul(slower) } else { time };
                let wait = if action == Action::Sleep { sleep } else { spin };
                wait(time, context)?;
            }
            Action::Output => {
                text(bytes, record);
                return Ok(Done::default());
            }
            Action::Fail | Action::Panic | Action::Exit if n % every == 0 => {
                return Err(TaskError { again, ..break_down(action, n) });
            }
            Action::Echo | Action::Fail | Action::Panic | Action::Exit => {}
        }
        echo(n, record);
        Ok(Done { again, ..Done::default() })
    }
}

/// `{"n":3}`.
fn echo(n: u64, record: &mut Vec<u8>) {
    record.extend_from_slice(b"{\"n\":");
    json::put_exact(record, n);
    record.push(b'}');
}

/// Refuses what needs more memory than there is.
fn fits(bytes: u64, memory: u64) -> Result<(), TaskError> {
    if bytes <= memory {
        return Ok(());
    }
    let message = format!("{bytes} bytes do not fit; this rank may use {memory}: raise `memory`");
    Err(TaskError::new(ErrorClass::Memory, message))
}

/// `{"text":"xxx"}`, with a text of `bytes` letters.
fn text(bytes: u64, record: &mut Vec<u8>) {
    record.extend_from_slice(b"{\"text\":\"");
    let letters = std::iter::repeat_n(b'x', usize::try_from(bytes).unwrap_or(usize::MAX));
    record.extend(letters);
    record.extend_from_slice(b"\"}");
}

/// How soon a task that waits sees that it is cancelled.
const NAP: Duration = Duration::from_millis(20);

/// Waits, up to the limit.
fn sleep(time: Duration, context: &Context<'_>) -> Result<(), TaskError> {
    let left = context.deadline.map_or(Duration::MAX, |deadline| deadline.left());
    let mut to_sleep = time.min(left);
    while !to_sleep.is_zero() && !context.cancel.is_asked() {
        let nap = to_sleep.min(NAP);
        std::thread::sleep(nap);
        to_sleep -= nap;
    }
    if time < left && !context.cancel.is_asked() { Ok(()) } else { context.check() }
}

/// Keeps a core busy.
#[allow(clippy::disallowed_methods, reason = "the clock is this task's work, not a decision")]
fn spin(time: Duration, context: &Context<'_>) -> Result<(), TaskError> {
    let start = Instant::now();
    while start.elapsed() < time {
        context.check()?;
        std::hint::spin_loop();
    }
    Ok(())
}

/// Fails in the way that `action` names.
fn break_down(action: Action, n: u64) -> TaskError {
    match action {
        Action::Panic => panic!("`{n}` panics, as its probe was told"),
        // Not `exit`: a rank that crashes runs no handlers, and none of them may hang.
        Action::Exit => std::process::abort(),
        _ => {
            let message = format!("`{n}` fails, as its probe was told");
            TaskError::new(ErrorClass::Failed, message)
        }
    }
}
