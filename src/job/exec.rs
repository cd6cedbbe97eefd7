//! The `[[task]]` table that `rankpool exec` writes.

use anyhow::{Context as _, Result, bail, ensure};
use toml::{Table, Value};

use super::file;
use crate::cli::ExecArgs;

/// How much of an output is kept where it is also printed.
const MAX_OUTPUT: &str = "1MiB";

/// The one table of `rankpool exec`.
pub(super) fn table(args: &ExecArgs) -> Result<Table> {
    let is_separator = |word: &String| separator(word).is_some();
    let end = args.command.iter().position(is_separator).unwrap_or(args.command.len());
    let (words, lists) = args.command.split_at(end);
    let run: Value = match words {
        [] => bail!("no command before `{}`; write it first", lists[0]),
        [line] => line.as_str().into(),
        _ if args.shell => words.join(" ").into(),
        _ => words.to_vec().into(),
    };
    ensure!(
        !lists.is_empty() || !words.iter().any(|word| has_placeholder(word)),
        "the command has a placeholder and no values; add `::: VALUES`, or `:::: -` for lines of \
         standard input"
    );
    let mut table = Table::new();
    let mut set = |key: &str, value: Value| drop(table.insert(key.to_owned(), value));
    set("kind", "command".into());
    set("run", run);
    set("shell", args.shell.into());
    if !lists.is_empty() {
        set("lists", Value::Array(self::lists(lists)?));
    }
    set("max_output", args.max_output.as_deref().unwrap_or(MAX_OUTPUT).into());
    for (key, text) in [
        ("timeout", &args.timeout),
        ("kill_after", &args.kill_after),
        ("dir", &args.dir),
        ("stdin", &args.stdin),
        ("stdin_file", &args.stdin_file),
    ] {
        if let Some(text) = text {
            set(key, text.as_str().into());
        }
    }
    if let Some(cores) = args.cores {
        set("cores", i64::from(cores).into());
    }
    if let Some(outputs) = &args.outputs {
        set("outputs", file::as_text(outputs)?.into());
    }
    if !args.ok_exit.is_empty() {
        set(
            "ok_exit",
            Value::Array(args.ok_exit.iter().map(|&code| i64::from(code).into()).collect()),
        );
    }
    let env = args.env.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
    set("env", Value::Table(env.collect()));
    Ok(table)
}

/// What begins a list: whether of files, and whether beside the list before.
fn separator(word: &str) -> Option<(bool, bool)> {
    Some(match word {
        ":::" => (false, false),
        ":::+" => (false, true),
        "::::" => (true, false),
        "::::+" => (true, true),
        _ => return None,
    })
}

fn has_placeholder(word: &str) -> bool {
    ["{}", "{.}", "{/}", "{//}", "{/.}", "{1"].iter().any(|placeholder| word.contains(placeholder))
}

/// The lists after the command; several files after one `::::` are a list each, as GNU parallel
/// has it.
fn lists(words: &[String]) -> Result<Vec<Value>> {
    let mut lists = Vec::new();
    let mut words = words;
    while let Some((separator_word, rest)) = words.split_first() {
        let (of_files, zip) = separator(separator_word).context("a list begins with `:::`")?;
        let end = rest.iter().position(|word| separator(word).is_some()).unwrap_or(rest.len());
        let (values, others) = rest.split_at(end);
        words = others;
        let mut add = |key: &str, value: Value| {
            let list = [(key.to_owned(), value), ("zip".to_owned(), zip.into())];
            lists.push(Value::Table(list.into_iter().collect()));
        };
        if !of_files {
            add("args", values.to_vec().into());
            continue;
        }
        ensure!(!values.is_empty(), "no file after `{separator_word}`; name one, or `-`");
        for file in values {
            add("args_from", file.as_str().into());
        }
    }
    Ok(lists)
}
