//! `rankpool pipe`: the two ends of a named pipe.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::units;

pub(super) const PIPE_EXAMPLES: &str = "\
Examples:
  rankpool pipe read my_pipe &
  rankpool pipe write my_pipe hello
  rankpool pipe write --lines tasks.fifo 'fib 1000' 'fetch http://127.0.0.1:8000/'
  seq 100 | sed 's/^/fib /' | rankpool pipe write --lines tasks.fifo -";

/// `rankpool pipe`.
#[derive(Clone, Debug, Args)]
pub struct PipeArgs {
    /// Which end.
    #[command(subcommand)]
    pub end: PipeEnd,
}

/// The end of a named pipe that this process takes.
#[derive(Clone, Debug, Subcommand)]
pub enum PipeEnd {
    /// Write messages, each whole, however many others write
    Write(PipeWriteArgs),
    /// Print the messages that come
    Read(PipeReadArgs),
}

/// `rankpool pipe write`.
#[derive(Clone, Debug, Args)]
pub struct PipeWriteArgs {
    /// The named pipe, made if it is missing
    pub path: PathBuf,
    /// The messages; `-` is standard input, as one message
    #[arg(required = true)]
    pub messages: Vec<OsString>,
    /// Write lines for `run --tasks` in place of messages; `-`: the lines of standard input
    #[arg(long)]
    pub lines: bool,
    /// How long to wait for the reader, at first and whenever it takes nothing
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration, default_value = "10s")]
    pub deadline: Duration,
}

/// `rankpool pipe read`.
#[derive(Clone, Debug, Args)]
pub struct PipeReadArgs {
    /// The named pipe, made if it is missing
    pub path: PathBuf,
    /// Go on when all writers are gone
    #[arg(long, short)]
    pub follow: bool,
    /// How long to wait for a message; default: 10s, with --follow for ever
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    pub deadline: Option<Duration>,
}
