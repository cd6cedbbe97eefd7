//! Texts, such as URLs: those that a table lists, and files with one a line.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::Seen;
use super::lines::{Line, LineFile, Lines, Reading};
use crate::task::{Input, Item, Next, Source};

/// Checks a text and gives the form in which it is run, such as a complete URL.
pub type Check = Box<dyn Fn(&str) -> Result<String>>;

/// The texts of a `[[task]]` table: those it lists, then those of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TextItems {
    /// Texts, in order.
    pub list: Vec<String>,
    /// A file with a text a line, read after `list`; `-` is standard input.
    pub from: Option<PathBuf>,
}

impl TextItems {
    /// The tasks: checks all that can be read twice, then gives items lazily.
    ///
    /// `key` is for messages. Each text's task is expected to take `cost` seconds.
    pub fn source(
        self,
        key: &str,
        cost: f32,
        seen: Rc<RefCell<Seen>>,
        check: Check,
    ) -> Result<TextSource> {
        let entry = |(idx, text): (usize, &String)| {
            check(text.trim()).with_context(|| format!("{key}[{idx}]"))
        };
        let list: Vec<_> = self.list.iter().enumerate().map(entry).collect::<Result<_>>()?;
        let file = self.from.map(LineFile::new).transpose()?;
        let mut remaining = Some(list.len() as u64);
        if let Some(file) = &file {
            let lines = if file.regular { Some(count(file.open()?, &check)?) } else { None };
            remaining = remaining.zip(lines).map(|(listed, lines)| listed + lines);
        }
        let list = list.into_iter();
        Ok(TextSource { list, lines: Reading::new(file), seen, cost, check, remaining })
    }
}

/// Checks every line and counts them.
fn count(mut lines: Lines, check: &Check) -> Result<u64> {
    let mut n_lines = 0;
    while let Some(line) = lines.next()? {
        checked(&line, check).with_context(|| lines.place(&line))?;
        n_lines += 1;
    }
    Ok(n_lines)
}

fn checked(line: &Line, check: &Check) -> Result<String> {
    check(line.text.as_ref().map_err(|wrong| anyhow!("{wrong}"))?)
}

/// The source of a table of texts: [`Input::Text`] for each, in order.
///
/// A bad line of standard input comes as it stands; its kind refuses it when it runs.
pub struct TextSource {
    list: std::vec::IntoIter<String>,
    lines: Reading,
    seen: Rc<RefCell<Seen>>,
    cost: f32,
    check: Check,
    remaining: Option<u64>,
}

impl TextSource {
    /// The next text, if there is one yet; `Ready(None)` at the end.
    fn advance(&mut self) -> Result<Poll<Option<String>>> {
        if let Some(text) = self.list.next() {
            return Ok(Poll::Ready(Some(text)));
        }
        let text = |line: Line| {
            let text = checked(&line, &self.check);
            let as_it_stands = |_| line.text.unwrap_or_else(|wrong| format!("({wrong})"));
            text.unwrap_or_else(as_it_stands)
        };
        Ok(self.lines.poll()?.map(|line| line.map(text)))
    }
}

impl Source for TextSource {
    fn next(&mut self, _now: Duration) -> Result<Next> {
        let text = match self.advance()? {
            Poll::Ready(Some(text)) => text,
            Poll::Ready(None) => return Ok(Next::Exhausted),
            Poll::Pending => return Ok(Next::Waiting),
        };
        let occurrence = self.seen.borrow_mut().text(&text);
        self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(1));
        let input = Input::Text(text.into());
        Ok(Next::Task(Item { input, occurrence, cost: self.cost, ..Item::default() }))
    }

    fn remaining(&self) -> Option<u64> {
        self.remaining
    }
}

impl fmt::Debug for TextSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shape = f.debug_struct("TextSource");
        shape.field("list", &self.list).field("remaining", &self.remaining);
        shape.finish_non_exhaustive()
    }
}
