//! From a job file and a command line to a [`JobSpec`]: merged, checked and complete.
//!
//! [`mod@file`] is what was written, this is what it means. `rankpool fib` and `rankpool fetch`
//! write their one table themselves and go the same way from there.
//!
//! **Invariant:** rank 0 alone does this, before any task runs; nothing here starts MPI, and no
//! later part sees a flag or a path that still has to be interpreted.

mod after;
mod complaint;
mod exec;
pub mod file;
mod settings;
pub mod stream;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Serialize;
use toml::{Table, Value};

use crate::cli::{
    CrawlArgs, ExecArgs, FetchArgs, FibArgs, Overrides, RunArgs, RunOptions, StreamOptions,
};
use crate::task::items::SeenByContent;
use crate::task::{KINDS, Kind, Plan, PlanContext};
use crate::units;
use after::Linked;
use file::JobFile;
pub use settings::{Output, Resume, Settings};

type Kinds = [&'static dyn Kind];

/// A job, ready to run.
#[derive(Debug)]
pub struct JobSpec {
    /// The job file's name without its ending; `fib`, `fetch` and `exec` for the one-liners.
    pub name: String,
    /// How the run goes.
    pub settings: Settings,
    /// The tables, in their order.
    pub tables: Vec<TableSpec>,
    /// Tasks that come while it runs.
    pub stream: Option<stream::OfJob>,
}

/// One `[[task]]` table, ready to run.
pub struct TableSpec {
    /// The kind of its tasks.
    pub kind: &'static dyn Kind,
    /// Its tasks and what they need.
    pub plan: Plan,
    /// Its name, and which tables it runs after.
    linked: Linked,
}

impl TableSpec {
    /// The files that its tasks are read from; a key that ends in `_from` names one, also in
    /// the tables of `lists`.
    fn read_files(&self) -> impl Iterator<Item = &str> {
        let lists = self.plan.resolved.get("lists").and_then(Value::as_array);
        let tables = lists.into_iter().flatten().filter_map(Value::as_table);
        let keys = tables.chain([&self.plan.resolved]).flatten();
        keys.filter(|(key, _)| key.ends_with("_from")).filter_map(|(_, value)| value.as_str())
    }

    fn reads_stdin(&self) -> bool {
        self.read_files().any(|path| path == "-")
    }
}

impl fmt::Debug for TableSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSpec")
            .field("kind", &self.kind.name())
            .field("resolved", &self.plan.resolved)
            .finish_non_exhaustive()
    }
}

impl JobSpec {
    /// The job in a file, as the command line changes it.
    pub fn from_file(path: &Path, overrides: &Overrides) -> Result<Self> {
        Self::from_file_of(KINDS, path, overrides)
    }

    /// The job of `rankpool run`: a file, a stream of tasks, or both.
    pub fn from_run(args: &RunArgs) -> Result<Self> {
        Self::from_parts(KINDS, args.job.as_deref(), &args.stream, &args.overrides)
    }

    /// The job of `rankpool fib`.
    pub fn from_fib(args: &FibArgs) -> Result<Self> {
        Self::one_liner(KINDS, "fib", tables::fibonacci(args), &args.run)
    }

    /// The job of `rankpool fetch`.
    pub fn from_fetch(args: &FetchArgs) -> Result<Self> {
        Self::one_liner(KINDS, "fetch", tables::fetch(args), &args.run)
    }

    /// The job of `rankpool crawl`: its results go to a file, so that it can be gone on with.
    pub fn from_crawl(args: &CrawlArgs) -> Result<Self> {
        let results = Output::File(PathBuf::from("crawl.results.jsonl"));
        let folder = Path::new("");
        let settings = Settings::merge(&args.run, &JobFile::default(), folder, results)?;
        Self::one_table(KINDS, "crawl", tables::crawl(args), settings)
    }

    /// The job of `rankpool exec`, whose commands print by themselves.
    pub fn from_exec(args: &ExecArgs) -> Result<Self> {
        let folder = Path::new("");
        let settings = Settings::merge(&args.run, &JobFile::default(), folder, Output::Printed)?;
        Self::one_table(KINDS, "exec", exec::table(args)?, settings)
    }

    fn from_file_of(kinds: &Kinds, path: &Path, overrides: &Overrides) -> Result<Self> {
        Self::from_parts(kinds, Some(path), &StreamOptions::default(), overrides)
    }

    fn from_parts(
        kinds: &Kinds,
        path: Option<&Path>,
        stream: &StreamOptions,
        overrides: &Overrides,
    ) -> Result<Self> {
        let mut written = path.map_or_else(|| Ok(JobFile::default()), JobFile::read)?;
        // Without a file it is the stream that the job is named after.
        let path = path.unwrap_or(Path::new("tasks"));
        let place = path.display();
        let folder = path.parent().unwrap_or(Path::new(""));
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        // Parts of a job may run side by side in one folder.
        let part = overrides.run.shard.map(|shard| format!(".{}", shard.file_name()));
        let part = part.unwrap_or_default();
        let results = Output::File(PathBuf::from(format!("{stem}{part}.results.jsonl")));
        let settings = Settings::merge(&overrides.run, &written, folder, results)
            .and_then(|settings| settings.spare(path).map(|()| settings))
            .with_context(|| place.to_string())?;
        let numbered = |idx: usize| format!("{place}: [[task]] {}: ", idx + 1);
        let linked = after::take(&mut written.task, settings.ordered, numbered)?;
        let wanted = stream::Wanted::new(stream, kinds, &written.task)?;
        let of_stream = wanted.iter().flat_map(|wanted| wanted.tables(&written.task));
        written.task.extend(of_stream.collect::<Vec<_>>());
        let kinds = kinds_of(kinds, &written.task, numbered)?;
        tables::replace(&mut written.task, &overrides.tables).with_context(|| place.to_string())?;
        let mut seen = SeenByContent::default();
        let mut tables = plan(&kinds, (written.task, linked.len()), folder, &mut seen, numbered)?;
        after::link(&mut tables, linked, settings.shard).with_context(|| place.to_string())?;
        let connect =
            |wanted: stream::Wanted| wanted.connect(&mut tables, &settings, folder, &mut seen);
        let stream = wanted.map(connect).transpose().with_context(|| place.to_string())?;
        check_order(&settings, &tables).with_context(|| place.to_string())?;
        Ok(Self { name: stem.into_owned(), settings, tables, stream })
    }

    fn one_liner(kinds: &Kinds, name: &str, table: Table, options: &RunOptions) -> Result<Self> {
        let folder = Path::new("");
        let settings = Settings::merge(options, &JobFile::default(), folder, Output::Lines)?;
        Self::one_table(kinds, name, table, settings)
    }

    fn one_table(kinds: &Kinds, name: &str, table: Table, settings: Settings) -> Result<Self> {
        let (folder, tables) = (Path::new(""), vec![table]);
        let kinds = kinds_of(kinds, &tables, |_| String::new())?;
        let mut seen = SeenByContent::default();
        let tables = plan(&kinds, (tables, 1), folder, &mut seen, |_| String::new())?;
        check_order(&settings, &tables)?;
        Ok(Self { name: name.to_owned(), settings, tables, stream: None })
    }

    /// The job with every default filled in, again as a job file, whose own resolved form is
    /// the same text.
    pub fn resolved(&self) -> Result<String> {
        #[derive(Serialize)]
        struct ResolvedJob<'a> {
            #[serde(flatten)]
            settings: settings::Resolved,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            task: Vec<ResolvedTable<'a>>,
        }
        #[derive(Serialize)]
        struct ResolvedTable<'a> {
            kind: &'a str,
            #[serde(flatten)]
            linked: &'a Linked,
            #[serde(flatten)]
            keys: Table,
        }
        let task = self.own_tables().iter().map(|table| {
            let mut keys = table.plan.resolved.clone();
            keys.remove("kind");
            ResolvedTable { kind: table.kind.name(), linked: &table.linked, keys }
        });
        let job = ResolvedJob { settings: self.settings.resolved()?, task: task.collect() };
        toml::to_string(&job).context("cannot write the resolved job as TOML")
    }

    /// The tables of the job file, without those of the stream.
    fn own_tables(&self) -> &[TableSpec] {
        &self.tables[..self.stream.as_ref().map_or(self.tables.len(), |stream| stream.first)]
    }

    /// The results file that a later run can go on with, or why it cannot.
    pub fn results_to_resume(&self) -> Result<PathBuf, &'static str> {
        let Output::File(path) = &self.settings.output else {
            return Err(
                "its results are in no file, so no restart can go on with them: `--output \
                        FILE` makes it restartable",
            );
        };
        let is_stream = |path: &str| !Path::new(path).is_file();
        let is_read_once = self.stream.as_ref().is_some_and(|stream| !stream.is_regular);
        if is_read_once || self.tables.iter().any(|table| table.read_files().any(is_stream)) {
            return Err(
                "its tasks came from a stream, which no restart can read again: a file of \
                        tasks makes it restartable",
            );
        }
        Ok(path.clone())
    }

    /// How much work this is, for people: `3,255 tasks in 3 tables`.
    pub fn summary(&self) -> String {
        let counts: Vec<_> =
            self.tables.iter().map(|table| table.plan.source.remaining()).collect();
        let n_tasks = counts.iter().flatten().fold(0, |sum: u64, &n| sum.saturating_add(n));
        // A source that reads standard input does not know how much is still to come.
        let at_least = if counts.contains(&None) { "at least " } else { "" };
        let n_tables = self.own_tables().len() as u64;
        format!("{at_least}{} in {}", counted(n_tasks, "task"), counted(n_tables, "table"))
    }
}

/// The kind of each table. All tables, before any key of one is looked at: a misspelt kind
/// would make a flag for it look out of place.
fn kinds_of(
    kinds: &Kinds,
    tables: &[Table],
    place: impl Fn(usize) -> String,
) -> Result<Vec<&'static dyn Kind>> {
    let kind_of =
        |(idx, table)| kind_of(kinds, table).map_err(|error| anyhow!("{}{error}", place(idx)));
    tables.iter().enumerate().map(kind_of).collect()
}

fn kind_of(kinds: &Kinds, table: &Table) -> Result<&'static dyn Kind> {
    let names = || kinds.iter().map(|kind| kind.name());
    let name = match table.get("kind") {
        Some(Value::String(name)) => name,
        Some(_) => bail!("`kind` is no string; use one of {}", complaint::listed(names())),
        None => bail!("no `kind`; add `kind = \"…\"`, one of {}", complaint::listed(names())),
    };
    if let Some(kind) = kinds.iter().find(|kind| kind.name() == name) {
        return Ok(*kind);
    }
    let meant = complaint::did_you_mean(name, names())
        .map(|meant| format!("did you mean `{meant}`? "))
        .unwrap_or_default();
    bail!("unknown kind `{name}`; {meant}there are {}", complaint::listed(names()))
}

/// Plans the tables, of which so many are the job's own, and the others those of its stream.
fn plan(
    kinds: &[&'static dyn Kind],
    (tables, n_own): (Vec<Table>, usize),
    folder: &Path,
    seen: &mut SeenByContent,
    place: impl Fn(usize) -> String,
) -> Result<Vec<TableSpec>> {
    let mut planned = Vec::with_capacity(tables.len());
    for (idx, (kind, mut table)) in kinds.iter().zip(tables).enumerate() {
        table.remove("kind");
        let misplaced = JobFile::KEYS.into_iter().find(|key| table.contains_key(*key));
        let mut context = PlanContext { folder, seen: &mut *seen };
        let plan = if idx < n_own {
            kind.plan(table, &mut context)
        } else {
            kind.plan_streamed(table, &mut context)
        };
        let plan = plan.map_err(|error| {
            let told = complaint::explain(&error);
            anyhow!("{}{}", place(idx), at_its_place(&told, misplaced).unwrap_or(told))
        })?;
        planned.push(TableSpec { kind: *kind, plan, linked: Linked::default() });
    }
    for table in &mut planned {
        anchor(&mut table.plan.resolved, folder)?;
    }
    check_standard_input(&planned)?;
    check_only_once(&planned)?;
    Ok(planned)
}

/// Lines of standard input go to one table: two would each get some of them, by chance.
fn check_standard_input(tables: &[TableSpec]) -> Result<()> {
    if tables.iter().filter(|table| table.reads_stdin()).count() > 1 {
        bail!("two tables read standard input (`-`); give one of them a file");
    }
    Ok(())
}

/// Some kinds' tables must not stand beside another of theirs.
fn check_only_once(tables: &[TableSpec]) -> Result<()> {
    for (idx, table) in tables.iter().enumerate() {
        let name = table.kind.name();
        let before = tables[..idx].iter().any(|before| before.kind.name() == name);
        if let Some(reason) = table.kind.only_once().filter(|_| before) {
            bail!("[[task]] {} is a second `{name}`: {reason}", idx + 1);
        }
    }
    Ok(())
}

/// Where tasks come as others end, there is no order to write their records in.
fn check_order(settings: &Settings, tables: &[TableSpec]) -> Result<()> {
    let mut kinds = tables.iter().map(|table| table.kind);
    if let Some(kind) = kinds.find(|kind| settings.ordered && !kind.is_ordered()) {
        bail!(
            "`ordered` means nothing to `{}`, whose tasks have no order; leave it out",
            kind.name()
        );
    }
    Ok(())
}

/// Makes the paths of a resolved table mean the same in a job file anywhere: a key that ends
/// in `_from` names a file.
fn anchor(resolved: &mut Table, folder: &Path) -> Result<()> {
    for (key, value) in resolved.iter_mut() {
        if let Some(path) = value.as_str().filter(|path| key.ends_with("_from") && *path != "-") {
            let path = settings::absolute(&folder.join(path))?;
            *value = file::as_text(&path)?.into();
        }
    }
    Ok(())
}

/// TOML puts a key after `[[task]]` into that table, also one that was meant for the job.
fn at_its_place(told: &str, misplaced: Option<&str>) -> Option<String> {
    let key = misplaced?;
    told.starts_with(&format!("unknown key `{key}`"))
        .then(|| format!("`{key}` is a key of the whole job: put it above the first `[[task]]`"))
}

fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", units::thousands(n), if n == 1 { "" } else { "s" })
}
