//! Numbers and ranges of numbers: `5`, `"1..=1000"`, `"0..=100:5"`, `"1..10"`, lists of these,
//! and files with one of these a line.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::Seen;
use super::lines::{Line, LineFile, Lines, Reading};
use crate::task::{ErrorClass, Input, Item, Next, Source, TaskError};

/// The largest number that is taken: 2^63.
pub const LARGEST: u64 = 1 << 63;

/// The costs of tasks in a row differ by this factor at most.
const ALIKE: f32 = 1.1;

/// Expected seconds of a number's task on an ordinary core.
pub type Cost = Box<dyn Fn(u64) -> f32 + Send + Sync>;

/// `count` numbers: `first`, `first + step`, … up to at most [`LARGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRange {
    /// The smallest number.
    pub first: u64,
    /// What lies between two numbers, at least 1.
    pub step: u64,
    /// How many numbers, at least 1.
    pub count: u64,
}

impl NumberRange {
    /// The range of `n` alone.
    pub fn single(n: u64) -> Self {
        Self { first: n, step: 1, count: 1 }
    }

    /// The largest number.
    pub fn last(&self) -> u64 {
        self.first + (self.count - 1) * self.step
    }

    /// Reads `5`, `1..=1000`, `1..10` (without its end), or a range with a step: `0..=100:5`.
    /// Digits may be grouped by underscores.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((first, rest)) = text.split_once("..") else {
            return Ok(Self::single(number(text)?));
        };
        let (end, step) = rest.split_once(':').unwrap_or((rest, "1"));
        let (end, inclusive) = end.strip_prefix('=').map_or((end, false), |end| (end, true));
        let (first, end, step) = (number(first)?, number(end)?, number(step)?);
        if step == 0 {
            bail!("`{text}` has the step 0; a step is at least 1");
        }
        if first > end {
            bail!("`{text}` is descending; write the smaller number first");
        }
        if first == end && !inclusive {
            bail!("`{text}` is empty; `{first}..={end}` includes its end");
        }
        let last = if inclusive { end } else { end - 1 };
        Ok(Self { first, step, count: (last - first) / step + 1 })
    }

    /// Reads a number or a range from an entry of a list.
    fn from_toml(value: &toml::Value) -> Result<Self> {
        match value {
            toml::Value::Integer(n) => match u64::try_from(*n) {
                Ok(n) => Ok(Self::single(n)),
                Err(_) => Err(negative(&n.to_string())),
            },
            toml::Value::String(text) => Self::parse(text.trim()),
            other => Err(not_an_integer(&other.to_string())),
        }
    }
}

/// Reads one number.
fn number(text: &str) -> Result<u64> {
    let text = text.trim();
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let grouped = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !unsigned.split('_').all(grouped) {
        return Err(not_an_integer(text));
    }
    if unsigned.len() < text.len() {
        return Err(negative(text));
    }
    match text.replace('_', "").parse() {
        Ok(n) if n <= LARGEST => Ok(n),
        _ => bail!("`{text}` is above 2^63, the largest number that is taken"),
    }
}

fn negative(text: &str) -> anyhow::Error {
    anyhow!("`{text}` is negative; terms are numbered from 0")
}

fn not_an_integer(text: &str) -> anyhow::Error {
    anyhow!("`{text}` is not an integer; write `5`, `1..=1000` or `0..=100:5`")
}

/// The numbers of a `[[task]]` table: those it lists, then those of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NumberItems {
    /// Numbers and ranges, in order.
    pub parts: Vec<NumberRange>,
    /// A file with a number or range a line, read after `parts`; `-` is standard input.
    pub from: Option<PathBuf>,
}

impl NumberItems {
    /// Reads the value of `key`, a number, a range or a list of these; `from` is the file, its
    /// path complete.
    pub fn new(key: &str, value: Option<&toml::Value>, from: Option<PathBuf>) -> Result<Self> {
        let parts = match value {
            None => Vec::new(),
            Some(toml::Value::Array(list)) => {
                let entry = |(idx, value): (usize, &toml::Value)| {
                    NumberRange::from_toml(value).with_context(|| format!("{key}[{idx}]"))
                };
                list.iter().enumerate().map(entry).collect::<Result<_>>()?
            }
            Some(value) => vec![NumberRange::from_toml(value).context(key.to_owned())?],
        };
        Ok(Self { parts, from })
    }

    /// The tasks: checks all that can be read twice, then gives items lazily.
    ///
    /// `key` is for messages. `cost` gives the expected seconds of a number's task.
    pub fn source(self, key: &str, seen: Rc<RefCell<Seen>>, cost: Cost) -> Result<NumberSource> {
        let mut total = Total::default();
        for part in &self.parts {
            total.add(part).context(key.to_owned())?;
        }
        let file = self.from.map(LineFile::new).transpose()?;
        if let Some(file) = file.as_ref().filter(|file| file.regular) {
            total.add_lines(file.open()?)?;
        }
        let known = file.as_ref().is_none_or(|file| file.regular);
        Ok(NumberSource {
            parts: self.parts.into_iter(),
            lines: Reading::new(file),
            current: None,
            seen,
            cost,
            remaining: known.then_some(total.count),
            largest: if known { total.largest } else { None },
        })
    }
}

/// What the checking pass learns.
#[derive(Default)]
struct Total {
    count: u64,
    largest: Option<u64>,
}

impl Total {
    fn add(&mut self, part: &NumberRange) -> Result<()> {
        let count = self.count.checked_add(part.count);
        self.count = count.context("more than 2^64 tasks; split the job")?;
        self.largest = self.largest.max(Some(part.last()));
        Ok(())
    }

    fn add_lines(&mut self, mut lines: Lines) -> Result<()> {
        while let Some(line) = lines.next()? {
            let checked = line_range(&line).and_then(|part| self.add(&part));
            checked.with_context(|| lines.place(&line))?;
        }
        Ok(())
    }
}

/// Reads the number or range on a line.
fn line_range(line: &Line) -> Result<NumberRange> {
    match &line.text {
        Ok(text) => NumberRange::parse(text),
        Err(wrong) => bail!("{wrong}"),
    }
}

/// The source of a table of numbers: [`Input::Number`] for each, in order.
///
/// A bad line of standard input becomes an [`Input::Text`] that [`bad_line`] explains.
pub struct NumberSource {
    parts: std::vec::IntoIter<NumberRange>,
    lines: Reading,
    /// A range in progress, and how many of its numbers were given.
    current: Option<(NumberRange, u64)>,
    seen: Rc<RefCell<Seen>>,
    cost: Cost,
    remaining: Option<u64>,
    largest: Option<u64>,
}

impl NumberSource {
    /// The largest number to come, where all numbers are known.
    pub fn largest(&self) -> Option<u64> {
        self.largest
    }

    /// Goes on with the next number, range or line, if there is one yet; `Ready(None)` at the
    /// end.
    fn advance(&mut self) -> Result<Poll<Option<Result<NumberRange, Line>>>> {
        if let Some(part) = self.parts.next() {
            return Ok(Poll::Ready(Some(Ok(part))));
        }
        let line = self.lines.poll()?;
        Ok(line.map(|line| line.map(|line| line_range(&line).map_err(|_| line))))
    }

    fn number(&mut self, range: NumberRange, given: u64) -> Item {
        let n = range.first + given * range.step;
        let mut seen = self.seen.borrow_mut();
        let occurrence = if range.count == 1 { seen.number(n) } else { seen.times(n) };
        self.current = if given + 1 < range.count {
            Some((range, given + 1))
        } else {
            if range.count > 1 {
                seen.range(&range);
            }
            None
        };
        let cost = (self.cost)(n);
        Item { input: Input::Number(n), occurrence, cost, ..Item::default() }
    }

    /// How many numbers after `item` make a row with it, of a range in progress: none that was
    /// named before, and none whose task takes much longer or shorter.
    fn row(&self, item: &Item, most: u32) -> Option<(NumberRange, u64, u32)> {
        let (range, given) = self.current?;
        if !self.seen.borrow().is_free(range.first, range.last()) {
            return None;
        }
        let left = u32::try_from(range.count - given).unwrap_or(u32::MAX);
        let mut more = left.min(most.saturating_sub(1));
        while more > 0 {
            let last = range.first + (given + u64::from(more) - 1) * range.step;
            let ratio = (self.cost)(last) / item.cost;
            if (1.0 / ALIKE..=ALIKE).contains(&ratio) {
                break;
            }
            more /= 2;
        }
        Some((range, given + u64::from(more), more))
    }

    fn bad(&mut self, line: &Line) -> Item {
        let text = match &line.text {
            Ok(text) => format!("{}: {text}", line.number),
            Err(wrong) => format!("{}: ({wrong})", line.number),
        };
        let occurrence = self.seen.borrow_mut().text(&text);
        Item { input: Input::Text(text.into()), occurrence, ..Item::default() }
    }
}

impl Source for NumberSource {
    fn next(&mut self, _now: Duration) -> Result<Next> {
        let item = if let Some((range, given)) = self.current {
            self.number(range, given)
        } else {
            match self.advance()? {
                Poll::Pending => return Ok(Next::Waiting),
                Poll::Ready(None) => return Ok(Next::Exhausted),
                Poll::Ready(Some(Ok(range))) => self.number(range, 0),
                Poll::Ready(Some(Err(line))) => self.bad(&line),
            }
        };
        self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(1));
        Ok(Next::Task(item))
    }

    fn next_row(&mut self, most: u32, now: Duration) -> Result<Next> {
        let next = self.next(now)?;
        let Next::Task(mut item) = next else { return Ok(next) };
        if let Some((range, given, more)) = self.row(&item, most) {
            (item.more, item.step) = (more, range.step);
            self.remaining = self.remaining.map(|remaining| remaining - u64::from(more));
            self.current = Some((range, given)).filter(|_| given < range.count);
            if self.current.is_none() {
                self.seen.borrow_mut().range(&range);
            }
        }
        Ok(Next::Task(item))
    }

    fn hears_outcomes(&self) -> bool {
        false
    }

    fn remaining(&self) -> Option<u64> {
        self.remaining
    }
}

impl fmt::Debug for NumberSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_struct("NumberSource");
        shape.field("current", &self.current).field("remaining", &self.remaining);
        shape.finish_non_exhaustive()
    }
}

/// The number that a task of a table of numbers is about.
pub fn number_of(input: &Input) -> Result<u64, TaskError> {
    match input {
        Input::Number(n) => Ok(*n),
        Input::Text(line) => Err(bad_line(line)),
    }
}

/// Why a line that stands where a number should (`3: abc`, number and text) cannot be run.
pub(super) fn bad_line(line: &str) -> TaskError {
    let (number, text) = line.split_once(": ").unwrap_or(("?", line));
    let wrong = match NumberRange::parse(text) {
        Err(error) if !text.starts_with('(') => error.to_string(),
        _ => text.to_owned(),
    };
    TaskError::new(ErrorClass::InvalidInput, format!("line {number}: {wrong}"))
}
