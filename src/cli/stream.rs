//! `rankpool run`: a job file, a stream of tasks, or both.

use std::path::PathBuf;

use clap::Args;

use super::Overrides;

/// `rankpool run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The job file (TOML)
    #[arg(value_name = "JOB.toml", required_unless_present_any = ["tasks", "keep_open"])]
    pub job: Option<PathBuf>,
    /// Tasks that come while the job runs.
    #[command(flatten)]
    pub stream: StreamOptions,
    /// What stands on the command line and wins over the job file.
    #[command(flatten)]
    pub overrides: Overrides,
}

/// Tasks that come while a job runs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "A stream of tasks")]
pub struct StreamOptions {
    /// Run tasks from here too, one a line, as they come: a named pipe, a file, or `-`
    #[arg(long, value_name = "PATH")]
    pub tasks: Option<PathBuf>,
    /// Wait for more tasks until `rankpool ctl DIR finish`
    #[arg(long)]
    pub keep_open: bool,
}
