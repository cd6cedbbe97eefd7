//! Combinations of lists: every value of one with every value of the next, the last one varying
//! fastest; linked lists go side by side.
//!
//! **Invariant:** a combination is made when it is asked for: ten lists of ten values cost a
//! hundred texts, not ten thousand million.

use std::collections::HashMap;
use std::path::PathBuf;
use std::task::Poll;

use anyhow::{Context as _, Result, anyhow, bail};

use super::lines::{Line, LineFile, Reading};
use super::{NumberRange, Seen};

/// Where the values of a list come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// Numbers.
    Range(NumberRange),
    /// Texts.
    Texts(Vec<String>),
    /// The lines of a file as they stand, without the empty ones; `-` is standard input.
    Lines(PathBuf),
}

/// One list of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Its values.
    pub column: Column,
    /// Whether it goes side by side with the list before it, and not through all of it.
    pub linked: bool,
}

/// One value of each list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combination {
    /// The values, in the order of the lists, or what is wrong with a line of a stream.
    pub values: Result<Vec<String>, &'static str>,
    /// How many equal combinations came before.
    pub earlier: u32,
}

/// All combinations of some lists, in order.
pub struct Product {
    outer: Outer,
    inner: Vec<Rows>,
    /// The combination of the outer lists that is gone through, and where the inner ones are.
    current: Option<(Combination, Vec<u64>)>,
}

impl Product {
    /// The combinations of `lists`; without any, a single empty one.
    ///
    /// All but the first list, and what is linked to it, are read here; of the first, what can
    /// be read twice is checked.
    pub fn new(lists: Vec<List>) -> Result<Self> {
        let mut groups: Vec<Vec<Column>> = Vec::new();
        for list in lists {
            match groups.last_mut().filter(|_| list.linked) {
                Some(group) => group.push(list.column),
                None => groups.push(vec![list.column]),
            }
        }
        let mut groups = groups.into_iter();
        let first = groups.next();
        let inner: Vec<Rows> = groups.map(Rows::new).collect::<Result<_>>()?;
        let outer = Outer::new(first.unwrap_or_default())?;
        Ok(Self { outer, inner, current: None })
    }

    /// How many combinations are to come, where that is known.
    pub fn remaining(&self) -> Option<u64> {
        let each = self.inner.iter().fold(1u64, |n, rows| n.saturating_mul(rows.len));
        let begun = self.current.as_ref().map_or(0, |(_, at)| {
            let place = at.iter().zip(&self.inner).fold(0, |n, (at, rows)| n * rows.len + at);
            each - place
        });
        Some(self.outer.remaining()?.saturating_mul(each).saturating_add(begun))
    }

    /// The next one, if there is one yet; `Ready(None)` at the end.
    pub fn poll(&mut self) -> Result<Poll<Option<Combination>>> {
        if self.inner.iter().any(|rows| rows.len == 0) {
            return Ok(Poll::Ready(None));
        }
        if self.current.is_none() {
            match self.outer.poll()? {
                Poll::Ready(Some(first)) => self.current = Some((first, vec![0; self.inner.len()])),
                Poll::Ready(None) => return Ok(Poll::Ready(None)),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        let (first, at) = self.current.as_mut().expect("it was just made");
        let mut next = first.clone();
        for (rows, &at) in self.inner.iter().zip(&*at) {
            rows.join(at, &mut next);
        }
        if next.values.is_err() || !advance(at, &self.inner) {
            self.current = None;
        }
        Ok(Poll::Ready(Some(next)))
    }
}

/// Turns the counters on by one, the last one first; false at the end.
fn advance(at: &mut [u64], inner: &[Rows]) -> bool {
    for (at, rows) in at.iter_mut().zip(inner).rev() {
        *at += 1;
        if *at < rows.len {
            return true;
        }
        *at = 0;
    }
    false
}

/// Lists side by side, all of whose values are known.
struct Rows {
    columns: Vec<Column>,
    /// Of the shortest.
    len: u64,
    /// Where rows are equal: how many equal ones came before each, and how many there are.
    repeats: Option<Vec<(u32, u32)>>,
}

impl Rows {
    fn new(columns: Vec<Column>) -> Result<Self> {
        let columns: Vec<_> = columns.into_iter().map(read).collect::<Result<_>>()?;
        let len = columns.iter().map(len).min().unwrap_or(1);
        let is_range = |column: &Column| matches!(column, Column::Range(_));
        let mut rows = Self { columns, len, repeats: None };
        // No two numbers of a range are the same, and then no two rows are.
        if !rows.columns.iter().any(is_range) {
            rows.repeats = repeats(&rows);
        }
        Ok(rows)
    }

    fn values(&self, at: u64) -> impl Iterator<Item = String> {
        self.columns.iter().map(move |column| match column {
            Column::Range(range) => (range.first + at * range.step).to_string(),
            Column::Texts(texts) => texts[index(at)].clone(),
            Column::Lines(_) => unreachable!("it was read"),
        })
    }

    /// Adds the row at `at`. Equal combinations come in the order of their rows: how many came
    /// before is a number whose digits are the rows' repetitions.
    fn join(&self, at: u64, combination: &mut Combination) {
        if let Ok(values) = &mut combination.values {
            values.extend(self.values(at));
        }
        if let Some((earlier, of)) = self.repeats.as_ref().map(|repeats| repeats[index(at)]) {
            combination.earlier = combination.earlier.saturating_mul(of).saturating_add(earlier);
        }
    }
}

fn index(at: u64) -> usize {
    usize::try_from(at).expect("it lies within a list in memory")
}

fn len(column: &Column) -> u64 {
    match column {
        Column::Range(range) => range.count,
        Column::Texts(texts) => texts.len() as u64,
        Column::Lines(_) => unreachable!("it was read"),
    }
}

/// A list with its lines in memory.
fn read(column: Column) -> Result<Column> {
    let Column::Lines(path) = column else { return Ok(column) };
    let file = LineFile::new(path)?.verbatim();
    if !file.regular {
        bail!("only the first list can be a stream: the others are gone through again and again");
    }
    let (mut lines, mut texts) = (file.open()?, Vec::new());
    while let Some(line) = lines.next()? {
        texts.push(checked(&line).map_err(|wrong| anyhow!("{}: {wrong}", lines.place(&line)))?);
    }
    Ok(Column::Texts(texts))
}

fn checked(line: &Line) -> Result<String, &'static str> {
    let text = line.text.clone()?;
    if text.contains('\0') { Err("the line has a zero byte") } else { Ok(text) }
}

fn repeats(rows: &Rows) -> Option<Vec<(u32, u32)>> {
    let key = |at: u64| rows.values(at).collect::<Vec<_>>();
    let mut counts: HashMap<Vec<String>, u32> = HashMap::new();
    let mut earlier = Vec::new();
    for at in 0..rows.len {
        let count = counts.entry(key(at)).or_default();
        earlier.push(*count);
        *count += 1;
    }
    let is_unique = counts.values().all(|&count| count == 1);
    (!is_unique).then(|| (0..rows.len).zip(earlier).map(|(at, n)| (n, counts[&key(at)])).collect())
}

/// The lists that vary slowest: they are gone through once, so that they may be streams.
enum Outer {
    Known { rows: Rows, at: u64 },
    Streamed { streams: Vec<Stream>, seen: Seen },
}

impl Outer {
    fn new(columns: Vec<Column>) -> Result<Self> {
        if !columns.iter().any(|column| matches!(column, Column::Lines(_))) {
            return Ok(Self::Known { rows: Rows::new(columns)?, at: 0 });
        }
        let streams = columns.into_iter().map(Stream::new).collect::<Result<_>>()?;
        Ok(Self::Streamed { streams, seen: Seen::default() })
    }

    fn remaining(&self) -> Option<u64> {
        match self {
            Self::Known { rows, at } => Some(rows.len - at),
            Self::Streamed { streams, .. } => {
                // One that knows says nothing about how long another is.
                let all: Option<Vec<u64>> = streams.iter().map(|stream| stream.remaining).collect();
                all.map(|all| all.into_iter().min().unwrap_or(0))
            }
        }
    }

    fn poll(&mut self) -> Result<Poll<Option<Combination>>> {
        let combination = match self {
            Self::Known { rows, at } if *at < rows.len => {
                let mut combination = Combination { values: Ok(Vec::new()), earlier: 0 };
                rows.join(*at, &mut combination);
                *at += 1;
                Some(combination)
            }
            Self::Known { .. } => None,
            Self::Streamed { streams, seen } => {
                for stream in streams.iter_mut() {
                    match stream.fill()? {
                        Poll::Ready(true) => {}
                        Poll::Ready(false) => return Ok(Poll::Ready(None)),
                        Poll::Pending => return Ok(Poll::Pending),
                    }
                }
                let values: Result<Vec<String>, _> = streams.iter_mut().map(Stream::take).collect();
                let text = values.as_ref().map(|values| values.join("\0")).unwrap_or_default();
                Some(Combination { values, earlier: seen.text(&text) })
            }
        };
        Ok(Poll::Ready(combination))
    }
}

/// A list that is gone through once.
struct Stream {
    source: Once,
    /// The value that waits for those of the lists beside it.
    next: Option<Result<String, &'static str>>,
    remaining: Option<u64>,
}

enum Once {
    Known(Rows, u64),
    Lines(Reading),
}

impl Stream {
    fn new(column: Column) -> Result<Self> {
        let Column::Lines(path) = column else {
            let rows = Rows::new(vec![column])?;
            let remaining = Some(rows.len);
            return Ok(Self { source: Once::Known(rows, 0), next: None, remaining });
        };
        let file = LineFile::new(path)?.verbatim();
        let mut remaining = None;
        if file.regular {
            let mut lines = file.open()?;
            let mut n_lines = 0;
            while let Some(line) = lines.next()? {
                checked(&line).map_err(anyhow::Error::msg).with_context(|| lines.place(&line))?;
                n_lines += 1;
            }
            remaining = Some(n_lines);
        }
        Ok(Self { source: Once::Lines(Reading::new(Some(file))), next: None, remaining })
    }

    /// Sees that there is a next value; false at the end.
    fn fill(&mut self) -> Result<Poll<bool>> {
        if self.next.is_none() {
            self.next = match &mut self.source {
                Once::Known(rows, at) if *at < rows.len => {
                    *at += 1;
                    rows.values(*at - 1).next().map(Ok)
                }
                Once::Known(..) => None,
                Once::Lines(lines) => match lines.poll()? {
                    Poll::Ready(line) => line.map(|line| checked(&line)),
                    Poll::Pending => return Ok(Poll::Pending),
                },
            };
        }
        Ok(Poll::Ready(self.next.is_some()))
    }

    fn take(&mut self) -> Result<String, &'static str> {
        self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(1));
        self.next.take().expect("it was filled")
    }
}

impl std::fmt::Debug for Product {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Product").field("current", &self.current).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
