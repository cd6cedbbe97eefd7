//! Time limits of tasks: what a table says, and what a running task looks at.
//!
//! A task is never interrupted: its kind asks [`super::Context::check`] between steps.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::units;

/// How long a task may run: `"30s"`, or `"3x"`, so many times the median of its table's tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimeLimit {
    /// So long.
    Fixed(Duration),
    /// So many times the median.
    Relative(f64),
}

impl TimeLimit {
    /// The limit that is known before anything has run.
    pub fn fixed(self) -> Option<Duration> {
        match self {
            Self::Fixed(span) => Some(span),
            Self::Relative(_) => None,
        }
    }

    /// The multiple of the median.
    pub fn factor(self) -> Option<f64> {
        match self {
            Self::Fixed(_) => None,
            Self::Relative(factor) => Some(factor),
        }
    }
}

impl FromStr for TimeLimit {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Some(number) = text.strip_suffix('x') {
            let factor = number.parse::<f64>().ok().filter(|factor| factor.is_finite());
            let Some(factor) = factor else {
                bail!("`{text}` is no multiple of the median; write one such as `3x`");
            };
            ensure!(factor > 1.0, "`{text}` would end most tasks; write more than `1x`: `3x`");
            return Ok(Self::Relative(factor));
        }
        let span = units::parse_duration(text).with_context(|| {
            format!("`{text}` is no time limit; write `30s`, or `3x` the median")
        })?;
        ensure!(!span.is_zero(), "`{text}` is zero: nothing could be done in no time; write `30s`");
        Ok(Self::Fixed(span))
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(span) => f.write_str(&units::format_duration(*span)),
            Self::Relative(factor) => write!(f, "{factor}x"),
        }
    }
}

impl Serialize for TimeLimit {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeLimit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(from)?;
        read(&value).map_err(|error| de::Error::custom(format!("{error:#}")))
    }
}

/// Reads the key `timeout` of a table.
pub(super) fn of_table(timeout: Option<&toml::Value>) -> Result<Option<TimeLimit>> {
    timeout.map(read).transpose().context("`timeout`")
}

fn read(value: &toml::Value) -> Result<TimeLimit> {
    let Some(text) = value.as_str() else {
        bail!("`{value}` is no time limit; write `\"30s\"`, or `\"3x\"` the median");
    };
    text.parse()
}

/// When a running task is over its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    at: Option<Instant>,
    limit: Duration,
}

impl Deadline {
    /// The end of `limit` after a task's start.
    pub fn new(start: Instant, limit: Duration) -> Self {
        // A limit beyond the clock's end never passes.
        Self { at: start.checked_add(limit), limit }
    }

    /// The end of `limit` from now on.
    pub fn after(limit: Duration) -> Self {
        Self::new(now(), limit)
    }

    /// How long the task might run in all.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        self.at.map_or(Duration::MAX, |at| at.saturating_duration_since(now()))
    }
}

#[allow(clippy::disallowed_methods, reason = "a running task is held against the clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_written() {
        for (text, limit) in [
            ("30s", TimeLimit::Fixed(Duration::from_secs(30))),
            ("50ms", TimeLimit::Fixed(Duration::from_millis(50))),
            ("3x", TimeLimit::Relative(3.0)),
            ("1.5x", TimeLimit::Relative(1.5)),
        ] {
            assert_eq!(text.parse::<TimeLimit>().unwrap(), limit);
            assert_eq!(limit.to_string(), text);
            let json = serde_json::to_string(&limit).unwrap();
            assert_eq!(serde_json::from_str::<TimeLimit>(&json).unwrap(), limit);
        }
    }

    #[test]
    fn what_is_no_limit_is_refused_by_its_key() {
        for (value, part) in [
            ("30", "`timeout`: `30` is no time limit; write `\"30s\"`"),
            ("\"30\"", "`timeout`: `30` is no time limit; write `30s`, or `3x` the median: "),
            ("\"soon\"", "`timeout`: `soon` is no time limit"),
            ("\"0s\"", "`timeout`: `0s` is zero"),
            ("\"-3x\"", "`timeout`: `-3x` would end most tasks"),
            ("\"1x\"", "`timeout`: `1x` would end most tasks; write more than `1x`"),
            ("\"x\"", "`timeout`: `x` is no multiple of the median"),
            ("\"NaNx\"", "`timeout`: `NaNx` is no multiple"),
            ("\"infx\"", "`timeout`: `infx` is no multiple"),
        ] {
            let table: toml::Table = format!("timeout = {value}").parse().unwrap();
            let error = format!("{:#}", of_table(table.get("timeout")).unwrap_err());
            assert!(error.starts_with(part), "{error}");
        }
        assert_eq!(of_table(None).unwrap(), None);
    }

    #[test]
    fn a_deadline_passes() {
        assert_eq!(Deadline::new(now(), Duration::ZERO).left(), Duration::ZERO);
        assert!(Deadline::new(now(), Duration::from_secs(60)).left() > Duration::from_secs(50));
        assert_eq!(Deadline::new(now(), Duration::MAX).left(), Duration::MAX);
    }
}
