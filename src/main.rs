//! The program `rankpool`: a result or an error becomes one message and one exit code.
//!
//! **Invariant:** `--help`, `--version`, `check` and every error before a run leave MPI alone.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser as _;
use clap::error::ErrorKind;
use rankpool::cli::{self, Cli, Command, JobArgs};
use rankpool::job::JobSpec;

/// The job could not run: usage, job file or environment.
const COULD_NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(cli) => run(&cli.command),
        Err(error) => stopped_by_clap(&error),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Errors may quote file names and keys: no control character of theirs gets out.
            let line = format!("{error:#}").replace(char::is_control, " ");
            tell_once(&format!("rankpool: {line}\n"));
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

fn run(command: &Command) -> Result<u8> {
    match command {
        Command::Check(args) => check(args),
        Command::Run(args) => start(&JobSpec::from_file(&args.job, &args.overrides)?),
        Command::Fib(args) => start(&JobSpec::from_fib(args)?),
        Command::Fetch(args) => start(&JobSpec::from_fetch(args)?),
        Command::Info(_) => bail!("`info` is not part of this build"),
    }
}

fn check(args: &JobArgs) -> Result<u8> {
    let job = JobSpec::from_file(&args.job, &args.overrides)?;
    if first_of_its_launch() {
        write!(io::stdout().lock(), "# ok: {}\n{}", job.summary(), job.resolved()?)?;
    }
    Ok(0)
}

fn start(job: &JobSpec) -> Result<u8> {
    job.settings.check_files()?;
    bail!("running {} is not part of this build; use `rankpool check`", job.summary())
}

/// Help and version are no errors; anything else is told in one line.
fn stopped_by_clap(error: &clap::Error) -> Result<u8> {
    if !matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        bail!(cli::usage_error(error));
    }
    if first_of_its_launch() {
        error.print()?;
    }
    Ok(if error.use_stderr() { COULD_NOT_RUN } else { 0 })
}

/// Writes to standard error, from one process of a launch only.
fn tell_once(text: &str) {
    if first_of_its_launch() {
        // With standard error closed there is nobody left to tell.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

/// Whether this is rank 0 as far as a launcher has said: MPI is not running yet, and a usage
/// error is to be told once, not once a rank.
fn first_of_its_launch() -> bool {
    ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .is_none_or(|rank| rank == "0")
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
