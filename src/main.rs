//! The program `rankpool`: a result or an error becomes one message and one exit code.
//!
//! **Invariant:** `--help`, `--version`, `check` and usage errors leave MPI alone.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where results are told")]

mod tools;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use clap::Parser as _;
use clap::error::ErrorKind;
use rankpool::cli::{
    self, Cli, Command, Explain, ExplainLinks, ExplainRobotsArgs, ExplainUrl, InfoArgs, JobArgs,
    LaunchArgs,
};
use rankpool::inventory::Launcher;
use rankpool::job::{JobSpec, Output};
use rankpool::launch::{self, Marks};
use rankpool::placement::Wanted;
use rankpool::policy::Policy;
use rankpool::run::{Finished, StoppedAtOnce};
use rankpool::task::command;
use rankpool::web::address::Rules;
use rankpool::web::{explain, links, robots};
use rankpool::{control, report, world};

/// Some task failed.
const SOME_FAILED: u8 = 1;
/// The job could not run: usage, job file or environment.
const COULD_NOT_RUN: u8 = 2;
/// The run ended early, and can be gone on with.
const STOPPED_EARLY: u8 = 3;

fn main() -> ExitCode {
    let launcher = Launcher::find(|name| std::env::var(name).ok());
    let cli = match Cli::try_parse() {
        // Before anything that `launch` would take for a sign of rank 0.
        Ok(Cli { command: Command::Tether(args) }) => {
            return ExitCode::from(told(launch::tether(args.parent, &args.command), &launcher));
        }
        Ok(Cli { command: Command::Watch { token } }) => {
            return ExitCode::from(told(command::watch(&token), &launcher));
        }
        Ok(Cli { command: Command::Bury(args) }) => {
            launch::bury(args.rank0, args.mpirun);
            return ExitCode::SUCCESS;
        }
        cli => cli,
    };
    let rank = ThisRank { marks: is_first(&launcher).then(Marks::begin), launcher };
    let result = match cli {
        Ok(cli) => run(&cli.command, &rank),
        Err(error) => stopped_by_clap(&error, &rank.launcher),
    };
    ExitCode::from(rank.end(result))
}

/// This process as its launcher sees it.
struct ThisRank {
    launcher: Launcher,
    /// Rank 0's.
    marks: Option<Marks>,
}

impl ThisRank {
    /// Tells an error, and leaves the exit code for `rankpool launch`.
    fn end(&self, result: Result<u8>) -> u8 {
        let code = told(result, &self.launcher);
        if let Some(marks) = &self.marks {
            marks.end(code);
        }
        code
    }
}

/// Tells an error; returns the exit code.
fn told(result: Result<u8>, launcher: &Launcher) -> u8 {
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => 0,
        Err(error) if error.is::<StoppedAtOnce>() => {
            complain(&error);
            STOPPED_EARLY
        }
        // Rank 0 tells, and its code counts; a launcher that sees another rank fail first would
        // end rank 0 before it has told.
        Err(_) if !is_first(launcher) => 0,
        Err(error) => {
            complain(&error);
            COULD_NOT_RUN
        }
    }
}

/// Says what went wrong, in one line.
fn complain(error: &anyhow::Error) {
    // Errors may quote file names and keys: no control character of theirs gets out.
    say(&format!("rankpool: {}", format!("{error:#}").replace(char::is_control, " ")));
}

/// With standard error closed there is nobody left to tell.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn run(command: &Command, rank: &ThisRank) -> Result<u8> {
    let launcher = &rank.launcher;
    match command {
        Command::Check(args) => check(args, launcher),
        Command::Run(_)
        | Command::Fib(_)
        | Command::Fetch(_)
        | Command::Crawl(_)
        | Command::Exec(_) => start(command, rank),
        Command::Info(args) => info(launcher, *args),
        Command::Explain(args) => explain(&args.what, launcher),
        Command::Launch(args) => launch(args, launcher),
        Command::Gather(args) => Ok(if tools::gather(args)? { 0 } else { SOME_FAILED }),
        Command::Announce(args) => tools::announce(args),
        Command::Discover(args) => tools::search(args),
        Command::Ctl(args) => {
            let answer = control::ask(&args.dir, &args.command, args.deadline)?;
            writeln!(io::stdout(), "{}", answer.trim_end())?;
            Ok(0)
        }
        Command::Pipe(args) => tools::pipe(&args.end),
        Command::Tether(_) | Command::Watch { .. } | Command::Bury(_) => {
            bail!("this is for rankpool itself alone")
        }
    }
}

/// The job of a command that has one.
fn job(command: &Command) -> Result<JobSpec> {
    match command {
        Command::Run(args) => JobSpec::from_run(args),
        Command::Fib(args) => JobSpec::from_fib(args),
        Command::Fetch(args) => JobSpec::from_fetch(args),
        Command::Crawl(args) => JobSpec::from_crawl(args),
        Command::Exec(args) => JobSpec::from_exec(args),
        _ => bail!("`launch` starts `run`, `fib`, `fetch`, `crawl`, `exec` or `info`"),
    }
}

fn check(args: &JobArgs, launcher: &Launcher) -> Result<u8> {
    let job = JobSpec::from_file(&args.job, &args.overrides)?;
    if is_first(launcher) {
        write!(io::stdout().lock(), "# ok: {}\n{}", job.summary(), job.resolved()?)?;
    }
    Ok(0)
}

fn start(command: &Command, rank: &ThisRank) -> Result<u8> {
    let warn = |warning: &str| eprintln!("rankpool: warning: {warning}");
    let end = |finished: Result<Finished>| {
        rank.end(finished.and_then(|finished| {
            if finished.summary.dead_ranks > 0 {
                // Not worth an error: who started mpirun can end it.
                let _ = launch::bury_mpirun();
            }
            match tell(&finished) {
                // Who reads no further has still got what the code says.
                Err(error) if is_broken_pipe(&error) => {}
                told => told?,
            }
            Ok(match &finished.stopped {
                Some(_) => STOPPED_EARLY,
                None if finished.summary.has_failed() => SOME_FAILED,
                None => 0,
            })
        }))
    };
    Ok(world::run(&rank.launcher, || job(command), warn, end)?.unwrap_or(0))
}

fn launch(args: &LaunchArgs, launcher: &Launcher) -> Result<u8> {
    if let Some((ranks, name)) = launcher.ranks.filter(|_| launcher.rank.is_some()) {
        // An interactive shell of Slurm is a step of one task, from which mpirun starts more.
        ensure!(
            ranks == 1 && name == "srun",
            "this is a rank already, started by {name}; `launch` starts mpirun by itself"
        );
    }
    let words = std::iter::once("rankpool".into()).chain(args.command.iter().cloned());
    let command = match Cli::try_parse_from(words) {
        Ok(cli) => cli.command,
        Err(error) => return stopped_by_clap(&error, launcher),
    };
    let (results, heartbeat) = match &command {
        Command::Info(_) => (Err("it has no results to go on with"), Policy::default().heartbeat),
        command => {
            let job = job(command)?;
            (job.results_to_resume(), job.settings.policy.heartbeat)
        }
    };
    let launch = launch::Launch {
        ranks: args.ranks,
        hostfile: args.hostfile.clone(),
        restarts: args.restarts,
        mpirun: args.mpirun.clone(),
        library: world::library(),
        command: args.command.clone(),
        heartbeat,
        results,
    };
    if args.dry_run {
        writeln!(io::stdout().lock(), "{}", launch::dry_run(&launch)?)?;
        return Ok(0);
    }
    launch::run(&launch, &mut say)
}

/// The statistics, and where the results are.
fn tell(finished: &Finished) -> Result<()> {
    use std::fmt::Write as _;

    if finished.quiet {
        return Ok(());
    }
    let mut text = format!("\n{}", report::summary(&finished.summary));
    if let Output::File(path) = &finished.output {
        let name = path.display();
        writeln!(text, "results: {name}")?;
        let n = finished.summary.unnamed;
        if n > 0 {
            let (records, tasks) = if n == 1 {
                ("record", "belongs to a task")
            } else {
                ("records", "belong to tasks")
            };
            writeln!(text, "{n} {records} in {name} {tasks} that the job no longer names")?;
        }
    }
    if let Some(reason) = &finished.stopped {
        writeln!(text, "stopped early: {reason}")?;
    }
    match finished.summary.unwritten {
        0 => {}
        1 => writeln!(text, "1 task that has ended has no record; it is to run again")?,
        n => writeln!(text, "{n} tasks that have ended have no record; they are to run again")?,
    }
    match finished.output {
        Output::Stdout | Output::Printed => io::stderr().lock().write_all(text.as_bytes())?,
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

fn explain(what: &Explain, launcher: &Launcher) -> Result<u8> {
    let (text, code) = match what {
        Explain::Robots(args) => explain_robots(args)?,
        Explain::Links(args) => (explain_links(args)?, 0),
        Explain::Url(args) => match explain_url(args)? {
            Ok(url) => (url, 0),
            Err(refused) => (refused, SOME_FAILED),
        },
    };
    if is_first(launcher) {
        io::stdout().lock().write_all(text.as_bytes())?;
    }
    Ok(code)
}

fn explain_robots(args: &ExplainRobotsArgs) -> Result<(String, u8)> {
    let file = robots::explain::read(&args.file)?;
    let (text, some_denied) = robots::explain::explain(&file, &args.agent, &args.addresses)?;
    Ok((text, u8::from(some_denied) * SOME_FAILED))
}

fn explain_links(args: &ExplainLinks) -> Result<String> {
    let wanted =
        links::Wanted { resources: args.resources, text: args.long, ..links::Wanted::default() };
    explain::links(&explain::read(&args.file)?, &args.base, &wanted, args.long)
}

fn explain_url(args: &ExplainUrl) -> Result<Result<String, String>> {
    let rules = Rules::default();
    let drop_query = match (args.keep_query, args.drop_query.is_empty()) {
        (true, _) => Vec::new(),
        (false, true) => rules.drop_query,
        (false, false) => args.drop_query.clone(),
    };
    let rules = Rules {
        drop_query,
        sort_query: args.sort_query,
        max_length: args.max_length.unwrap_or(rules.max_length),
        max_depth: args.max_depth.unwrap_or(rules.max_depth),
    };
    explain::url(&args.url, args.base.as_deref(), rules)
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
