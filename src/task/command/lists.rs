//! Where the arguments of commands come from, as a table writes it, and the tasks made of them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use glob::MatchOptions;
use serde::Deserialize;
use toml::Value as Toml;

use crate::task::items::{self, Column, List, NumberItems, Product, Seen};
use crate::task::{Input, Item, Next, Source};

/// Expected seconds of a command; which takes longer is not known.
pub(super) const COST: f32 = 0.01;

/// Patterns mean what they mean to a shell.
const AS_A_SHELL: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// One list as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) name: Option<String>,
    pub(super) args: Option<Toml>,
    pub(super) args_from: Option<PathBuf>,
    pub(super) glob: Option<String>,
    pub(super) range: Option<Toml>,
    #[serde(default)]
    pub(super) zip: bool,
}

/// The values of lists. Files start at `folder`, patterns at `start`, if that is the same for all.
pub(super) fn columns(
    written: &[Written],
    folder: &Path,
    start: Option<&Path>,
) -> Result<Vec<List>> {
    let place = |idx: usize| move || format!("`lists`: list {}", idx + 1);
    let mut lists = Vec::new();
    for (idx, list) in written.iter().enumerate() {
        let column = column(list, folder, start);
        let column = if written.len() == 1 { column } else { column.with_context(place(idx)) }?;
        ensure!(idx > 0 || !list.zip, "`lists`: the first has nothing before it to `zip` with");
        lists.push(List { column, linked: list.zip });
    }
    Ok(lists)
}

fn column(list: &Written, folder: &Path, start: Option<&Path>) -> Result<Column> {
    match (&list.args, &list.args_from, &list.glob, &list.range) {
        (Some(args), None, None, None) => texts(args),
        (None, Some(path), None, None) => Ok(Column::Lines(items::path_in(folder, path.clone()))),
        (None, None, Some(pattern), None) => matches(pattern, start).context("`glob`"),
        (None, None, None, Some(range)) => numbers(range),
        (None, None, None, None) => {
            bail!("no values; write `args`, `args_from`, `glob` or `range`")
        }
        _ => bail!("one of `args`, `args_from`, `glob` and `range` is enough for a list"),
    }
}

fn texts(args: &Toml) -> Result<Column> {
    let one = [args.clone()];
    let values = args.as_array().map_or(&one[..], Vec::as_slice);
    let text = |(idx, value): (usize, &Toml)| {
        let text = match value {
            Toml::String(text) => text.clone(),
            Toml::Integer(_) | Toml::Float(_) | Toml::Boolean(_) => value.to_string(),
            _ => bail!("`args[{idx}]` is no text; several lists go into `lists`"),
        };
        ensure!(!text.contains('\0'), "`args[{idx}]` has a zero byte, which no argument can");
        Ok(text)
    };
    Ok(Column::Texts(values.iter().enumerate().map(text).collect::<Result<_>>()?))
}

fn numbers(range: &Toml) -> Result<Column> {
    let numbers = NumberItems::new("range", Some(range), None)?;
    match numbers.parts[..] {
        [range] => Ok(Column::Range(range)),
        _ => bail!("`range` is one range, such as `\"1..=100\"`; single values are `args`"),
    }
}

/// The paths that a pattern finds, in alphabetical order, as they are called from `start`.
fn matches(pattern: &str, start: Option<&Path>) -> Result<Column> {
    let Some(start) = start.or(Path::new(pattern).is_absolute().then_some(Path::new(""))) else {
        bail!("it starts at `dir`, which each task has its own of; write an absolute pattern");
    };
    let is_relative = !start.as_os_str().is_empty() && !Path::new(pattern).is_absolute();
    let start = start.to_str().context("`dir` is not UTF-8")?;
    let whole = if is_relative {
        format!("{}/{pattern}", glob::Pattern::escape(start))
    } else {
        pattern.to_owned()
    };
    let found = glob::glob_with(&whole, AS_A_SHELL).with_context(|| format!("`{pattern}`"))?;
    let path = |found: glob::GlobResult| {
        let path = found?;
        let short = if is_relative { path.strip_prefix(start).unwrap_or(&path) } else { &path };
        let text = short.to_str();
        let text = text.with_context(|| format!("`{}` is not UTF-8; rename it", path.display()))?;
        Ok(text.to_owned())
    };
    Ok(Column::Texts(found.map(path).collect::<Result<_>>()?))
}

/// The input of a task: `number NUL (value NUL)*`; or `NUL what is wrong` where a line of a
/// stream cannot be one.
pub(super) fn input(number: u64, values: &Result<Vec<String>, &'static str>) -> Input {
    let text = match values {
        Err(wrong) => format!("\0{wrong}"),
        Ok(values) => {
            let mut text = format!("{number}\0");
            for value in values {
                text.extend([value, "\0"]);
            }
            text
        }
    };
    Input::Text(text.into())
}

/// The number and the values of an input.
pub(super) fn values(input: &Input) -> Result<(u64, Vec<String>), String> {
    let Input::Text(text) = input else { return Err("a command takes texts".to_owned()) };
    let (number, rest) = text.split_once('\0').unwrap_or_default();
    match number.parse() {
        Err(_) => Err(rest.to_owned()),
        Ok(number) => Ok((number, rest.split_terminator('\0').map(str::to_owned).collect())),
    }
}

/// The tasks of a table.
pub(super) struct Commands {
    product: Product,
    number: u64,
    seen: Rc<RefCell<Seen>>,
    /// Counts the tables of the same command under the number 0.
    tables: Rc<RefCell<Seen>>,
    /// Without lists, the input as in records: `seen` is for all such commands, those that come
    /// as lines among them.
    alone: Option<String>,
}

impl Commands {
    /// The combinations of `lists`. `seen` is for all tables of this command, as is `tables`.
    pub(super) fn new(
        lists: Vec<List>,
        seen: Rc<RefCell<Seen>>,
        tables: Rc<RefCell<Seen>>,
    ) -> Result<Self> {
        tables.borrow_mut().number(0);
        Ok(Self { product: Product::new(lists)?, number: 0, seen, tables, alone: None })
    }

    /// The one task of a table without lists.
    pub(super) fn alone(input: String, seen: Rc<RefCell<Seen>>) -> Result<Self> {
        let mut commands = Self::new(Vec::new(), seen, Rc::default())?;
        commands.alone = Some(input);
        Ok(commands)
    }

    /// How often a combination came before. One table alone knows by arithmetic; only where
    /// another one has the same command is each remembered.
    fn occurrence(&self, input: &Input, earlier: u32) -> u32 {
        if let Some(input) = &self.alone {
            return self.seen.borrow_mut().text(input);
        }
        let Input::Text(text) = input else { return earlier };
        if self.tables.borrow().times(0) < 2 {
            return earlier;
        }
        let values = text.split_once('\0').map_or("", |(_, values)| values);
        self.seen.borrow_mut().text(values)
    }
}

impl Source for Commands {
    fn next(&mut self, _now: Duration) -> Result<Next> {
        let next = match self.product.poll()? {
            Poll::Ready(Some(next)) => next,
            Poll::Ready(None) => return Ok(Next::Exhausted),
            Poll::Pending => return Ok(Next::Waiting),
        };
        self.number += 1;
        let input = input(self.number, &next.values);
        let occurrence = self.occurrence(&input, next.earlier);
        Ok(Next::Task(Item { input, occurrence, cost: COST, ..Item::default() }))
    }

    fn remaining(&self) -> Option<u64> {
        self.product.remaining()
    }
}
