//! The journal of a crawl: one JSON line for each URL ever seen, and one for what became of it;
//! where near-duplicates are looked for, also one for the fingerprint of a text like no other.
//!
//! ```text
//! {"n":17,"url":"http://h.example/a","depth":2,"from":3}
//! {"n":18,"url":"http://h.example/b","depth":2,"from":3,"skip":"scope: another host"}
//! {"n":17,"fate":"ok","digest":"00112233445566778899aabbccddeeff"}
//! {"n":17,"simhash":"0123456789abcdef"}
//! ```
//!
//! Of several lines on what became of a URL the last counts.
//!
//! **Invariant:** lines are only appended. They are the kernel's once [`Journal::flush`] has
//! returned; a process that is killed leaves at most a torn last line.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::spill;
use super::types::PageId;
use crate::json::{put_number, put_text};
use crate::task::OutputLost;

/// Between two positions that are kept to find URLs by: 16 bytes each.
const APART: u64 = 8 << 10;
/// Lines are handed to the kernel when so much has come together, at the latest.
const LARGEST_BUFFER: usize = 256 << 10;
const READ: usize = 16 << 10;

/// A line on a URL that was seen first.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PageLine<'a> {
    /// From 1.
    pub(super) n: u64,
    #[serde(borrow)]
    pub(super) url: std::borrow::Cow<'a, str>,
    pub(super) depth: u32,
    #[serde(default)]
    pub(super) from: u64,
    #[serde(default)]
    pub(super) hops: u8,
    /// Only where patterns have a budget.
    #[serde(default, borrow)]
    pub(super) pattern: Option<&'a str>,
    #[serde(default, borrow)]
    pub(super) skip: Option<std::borrow::Cow<'a, str>>,
    /// The URL has a line already, with a greater depth: this one counts.
    #[serde(default)]
    pub(super) nearer: bool,
}

/// A line on what became of a URL.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FateLine<'a> {
    pub(super) n: u64,
    #[serde(borrow)]
    pub(super) fate: std::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) digest: Option<&'a str>,
}

/// A line on the words of a page.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SimhashLine<'a> {
    pub(super) n: u64,
    #[serde(borrow)]
    pub(super) simhash: &'a str,
}

/// The file, open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    /// Bytes of the file.
    written: u64,
    /// No more can be written, which has been told.
    is_lost: bool,
    /// The number of the last URL.
    last: u64,
    /// Numbers of URLs and where their lines begin, some way apart.
    index: Vec<(u64, u64)>,
    /// What was asked for last: most pages are asked for again at once, by all they led to.
    asked: Option<(PageId, String)>,
}

impl Journal {
    /// An empty journal in the place of whatever is there; without a path, one without a name.
    pub(super) fn create(path: Option<&Path>) -> Result<Self> {
        let (file, path) = if let Some(path) = path {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(true);
            (options.open(path), path.to_owned())
        } else {
            let path = spill::unused_path();
            (spill::unnamed(&path), path)
        };
        Ok(Self::new(file.with_context(|| cannot("create", &path))?, path))
    }

    /// A journal that an earlier run has left. Its lines are not known yet.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        Ok(Self::new(file.with_context(|| cannot("open", path))?, path.to_owned()))
    }

    fn new(file: File, path: PathBuf) -> Self {
        let (buffer, index) = (Vec::new(), Vec::new());
        Self { path, file, buffer, written: 0, is_lost: false, last: 0, index, asked: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The number of the last URL, and so of all.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Notes a line of an earlier run that was read: its URL's number, if it is on a new one,
    /// and where it begins and ends.
    pub(super) fn know(&mut self, page: Option<u64>, start: u64, end: u64) {
        self.written = start;
        if let Some(page) = page {
            self.note(page);
        }
        self.written = end;
    }

    /// Cuts what follows the lines that are known.
    pub(super) fn cut(&mut self) -> Result<()> {
        self.file.set_len(self.written).with_context(|| cannot("cut", &self.path))
    }

    /// Writes that a URL was seen, the next one.
    pub(super) fn page(&mut self, line: &PageLine<'_>) -> Result<()> {
        debug_assert_eq!(line.n, self.last + 1);
        self.note(line.n);
        let to = &mut self.buffer;
        to.extend_from_slice(b"{\"n\":");
        put_number(to, line.n);
        to.extend_from_slice(b",\"url\":");
        put_text(to, &line.url);
        to.extend_from_slice(b",\"depth\":");
        put_number(to, line.depth.into());
        if line.from != 0 {
            to.extend_from_slice(b",\"from\":");
            put_number(to, line.from);
        }
        if line.hops != 0 {
            to.extend_from_slice(b",\"hops\":");
            put_number(to, line.hops.into());
        }
        if let Some(pattern) = line.pattern {
            to.extend_from_slice(b",\"pattern\":");
            put_text(to, pattern);
        }
        if let Some(skip) = &line.skip {
            to.extend_from_slice(b",\"skip\":");
            put_text(to, skip);
        }
        if line.nearer {
            to.extend_from_slice(b",\"nearer\":true");
        }
        to.extend_from_slice(b"}\n");
        self.flush_if_large()
    }

    /// Writes what became of a URL.
    pub(super) fn fate(&mut self, page: u64, fate: &str, digest: Option<u128>) -> Result<()> {
        let to = &mut self.buffer;
        to.extend_from_slice(b"{\"n\":");
        put_number(to, page);
        to.extend_from_slice(b",\"fate\":");
        put_text(to, fate);
        if let Some(digest) = digest {
            write!(to, ",\"digest\":\"{digest:032x}\"").expect("writing to a buffer cannot fail");
        }
        to.extend_from_slice(b"}\n");
        self.flush_if_large()
    }

    /// Writes the fingerprint of a page's words.
    pub(super) fn simhash(&mut self, page: u64, print: u64) -> Result<()> {
        writeln!(self.buffer, "{{\"n\":{page},\"simhash\":\"{print:016x}\"}}")
            .expect("writing to a buffer cannot fail");
        self.flush_if_large()
    }

    /// Hands every line to the kernel; an [`OutputLost`] where that fails, once.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() || self.is_lost {
            return Ok(());
        }
        let result = self.file.write_all_at(&self.buffer, self.written);
        if let Err(error) = result.with_context(|| cannot("write", &self.path)) {
            self.is_lost = true;
            return Err(OutputLost::because(&error).into());
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// A URL by its number.
    pub(super) fn url(&mut self, page: PageId) -> Result<String> {
        let asked = match self.asked.take() {
            Some(asked) if asked.0 == page => asked,
            _ => (page, self.read(page)?),
        };
        Ok(self.asked.insert(asked).1.clone())
    }

    fn read(&mut self, page: PageId) -> Result<String> {
        self.flush()?;
        let place = self.index.partition_point(|(n, _)| *n <= page.0) - 1;
        let begin = format!("{{\"n\":{page},\"url\":");
        let (mut at, mut bytes) = (self.index[place].1, Vec::new());
        loop {
            let old = bytes.len();
            bytes.resize(old + READ, 0);
            let n = self.file.read_at(&mut bytes[old..], at);
            let n = n.with_context(|| cannot("read", &self.path))?;
            bytes.truncate(old + n);
            at += n as u64;
            if let Some(line) = line_with(&bytes, begin.as_bytes()) {
                let line: PageLine<'_> = serde_json::from_slice(line)
                    .with_context(|| format!("`{}` was changed", self.path.display()))?;
                return Ok(line.url.into_owned());
            }
            anyhow::ensure!(n > 0, "`{}` has lost URL {page}", self.path.display());
        }
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.buffer.capacity() + self.index.capacity() * size_of::<(u64, u64)>()
    }

    fn note(&mut self, page: u64) {
        self.last = page;
        let position = self.written + self.buffer.len() as u64;
        if self.index.last().is_none_or(|(_, last)| position >= last + APART) {
            self.index.push((page, position));
        }
    }

    fn flush_if_large(&mut self) -> Result<()> {
        if self.buffer.len() >= LARGEST_BUFFER { self.flush() } else { Ok(()) }
    }
}

/// The whole line that begins so.
fn line_with<'a>(bytes: &'a [u8], begin: &[u8]) -> Option<&'a [u8]> {
    bytes
        .split_inclusive(|&byte| byte == b'\n')
        .find(|line| line.starts_with(begin) && line.ends_with(b"\n"))
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} `{}`, the journal of URLs", path.display())
}
