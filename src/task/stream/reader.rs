//! The thread that reads a stream: rank 0 must not wait for a slow writer.
//!
//! **Invariant:** as much is read ahead as the channel holds; beyond that nothing is read, and
//! whoever writes waits.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::event::{EventfdFlags, eventfd};

use super::parse::{LONGEST_LINE, Parsed, Parser, bad};
use crate::channel::{self, Receiver};
use crate::pipe::{self, Got, stdin};

/// Read at once, in bytes: as much as a pipe holds.
const BLOCK: usize = 1 << 16;
/// Lines that go to rank 0 together …
const BATCH: usize = 512;
/// … and such batches that are read ahead.
const BATCHES: usize = 16;

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// Standard input.
    Stdin,
    /// A file; a FIFO ends when its writers are gone, or, kept open, when it is closed here.
    Path(PathBuf),
}

impl From {
    /// What the command line calls `path`.
    pub fn new(path: &Path) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::Path(path.to_owned()) }
    }

    /// Refuses what cannot be read.
    pub fn check(&self) -> Result<()> {
        let Self::Path(path) = self else { return Ok(()) };
        let shown = path.display();
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                bail!("cannot read tasks from `{shown}`: it is a folder")
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!(
                    "`{shown}`: no such file of tasks; `mkfifo -m 600 {shown}` makes a named pipe"
                )
            }
            Err(error) => Err(error).with_context(|| format!("cannot read tasks from `{shown}`")),
        }
    }

    /// Whether it can be read again from its start.
    pub fn is_regular(&self) -> bool {
        matches!(self, Self::Path(path) if path.is_file())
    }

    fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::Path(path) => format!("`{}`", path.display()),
        }
    }
}

/// Lines that were read together.
pub(super) type Batch = Vec<Parsed>;

/// A stream that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) batches: Receiver<Result<Batch>>,
    closing: Option<Arc<Closing>>,
}

/// How a FIFO is told that no more is to be read than what is in it.
#[derive(Debug)]
struct Closing {
    is_closed: AtomicBool,
    wake: OwnedFd,
}

impl Reading {
    /// Starts to read, for the calling thread; with `keep_open` a FIFO has no end before
    /// [`Self::close`].
    pub(super) fn start(from: &From, keep_open: bool, parser: Arc<Parser>) -> Result<Self> {
        let (sender, batches) = channel::bounded(BATCHES);
        let is_kept = keep_open && matches!(from, From::Path(path) if pipe::is_fifo(path));
        let closing = is_kept.then(Closing::new).transpose()?.map(Arc::new);
        let (from, of_thread) = (from.clone(), closing.clone());
        let read_all = move || {
            let is_whole = from.is_regular();
            let reader = open(&from, of_thread);
            let mut lines = Lines {
                parser,
                is_whole,
                name: from.name(),
                number: 0,
                batch: Vec::new(),
                to: sender,
            };
            let read = reader.and_then(|reader| lines.read_all(reader));
            // Nobody listens only where the run is over.
            if let Err(error) = read {
                let _ = lines.to.send(Err(error));
            }
        };
        let thread = thread::Builder::new().name("tasks".into()).spawn(read_all);
        thread.context("cannot start a thread that reads tasks")?;
        Ok(Self { batches, closing })
    }

    /// Reads no more than what is there already.
    pub(super) fn close(&self) -> Result<()> {
        if let Some(closing) = &self.closing {
            closing.is_closed.store(true, Ordering::Release);
            rustix::io::write(&closing.wake, &1u64.to_ne_bytes())?;
        }
        Ok(())
    }
}

impl Closing {
    fn new() -> Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC).map_err(io::Error::from)?;
        Ok(Self { is_closed: AtomicBool::new(false), wake })
    }
}

fn open(from: &From, closing: Option<Arc<Closing>>) -> Result<Box<dyn Read>> {
    Ok(match (from, closing) {
        (From::Stdin, _) => stdin::open(),
        (From::Path(path), Some(closing)) => {
            Box::new(Kept { fifo: pipe::open_kept(path)?, closing })
        }
        // A FIFO's first writer is waited for.
        (From::Path(path), None) => Box::new(
            File::open(path)
                .with_context(|| format!("cannot read tasks from `{}`", path.display()))?,
        ),
    })
}

/// A FIFO that ends when it is told to.
struct Kept {
    fifo: OwnedFd,
    closing: Arc<Closing>,
}

impl Read for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Looked at first: what was written before is read.
            let is_closed = self.closing.is_closed.load(Ordering::Acquire);
            match pipe::read_some(&self.fifo, buffer)? {
                Got::Bytes(n) => return Ok(n),
                Got::Nothing | Got::End if is_closed => return Ok(0),
                Got::Nothing | Got::End => {
                    pipe::wait_readable(&[&self.fifo, &self.closing.wake], None)?;
                }
            }
        }
    }
}

struct Lines {
    parser: Arc<Parser>,
    /// Whether its last line is one also without a line end.
    is_whole: bool,
    name: String,
    number: u64,
    batch: Batch,
    to: channel::Sender<Result<Batch>>,
}

/// Nobody wants more lines.
struct Unwanted;

impl Lines {
    fn read_all(&mut self, mut reader: impl Read) -> Result<()> {
        let mut buffer = vec![0; BLOCK];
        // What is not a whole line yet.
        let mut rest: Vec<u8> = Vec::new();
        // In the middle of a line that is too long.
        let mut skips = false;
        loop {
            let n = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot read {}", self.name));
                }
            };
            let mut pieces = buffer[..n].split_inclusive(|&byte| byte == b'\n');
            let done = pieces.try_for_each(|piece| self.piece(piece, &mut rest, &mut skips));
            if done.and_then(|()| self.send()).is_err() {
                return Ok(());
            }
        }
        if !rest.is_empty() && !skips {
            let wanted = if self.is_whole { self.line(&rest) } else { self.torn(&rest) };
            // Nobody listens only where the run is over.
            let _ = wanted.and_then(|()| self.send());
        }
        Ok(())
    }

    /// Takes a line, or a part of one.
    fn piece(
        &mut self,
        piece: &[u8],
        rest: &mut Vec<u8>,
        skips: &mut bool,
    ) -> Result<(), Unwanted> {
        let is_end = piece.last() == Some(&b'\n');
        if rest.is_empty() && is_end && !*skips {
            return self.line(piece);
        }
        if !*skips {
            rest.extend_from_slice(piece);
            if rest.len() > LONGEST_LINE {
                *skips = true;
                self.number += 1;
                let error = anyhow!("it is longer than 1 MiB");
                self.add(Some(bad(rest, &error, self.number, &self.name)))?;
            }
        }
        if is_end {
            let line = std::mem::take(rest);
            if !std::mem::take(skips) {
                return self.line(&line);
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Unwanted> {
        self.number += 1;
        let line = match self.number {
            1 => line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line),
            _ => line,
        };
        self.add(self.parser.line(line, self.number, &self.name))
    }

    /// A last line without an end: what its writer was to say is not known.
    fn torn(&mut self, line: &[u8]) -> Result<(), Unwanted> {
        self.number += 1;
        let error = anyhow!("it has no line end: its writer was cut off, or left it out");
        self.add(Some(bad(line, &error, self.number, &self.name)))
    }

    fn add(&mut self, parsed: Option<Parsed>) -> Result<(), Unwanted> {
        self.batch.extend(parsed);
        if self.batch.len() >= BATCH { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Unwanted> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.to.send(Ok(batch)).map_err(|_| Unwanted)
    }
}
