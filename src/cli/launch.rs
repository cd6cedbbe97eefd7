//! `rankpool launch`, as typed.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;

use super::count;

pub(super) const LAUNCH_EXAMPLES: &str = "\
Examples:
  rankpool launch -n 4 run jobs/demo.toml
  rankpool launch -n 8 --hostfile hostfile run jobs/fetch.toml --urls-from urls.txt
  rankpool launch -n 4 --dry-run run jobs/demo.toml

Starts the mpirun of the MPI that rankpool was built with, and the run again where it died: it
goes on with the results file. Exit code 3: stopped early, `--resume` goes on.";

/// `rankpool launch`.
#[derive(Clone, Debug, Args)]
pub struct LaunchArgs {
    /// How many ranks; default: the slots of the hostfile
    #[arg(short = 'n', long, value_name = "N", value_parser = count)]
    #[arg(allow_negative_numbers = true)]
    pub ranks: Option<NonZeroU32>,
    /// The hosts to start them on, one a line, such as `node1 slots=2`
    #[arg(long, value_name = "FILE")]
    pub hostfile: Option<PathBuf>,
    /// How often to start again when the ranks or mpirun die
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub restarts: u32,
    /// Print the line that would be run, and do not run it
    #[arg(long)]
    pub dry_run: bool,
    /// The mpirun to use; default: that of the MPI that rankpool was built with
    #[arg(long, value_name = "PATH")]
    pub mpirun: Option<PathBuf>,
    /// What the ranks are to do: `run JOB.toml`, `fib …`, `fetch …`, `exec …` or `info`
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    #[arg(allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// `rankpool __bury`.
#[derive(Clone, Copy, Debug, Args)]
pub struct BuryArgs {
    /// Rank 0's process.
    pub rank0: u32,
    /// mpirun's.
    pub mpirun: i32,
}

/// `rankpool __tether`.
#[derive(Clone, Debug, Args)]
pub struct TetherArgs {
    /// Whose end ends this.
    pub parent: u32,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}
