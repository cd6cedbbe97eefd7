//! What a run does about failures: which to try again, when to give up.
//!
//! **Invariant:** pure; the same attempt of the same task gets the same pause in every run.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::message::{Outcome, Status, Task};
use crate::task::{ErrorClass, Pool};
use crate::units;

/// How failures of one class are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How often, at most.
    pub retries: u32,
    /// The pause before the first retry; it doubles with each one, give or take a quarter.
    #[serde(with = "units::duration")]
    pub backoff: Duration,
    /// The longest pause.
    #[serde(with = "units::duration")]
    pub longest: Duration,
    /// Whether another rank is to try first.
    pub other_rank: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            retries: 2,
            backoff: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            other_rank: false,
        }
    }
}

impl Retry {
    const NEVER: Self = Self {
        retries: 0,
        backoff: Duration::from_secs(1),
        longest: Duration::from_secs(60),
        other_rank: false,
    };

    /// The pause before the attempt that follows `attempts` of the task at place `seq`:
    /// exponential, spread by a quarter so that tasks that failed together do not return
    /// together.
    pub fn pause(&self, attempts: u32, seq: u64) -> Duration {
        let doubled = self.backoff.saturating_mul(1 << (attempts.saturating_sub(1)).min(20));
        let spread = xxhash_rust::xxh3::xxh3_64(
            &[seq.to_le_bytes(), [attempts.to_le_bytes()[0]; 8]].concat(),
        );
        let factor = 0.75 + 0.5 * (spread >> 11) as f64 / (1u64 << 53) as f64;
        doubled.mul_f64(factor).min(self.longest)
    }
}

/// Whether and how to try again, by class of failure, for the classes that a job names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retries(BTreeMap<ErrorClass, Retry>);

impl Retries {
    /// Reads a job file's `[retry]` table: a class with a number of retries or a table.
    pub fn from_table(table: &toml::Table) -> Result<Self> {
        let mut retries = BTreeMap::new();
        for (name, value) in table {
            let class = ErrorClass::ALL.iter().find(|class| class.as_str() == name);
            let Some(class) = class else {
                let names: Vec<_> = ErrorClass::ALL.iter().map(|class| class.as_str()).collect();
                bail!("[retry]: unknown class `{name}`; there are {}", names.join(", "))
            };
            let place = || format!("[retry] `{name}`");
            let retry = match value {
                toml::Value::Integer(n) => {
                    let retries = u32::try_from(*n);
                    let retries = retries
                        .with_context(|| format!("`{n}` is not a number of retries"))
                        .with_context(place)?;
                    Retry { retries, ..Retry::default() }
                }
                other => other.clone().try_into().with_context(place)?,
            };
            retries.insert(*class, retry);
        }
        Ok(Self(retries))
    }

    /// The same as a job file's `[retry]` table.
    pub fn to_table(&self) -> Result<toml::Table> {
        let rows = self
            .0
            .iter()
            .map(|(class, retry)| Ok((class.as_str().to_owned(), toml::Value::try_from(retry)?)));
        rows.collect()
    }

    /// What happens to failures of `class` in `pool`. By itself, what may pass is tried twice
    /// more: servers that cannot be reached, or that ask to come again; and what ran out of
    /// time waiting, but not what ran out of time computing.
    pub fn of(&self, class: ErrorClass, pool: Pool) -> Retry {
        let passing = match class {
            ErrorClass::Connect | ErrorClass::Dns | ErrorClass::Unavailable => true,
            ErrorClass::Timeout => pool == Pool::Io,
            _ => false,
        };
        let usual = if passing { Retry::default() } else { Retry::NEVER };
        self.0.get(&class).copied().unwrap_or(usual)
    }
}

/// After how many failures a run stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxFailures {
    /// So many tasks.
    Count(u64),
    /// This part of the tasks that have ended, in percent, once [`PERCENT_FROM`] have.
    Percent(f64),
}

/// Before so many tasks have ended, a share of them says nothing.
pub const PERCENT_FROM: u64 = 20;

impl MaxFailures {
    /// Whether `failed` of `done` tasks are more than that.
    pub fn is_exceeded(self, failed: u64, done: u64) -> bool {
        match self {
            Self::Count(most) => failed > most,
            Self::Percent(most) => {
                done >= PERCENT_FROM && failed as f64 * 100.0 > most * done as f64
            }
        }
    }
}

impl FromStr for MaxFailures {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let way_out = || format!("`{text}` is no limit; write a number such as `10`, or `5%`");
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().with_context(way_out)?;
            ensure!((0.0..=100.0).contains(&percent), way_out());
            return Ok(Self::Percent(percent));
        }
        Ok(Self::Count(text.parse().with_context(way_out)?))
    }
}

impl fmt::Display for MaxFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(most) => write!(f, "{most}"),
            Self::Percent(most) => write!(f, "{most}%"),
        }
    }
}

/// How soon what is written is on the disk, not only with the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Each time records are written.
    Always,
    /// So often, and at the end.
    Every(Duration),
    /// When the kernel sees fit.
    Never,
}

impl FromStr for Fsync {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => units::parse_duration(text)
                .map(Self::Every)
                .with_context(|| format!("`{text}` is none of `always`, `never` and a time")),
        }
    }
}

impl fmt::Display for Fsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => write!(f, "always"),
            Self::Every(span) => write!(f, "{}", units::format_duration(*span)),
            Self::Never => write!(f, "never"),
        }
    }
}

/// What a run does about failures, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What is tried again.
    pub retries: Retries,
    /// When to stop for failures.
    pub max_failures: Option<MaxFailures>,
    /// A task in flight on so many ranks that died fails.
    pub crash_limit: NonZeroU32,
    /// How long running tasks get when a run is told to stop.
    pub grace: Duration,
    /// How long the run may take.
    pub walltime: Option<Duration>,
    /// A rank that says nothing for so long is taken for dead.
    pub heartbeat: Duration,
}

/// Another attempt that a task gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pause {
    /// After so long.
    pub pause: Duration,
    /// Whether another rank is to try first.
    pub other_rank: bool,
}

impl Policy {
    /// Whether a task that ended like this is tried again.
    pub fn retry(&self, task: &Task, pool: Pool, outcome: &Outcome<'_>) -> Option<Pause> {
        if outcome.status == Status::Failed(ErrorClass::Cancelled) {
            return None;
        }
        let class = match (outcome.status, outcome.again) {
            (Status::Failed(class), _) => class,
            // An answer that counts unless there are retries left.
            (Status::Ok, Some(_)) => ErrorClass::Unavailable,
            (Status::Ok, None) => return None,
        };
        let retry = self.retries.of(class, pool);
        // Ranks that died say nothing about the task itself.
        let tried = task.earlier_attempts - task.crashes() + 1;
        (tried <= retry.retries).then(|| Pause {
            pause: retry.pause(tried, task.seq).max(outcome.again.unwrap_or_default()),
            other_rank: retry.other_rank,
        })
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retries: Retries::default(),
            max_failures: None,
            crash_limit: NonZeroU32::new(2).expect("2 is not 0"),
            grace: Duration::from_secs(10),
            walltime: None,
            heartbeat: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_spread() {
        let retry = Retry { longest: Duration::from_secs(5), ..Retry::default() };
        for seq in 0..100 {
            let pause = |attempts| retry.pause(attempts, seq).as_secs_f64();
            assert!((0.75..=1.25).contains(&pause(1)), "{}", pause(1));
            assert!((1.5..=2.5).contains(&pause(2)), "{}", pause(2));
            assert!(pause(40) <= 5.0);
        }
        assert_ne!(retry.pause(1, 1), retry.pause(1, 2));
        assert_eq!(retry.pause(1, 1), retry.pause(1, 1));
    }

    #[test]
    fn a_job_says_what_is_tried_again() {
        let table = "connect = 5\npanic = { retries = 1, backoff = \"10ms\", other_rank = true }";
        let retries = Retries::from_table(&table.parse().unwrap()).unwrap();
        assert_eq!(retries.of(ErrorClass::Connect, Pool::Io).retries, 5);
        let panic = retries.of(ErrorClass::Panic, Pool::Cpu);
        assert_eq!((panic.retries, panic.backoff.as_millis(), panic.other_rank), (1, 10, true));
        assert_eq!(retries.of(ErrorClass::Dns, Pool::Io).retries, 2);
        assert_eq!(retries.of(ErrorClass::Timeout, Pool::Io).retries, 2);
        assert_eq!(retries.of(ErrorClass::Timeout, Pool::Cpu).retries, 0);
        assert_eq!(retries.of(ErrorClass::Memory, Pool::Cpu).retries, 0);
        assert_eq!(Retries::from_table(&retries.to_table().unwrap()).unwrap(), retries);
        for (table, part) in [
            ("conect = 1", "unknown class `conect`; there are panic"),
            ("dns = -1", "[retry] `dns`: `-1` is not a number of retries"),
            ("dns = { tries = 1 }", "[retry] `dns`: unknown field `tries`"),
        ] {
            let error = format!("{:#}", Retries::from_table(&table.parse().unwrap()).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn limits_of_failures_are_read_and_kept() {
        let limit = |text: &str| text.parse::<MaxFailures>().unwrap();
        assert!(!limit("3").is_exceeded(3, 100) && limit("3").is_exceeded(4, 4));
        assert!(!limit("10%").is_exceeded(19, 19), "too early to tell");
        assert!(!limit("10%").is_exceeded(10, 100) && limit("10%").is_exceeded(11, 100));
        assert_eq!(limit("2.5%").to_string(), "2.5%");
        for text in ["", "-1", "x%", "101%", "3 %%"] {
            assert!(text.parse::<MaxFailures>().is_err(), "{text}");
        }
        for text in ["always", "never", "1s", "250ms"] {
            assert_eq!(text.parse::<Fsync>().unwrap().to_string(), text);
        }
        assert!("sometimes".parse::<Fsync>().is_err());
    }
}
