//! The job file as written: TOML in, [`JobFile`] out, or an error that names the place.
//!
//! **Invariant:** nothing is decided here: no defaults, no command line, no look into the
//! `[[task]]` tables.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde::{Deserialize, Deserializer, de};

use super::complaint;
use crate::policy::{Fsync, MaxFailures};
use crate::schedule::Schedule;
use crate::units;

/// A job file's keys; what is not written is `None`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFile {
    /// Where the results go: a path, `-` or `none`.
    pub output: Option<PathBuf>,
    /// Where the statistics go.
    pub stats: Option<PathBuf>,
    /// The folder of values that are too large for records.
    pub values_dir: Option<PathBuf>,
    /// Whether the results are in the order of the tasks.
    pub ordered: Option<bool>,
    /// How many tasks go to a rank at a time.
    #[serde(default, deserialize_with = "parsed")]
    pub schedule: Option<Schedule>,
    /// CPU threads of each rank.
    #[serde(default, deserialize_with = "count")]
    pub threads: Option<NonZeroU32>,
    /// Threads of each rank for tasks that wait.
    #[serde(default, deserialize_with = "count")]
    pub io_threads: Option<NonZeroU32>,
    /// Whether rank 0 runs tasks too.
    pub root_computes: Option<bool>,
    /// Bytes that each rank may use for its tasks.
    #[serde(default, deserialize_with = "memory")]
    pub memory: Option<u64>,
    /// When results are on the disk for sure.
    #[serde(default, deserialize_with = "parsed")]
    pub fsync: Option<Fsync>,
    /// When to stop for failures: a number, or a percentage as a string.
    #[serde(default, deserialize_with = "max_failures")]
    pub max_failures: Option<MaxFailures>,
    /// A task in flight on so many ranks that died fails.
    #[serde(default, deserialize_with = "count")]
    pub crash_limit: Option<NonZeroU32>,
    /// How long running tasks get when the run is told to stop.
    #[serde(default, deserialize_with = "span")]
    pub grace: Option<Duration>,
    /// How long the run may take.
    #[serde(default, deserialize_with = "span")]
    pub walltime: Option<Duration>,
    /// A rank that says nothing for so long is taken for dead.
    #[serde(default, deserialize_with = "span")]
    pub heartbeat: Option<Duration>,
    /// What is tried again, by class of failure.
    pub retry: Option<toml::Table>,
    /// The `[[task]]` tables, with their `kind`.
    #[serde(default)]
    pub task: Vec<toml::Table>,
}

impl JobFile {
    /// Every key of the job as a whole, that is: above the first `[[task]]`.
    pub(super) const KEYS: [&'static str; 16] = [
        "output",
        "stats",
        "values_dir",
        "ordered",
        "schedule",
        "threads",
        "io_threads",
        "root_computes",
        "memory",
        "fsync",
        "max_failures",
        "crash_limit",
        "grace",
        "walltime",
        "heartbeat",
        "retry",
    ];

    /// Reads a job file.
    pub fn read(path: &Path) -> Result<Self> {
        let place = path.display();
        let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let (line, _) = position(&bytes, error.valid_up_to());
            anyhow!("{place}:{line}: not UTF-8; save the job file as UTF-8")
        })?;
        Self::parse(text, &place)
    }

    fn parse(text: &str, place: &dyn fmt::Display) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let (line, column) = position(text.as_bytes(), error.span().map_or(0, |at| at.start));
            anyhow!("{place}:{line}:{column}: {}", in_one_line(error))
        })
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let place = path.display();
    match error.kind() {
        ErrorKind::NotFound => match similar_file(path) {
            Some(similar) => {
                anyhow!("{place}: no such file; did you mean `{}`?", similar.display())
            }
            None => anyhow!("{place}: no such file; name a job file, such as `jobs/demo.toml`"),
        },
        ErrorKind::IsADirectory => {
            anyhow!(
                "{place}: is a folder; name one job file in it: `{}`",
                path.join("JOB.toml").display()
            )
        }
        kind => anyhow!("{place}: cannot read the job file: {kind}"),
    }
}

/// The TOML file next to a missing one whose name looks most like it.
fn similar_file(path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?;
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names: Vec<String> = fs::read_dir(listed)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "toml"))
        .collect();
    let typed = path.file_name()?.to_str()?;
    let similar = complaint::did_you_mean(typed, names.iter().map(String::as_str))?;
    Some(folder.join(similar))
}

/// Line and column (in characters) of a byte, both from 1.
fn position(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let lines = before.split(|&byte| byte == b'\n');
    let column =
        lines.clone().next_back().map_or(0, |line| String::from_utf8_lossy(line).chars().count());
    (lines.count(), column + 1)
}

fn in_one_line(mut error: toml::de::Error) -> String {
    // Without its input, the error shows the key that it is about instead of a picture.
    error.set_input(None);
    let shown = error.to_string();
    if shown.starts_with("unknown field `kind`") {
        return "`kind` belongs to a task: put the line `[[task]]` above it".to_owned();
    }
    if shown.trim_end().ends_with("in `task`") {
        return "`task` is no list of tables; write `[[task]]` above each task".to_owned();
    }
    complaint::translate(&shown)
}

fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NonZeroU32>, D::Error> {
    struct Count;
    impl de::Visitor<'_> for Count {
        type Value = NonZeroU32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a whole number from 1 to {}", u32::MAX)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<NonZeroU32, E> {
            let count = u32::try_from(number).ok().and_then(NonZeroU32::new);
            count.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
        }
    }
    from.deserialize_any(Count).map(Some)
}

fn memory<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    struct Memory;
    impl de::Visitor<'_> for Memory {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a size above 0, such as \"4GiB\"")
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
            let bytes = u64::try_from(number).ok().filter(|&bytes| bytes > 0);
            bytes.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
            let bytes = units::parse_size(text).map_err(E::custom)?;
            if bytes == 0 {
                return Err(E::invalid_value(de::Unexpected::Str(text), &self));
            }
            Ok(bytes)
        }
    }
    from.deserialize_any(Memory).map(Some)
}

/// What is written as a text with a form of its own.
fn parsed<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err = anyhow::Error>,
    D: Deserializer<'de>,
{
    let text = String::deserialize(from)?;
    T::from_str(&text).map(Some).map_err(de::Error::custom)
}

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    units::duration::deserialize(from).map(Some)
}

fn max_failures<'de, D: Deserializer<'de>>(from: D) -> Result<Option<MaxFailures>, D::Error> {
    let text = match toml::Value::deserialize(from)? {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    text.parse().map(Some).map_err(|error: anyhow::Error| de::Error::custom(error.to_string()))
}

/// The text of a path that goes into a job file.
pub(super) fn as_text(path: &Path) -> Result<&str> {
    let Some(text) = path.to_str() else {
        bail!("`{}` is not UTF-8, which a job file is; rename it", path.display());
    };
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        let error = JobFile::parse(text, &"j.toml").unwrap_err();
        assert_eq!(error.to_string(), format!("j.toml:{expected}"));
    }

    #[test]
    fn every_key_is_read() {
        let text = "output = 'o.jsonl'\nstats = 's.json'\nordered = true\nschedule = 'guided,4'\n\
                    threads = 3\nio_threads = 5\nroot_computes = false\nmemory = '1GiB'\n\
                    [[task]]\nkind = 'x'\n[[task]]\nkind = 'y'\n";
        let file = JobFile::parse(text, &"j").unwrap();
        assert_eq!(file.output, Some("o.jsonl".into()));
        assert_eq!(file.stats, Some("s.json".into()));
        assert_eq!((file.ordered, file.root_computes), (Some(true), Some(false)));
        assert_eq!(file.schedule, Some("guided,4".parse().unwrap()));
        assert_eq!((file.threads, file.io_threads), (NonZeroU32::new(3), NonZeroU32::new(5)));
        assert_eq!((file.memory, file.task.len()), (Some(1 << 30), 2));
    }

    #[test]
    fn an_empty_file_is_an_empty_job() {
        let file = JobFile::parse("", &"j").unwrap();
        assert!(file.task.is_empty() && file.output.is_none() && file.schedule.is_none());
        assert!(JobFile::parse("\u{feff}ordered = true\r\n", &"j").unwrap().ordered.unwrap());
    }

    #[test]
    fn errors_name_line_column_key_and_way_out() {
        check_error("# ü\nthread = 3", "2:1: unknown key `thread`; did you mean `threads`?");
        check_error("tasks = 3", "1:1: unknown key `tasks`; did you mean `task`?");
        check_error(
            "threads = 0",
            "1:11: `threads` is integer `0`; use a whole number from 1 to 4294967295",
        );
        check_error(
            "\nio_threads = -2",
            "2:14: `io_threads` is integer `-2`; use a whole number from 1 to 4294967295",
        );
        check_error(
            "threads = 'four'",
            "1:11: `threads` is string \"four\"; use a whole number from 1 to 4294967295",
        );
        check_error("ordered = 'yes'", "1:11: `ordered` is string \"yes\"; use `true` or `false`");
        check_error("output = 3", "1:10: `output` is integer `3`; use a string");
        check_error(
            "schedule = 'fast'",
            "1:12: `schedule`: unknown schedule `fast`; \
             use static[,chunk], dynamic[,chunk], guided[,min] or auto",
        );
        check_error(
            "memory = 0",
            "1:10: `memory` is integer `0`; use a size above 0, such as \"4GiB\"",
        );
        check_error(
            "memory = true",
            "1:10: `memory` is boolean `true`; use a size above 0, such as \"4GiB\"",
        );
    }

    #[test]
    fn a_task_that_is_no_list_of_tables_is_explained() {
        let expected = "`task` is no list of tables; write `[[task]]` above each task";
        check_error("[task]\nkind = 'x'", &format!("1:1: {expected}"));
        check_error("task = [1]", &format!("1:9: {expected}"));
        check_error(
            "kind = 'x'",
            "1:1: `kind` belongs to a task: put the line `[[task]]` above it",
        );
    }

    #[test]
    fn syntax_errors_are_one_line() {
        for text in ["[[task]\n", "output = \n", "a = 'b\n", "output = 'a'\noutput = 'b'", "= 3"] {
            let error = JobFile::parse(text, &"j.toml").unwrap_err().to_string();
            let digits = |part: Option<&str>| part.is_some_and(|part| part.parse::<u32>().is_ok());
            let mut parts = error.split(':');
            assert_eq!(parts.next(), Some("j.toml"), "{error}");
            assert!(digits(parts.next()) && digits(parts.next()), "{error}");
            assert!(!error.contains('\n') && !error.contains('|'), "{error}");
        }
    }

    #[test]
    fn the_keys_are_those_that_serde_knows() {
        let error = toml::from_str::<JobFile>("x = 1").unwrap_err();
        let listed = format!("{}, `task`", complaint::listed(JobFile::KEYS));
        assert!(error.message().ends_with(&listed), "{}", error.message());
    }
}
