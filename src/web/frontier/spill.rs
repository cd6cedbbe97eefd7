//! The file that queued URLs wait in when memory does not hold them.
//!
//! What one queue gives away at a time lies in one piece, a run; memory holds two words a run and
//! nothing a URL. Many queues give little: their runs are written together. (Reading URLs back
//! from the journal would need no file of its own, but a position a URL, and a read a URL: a
//! host's URLs lie scattered there.)
//!
//! The file has no name once it is open: whatever ends the process, nothing of it is left.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::task::OutputLost;

/// Bytes that are read at once, but for an entry that is longer by itself.
const BLOCK: usize = 8 << 10;
/// Bytes that are written at once.
const LARGEST_BUFFER: usize = 1 << 20;

/// Entries in the file, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    at: u64,
    length: u64,
}

impl Run {
    /// Whether all of it has been taken.
    pub(super) fn is_empty(self) -> bool {
        self.length == 0
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Spill {
    path: PathBuf,
    file: Option<File>,
    /// Bytes of the file.
    written: u64,
    /// What follows them.
    buffer: Vec<u8>,
    /// Bytes not taken back.
    waiting: u64,
}

impl Spill {
    /// A file to be made at `path` when it is needed.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, written: 0, buffer: Vec::new(), waiting: 0 }
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Puts entries into the file.
    pub(super) fn put(&mut self, entries: &[u8]) -> Result<Run> {
        let run = Run { at: self.length(), length: entries.len() as u64 };
        self.buffer.extend_from_slice(entries);
        self.waiting += run.length;
        if self.buffer.len() >= LARGEST_BUFFER {
            self.flush()?;
        }
        Ok(run)
    }

    /// Takes the first entries of a run, about [`BLOCK`] bytes; `whole` says how many bytes of
    /// those that it is given are whole entries.
    pub(super) fn take(
        &mut self,
        run: &mut Run,
        entries: &mut Vec<u8>,
        whole: impl Fn(&[u8]) -> usize,
    ) -> Result<()> {
        if run.at + run.length > self.written {
            self.flush()?;
        }
        let file = self.file.as_ref().expect("the run was written");
        let (mut most, mut length) = (BLOCK, 0);
        while length == 0 {
            let size = usize::try_from(run.length).map_or(most, |length| most.min(length));
            entries.clear();
            entries.reserve_exact(size);
            entries.resize(size, 0);
            file.read_exact_at(entries, run.at).with_context(|| self.cannot("read"))?;
            length = whole(entries);
            most *= 2;
        }
        entries.truncate(length);
        *run = Run { at: run.at + length as u64, length: run.length - length as u64 };
        self.waiting -= length as u64;
        if self.waiting == 0 {
            self.clear()?;
        }
        Ok(())
    }

    /// Hands everything to the kernel; an [`OutputLost`] where that fails.
    fn flush(&mut self) -> Result<()> {
        self.write().map_err(|error| OutputLost::because(&error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(LARGEST_BUFFER);
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        if self.file.is_none() {
            self.file = Some(unnamed(&self.path).with_context(|| self.cannot("create"))?);
        }
        let file = self.file.as_ref().expect("opened above");
        file.write_all_at(&self.buffer, self.written).with_context(|| self.cannot("write"))
    }

    /// Everything has been taken back: the space is given back.
    fn clear(&mut self) -> Result<()> {
        self.buffer.clear();
        let file = self.file.as_ref().expect("a run was written");
        file.set_len(0).with_context(|| self.cannot("empty"))?;
        self.written = 0;
        Ok(())
    }

    fn cannot(&self, what: &str) -> String {
        format!("cannot {what} `{}`, where queued URLs wait", self.path.display())
    }
}

/// A new file that has no name any more: it had this one for a moment.
pub(super) fn unnamed(path: &Path) -> io::Result<File> {
    // What a process left that ended in that moment.
    let _ = fs::remove_file(path);
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    fs::remove_file(path)?;
    Ok(file)
}

/// A path for a file that nobody else is to find.
pub(super) fn unused_path() -> PathBuf {
    static N: AtomicU32 = AtomicU32::new(0);
    let n = N.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("rankpool.{}.{n}.urls", std::process::id()))
}
