//! The values that the records of a results file name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A file of values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) host: String,
    pub(super) path: PathBuf,
}

/// One value in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) digest: u128,
    pub(super) task: u128,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    host: String,
    #[serde(default)]
    output: Value,
    #[serde(default)]
    error: Value,
}

/// All values, by file, in the order in which they lie there.
pub(super) fn find(results: &Path) -> Result<BTreeMap<Source, Vec<Piece>>> {
    let cannot = || format!("cannot read results file `{}`", results.display());
    let mut reader = BufReader::new(File::open(results).with_context(cannot)?);
    let mut found = BTreeMap::<_, Vec<_>>::new();
    let (mut line, mut number) = (Vec::new(), 0);
    while reader.read_until(b'\n', &mut line).with_context(cannot)? > 0 {
        number += 1;
        match serde_json::from_slice::<Record>(&line) {
            Ok(record) => {
                for (path, piece) in pieces(&record).with_context(|| place(results, number))? {
                    let source = Source { host: record.host.clone(), path };
                    found.entry(source).or_default().push(piece);
                }
            }
            // What a crash left of a record.
            Err(_) if !line.ends_with(b"\n") => {}
            Err(error) => bail!("{}: no record: {error}", place(results, number)),
        }
        line.clear();
    }
    for pieces in found.values_mut() {
        pieces.sort_unstable();
        pieces.dedup();
    }
    Ok(found)
}

fn place(results: &Path, number: u64) -> String {
    format!("{}:{number}", results.display())
}

/// The values of a record that lie in files.
fn pieces(record: &Record) -> Result<Vec<(PathBuf, Piece)>> {
    let task = u128::from_str_radix(&record.id, 16).context("no id")?;
    let objects = [&record.output, &record.error].into_iter().filter_map(Value::as_object);
    let found = objects.flat_map(|object| object.iter().map(move |member| (object, member)));
    let piece = |(object, (key, path)): (&Map<String, Value>, (&String, &Value))| {
        let name = key.strip_suffix("_file")?;
        let number = |what: &str| number(object.get(&format!("{name}_{what}"))?);
        let digest = object.get(&format!("{name}_digest"))?.as_str()?.strip_prefix("xxh3:")?;
        let digest = u128::from_str_radix(digest, 16).ok()?;
        let piece = Piece { offset: number("offset")?, bytes: number("bytes")?, digest, task };
        Some((PathBuf::from(path.as_str()?), piece))
    };
    Ok(found.filter_map(piece).collect())
}

/// Large ones are strings.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
