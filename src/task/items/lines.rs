//! Files of lines and standard input, read one line at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use crate::channel::{self, Receiver, TryRecvError};
use crate::pipe::stdin;

/// Longest line that is kept, in bytes: a file without line ends must not fill the memory.
const MAX_LINE: u64 = 1 << 20;

/// The file that a job file in `folder` calls `path`; `-`, standard input, is in no folder.
pub fn path_in(folder: &Path, path: PathBuf) -> PathBuf {
    if path.as_os_str() == "-" { path } else { folder.join(path) }
}

/// A file of lines, checked as far as can be, not yet read.
#[derive(Debug)]
pub(super) struct LineFile {
    path: PathBuf,
    /// Readable more than once: a regular file.
    pub(super) regular: bool,
    /// Whether lines are taken as they stand, comments and blanks included.
    verbatim: bool,
}

impl LineFile {
    /// The file at `path`; `-` is standard input.
    pub(super) fn new(path: PathBuf) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self { path, regular: false, verbatim: false });
        }
        let cannot = || format!("cannot read `{}`", path.display());
        let metadata = std::fs::metadata(&path).with_context(cannot)?;
        if metadata.is_dir() {
            bail!("cannot read `{}`: it is a folder, not a file of lines", path.display());
        }
        let regular = metadata.is_file();
        Ok(Self { path, regular, verbatim: false })
    }

    /// The same, whose lines are taken as they stand; only empty ones are left out.
    pub(super) fn verbatim(self) -> Self {
        Self { verbatim: true, ..self }
    }

    /// Starts to read.
    pub(super) fn open(&self) -> Result<Lines> {
        let reader: Box<dyn BufRead> = if self.path.as_os_str() == "-" {
            Box::new(BufReader::with_capacity(1 << 16, stdin::open()))
        } else {
            let cannot = || format!("cannot read `{}`", self.path.display());
            Box::new(BufReader::with_capacity(
                1 << 16,
                File::open(&self.path).with_context(cannot)?,
            ))
        };
        let (name, verbatim) = (self.name(), self.verbatim);
        Ok(Lines { reader, name, number: 0, buffer: Vec::new(), verbatim })
    }

    fn name(&self) -> String {
        name(&self.path)
    }
}

/// The lines of a whole file that mean something, with their numbers; `-` is standard input.
pub fn lines_of(path: PathBuf) -> Result<Vec<(u64, String)>> {
    let mut lines = LineFile::new(path)?.open()?;
    let mut read = Vec::new();
    while let Some(line) = lines.next()? {
        let text =
            line.text.as_ref().map_err(|wrong| anyhow!("{}: {wrong}", lines.place(&line)))?;
        read.push((line.number, text.clone()));
    }
    Ok(read)
}

/// How messages call the file at `path`.
fn name(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() }
}

/// Lines of a stream that are read ahead: beyond them its writer is held.
const READ_AHEAD: usize = 4096;

/// The lines of a table's file while the job runs. A stream is read by a thread of its own:
/// rank 0 must not wait for a slow writer.
pub(super) enum Reading {
    /// Not begun.
    Closed(LineFile),
    /// A regular file.
    File(Lines),
    /// Standard input or a pipe.
    Stream(Receiver<Result<Line>>),
    /// At its end, or there never was one.
    Ended,
}

impl Reading {
    pub(super) fn new(file: Option<LineFile>) -> Self {
        file.map_or(Self::Ended, Self::Closed)
    }

    /// The next line, if there is one yet; `Ready(None)` at the end.
    pub(super) fn poll(&mut self) -> Result<Poll<Option<Line>>> {
        if let Self::Closed(file) = self {
            *self = file.read()?;
        }
        let line = match self {
            Self::File(lines) => Poll::Ready(lines.next()?),
            Self::Stream(lines) => match lines.try_recv() {
                Ok(line) => Poll::Ready(Some(line?)),
                Err(TryRecvError::Empty) => Poll::Pending,
                Err(TryRecvError::Disconnected) => Poll::Ready(None),
            },
            Self::Closed(_) | Self::Ended => Poll::Ready(None),
        };
        if matches!(line, Poll::Ready(None)) {
            *self = Self::Ended;
        }
        Ok(line)
    }
}

impl LineFile {
    fn read(&self) -> Result<Reading> {
        if self.regular {
            return Ok(Reading::File(self.open()?));
        }
        let (sender, receiver) = channel::bounded(READ_AHEAD);
        let file = Self { path: self.path.clone(), ..*self };
        let read_all = move || {
            let lines =
                file.open().map(|mut lines| std::iter::from_fn(move || lines.next().transpose()));
            match lines {
                Ok(mut lines) => drop(lines.try_for_each(|line| sender.send(line))),
                Err(error) => drop(sender.send(Err(error))),
            }
        };
        let thread = thread::Builder::new().name("lines".into()).spawn(read_all);
        thread.context("cannot start a thread that reads lines")?;
        Ok(Reading::Stream(receiver))
    }
}

/// The lines of a file that mean something: neither blank nor a comment (`#`), or, verbatim, not
/// empty.
pub(super) struct Lines {
    reader: Box<dyn BufRead>,
    name: String,
    number: u64,
    buffer: Vec<u8>,
    verbatim: bool,
}

/// One line, without the blanks around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1, with blank lines and comments.
    pub(super) number: u64,
    /// Its text, or what is wrong with its bytes.
    pub(super) text: Result<String, &'static str>,
}

impl Lines {
    /// The next line that means something.
    pub(super) fn next(&mut self) -> Result<Option<Line>> {
        loop {
            self.buffer.clear();
            let mut limited = (&mut self.reader).take(MAX_LINE + 1);
            let read = limited.read_until(b'\n', &mut self.buffer);
            let read = read.with_context(|| format!("cannot read `{}`", self.name))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            let text = self.text()?;
            let is_comment = |text: &String| text.starts_with('#') && !self.verbatim;
            if text.as_ref().is_ok_and(|text| text.is_empty() || is_comment(text)) {
                continue;
            }
            return Ok(Some(Line { number: self.number, text }));
        }
    }

    /// Where a line stands, as errors name it: `terms.txt:12`.
    pub(super) fn place(&self, line: &Line) -> String {
        format!("{}:{}", self.name, line.number)
    }

    fn text(&mut self) -> Result<Result<String, &'static str>> {
        if self.buffer.len() as u64 > MAX_LINE && self.buffer.last() != Some(&b'\n') {
            self.reader.skip_until(b'\n')?;
            return Ok(Err("the line is longer than 1 MiB"));
        }
        let bytes = match self.number {
            1 => self.buffer.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&self.buffer),
            _ => &self.buffer,
        };
        let trimmed = |text: &str| {
            let verbatim = || text.strip_suffix('\n').unwrap_or(text);
            if self.verbatim { verbatim() } else { text.trim() }.to_owned()
        };
        let text = std::str::from_utf8(bytes).map(trimmed);
        Ok(text.map_err(|_| "the line is not valid UTF-8"))
    }
}
