//! `[[task]]` tables that the command line writes: those of `rankpool fib` and `rankpool
//! fetch`, and single keys that replace what a job file says.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use toml::{Table, Value};

use super::{file, settings};
use crate::cli::{CrawlArgs, FetchArgs, FibArgs, FibonacciOptions, TableOptions};

/// The one table of `rankpool fib`.
pub(super) fn fibonacci(args: &FibArgs) -> Table {
    let mut table = Table::new();
    table.insert("kind".to_owned(), "fibonacci".into());
    // Commas may stand in one argument (`4,3,8`) or at the end of several (`4, 3, 8`).
    let specs = args.n.iter().flat_map(|spec| spec.split(',')).map(str::trim);
    let (from_stdin, listed): (Vec<_>, Vec<_>) =
        specs.filter(|spec| !spec.is_empty()).partition(|&spec| spec == "-");
    let numbers: Vec<_> = listed.into_iter().map(number_or_text).collect();
    insert_list(&mut table, "n", "n_from", numbers, !from_stdin.is_empty());
    table.extend(fibonacci_keys(&args.term).into_iter().map(|(_, key, value)| (key, value)));
    table
}

/// The one table of `rankpool fetch`.
pub(super) fn fetch(args: &FetchArgs) -> Table {
    let mut table = Table::new();
    table.insert("kind".to_owned(), "fetch".into());
    let (from_stdin, urls): (Vec<&str>, Vec<_>) =
        args.urls.iter().map(String::as_str).partition(|&url| url == "-");
    let urls = urls.into_iter().map(Value::from).collect();
    insert_list(&mut table, "urls", "urls_from", urls, !from_stdin.is_empty());
    for (key, typed) in [("links", &args.links), ("redirects", &args.redirects)] {
        table.extend(typed.as_deref().map(|typed| (key.to_owned(), number_or_text(typed))));
    }
    for (key, typed) in [
        ("timeout", &args.timeout),
        ("connect_timeout", &args.connect_timeout),
        ("read_timeout", &args.read_timeout),
        ("max_body", &args.max_body),
        ("user_agent", &args.user_agent),
        ("proxy", &args.proxy),
    ] {
        table.extend(typed.as_deref().map(|typed| (key.to_owned(), typed.into())));
    }
    if !args.extract.is_empty() {
        let patterns: Table = args
            .extract
            .iter()
            .map(|(name, regex)| (name.clone(), regex.as_str().into()))
            .collect();
        table.insert("extract".to_owned(), patterns.into());
    }
    table
}

/// The one table of `rankpool crawl`.
pub(super) fn crawl(args: &CrawlArgs) -> Table {
    let mut table = Table::new();
    table.insert("kind".to_owned(), "crawl".into());
    let (from_stdin, urls): (Vec<&str>, Vec<_>) =
        args.urls.iter().map(String::as_str).partition(|&url| url == "-");
    let urls: Vec<Value> = urls.into_iter().map(Value::from).collect();
    insert_list(&mut table, "seeds", "seeds_from", urls, !from_stdin.is_empty());
    let numbers = [
        ("depth", &args.depth),
        ("max_pages", &args.max_pages),
        ("max_pages_per_host", &args.max_pages_per_host),
        ("per_host", &args.per_host),
    ];
    table.extend(
        numbers.iter().filter_map(|(key, typed)| {
            Some(((*key).to_owned(), number_or_text(typed.as_deref()?)))
        }),
    );
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let (warc, edges) = (path(&args.warc), path(&args.edges));
    let texts = [
        ("scope", &args.scope),
        ("time", &args.time),
        ("delay", &args.delay),
        ("contact", &args.contact),
        ("user_agent", &args.user_agent),
        ("warc", &warc),
        ("edges", &edges),
        ("timeout", &args.timeout),
        ("max_body", &args.max_body),
        ("proxy", &args.proxy),
    ];
    table.extend(
        texts.iter().filter_map(|(key, typed)| Some(((*key).to_owned(), typed.as_deref()?.into()))),
    );
    let lists = [
        ("sitemaps", &args.sitemaps),
        ("include", &args.include),
        ("exclude", &args.exclude),
        ("types", &args.types),
    ];
    let lists = lists.iter().filter(|(_, list)| !list.is_empty());
    table.extend(lists.map(|(key, list)| ((*key).to_owned(), (*list).clone().into())));
    let switches = [
        ("anonymous", args.anonymous, true),
        ("robots", args.ignore_robots, false),
        ("allow_private", args.allow_private, true),
        ("follow_nofollow", args.follow_nofollow, true),
        ("follow_sitemaps", args.follow_sitemaps, true),
        ("anchor_text", args.anchor_text, true),
    ];
    let switches = switches.iter().filter(|(_, is_set, _)| *is_set);
    table.extend(switches.map(|(key, _, value)| ((*key).to_owned(), (*value).into())));
    table
}

/// The entries under `key`, and standard input under `from` where a `-` stood among them.
fn insert_list(table: &mut Table, key: &str, from: &str, entries: Vec<Value>, stdin: bool) {
    if stdin {
        table.insert(from.to_owned(), "-".into());
    }
    if !entries.is_empty() || !stdin {
        table.insert(key.to_owned(), entries.into());
    }
}

/// Writes the command line's keys into every table of their kind.
///
/// A flag that no table takes is an error: it would be a wish that nobody hears.
pub(super) fn replace(tables: &mut [Table], options: &TableOptions) -> Result<()> {
    for (flag, key, value) in fetch_keys(options)? {
        let replaced = if key == "urls_from" { Some("urls") } else { None };
        set(tables, "fetch", flag, (&key, &value), replaced)?;
    }
    for (flag, key, value) in fibonacci_keys(&options.fibonacci) {
        set(tables, "fibonacci", flag, (&key, &value), None)?;
    }
    Ok(())
}

fn set(
    tables: &mut [Table],
    kind: &str,
    flag: &str,
    (key, value): (&str, &Value),
    replaced: Option<&str>,
) -> Result<()> {
    let mut n_set = 0;
    for table in tables.iter_mut().filter(|table| is_of(table, kind)) {
        if let Some(replaced) = replaced {
            table.remove(replaced);
        }
        table.insert(key.to_owned(), value.clone());
        n_set += 1;
    }
    if n_set == 0 {
        bail!("`{flag}` is for `{kind}` tables and this job has none; leave it out");
    }
    Ok(())
}

fn is_of(table: &Table, kind: &str) -> bool {
    table.get("kind").and_then(Value::as_str) == Some(kind)
}

fn fetch_keys(options: &TableOptions) -> Result<Vec<(&'static str, String, Value)>> {
    let mut keys = Vec::new();
    if let Some(base) = &options.base {
        keys.push(("--base", "base".to_owned(), base.as_str().into()));
    }
    if let Some(path) = &options.urls_from {
        // A typed path starts at the current directory, one in a job file at its folder.
        let path = if path == Path::new("-") { path.clone() } else { settings::absolute(path)? };
        keys.push(("--urls-from", "urls_from".to_owned(), file::as_text(&path)?.into()));
    }
    Ok(keys)
}

fn fibonacci_keys(options: &FibonacciOptions) -> Vec<(&'static str, String, Value)> {
    let value = options.value.map(|value| ("--value", "value".to_owned(), value.as_str().into()));
    let modulus = options
        .modulus
        .as_deref()
        .map(|modulus| ("--modulus", "modulus".to_owned(), number_or_text(modulus)));
    value.into_iter().chain(modulus).collect()
}

/// A number where TOML has one; larger ones stay texts, as the kinds take them.
fn number_or_text(typed: &str) -> Value {
    typed.parse::<i64>().map_or_else(|_| typed.into(), Value::Integer)
}
