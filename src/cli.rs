//! The command line, as typed: clap shapes and nothing else.
//!
//! What the words mean together with a job file is decided in [`crate::job`]; no other part
//! sees a flag.
//!
//! **Invariant:** reading the command line starts nothing and touches no file.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::policy::{Fsync, MaxFailures};
use crate::schedule::Schedule;
use crate::task::Shard;
use crate::units;

mod crawl;
mod ctl;
mod discover;
mod exec;
mod explain;
mod fetch;
mod gather;
mod launch;
mod pipe;
mod stream;

pub use crawl::CrawlArgs;
pub use ctl::CtlArgs;
pub use discover::{AnnounceArgs, DiscoverArgs, HostfileFormat, NetworkOptions};
pub use exec::{EXEC_EXAMPLES, ExecArgs};
pub use explain::{Explain, ExplainArgs, ExplainLinks, ExplainRobotsArgs, ExplainUrl};
pub use fetch::FetchArgs;
pub use gather::GatherArgs;
pub use launch::{BuryArgs, LaunchArgs, TetherArgs};
pub use pipe::{PipeArgs, PipeEnd, PipeReadArgs, PipeWriteArgs};
pub use stream::{RunArgs, StreamOptions};

use crawl::CRAWL_EXAMPLES;
use discover::{ANNOUNCE_EXAMPLES, DISCOVER_EXAMPLES};
use explain::EXPLAIN_EXAMPLES;
use fetch::FETCH_EXAMPLES;
use gather::GATHER_EXAMPLES;
use launch::LAUNCH_EXAMPLES;

const TOP_EXAMPLES: &str = "\
Examples:
  rankpool fib 4 3 8 6 10                  five terms on this machine's cores
  mpirun -n 4 rankpool run jobs/demo.toml  a job file on four ranks
  rankpool check jobs/demo.toml            what would run, without running it";

const RUN_EXAMPLES: &str = "\
Examples:
  mpirun -n 4 rankpool run jobs/demo.toml
  mpirun -n 4 --hostfile hostfile rankpool run jobs/demo.toml --stats stats.json
  rankpool run jobs/demo.toml --schedule guided,8 --output out.jsonl --overwrite
  seq 1000 | sed 's/^/fib /' | rankpool run --tasks - --output -

The results go to JOB.results.jsonl in the current directory unless `output` in the job file or
--output says otherwise. What stands on the command line wins over the job file.";

const CHECK_EXAMPLES: &str = "\
Examples:
  rankpool check jobs/demo.toml
  rankpool check jobs/demo.toml --schedule static > resolved.toml

Prints the job with every default filled in, again as a job file. Starts neither MPI nor a task.";

const FIB_EXAMPLES: &str = "\
Examples:
  rankpool fib 4 3 8 6 10
  mpirun -n 4 rankpool fib 1..=1000 --value summary
  rankpool fib 0..=100:5 1000000 --modulus 1000000007
  seq 10 | rankpool fib -";

const INFO_EXAMPLES: &str = "\
Examples:
  mpirun -n 4 --hostfile hostfile rankpool info
  rankpool info --json";

/// Not a doc comment, where the brackets would be links.
const SCHEDULE_HELP: &str =
    "How many tasks go to a rank at a time: static[,N], dynamic[,N], guided[,MIN] or auto";

/// Runs a batch of tasks over MPI ranks and all their cores, and gathers every outcome on rank 0
#[derive(Clone, Debug, Parser)]
#[command(name = "rankpool", version, max_term_width = 100, after_help = TOP_EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do, one variant a subcommand.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a job file
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Check a job file and print it resolved, without running it
    #[command(after_help = CHECK_EXAMPLES)]
    Check(JobArgs),
    /// Compute Fibonacci terms
    #[command(after_help = FIB_EXAMPLES)]
    Fib(FibArgs),
    /// Fetch web pages
    #[command(after_help = FETCH_EXAMPLES)]
    Fetch(FetchArgs),
    /// Follow links from web pages, politely, over all ranks
    #[command(after_help = CRAWL_EXAMPLES)]
    Crawl(Box<CrawlArgs>),
    /// Run a command for each of some arguments
    #[command(after_help = EXEC_EXAMPLES)]
    Exec(ExecArgs),
    /// Show the ranks, their machines and what they have
    #[command(after_help = INFO_EXAMPLES)]
    Info(InfoArgs),
    /// Show what a crawl makes of a page or a URL
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Start ranks with mpirun, and start them again where they died
    #[command(after_help = LAUNCH_EXAMPLES)]
    Launch(LaunchArgs),
    /// Bring values to this host that a run left in files on others
    #[command(after_help = GATHER_EXAMPLES)]
    Gather(GatherArgs),
    /// Tell the network that this machine takes ranks, until a signal ends it
    #[command(after_help = ANNOUNCE_EXAMPLES)]
    Announce(AnnounceArgs),
    /// Find the machines that announce themselves, and write a hostfile
    #[command(after_help = DISCOVER_EXAMPLES)]
    Discover(DiscoverArgs),
    /// Ask or tell a running job that has `--control DIR`
    #[command(after_help = ctl::CTL_EXAMPLES)]
    Ctl(CtlArgs),
    /// Write to a named pipe, or read one
    #[command(after_help = pipe::PIPE_EXAMPLES)]
    Pipe(PipeArgs),
    /// Become mpirun, and end with the `launch` that started this
    #[command(name = "__tether", hide = true)]
    Tether(TetherArgs),
    /// End the commands of a rank when it ends
    #[command(name = "__watch", hide = true)]
    Watch {
        /// What they have in their environment.
        token: String,
    },
    /// End an mpirun that stays after its rank 0
    #[command(name = "__bury", hide = true)]
    Bury(BuryArgs),
}

/// `rankpool check`.
#[derive(Clone, Debug, Args)]
pub struct JobArgs {
    /// The job file (TOML)
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,
    /// What stands on the command line and wins over the job file.
    #[command(flatten)]
    pub overrides: Overrides,
}

/// Everything by which a command line changes a job file.
#[derive(Clone, Debug, Default, Args)]
pub struct Overrides {
    /// How the run goes.
    #[command(flatten)]
    pub run: RunOptions,
    /// What the job's tables say.
    #[command(flatten)]
    pub tables: TableOptions,
}

/// How a run goes, whatever its tasks are.
#[derive(Clone, Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the command line")]
#[command(next_help_heading = "The run")]
pub struct RunOptions {
    /// Where the results go: a file, `-` for standard output, `none` for nowhere
    #[arg(long, value_name = "FILE", visible_alias = "results")]
    pub output: Option<PathBuf>,
    /// Replace an existing results file instead of refusing it
    #[arg(long)]
    pub overwrite: bool,
    /// Also write the statistics to this file, as JSON
    #[arg(long, value_name = "FILE.json")]
    pub stats: Option<PathBuf>,
    /// A folder for values above 64 KiB: each rank writes its own there, records name them
    #[arg(long, value_name = "DIR")]
    pub values_dir: Option<PathBuf>,
    /// Write the results in the order of the tasks, not as they arrive
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    pub ordered: Option<bool>,
    /// How many tasks go to a rank at a time.
    #[arg(long, value_name = "SCHEDULE", help = SCHEDULE_HELP)]
    pub schedule: Option<Schedule>,
    /// CPU threads of each rank; default: the rank's share of its node
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub threads: Option<NonZeroU32>,
    /// Threads of each rank for tasks that wait; default: 64
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub io_threads: Option<NonZeroU32>,
    /// Let rank 0 only hand out work
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    pub no_root_compute: Option<bool>,
    /// What each rank may use for its tasks, such as 4GiB; default: its share of its node
    #[arg(long, value_name = "SIZE", value_parser = memory, allow_negative_numbers = true)]
    pub memory: Option<u64>,
    /// Go on with the results file of an earlier run: run only what is missing in it
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Go on with the results file of an earlier run, and run again what failed
    #[arg(long, conflicts_with = "overwrite")]
    pub retry_failed: bool,
    /// When results are on the disk for sure: always, never, or so often (default: 1s)
    #[arg(long, value_name = "always|TIME|never")]
    pub fsync: Option<Fsync>,
    /// Stop after more than N failed tasks, or N% of those that ended
    #[arg(long, value_name = "N|N%", allow_negative_numbers = true)]
    pub max_failures: Option<MaxFailures>,
    /// Fail a task that was running on so many ranks that died; default: 2
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub crash_limit: Option<NonZeroU32>,
    /// How long running tasks may go on when the run is told to stop; default: 10s
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    pub grace: Option<Duration>,
    /// Start nothing that would not end within this time from the start of the run
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    pub walltime: Option<Duration>,
    /// Take a rank for dead that says nothing for so long; default: 30s
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    pub heartbeat: Option<Duration>,
    /// Let other processes ask and tell this run, by `rankpool ctl DIR COMMAND`
    #[arg(long, value_name = "DIR")]
    pub control: Option<PathBuf>,
    /// Run the I-th of N parts of the job alone; every task is in one of them
    #[arg(long, value_name = "I/N", allow_negative_numbers = true)]
    pub shard: Option<Shard>,
    /// Report nothing but errors
    #[arg(long, short)]
    pub quiet: bool,
}

/// Keys of a job file's tables that the command line replaces.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "The tasks")]
pub struct TableOptions {
    /// Fetch tables: replace the `base` that relative URLs start from
    #[arg(long, value_name = "URL")]
    pub base: Option<String>,
    /// Fetch tables: replace the list of URLs by a file of lines, `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub urls_from: Option<PathBuf>,
    /// Fibonacci tables, and `rankpool fib`.
    #[command(flatten)]
    pub fibonacci: FibonacciOptions,
}

/// What a Fibonacci task does with its term.
#[derive(Clone, Debug, Default, Args)]
pub struct FibonacciOptions {
    /// How much of each Fibonacci term to gather: full, summary or none
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub value: Option<TermValue>,
    /// Compute the Fibonacci terms modulo M
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    pub modulus: Option<String>,
}

/// How much of a term is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TermValue {
    /// The term itself.
    Full,
    /// How many digits, the first and the last of them, and a digest of all.
    Summary,
    /// Nothing of its digits: the term is computed and dropped.
    None,
}

impl TermValue {
    /// The word in job files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Summary => "summary",
            Self::None => "none",
        }
    }
}

/// `rankpool fib`.
#[derive(Clone, Debug, Args)]
pub struct FibArgs {
    /// Terms: numbers, lists 4,3,8, ranges 1..=1000 or 0..=100:5 (a step), - for lines of
    /// standard input
    #[arg(value_name = "N", required = true, allow_negative_numbers = true)]
    pub n: Vec<String>,
    /// What to do with each term.
    #[command(flatten)]
    pub term: FibonacciOptions,
    /// How the run goes.
    #[command(flatten)]
    pub run: RunOptions,
}

/// `rankpool info`.
#[derive(Clone, Copy, Debug, Args)]
pub struct InfoArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// CPU threads of each rank; default: the rank's share of its node
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub threads: Option<NonZeroU32>,
}

fn count(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("use a whole number from 1 to {}", u32::MAX))
}

fn memory(text: &str) -> anyhow::Result<u64> {
    match units::parse_size(text)? {
        0 => anyhow::bail!("no task runs without memory; name a size such as 4GiB"),
        bytes => Ok(bytes),
    }
}

/// A usage error in our voice: one line, names in backticks, the way to the help at its end.
pub fn usage_error(error: &clap::Error) -> String {
    if let Some(typed) = negative(error) {
        return format!("`{typed}…` is negative; numbers, lists and ranges start at 0");
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let mut line = String::new();
    for part in text.lines().map(str::trim).take_while(|part| !part.starts_with("Usage:")) {
        let part = part.strip_prefix("tip: ").unwrap_or(part);
        if part.is_empty() || part.starts_with("For more information") {
            continue;
        }
        let gap = if line.is_empty() || line.ends_with(':') { "" } else { ";" };
        line = format!("{line}{gap} {part}");
    }
    format!("{}; see `rankpool --help`", with_backticks(line.trim()))
}

/// The start of a list or range that clap took for a flag, such as `-5` of `-5..=3`.
fn negative(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(typed) if error.kind() == ErrorKind::UnknownArgument => {
            let digits = typed.strip_prefix('-')?;
            digits.starts_with(|c: char| c.is_ascii_digit()).then_some(typed)
        }
        _ => None,
    }
}

/// Turns clap's quotes around names into backticks, but leaves an apostrophe alone.
fn with_backticks(text: &str) -> String {
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    let mut out = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        let inside = before.is_alphanumeric() && chars.peek().is_some_and(|c| c.is_alphanumeric());
        out.push(if c == '\'' && !inside { '`' } else { c });
        before = c;
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::CommandFactory;

    use super::*;

    pub(crate) fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[track_caller]
    fn check_error(line: &str, expected: &str) {
        let error = usage_error(&parse(line).unwrap_err());
        assert_eq!(error, format!("{expected}; see `rankpool --help`"));
    }

    #[test]
    fn the_shapes_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_negative_number_is_an_argument_and_no_flag() {
        let Command::Fib(fib) = parse("rankpool fib 3 -5 --modulus -7").unwrap().command else {
            panic!("`fib` is `fib`");
        };
        assert_eq!((fib.n, fib.term.modulus), (vec!["3".into(), "-5".into()], Some("-7".into())));
    }

    #[test]
    fn options_may_follow_and_precede_the_terms() {
        for line in ["rankpool fib --value none 4 3", "rankpool fib 4 3 --value none"] {
            let Command::Fib(fib) = parse(line).unwrap().command else {
                panic!("`fib` is `fib`");
            };
            assert_eq!((fib.n.len(), fib.term.value), (2, Some(TermValue::None)), "{line}");
        }
    }

    #[test]
    fn a_switch_of_the_job_file_can_be_set_either_way() {
        for (flags, expected) in [
            ("", (None, None)),
            (" --ordered --no-root-compute", (Some(true), Some(true))),
            (" --ordered=false --no-root-compute=false", (Some(false), Some(false))),
        ] {
            let Command::Run(run) = parse(&format!("rankpool run j{flags}")).unwrap().command
            else {
                panic!("`run` is `run`");
            };
            let run = run.overrides.run;
            assert_eq!((run.ordered, run.no_root_compute), expected, "{flags}");
        }
    }

    #[test]
    fn usage_errors_are_one_line_with_the_way_out() {
        check_error(
            "rankpool run j --treads 3",
            "unexpected argument `--treads` found; a similar argument exists: `--threads`",
        );
        check_error(
            "rankpool run j --threads 0",
            "invalid value `0` for `--threads <N>`: use a whole number from 1 to 4294967295",
        );
        check_error(
            "rankpool run j --schedule auto,3",
            "invalid value `auto,3` for `--schedule <SCHEDULE>`: \
             schedule `auto` takes no chunk: it measures; use `auto`",
        );
        check_error(
            "rankpool run",
            "the following required arguments were not provided: <JOB.toml>",
        );
        check_error(
            "rankpool fib 3 --memory 0",
            "invalid value `0` for `--memory <SIZE>`: \
             no task runs without memory; name a size such as 4GiB",
        );
        check_error(
            "rankpool fetch u --extract title",
            "invalid value `title` for `--extract <NAME=REGEX>`: \
             write NAME=REGEX, such as title=<h1>(.*?)</h1>",
        );
    }

    #[test]
    fn a_negative_range_is_no_unknown_flag() {
        for typed in ["-5..=3", "-5,3"] {
            let error = usage_error(&parse(&format!("rankpool fib 1 {typed}")).unwrap_err());
            assert_eq!(error, "`-5…` is negative; numbers, lists and ranges start at 0");
        }
    }

    #[test]
    fn an_apostrophe_stays() {
        assert_eq!(with_backticks("doesn't 'a' ''"), "doesn't `a` ``");
    }
}
