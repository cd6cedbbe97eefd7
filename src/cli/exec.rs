//! `rankpool exec`: a command and its arguments, as GNU parallel takes them.

use std::path::PathBuf;

use clap::Args;

use super::RunOptions;

/// What `--help` shows at its end.
pub const EXEC_EXAMPLES: &str = "\
Examples:
  rankpool exec 'gzip -k {}' ::: *.txt
  rankpool exec 'convert {1} -resize {2} {1.}-{2}.png' ::: *.jpg ::: 50% 25%
  rankpool exec 'mv {1} {2}' ::: a b :::+ c d
  mpirun -n 4 rankpool exec --timeout 1h --output runs.jsonl ./simulate :::: parameters.txt
  find . -name '*.c' | rankpool exec --shell 'wc -l < {}' :::: -

A command in one word is split as a shell splits it, in several words it is taken as it stands.
`::: VALUES` is a list, `:::: FILES` one of their lines (`-` is standard input); several lists
are combined, `:::+` and `::::+` go side by side with the list before. Placeholders: {} {.} {/}
{//} {/.}, of one list {1} {2/.}, the task's number {#}; without any, values go to the end.
Options stand before the command.";

/// `rankpool exec`.
#[derive(Clone, Debug, Args)]
pub struct ExecArgs {
    /// Let /bin/sh run the command, with values quoted
    #[arg(long)]
    pub shell: bool,
    /// Limit for each command, such as 30s, or 3x the median
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// How long a command has after SIGTERM, before SIGKILL; default: 2s
    #[arg(long, value_name = "TIME")]
    pub kill_after: Option<String>,
    /// CPU threads that each command holds
    #[arg(long, value_name = "N")]
    pub cores: Option<u32>,
    /// Where the commands run; may have placeholders
    #[arg(long, value_name = "DIR")]
    pub dir: Option<String>,
    /// A variable of the commands' environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
    /// What the commands read; may have placeholders
    #[arg(long, value_name = "TEXT", conflicts_with = "stdin_file")]
    pub stdin: Option<String>,
    /// The file that each command reads; may have placeholders
    #[arg(long, value_name = "FILE")]
    pub stdin_file: Option<String>,
    /// How much of each output is kept and printed; default: 1MiB
    #[arg(long, value_name = "SIZE")]
    pub max_output: Option<String>,
    /// A folder for outputs that are longer
    #[arg(long, value_name = "DIR")]
    pub outputs: Option<PathBuf>,
    /// Exit codes that are no failure, such as 0,1
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    pub ok_exit: Vec<u8>,
    /// How the run goes.
    #[command(flatten)]
    pub run: RunOptions,
    /// The command, and its lists after `:::` and the like
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    #[arg(allow_hyphen_values = true)]
    pub command: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
