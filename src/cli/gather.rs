//! `rankpool gather`, as typed.

use std::path::PathBuf;

use clap::Args;

pub(super) const GATHER_EXAMPLES: &str = "\
Examples:
  rankpool gather job.results.jsonl
  rankpool gather job.results.jsonl --into values
  rankpool gather job.results.jsonl --agent 'srun --overlap -N1 -n1 -w'

Exit code 1: values are lost.";

/// `rankpool gather`.
#[derive(Clone, Debug, Args)]
pub struct GatherArgs {
    /// The results file of a run with `--values-dir DIR`
    #[arg(value_name = "RESULTS.jsonl")]
    pub results: PathBuf,
    /// The folder to bring files to; default: the paths that the records name
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// What runs a command on another host, its name and the command behind it; default: ssh
    #[arg(long, value_name = "COMMAND")]
    pub agent: Option<String>,
    /// Take records whose values are lost out of the results: `--resume` runs their tasks again
    #[arg(long)]
    pub forget_lost: bool,
}
