//! `rankpool ctl`: a running job, asked from outside.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::units;

pub(super) const CTL_EXAMPLES: &str = "\
Examples:
  rankpool run jobs/demo.toml --control ctl &
  rankpool ctl ctl status
  rankpool ctl ctl threads 4 --rank 1
  rankpool ctl --deadline 1s ctl pause

Commands: status [--json], threads N [--rank R|all], io-threads N [--rank R|all], pause, resume,
drain RANK, cancel ID|KIND, submit LINE, stats [--json], finish, stop.";

/// `rankpool ctl`.
#[derive(Clone, Debug, Args)]
pub struct CtlArgs {
    /// How long to wait for the answer
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration, default_value = "10s")]
    pub deadline: Duration,
    /// The folder that the job was given with `--control`
    pub dir: PathBuf,
    /// The command
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    #[arg(allow_hyphen_values = true)]
    pub command: Vec<String>,
}
