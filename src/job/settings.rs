//! How a run goes: the job file's keys and the command line's options merged, with defaults.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::file::{self, JobFile};
use crate::cli::RunOptions;
use crate::pipe;
use crate::policy::{Fsync, Policy, Retries};
use crate::schedule::Schedule;
use crate::task::Shard;
use crate::units;

/// What a crash of the whole machine may cost: the records of the last second.
const FSYNC: Duration = Duration::from_secs(1);
const IO_THREADS: NonZeroU32 = NonZeroU32::new(64).expect("64 is not 0");

/// How a run goes, complete.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the command line")]
pub struct Settings {
    /// How many tasks go to a rank at a time.
    pub schedule: Schedule,
    /// CPU threads of each rank; `None`: the rank's share of its node.
    pub threads: Option<NonZeroU32>,
    /// Threads of each rank for tasks that wait.
    pub io_threads: NonZeroU32,
    /// Whether rank 0 runs tasks too.
    pub root_computes: bool,
    /// Whether the results are in the order of the tasks.
    pub ordered: bool,
    /// Bytes that each rank may use for its tasks; `None`: its share of its node.
    pub memory: Option<u64>,
    /// Where the results go.
    pub output: Output,
    /// The folder that values go to that are too large for records.
    pub values_dir: Option<PathBuf>,
    /// Whether an existing results file is replaced.
    pub overwrite: bool,
    /// Whether an existing results file is gone on with.
    pub resume: Resume,
    /// How soon results are on the disk.
    pub fsync: Fsync,
    /// What is done about failures.
    pub policy: Policy,
    /// The file that the statistics go to as well.
    pub stats: Option<PathBuf>,
    /// The folder through which other processes control the run.
    pub control: Option<PathBuf>,
    /// Which part of the job is run; `None`: all of it.
    pub shard: Option<Shard>,
    /// Whether nothing but errors is reported.
    pub quiet: bool,
}

/// What an earlier run's results are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Nothing: a new run.
    No,
    /// What has a record is done.
    Missing,
    /// What has a record without failure is done.
    MissingAndFailed,
}

/// Where the results go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To a file, as JSON Lines.
    File(PathBuf),
    /// To a named pipe, as JSON Lines.
    Fifo(PathBuf),
    /// To standard output, as JSON Lines.
    Stdout,
    /// To standard output, a line each for people: what `fib` and `fetch` do by themselves.
    Lines,
    /// Nowhere; what tasks print goes to standard output: what `exec` does by itself.
    Printed,
    /// Nowhere.
    None,
}

impl Output {
    /// What stands for an output in a job file and on the command line.
    fn new(path: PathBuf) -> Self {
        match path.to_str() {
            Some("-") => Self::Stdout,
            Some("none") => Self::None,
            _ => Self::File(path),
        }
    }

    /// The same, where it is known what stands at its path.
    fn found(self) -> Self {
        match self {
            Self::File(path) if pipe::is_fifo(&path) => Self::Fifo(path),
            other => other,
        }
    }
}

/// The settings as a job file says them.
#[derive(Debug, Serialize)]
pub(super) struct Resolved {
    output: String,
    stats: Option<String>,
    values_dir: Option<String>,
    ordered: bool,
    schedule: String,
    threads: Option<NonZeroU32>,
    io_threads: NonZeroU32,
    root_computes: bool,
    memory: Option<String>,
    fsync: String,
    max_failures: Option<String>,
    crash_limit: NonZeroU32,
    grace: String,
    walltime: Option<String>,
    heartbeat: String,
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    retry: toml::Table,
}

fn policy(options: &RunOptions, written: &JobFile) -> Result<Policy> {
    let usual = Policy::default();
    let retries = written.retry.as_ref().map(Retries::from_table).transpose()?;
    Ok(Policy {
        retries: retries.unwrap_or_default(),
        max_failures: options.max_failures.or(written.max_failures),
        crash_limit: options.crash_limit.or(written.crash_limit).unwrap_or(usual.crash_limit),
        grace: options.grace.or(written.grace).unwrap_or(usual.grace),
        walltime: options.walltime.or(written.walltime),
        heartbeat: options.heartbeat.or(written.heartbeat).unwrap_or(usual.heartbeat),
    })
}

impl Settings {
    /// The command line's options over the job file's keys over the defaults.
    ///
    /// Paths in the file start at `folder`, those on the command line at the current directory.
    pub(super) fn merge(
        options: &RunOptions,
        written: &JobFile,
        folder: &Path,
        default_output: Output,
    ) -> Result<Self> {
        let output = match (&options.output, &written.output) {
            (Some(typed), _) => Output::new(typed.clone()),
            (None, Some(path)) => output_in_file(folder, path)?,
            (None, None) => default_output,
        };
        let written_stats = written.stats.as_deref().map(|path| in_folder(folder, path));
        let written_values = written.values_dir.as_deref().map(|path| folder.join(path));
        let values_dir = options.values_dir.clone().or(written_values);
        let settings = Self {
            schedule: options.schedule.or(written.schedule).unwrap_or_default(),
            threads: options.threads.or(written.threads),
            io_threads: options.io_threads.or(written.io_threads).unwrap_or(IO_THREADS),
            root_computes: match options.no_root_compute {
                Some(no) => !no,
                None => written.root_computes.unwrap_or(true),
            },
            ordered: options.ordered.or(written.ordered).unwrap_or(false),
            memory: options.memory.or(written.memory),
            output: output.found(),
            values_dir: values_dir.map(|path| values_folder(&path)).transpose()?,
            overwrite: options.overwrite,
            resume: match (options.retry_failed, options.resume) {
                (true, _) => Resume::MissingAndFailed,
                (false, true) => Resume::Missing,
                (false, false) => Resume::No,
            },
            fsync: options.fsync.or(written.fsync).unwrap_or(Fsync::Every(FSYNC)),
            policy: policy(options, written)?,
            stats: options.stats.clone().or(written_stats),
            control: options.control.clone(),
            shard: options.shard,
            quiet: options.quiet,
        };
        settings.check_stats()?;
        settings.check_values()?;
        Ok(settings)
    }

    /// Whether the files exist or can be written is the sinks' question: only opening can tell.
    fn check_stats(&self) -> Result<()> {
        let Some(stats) = &self.stats else { return Ok(()) };
        if stats.as_os_str().is_empty() || stats == Path::new("-") {
            bail!("`stats` needs a file of its own, such as `stats.json`");
        }
        let (Output::File(output) | Output::Fifo(output)) = &self.output else { return Ok(()) };
        if absolute(output)? == absolute(stats)? {
            bail!("`{}` is both `output` and `stats`; name two files", output.display());
        }
        Ok(())
    }

    fn check_values(&self) -> Result<()> {
        if self.values_dir.is_some() && self.output == Output::None {
            bail!("`values_dir` needs results that name its files; `--output FILE` writes them");
        }
        Ok(())
    }

    /// The files that the run writes.
    fn files(&self) -> impl Iterator<Item = &Path> {
        let output = match &self.output {
            Output::File(path) | Output::Fifo(path) => Some(path.as_path()),
            Output::Stdout | Output::Lines | Output::Printed | Output::None => None,
        };
        output.into_iter().chain(self.stats.as_deref())
    }

    /// Refuses to write over the job file itself.
    pub(super) fn spare(&self, job: &Path) -> Result<()> {
        let job = absolute(job)?;
        for written in self.files() {
            if absolute(written)? == job {
                bail!("`{}` is the job file itself; write to another one", written.display());
            }
        }
        Ok(())
    }

    pub(super) fn resolved(&self) -> Result<Resolved> {
        Ok(Resolved {
            output: match &self.output {
                Output::File(path) | Output::Fifo(path) => path_as_text(path)?,
                Output::Stdout => "-".to_owned(),
                Output::Lines | Output::Printed | Output::None => "none".to_owned(),
            },
            stats: self.stats.as_deref().map(path_as_text).transpose()?,
            values_dir: self.values_dir.as_deref().map(path_as_text).transpose()?,
            ordered: self.ordered,
            schedule: self.schedule.to_string(),
            threads: self.threads,
            io_threads: self.io_threads,
            root_computes: self.root_computes,
            memory: self.memory.map(units::format_size),
            fsync: self.fsync.to_string(),
            max_failures: self.policy.max_failures.map(|most| most.to_string()),
            crash_limit: self.policy.crash_limit,
            grace: units::format_duration(self.policy.grace),
            walltime: self.policy.walltime.map(units::format_duration),
            heartbeat: units::format_duration(self.policy.heartbeat),
            retry: self.policy.retries.to_table()?,
        })
    }
}

fn output_in_file(folder: &Path, path: &Path) -> Result<Output> {
    if path.as_os_str().is_empty() {
        bail!("`output` is empty; name a file, or write `-` (standard output) or `none`");
    }
    Ok(match Output::new(path.to_owned()) {
        Output::File(path) => Output::File(in_folder(folder, &path)),
        other => other,
    })
}

/// Where values go: a path that means the same on every host.
fn values_folder(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        bail!("`values_dir` is empty; name a folder");
    }
    path_as_text(path).map(PathBuf::from)
}

/// What a path means that was written in a file in `folder`; what is no path stays.
fn in_folder(folder: &Path, path: &Path) -> PathBuf {
    if matches!(path.to_str(), Some("" | "-")) { path.to_owned() } else { folder.join(path) }
}

/// A path that means the same in a job file anywhere.
fn path_as_text(path: &Path) -> Result<String> {
    file::as_text(&absolute(path)?).map(str::to_owned)
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("no absolute path for `{}`", path.display()))
}
