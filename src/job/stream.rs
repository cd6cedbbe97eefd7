//! The tables of a stream of tasks: one for each kind that lines can name.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use toml::{Table, Value};

use super::after::Linked;
use super::{Kinds, Settings, TableSpec, complaint};
use crate::cli::StreamOptions;
use crate::task::items::SeenByContent;
use crate::task::stream::{BadLine, From, Naming, Stream, Streamed};
use crate::task::{Kind, Nothing, PlanContext};

/// The kinds of a stream.
type OfStream = Vec<(&'static dyn Kind, &'static dyn Streamed)>;

/// What `--tasks` and `--keep-open` ask for.
pub(super) struct Wanted {
    from: Option<From>,
    keep_open: bool,
    kinds: OfStream,
}

impl Wanted {
    /// Nothing where no option asks for a stream, and no task of the tables may name others.
    pub(super) fn new(
        options: &StreamOptions,
        kinds: &Kinds,
        written: &[Table],
    ) -> Result<Option<Self>> {
        if options.tasks.is_none() && !options.keep_open && !written.iter().any(names_tasks) {
            return Ok(None);
        }
        let from = options.tasks.as_deref().map(From::new);
        from.as_ref().map_or(Ok(()), From::check)?;
        let kinds = kinds.iter().filter_map(|kind| Some((*kind, kind.streamed()?))).collect();
        Ok(Some(Self { from, keep_open: options.keep_open, kinds }))
    }

    /// Tables without tasks, each with its kind, in the form of a job file's; with the options
    /// of the first of `written` of its kind.
    pub(super) fn tables(&self, written: &[Table]) -> Vec<Table> {
        let table = |(kind, streamed): &(&'static dyn Kind, &'static dyn Streamed)| {
            let is_of =
                |table: &&Table| table.get("kind").and_then(Value::as_str) == Some(kind.name());
            let mut table = streamed.table(written.iter().find(is_of));
            if written.iter().filter(is_of).any(names_tasks) {
                table.insert(THEN.to_owned(), true.into());
            }
            table.insert("kind".to_owned(), kind.name().into());
            table
        };
        self.kinds.iter().map(table).collect()
    }

    /// Puts the stream into the last of the planned `tables`, which are its own.
    pub(super) fn connect(
        self,
        tables: &mut Vec<TableSpec>,
        settings: &Settings,
        folder: &Path,
        seen: &mut SeenByContent,
    ) -> Result<OfJob> {
        check_named(settings, tables)?;
        if self.from == Some(From::Stdin) && tables.iter().any(TableSpec::reads_stdin) {
            bail!("`--tasks -` and a table read standard input (`-`); give one of them a file");
        }
        let first = tables.len() - self.kinds.len();
        let mut lines = Vec::new();
        for ((kind, streamed), spec) in self.kinds.iter().zip(&tables[first..]) {
            let mut context = PlanContext { folder, seen };
            let read = streamed.lines(&spec.plan.resolved, &mut context);
            let read = read.map_err(|error| anyhow!("{}", complaint::explain(&error)));
            lines.push((*kind, read.with_context(|| format!("`{}`", kind.name()))?));
        }
        let is_regular = self.from.as_ref().is_none_or(From::is_regular) && !self.keep_open;
        let (stream, sources, bad) =
            Stream::new(self.from, self.keep_open, settings.ordered, lines);
        for (spec, source) in tables[first..].iter_mut().zip(sources) {
            spec.plan.source = Box::new(source);
        }
        for (idx, spec) in tables.iter_mut().enumerate() {
            if !names_tasks(&spec.plan.resolved) {
                continue;
            }
            let of_stream = idx.checked_sub(first);
            if let Some(idx) = of_stream {
                stream.names_tasks(idx);
            }
            let source = std::mem::replace(&mut spec.plan.source, Box::new(Nothing));
            let naming = Naming::new(source, stream.clone(), of_stream.is_some());
            spec.plan.source = Box::new(naming);
        }
        tables.push(TableSpec { kind: &BadLine, plan: bad, linked: Linked::default() });
        Ok(OfJob { stream, first, is_regular })
    }
}

/// The key of tables whose tasks may name others.
const THEN: &str = "then";

fn names_tasks(table: &Table) -> bool {
    table.get(THEN).and_then(Value::as_bool) == Some(true)
}

/// Tasks that others name come when these have ended, and where these ran.
fn check_named(settings: &Settings, tables: &[TableSpec]) -> Result<()> {
    let names = |table: &TableSpec| names_tasks(&table.plan.resolved);
    let Some(idx) = tables.iter().position(names) else { return Ok(()) };
    let place = format!("[[task]] {}: `{THEN}`", idx + 1);
    ensure!(
        !settings.ordered,
        "{place}: tasks that others name have no order to write their records in; leave \
         `ordered` out"
    );
    ensure!(
        settings.shard.is_none(),
        "{place}: tasks that others name are known only where these ran, and so are in no part \
         of the job; leave `--shard` out"
    );
    Ok(())
}

/// A job's stream of tasks.
#[derive(Debug)]
pub struct OfJob {
    /// What comes.
    pub stream: Stream,
    /// The first of its tables; they are the job's last.
    pub first: usize,
    /// Whether a later run can read it again.
    pub is_regular: bool,
}
