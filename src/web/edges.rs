//! Edge lists: which page links to which, a line a link, each rank in a file of its own:
//! `PREFIX-r0003.jsonl` or `PREFIX-r0003.csv`.
//!
//! CSV is RFC 4180's, with a header line; no field has a line end in it. The file of a run that
//! was killed is gone on with after its last whole line.
//!
//! **Invariant:** lines are written whole, those of one page together.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::shards::{self, Appender, Earlier};

/// A link from one page to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Edge<'a> {
    /// The page that the link stands on.
    pub source: &'a str,
    /// Where it leads.
    pub target: &'a str,
    /// What sort of link: `a`, `area`, `canonical`, `redirect`, …
    pub kind: &'a str,
    /// Whether the page asks not to follow it.
    pub nofollow: bool,
    /// The text that leads there.
    pub anchor: &'a str,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// An object a line.
    Jsonl,
    /// A row a line.
    Csv,
}

impl Format {
    fn end(self) -> &'static str {
        match self {
            Self::Jsonl => ".jsonl",
            Self::Csv => ".csv",
        }
    }
}

/// Deals with what an earlier run has left, before any rank writes; what was cut off it, in lines
/// for people.
pub fn prepare(prefix: &Path, format: Format, earlier: Earlier) -> Result<Vec<String>> {
    let files: Vec<_> = found(prefix, format)?.into_iter().map(|(_, path)| path).collect();
    shards::prepare(WHAT, &files, earlier, whole_lines)
}

/// The files of all ranks.
fn found(prefix: &Path, format: Format) -> Result<Vec<(u32, PathBuf)>> {
    let end = format.end();
    shards::found(prefix, |rest| shards::number(rest.strip_prefix("-r")?.strip_suffix(end)?))
}

/// How edge lists are written.
#[derive(Clone, Debug)]
pub struct Config {
    /// Path of the files up to `-r0003.jsonl`.
    pub prefix: PathBuf,
    /// Whose file is written.
    pub rank: u32,
    /// How many ranks write: what ranks beyond them left is mended by those that are there.
    pub ranks: u32,
    /// Goes on with an earlier run's files; without, one that is there is an error.
    pub resume: bool,
    /// How lines are written.
    pub format: Format,
}

/// One rank's edge list; for any number of threads at once.
#[derive(Debug)]
pub struct Edges {
    format: Format,
    file: Mutex<Appender>,
    mended: Vec<String>,
}

const WHAT: &str = "edge list";
const HEADER: &str = "source,target,kind,nofollow,anchor\r\n";

impl Edges {
    /// A new list, or an earlier run's. Errors name the file.
    pub fn open(config: &Config) -> Result<Self> {
        let end = config.format.end();
        let found = found(&config.prefix, config.format)?;
        // Other ranks may have begun already.
        let own = found.iter().find(|(rank, _)| !config.resume && *rank == config.rank);
        if let Some((_, path)) = own {
            bail!(shards::exists(WHAT, path));
        }
        let mut mended = Vec::new();
        for (rank, path) in &found {
            if rank % config.ranks.max(1) == config.rank {
                mended.extend(shards::mend(path, whole_lines)?);
            }
        }
        let path = shards::named(&config.prefix, &format!("-r{:04}{end}", config.rank));
        let mut file = Appender::go_on(WHAT, path)?;
        if config.format == Format::Csv && file.length == 0 {
            file.append(HEADER.as_bytes())?;
        }
        Ok(Self { format: config.format, file: Mutex::new(file), mended })
    }

    /// What was cut off the files of an earlier run that was killed, in lines for people.
    pub fn mended(&self) -> &[String] {
        &self.mended
    }

    /// Writes the links of a page.
    pub fn write<'e>(&self, edges: impl IntoIterator<Item = Edge<'e>>) -> Result<()> {
        let mut lines = Vec::new();
        for edge in edges {
            match self.format {
                Format::Jsonl => json(&edge, &mut lines),
                Format::Csv => csv(&edge, &mut lines),
            }
        }
        self.file.lock().unwrap_or_else(PoisonError::into_inner).append(&lines)
    }

    /// Brings everything to the disk.
    pub fn finish(&self) -> Result<()> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).sync()
    }
}

fn json(edge: &Edge<'_>, lines: &mut Vec<u8>) {
    serde_json::to_writer(&mut *lines, edge).expect("texts and a truth value");
    lines.push(b'\n');
}

fn csv(edge: &Edge<'_>, lines: &mut Vec<u8>) {
    let nofollow = if edge.nofollow { "true" } else { "false" };
    for (idx, text) in
        [edge.source, edge.target, edge.kind, nofollow, edge.anchor].into_iter().enumerate()
    {
        if idx > 0 {
            lines.push(b',');
        }
        field(text, lines);
    }
    lines.extend_from_slice(b"\r\n");
}

/// A field, in quotes where it needs them (RFC 4180, 2); a line end in it becomes a blank.
fn field(text: &str, lines: &mut Vec<u8>) {
    let bare = |byte: u8| !matches!(byte, b',' | b'"' | b'\r' | b'\n');
    if text.bytes().all(bare) {
        return lines.extend_from_slice(text.as_bytes());
    }
    lines.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => lines.extend_from_slice(b"\"\""),
            b'\r' | b'\n' => lines.push(b' '),
            other => lines.push(other),
        }
    }
    lines.push(b'"');
}

/// Bytes up to the last line end, searched from the end.
fn whole_lines(mut file: &File) -> io::Result<u64> {
    const STEP: u64 = 1 << 16;
    let mut end = file.metadata()?.len();
    let mut buffer = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        file.take(end - start).read_to_end(&mut buffer)?;
        if let Some(at) = buffer.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("rankpool-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        path
    }

    fn config(prefix: PathBuf, format: Format, resume: bool) -> Config {
        Config { prefix, rank: 0, ranks: 1, resume, format }
    }

    fn edge<'a>(target: &'a str, anchor: &'a str) -> Edge<'a> {
        Edge { source: "http://h/", target, kind: "a", nofollow: false, anchor }
    }

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        for (text, expected) in [
            ("plain text", "plain text"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("two\r\nlines", "\"two  lines\""),
            ("=1+1", "=1+1"),
            ("é", "é"),
        ] {
            let mut lines = Vec::new();
            field(text, &mut lines);
            assert_eq!(String::from_utf8(lines).unwrap(), expected);
        }
    }

    #[test]
    fn lists_are_gone_on_with_after_the_last_whole_line() {
        for (format, end, header) in [(Format::Jsonl, "jsonl", 0), (Format::Csv, "csv", 1)] {
            let folder = folder(&format!("edges-{end}"));
            let prefix = folder.join("links");
            let edges = Edges::open(&config(prefix.clone(), format, false)).unwrap();
            edges.write([edge("http://h/1", "x"), edge("http://h/2", "a \"b\"\n,c")]).unwrap();
            edges.finish().unwrap();
            drop(edges);
            let error = Edges::open(&config(prefix.clone(), format, false)).unwrap_err();
            assert!(error.to_string().contains("exists; `--resume`"), "{error}");
            let (own, other) = (format!("links-r0000.{end}"), format!("links-r0007.{end}"));
            let whole = fs::read(folder.join(&own)).unwrap();
            // This rank's file, and that of a rank that is no more.
            fs::write(folder.join(&own), [&whole[..], b"torn"].concat()).unwrap();
            fs::write(folder.join(&other), &whole[..whole.len() - 1]).unwrap();
            let edges = Edges::open(&config(prefix, format, true)).unwrap();
            assert_eq!(edges.mended().len(), 2, "{:?}", edges.mended());
            assert!(edges.mended()[0].ends_with("cut 4 bytes of a torn record"));
            edges.write([edge("http://h/3", "")]).unwrap();
            let text = fs::read_to_string(folder.join(&own)).unwrap();
            assert!(text.as_bytes().starts_with(&whole) && text.ends_with('\n'));
            assert_eq!(text.lines().count(), 3 + header);
            let other = fs::read_to_string(folder.join(&other)).unwrap();
            assert_eq!(other.lines().count(), 1 + header);
            fs::remove_dir_all(folder).unwrap();
        }
    }

    #[test]
    fn lines_hold_every_field() {
        let edge = Edge { nofollow: true, ..edge("http://h/?a=1,2", "A, B") };
        let (mut jsonl, mut row) = (Vec::new(), Vec::new());
        json(&edge, &mut jsonl);
        csv(&edge, &mut row);
        assert_eq!(
            String::from_utf8(jsonl).unwrap(),
            "{\"source\":\"http://h/\",\"target\":\"http://h/?a=1,2\",\"kind\":\"a\",\
             \"nofollow\":true,\"anchor\":\"A, B\"}\n"
        );
        assert_eq!(
            String::from_utf8(row).unwrap(),
            "http://h/,\"http://h/?a=1,2\",a,true,\"A, B\"\r\n"
        );
    }
}
