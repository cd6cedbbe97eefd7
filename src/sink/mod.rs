//! Where outcomes go as they arrive: one file a sink.

mod durable;
mod file;
mod forget;
mod journal;
mod jsonl;
mod lock;
mod ordered;
mod record;
mod stats;
mod stream;
mod terminal;

use std::path::Path;

use anyhow::{Result, bail};

pub use forget::forget;
pub use jsonl::JsonLines;
pub use stats::StatsFile;
pub use terminal::{Lines, Terminal};

use crate::job::{Output, Resume, Settings, TableSpec};
use crate::root::{Done, Heard, Records};
use file::ResultsFile;
use journal::Journal;
use ordered::Ordered;

/// The results file, if one is wanted: records as they arrive, or in the order of the job.
#[derive(Debug)]
pub struct Results {
    file: Option<JsonLines>,
    ordered: Option<Ordered>,
}

impl Results {
    /// Opens what the settings ask for; nothing is replaced unless they say so. What an earlier
    /// run left there comes back, if it is to be gone on with, and what was wrong with it goes
    /// to `warn`.
    pub fn open(
        settings: &Settings,
        tables: &[TableSpec],
        warn: impl FnMut(&str),
    ) -> Result<(Self, Option<Records>)> {
        let mut earlier = None;
        let file = match (&settings.output, settings.resume) {
            (Output::Lines | Output::Printed | Output::None, Resume::No) => None,
            (Output::Stdout, Resume::No) => Some(JsonLines::stdout()?),
            (Output::Fifo(path), Resume::No) => Some(JsonLines::fifo(path)?),
            (Output::File(path), Resume::No) => {
                let file = ResultsFile::create(path, settings.overwrite, settings.fsync)?;
                Some(JsonLines::file(file))
            }
            (Output::File(path), Resume::Missing | Resume::MissingAndFailed) => {
                let mut file = ResultsFile::go_on(path, settings.fsync)?;
                earlier = Some(go_on(&mut file, path, tables, warn)?);
                Some(JsonLines::file(file))
            }
            _ => bail!(
                "without a results file there is nothing to resume; `--output FILE` names one"
            ),
        };
        let ordered = settings.ordered.then(Ordered::default);
        Ok((Self { file, ordered }, earlier))
    }

    /// Takes the records out of the file whose tasks run again, and those that repeat another:
    /// a task has one.
    pub fn clean(&mut self, done: &Done) -> Result<()> {
        let Some(file) = self.file.as_mut().and_then(JsonLines::as_file) else { return Ok(()) };
        if done.n_again() > 0 || done.records().n_repeated > 0 {
            let rewritten = journal::rewrite(&file.file, &file.path, done)?;
            file.replace(rewritten)?;
        }
        Ok(())
    }

    /// Leaves no new file of a run that does not come about.
    pub fn abandon(&mut self) {
        if let Some(file) = self.file.as_mut().and_then(JsonLines::as_file) {
            file.abandon();
        }
    }

    /// Whether [`Self::put`] of a record, so many bytes long, would give the kernel nothing yet.
    pub fn has_room(&self, record: usize) -> bool {
        self.file.as_ref().is_none_or(|file| self.ordered.is_none() && file.has_room(record))
    }

    /// Takes one outcome's record.
    pub fn put(&mut self, heard: &Heard<'_>) -> Result<()> {
        let Some(file) = &mut self.file else {
            return self
                .ordered
                .as_mut()
                .map_or(Ok(()), |order| order.put(heard.task.seq, &[], |_| Ok(())));
        };
        match &mut self.ordered {
            None => file.put(heard.outcome.record),
            Some(order) => {
                order.put(heard.task.seq, heard.outcome.record, |record| file.put(record))
            }
        }
    }

    /// Records that have been put and that could not be written.
    pub fn n_unwritten(&self) -> u64 {
        let waiting = self.ordered.as_ref().map_or(0, Ordered::n_waiting);
        self.file.as_ref().map_or(0, |file| file.n_unwritten + waiting)
    }

    /// Gives what has been put to the kernel.
    pub fn flush(&mut self) -> Result<()> {
        self.file.as_mut().map_or(Ok(()), JsonLines::flush)
    }

    /// Gives everything to the kernel, what still waits for its turn included: the run is over,
    /// and what is missing will not come. Then waits for the disk.
    pub fn finish(&mut self) -> Result<()> {
        if let (Some(file), Some(order)) = (&mut self.file, &mut self.ordered) {
            order.finish(|record| file.put(record))?;
        }
        self.file.as_mut().map_or(Ok(()), JsonLines::finish)
    }

    /// Whether whoever reads the results is so far behind that no more should come.
    pub fn is_full(&self) -> bool {
        self.file.as_ref().is_some_and(JsonLines::is_full)
    }

    /// Whether whoever reads the results has not got everything yet.
    pub fn is_pending(&self) -> bool {
        self.file.as_ref().is_some_and(JsonLines::is_pending)
    }

    /// Where results keep the order of the job: the first place whose record is missing.
    pub fn first_missing(&self) -> Option<u64> {
        self.ordered.as_ref().map(Ordered::first_missing)
    }
}

/// Reads what an earlier run left and cuts what is torn.
fn go_on(
    file: &mut ResultsFile,
    path: &Path,
    tables: &[TableSpec],
    mut warn: impl FnMut(&str),
) -> Result<Records> {
    let Journal { records, length, torn } = Journal::read(&file.file, path, tables)?;
    let name = path.display();
    if torn > 0 {
        file.cut(length)?;
        warn(&format!("{name}: the last record was torn ({torn} bytes); cut"));
    }
    if records.n_repeated > 0 {
        let n = records.n_repeated;
        warn(&format!("{name}: {n} records repeat a task; the first that is ok counts"));
    }
    Ok(records)
}
