//! The program `rankpool`: a result or an error becomes one message and one exit code.
//!
//! **Invariant:** `--help`, `--version`, `check` and usage errors leave MPI alone.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where results are told")]

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser as _;
use clap::error::ErrorKind;
use rankpool::cli::{self, Cli, Command, InfoArgs, JobArgs};
use rankpool::inventory::Launcher;
use rankpool::job::{JobSpec, Output};
use rankpool::placement::Wanted;
use rankpool::run::{Finished, StoppedAtOnce};
use rankpool::{report, world};

/// Some task failed.
const SOME_FAILED: u8 = 1;
/// The job could not run: usage, job file or environment.
const COULD_NOT_RUN: u8 = 2;
/// The run ended early, and can be gone on with.
const STOPPED_EARLY: u8 = 3;

fn main() -> ExitCode {
    let launcher = Launcher::find(|name| std::env::var(name).ok());
    let result = match Cli::try_parse() {
        Ok(cli) => run(&cli.command, &launcher),
        Err(error) => stopped_by_clap(&error, &launcher),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<StoppedAtOnce>() => {
            complain(&error);
            ExitCode::from(STOPPED_EARLY)
        }
        // Rank 0 tells, and its code counts; a launcher that sees another rank fail first would
        // end rank 0 before it has told.
        Err(_) if !is_first(&launcher) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

/// Says what went wrong, in one line.
fn complain(error: &anyhow::Error) {
    // Errors may quote file names and keys: no control character of theirs gets out.
    let line = format!("{error:#}").replace(char::is_control, " ");
    // With standard error closed there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "rankpool: {line}");
}

fn run(command: &Command, launcher: &Launcher) -> Result<u8> {
    match command {
        Command::Check(args) => check(args, launcher),
        Command::Run(args) => start(launcher, || JobSpec::from_file(&args.job, &args.overrides)),
        Command::Fib(args) => start(launcher, || JobSpec::from_fib(args)),
        Command::Fetch(args) => start(launcher, || JobSpec::from_fetch(args)),
        Command::Info(args) => info(launcher, *args),
    }
}

fn check(args: &JobArgs, launcher: &Launcher) -> Result<u8> {
    let job = JobSpec::from_file(&args.job, &args.overrides)?;
    if is_first(launcher) {
        write!(io::stdout().lock(), "# ok: {}\n{}", job.summary(), job.resolved()?)?;
    }
    Ok(0)
}

fn start(launcher: &Launcher, job: impl FnOnce() -> Result<JobSpec>) -> Result<u8> {
    let warn = |warning: &str| eprintln!("rankpool: warning: {warning}");
    match world::run(launcher, job, warn)? {
        None => Ok(0),
        Some(finished) => {
            tell(&finished)?;
            Ok(match &finished.stopped {
                Some(_) => STOPPED_EARLY,
                None if finished.summary.failed > 0 => SOME_FAILED,
                None => 0,
            })
        }
    }
}

/// The statistics, and where the results are.
fn tell(finished: &Finished) -> Result<()> {
    use std::fmt::Write as _;

    if finished.quiet {
        return Ok(());
    }
    let mut text = format!("\n{}", report::summary(&finished.summary));
    if let Output::File(path) = &finished.output {
        writeln!(text, "results: {}", path.display())?;
    }
    if let Some(reason) = &finished.stopped {
        writeln!(text, "stopped early: {reason}")?;
    }
    match finished.output {
        Output::Stdout => io::stderr().lock().write_all(text.as_bytes())?,
        _ => io::stdout().lock().write_all(text.as_bytes())?,
    }
    Ok(())
}

fn info(launcher: &Launcher, args: InfoArgs) -> Result<u8> {
    let wanted = Wanted { threads: args.threads.map(Into::into), memory: None };
    let Some((world, placement)) = world::info(launcher, wanted)? else { return Ok(0) };
    let mut stdout = io::stdout().lock();
    if args.json {
        writeln!(stdout, "{}", report::info_json(&world, &placement)?)?;
        return Ok(0);
    }
    write!(stdout, "{}", report::info(&world, &placement))?;
    for warning in &placement.warnings {
        writeln!(stdout, "warning: {warning}")?;
    }
    Ok(0)
}

/// Help and version are no errors; anything else is told in one line.
fn stopped_by_clap(error: &clap::Error, launcher: &Launcher) -> Result<u8> {
    if !matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        bail!(cli::usage_error(error));
    }
    if is_first(launcher) {
        error.print()?;
    }
    Ok(if error.use_stderr() && is_first(launcher) { COULD_NOT_RUN } else { 0 })
}

/// Whether this is rank 0 as far as a launcher has said: an error before MPI starts is to be
/// told once, not once a rank.
fn is_first(launcher: &Launcher) -> bool {
    launcher.rank.is_none_or(|rank| rank == 0)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
