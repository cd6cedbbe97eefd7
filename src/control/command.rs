//! What can be asked of a running job.

use std::num::NonZeroU32;

use anyhow::{Context as _, Result, bail, ensure};

use crate::task::Pool;

/// Every command, for errors and help.
pub const COMMANDS: &str = "status [--json], threads N [--rank R|all], \
     io-threads N [--rank R|all], pause, resume, drain RANK, cancel ID|KIND, submit LINE, \
     stats [--json], finish, stop";

/// More threads of a rank are a mistake.
const MOST_THREADS: u32 = 4096;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// How far the run is, and what its ranks do.
    Status {
        /// As JSON.
        json: bool,
    },
    /// Let so many threads of a pool work.
    Threads(Pool, NonZeroU32, Ranks),
    /// Hand out nothing for now.
    Pause,
    /// Hand out again.
    Resume,
    /// Give a rank no more tasks.
    Drain(u32),
    /// Cancel a task, or all of a kind.
    Cancel(String),
    /// Take a task.
    Submit(String),
    /// The statistics so far.
    Stats {
        /// As JSON.
        json: bool,
    },
    /// Let the stream of tasks end.
    Finish,
    /// End the run early.
    Stop,
}

/// Which ranks are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranks {
    /// All of them.
    All,
    /// One.
    One(u32),
}

impl Command {
    /// Reads the words of a command.
    pub fn parse(words: &[String]) -> Result<Self> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (name, rest) =
            words.split_first().with_context(|| format!("no command; use one of {COMMANDS}"))?;
        Ok(match (*name, rest) {
            ("status", rest) => Self::Status { json: json(name, rest)? },
            ("stats", rest) => Self::Stats { json: json(name, rest)? },
            ("threads", rest) => threads(Pool::Cpu, name, rest)?,
            ("io-threads", rest) => threads(Pool::Io, name, rest)?,
            ("pause", []) => Self::Pause,
            ("resume", []) => Self::Resume,
            ("finish", []) => Self::Finish,
            ("stop", []) => Self::Stop,
            ("drain", [rank]) => Self::Drain(self::rank(rank)?),
            ("cancel", [what]) => Self::Cancel((*what).to_owned()),
            ("submit", line) if !line.is_empty() => Self::Submit(line.join(" ")),
            ("pause" | "resume" | "finish" | "stop", _) => bail!("`{name}` stands alone"),
            ("drain", _) => bail!("`drain` needs the number of one rank: `drain 1`"),
            ("cancel", _) => bail!("`cancel` needs the id of one task, or a kind: `cancel fetch`"),
            ("submit", _) => bail!("`submit` needs a task: `submit fib 1000`"),
            _ => bail!("unknown command `{name}`; use one of {COMMANDS}"),
        })
    }
}

fn json(name: &str, rest: &[&str]) -> Result<bool> {
    match rest {
        [] => Ok(false),
        ["--json"] => Ok(true),
        _ => bail!("`{name}` takes `--json` and nothing else"),
    }
}

fn threads(pool: Pool, name: &str, rest: &[&str]) -> Result<Command> {
    let (n, ranks) = match rest {
        [n] | [n, "--rank", "all"] | ["--rank", "all", n] => (n, Ranks::All),
        [n, "--rank", one] | ["--rank", one, n] => (n, Ranks::One(rank(one)?)),
        _ => bail!("`{name}` needs a number, and may name a rank: `{name} 4 --rank 1`"),
    };
    let number = n.parse().ok().filter(|n: &NonZeroU32| n.get() <= MOST_THREADS);
    let number = number.with_context(|| {
        format!("`{n}` is no number of threads; use one from 1 to {MOST_THREADS}")
    })?;
    Ok(Command::Threads(pool, number, ranks))
}

fn rank(text: &str) -> Result<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    ensure!(digits, "`{text}` is no rank; ranks are numbered from 0");
    text.parse().with_context(|| format!("`{text}` is no rank"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &Command) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(Command::parse(&words).unwrap(), *expected);
    }

    #[track_caller]
    fn check_error(line: &str, part: &str) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let error = format!("{:#}", Command::parse(&words).unwrap_err());
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn commands_are_read() {
        let four = NonZeroU32::new(4).unwrap();
        check("threads 4", &Command::Threads(Pool::Cpu, four, Ranks::All));
        check("threads 4 --rank all", &Command::Threads(Pool::Cpu, four, Ranks::All));
        check("io-threads --rank 3 4", &Command::Threads(Pool::Io, four, Ranks::One(3)));
        check("status --json", &Command::Status { json: true });
        check("submit fib 1000", &Command::Submit("fib 1000".into()));
        check("drain 2", &Command::Drain(2));
    }

    #[test]
    fn mistakes_are_named() {
        check_error("", "no command; use one of status");
        check_error("dance", "unknown command `dance`; use one of status [--json], threads N");
        check_error("threads", "`threads` needs a number");
        check_error("threads 0", "`0` is no number of threads");
        check_error("threads 4 --rank x", "`x` is no rank");
        check_error("pause now", "`pause` stands alone");
        check_error("cancel", "`cancel` needs the id");
    }
}
