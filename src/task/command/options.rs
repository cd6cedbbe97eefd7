//! What a `command` table says, checked and completed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use toml::Value as Toml;

use super::lists::{self, Written};
use super::template::{self, Names, Template};
use crate::task::{TimeLimit, items, limit};
use crate::units;

/// How much of each output stands in the record.
const MAX_OUTPUT: u64 = 64 << 10;
/// How long a command has after SIGTERM.
const KILL_AFTER: Duration = Duration::from_secs(2);

/// The table as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    run: Option<Run>,
    #[serde(default)]
    shell: bool,
    args: Option<Toml>,
    args_from: Option<PathBuf>,
    glob: Option<String>,
    range: Option<Toml>,
    lists: Option<Vec<Written>>,
    dir: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    stdin: Option<String>,
    stdin_file: Option<String>,
    max_output: Option<Toml>,
    outputs: Option<PathBuf>,
    ok_exit: Option<Vec<u8>>,
    timeout: Option<Toml>,
    kill_after: Option<String>,
    cores: Option<u32>,
    memory: Option<Toml>,
    #[serde(default)]
    then: bool,
}

/// A command: a line that is split as a shell splits it, or its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a string or a list of strings")]
pub(super) enum Run {
    Line(String),
    Words(Vec<String>),
}

impl Run {
    /// Each line of a stream names its own.
    pub(super) const OF_LINES: Self = Self::Words(Vec::new());

    /// Whether it has a zero byte, which no argument can.
    pub(super) fn has_zero(&self) -> bool {
        match self {
            Self::Line(line) => line.contains('\0'),
            Self::Words(words) => words.iter().any(|word| word.contains('\0')),
        }
    }
}

/// What every rank needs to know; crosses to it as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    pub(super) run: Run,
    pub(super) shell: bool,
    /// The name of each list, where it has one.
    pub(super) lists: Vec<Option<String>>,
    pub(super) dir: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) stdin: Option<String>,
    pub(super) stdin_file: Option<String>,
    pub(super) max_output: u64,
    pub(super) outputs: Option<PathBuf>,
    pub(super) ok_exit: Vec<u8>,
    pub(super) kill_after: Duration,
    pub(super) cores: u32,
    pub(super) memory: u64,
    /// Whether a command may name tasks.
    pub(super) then: bool,
}

/// A table, checked and complete.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) resolved: toml::Table,
    pub(super) options: Options,
    pub(super) lists: Vec<items::List>,
    pub(super) limit: Option<TimeLimit>,
}

/// Checks the table of a stream, whose lines name the commands.
pub(super) fn plan_streamed(mut written: toml::Table, folder: &Path) -> Result<Planned> {
    let mut table: Table = written.clone().try_into()?;
    table.run = Some(Run::OF_LINES);
    let limit = limit::of_table(table.timeout.as_ref())?;
    let options = options(&table, folder)?;
    complete(&mut written, &options, folder)?;
    Ok(Planned { resolved: written, options, lists: Vec::new(), limit })
}

/// Checks a table whose relative paths start at `folder`.
pub(super) fn plan(mut written: toml::Table, folder: &Path) -> Result<Planned> {
    let table: Table = written.clone().try_into()?;
    let limit = limit::of_table(table.timeout.as_ref())?;
    let options = options(&table, folder)?;
    let templates = Templates::new(&options)?;
    let given = given(table)?;
    let lists = lists::columns(&given, folder, glob_start(templates.dir.as_ref()).as_deref())?;
    complete(&mut written, &options, folder)?;
    Ok(Planned { resolved: written, options, lists, limit })
}

fn options(table: &Table, folder: &Path) -> Result<Options> {
    let Some(run) = &table.run else {
        bail!("no `run`; write a command line such as `run = \"gzip -k {{}}\"`");
    };
    if let (Some(_), Some(_)) = (&table.stdin, &table.stdin_file) {
        bail!("`stdin` and `stdin_file`; a command reads one of them");
    }
    let names = match &table.lists {
        Some(lists) => lists.iter().map(|list| list.name.clone()).collect(),
        None => vec![None; usize::from(has_list(table))],
    };
    let size = |key, value: &Option<Toml>, usual| {
        value.as_ref().map_or(Ok(usual), |value| read_size(key, value))
    };
    let kill_after = table.kill_after.as_deref().map(units::parse_duration).transpose();
    let cores = table.cores.unwrap_or(1);
    ensure!(cores > 0, "`cores` is `0`; a command holds a thread at least: use 1 or more");
    let ok_exit = table.ok_exit.clone().unwrap_or_else(|| vec![0]);
    ensure!(!ok_exit.is_empty(), "`ok_exit` is empty; without it, `[0]` holds");
    Ok(Options {
        run: run.clone(),
        shell: table.shell,
        lists: names,
        dir: table.dir.as_deref().map(|dir| in_folder(folder, dir)).transpose()?,
        env: table.env.clone(),
        stdin: table.stdin.clone(),
        stdin_file: table.stdin_file.clone(),
        max_output: size("max_output", &table.max_output, MAX_OUTPUT)?,
        outputs: table.outputs.as_deref().map(|path| absolute(&folder.join(path))).transpose()?,
        ok_exit,
        kill_after: kill_after.context("`kill_after`")?.unwrap_or(KILL_AFTER),
        cores,
        memory: size("memory", &table.memory, 0)?,
        then: table.then,
    })
}

/// Whether the table has a list by itself, without `lists`.
fn has_list(table: &Table) -> bool {
    table.args.is_some()
        || table.args_from.is_some()
        || table.glob.is_some()
        || table.range.is_some()
}

/// All lists, in order.
fn given(table: Table) -> Result<Vec<Written>> {
    let has_list = has_list(&table);
    let Table { args, args_from, glob, range, lists, .. } = table;
    match lists {
        Some(_) if has_list => {
            bail!("`lists` beside a list of its own; write that into `lists` as well")
        }
        Some(lists) => Ok(lists),
        None if has_list => {
            Ok(vec![Written { args, args_from, glob, range, ..Written::default() }])
        }
        None => Ok(Vec::new()),
    }
}

/// Where a relative pattern starts: where the commands run.
fn glob_start(dir: Option<&Template>) -> Option<PathBuf> {
    match dir {
        None => Some(PathBuf::new()),
        Some(dir) => dir.as_text().map(PathBuf::from),
    }
}

/// Fills in the defaults, and paths that mean the same anywhere.
fn complete(written: &mut toml::Table, options: &Options, folder: &Path) -> Result<()> {
    let mut set = |key: &str, value: Toml| written.insert(key.to_owned(), value);
    set("shell", options.shell.into());
    set("max_output", units::format_size(options.max_output).into());
    set(
        "ok_exit",
        Toml::Array(options.ok_exit.iter().map(|&code| i64::from(code).into()).collect()),
    );
    set("kill_after", units::format_duration(options.kill_after).into());
    set("cores", i64::from(options.cores).into());
    set("then", options.then.into());
    if let Some(dir) = &options.dir {
        set("dir", dir.as_str().into());
    }
    if let Some(outputs) = options.outputs.as_ref().and_then(|path| path.to_str()) {
        set("outputs", outputs.into());
    }
    for list in written.get_mut("lists").and_then(Toml::as_array_mut).into_iter().flatten() {
        let Some(path) = list.get_mut("args_from") else { continue };
        if let Some(text) = path.as_str().filter(|text| *text != "-") {
            *path = as_text(&absolute(&folder.join(text))?)?.into();
        }
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("no absolute path for `{}`", path.display()))
}

fn in_folder(folder: &Path, dir: &str) -> Result<String> {
    Ok(as_text(&absolute(&folder.join(dir))?)?.to_owned())
}

fn as_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("`{}` is not UTF-8; rename it", path.display()))
}

/// Reads a number of bytes: `50000000` or `"50MB"`.
fn read_size(key: &str, value: &Toml) -> Result<u64> {
    match value {
        Toml::String(text) => units::parse_size(text).with_context(|| format!("`{key}`")),
        other => {
            let bytes = other.as_integer().and_then(|bytes| u64::try_from(bytes).ok());
            bytes.with_context(|| format!("`{key}` is `{other}`; use `50000000` or `\"50MB\"`"))
        }
    }
}

/// The texts of a table that values are put into.
#[derive(Debug)]
pub(super) struct Templates {
    /// One for a shell, or one for each word.
    pub(super) run: Vec<Template>,
    pub(super) dir: Option<Template>,
    pub(super) env: Vec<(String, Template)>,
    pub(super) stdin: Option<Template>,
    pub(super) stdin_file: Option<Template>,
}

impl Templates {
    /// Where no text has a placeholder and no list a name, the values go to the end of the
    /// command.
    pub(super) fn new(options: &Options) -> Result<Self> {
        let read = |key: &str, text: &str, shell| {
            ensure!(!text.contains('\0'), "`{key}` has a zero byte");
            let names = Names { lists: &options.lists, shell };
            Template::parse(text, names).with_context(|| format!("`{key}`"))
        };
        let plain = |key, text: &Option<String>| {
            text.as_deref().map(|text| read(key, text, false)).transpose()
        };
        let words = words(options).context("`run`")?;
        let words = words.iter().map(|word| read("run", word, options.shell));
        let env = options.env.iter().map(|(name, text)| {
            let is_name = !name.is_empty() && !name.contains(['=', '\0']);
            ensure!(is_name, "`env`: `{name}` is no name of a variable");
            Ok((name.clone(), read("env", text, false)?))
        });
        let mut templates = Self {
            run: words.collect::<Result<_>>()?,
            dir: plain("dir", &options.dir)?,
            env: env.collect::<Result<_>>()?,
            stdin: plain("stdin", &options.stdin)?,
            stdin_file: plain("stdin_file", &options.stdin_file)?,
        };
        let nameless = !options.lists.is_empty() && options.lists.iter().all(Option::is_none);
        if nameless && templates.all().all(|text| text.as_text().is_some()) {
            templates.append(options.shell);
        }
        templates.check_names(&options.lists)?;
        Ok(templates)
    }

    /// The same of a line, in which nothing is a placeholder.
    pub(super) fn of_line(options: &Options) -> Result<Self> {
        let plain = |text: &Option<String>| text.as_deref().map(Template::plain);
        let env = options.env.iter().map(|(name, text)| (name.clone(), Template::plain(text)));
        Ok(Self {
            run: words(options)?.iter().map(|word| Template::plain(word)).collect(),
            dir: plain(&options.dir),
            env: env.collect(),
            stdin: plain(&options.stdin),
            stdin_file: plain(&options.stdin_file),
        })
    }

    fn all(&self) -> impl Iterator<Item = &Template> {
        let env = self.env.iter().map(|(_, text)| text);
        self.run.iter().chain(&self.dir).chain(env).chain(&self.stdin).chain(&self.stdin_file)
    }

    fn append(&mut self, shell: bool) {
        match self.run.last_mut().filter(|_| shell) {
            Some(script) => script.append_all(),
            None => self.run.push(Template::all()),
        }
    }

    /// A list that has a name and no use is a misspelling somewhere.
    fn check_names(&self, lists: &[Option<String>]) -> Result<()> {
        for (idx, name) in lists.iter().enumerate() {
            let Some(name) = name else { continue };
            let mut letters = name.chars();
            let is_name = letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
                && letters.all(|letter| letter.is_alphanumeric() || letter == '_');
            ensure!(is_name, "`lists`: `{name}` is no name; use letters, digits and `_`");
            ensure!(
                !lists[..idx].contains(&Some(name.clone())),
                "`lists`: two are called `{name}`"
            );
            let is_used = self.all().any(|text| text.names_list(idx));
            ensure!(is_used, "`lists`: nothing uses `{name}`; write `{{{name}}}` into `run`");
        }
        Ok(())
    }
}

/// The words of the command, or the script alone.
fn words(options: &Options) -> Result<Vec<String>> {
    match (&options.run, options.shell) {
        (Run::Line(line), false) => template::split(line),
        (Run::Line(line), true) => Ok(vec![line.clone()]),
        (Run::Words(words), false) => {
            ensure!(!words.is_empty(), "it is empty; name a program");
            Ok(words.clone())
        }
        (Run::Words(_), true) => bail!("a shell takes one line; write it as a string"),
    }
}
