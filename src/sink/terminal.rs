//! What a person sees while a job runs: a line a task for small jobs, the first failures, and
//! progress.
//!
//! Lines of tasks go to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::message::Status;
use crate::root::Heard;
use crate::task::{ErrorClass, Kind};
use crate::units::thousands;

/// Failures that are shown as they happen; the rest are in the results.
const SHOWN_FAILURES: u64 = 10;
/// Where standard error is no terminal (mpirun pipes it), a line so often.
const LINE_EVERY: Duration = Duration::from_secs(3);
/// Where it is one, the bar moves so often.
const BAR_EVERY: Duration = Duration::from_millis(100);

/// Whose tasks get a line of their own on standard output, by table.
#[derive(Clone, Debug)]
pub struct Lines(pub Vec<bool>);

/// The terminal of rank 0.
pub struct Terminal {
    kinds: Vec<&'static dyn Kind>,
    lines: Lines,
    quiet: bool,
    /// On a terminal; elsewhere progress is written as lines.
    bar: Option<ProgressBar>,
    next_progress: Duration,
    n_failed: u64,
    /// What is to be shown once its record is written, in pieces of standard output and error.
    pending: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Terminal {
    /// Shows tasks of `kinds`, by table, and progress unless `quiet`.
    pub fn new(kinds: Vec<&'static dyn Kind>, lines: Lines, quiet: bool) -> Self {
        let bar = (!quiet && io::stderr().is_terminal()).then(bar);
        let next_progress = if bar.is_some() { BAR_EVERY } else { LINE_EVERY };
        Self { kinds, lines, quiet, bar, next_progress, n_failed: 0, pending: Vec::new() }
    }

    /// Takes an outcome, if it is one to be shown, for the next [`Self::show`].
    pub fn put(&mut self, heard: &Heard<'_>) -> Result<()> {
        let table = usize::from(heard.task.table);
        if heard.outcome.status == Status::Failed(ErrorClass::Cancelled) {
            return Ok(());
        }
        let failed = heard.outcome.status != Status::Ok;
        self.n_failed += u64::from(failed);
        let shown_failure = failed && !self.quiet && self.n_failed <= SHOWN_FAILURES;
        if !self.lines.0[table] && !shown_failure {
            return Ok(());
        }
        let record: serde_json::Value = serde_json::from_slice(heard.outcome.record)?;
        let printed = self.kinds[table].printed(&record).filter(|_| self.lines.0[table]);
        let is_printed = printed.is_some();
        if let Some([stdout, stderr]) = printed {
            self.pending.push((stdout, stderr));
        }
        if is_printed && !shown_failure {
            return Ok(());
        }
        if !failed {
            let line = format!("{}\n", self.kinds[table].describe(&record));
            self.pending.push((line.into(), Vec::new()));
            return Ok(());
        }
        let more = if self.n_failed == SHOWN_FAILURES {
            " (further failures: see the results)"
        } else {
            ""
        };
        let line = format!("{}{more}\n", failure(&record));
        self.pending.push((Vec::new(), line.into()));
        Ok(())
    }

    /// Shows what has been taken: its records are written.
    pub fn show(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.suspended(|| {
            pending.iter().try_for_each(|(stdout, stderr)| {
                io::stdout().write_all(stdout)?;
                if !stderr.is_empty() {
                    io::stdout().flush()?;
                }
                io::stderr().write_all(stderr)
            })?;
            io::stdout().flush()
        })
    }

    /// Shows how far the run is, from time to time.
    pub fn progress(&mut self, now: Duration, done: u64, total: Option<u64>) -> Result<()> {
        if self.quiet || now < self.next_progress {
            return Ok(());
        }
        if let Some(bar) = &self.bar {
            self.next_progress = now + BAR_EVERY;
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
            bar.set_message(if self.n_failed == 0 {
                String::new()
            } else {
                format!("{} failed", thousands(self.n_failed))
            });
            return Ok(());
        }
        self.next_progress = now + LINE_EVERY;
        let of = total.map_or(String::new(), |total| format!(" of {}", thousands(total)));
        let seconds = now.as_secs_f64();
        let rate = done as f64 / seconds;
        let left = total.filter(|_| done > 0).map_or(String::new(), |total| {
            format!(", about {} left", crate::report::duration((total - done) as f64 / rate))
        });
        writeln!(
            io::stderr(),
            "[{seconds:.0} s] {}{of} tasks, {} failed, {rate:.0}/s{left}",
            thousands(done),
            thousands(self.n_failed)
        )?;
        Ok(())
    }

    /// Says something that people must know, beside progress, even if they want quiet.
    pub fn warn(&self, text: &str) {
        // With standard error closed there is nobody left to warn.
        let _ = self.suspended(|| writeln!(io::stderr(), "rankpool: {text}"));
    }

    /// Tells what was asked for.
    pub fn tell(&self, text: &str) {
        let _ = self.suspended(|| write!(io::stderr(), "{text}"));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn suspended(&self, write: impl FnOnce() -> io::Result<()>) -> Result<()> {
        match &self.bar {
            Some(bar) => bar.suspend(write)?,
            None => write()?,
        }
        Ok(())
    }
}

fn bar() -> ProgressBar {
    let template = "{elapsed_precise} [{bar:30}] {human_pos}/{human_len} {per_sec} eta {eta} {msg}";
    let style = ProgressStyle::with_template(template).expect("a constant that was tried");
    ProgressBar::new(0).with_style(style.progress_chars("=> "))
}

/// A failed task in one line.
fn failure(record: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "failed: {} {} on rank {} host {}: {}: {}",
        text(&record["kind"]),
        record["input"],
        record["rank"],
        text(&record["host"]),
        text(&record["error"]["class"]),
        text(&record["error"]["message"]),
    )
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("lines", &self.lines).finish_non_exhaustive()
    }
}
