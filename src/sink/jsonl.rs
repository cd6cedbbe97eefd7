//! JSON Lines: one record a task, written whole.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::file::ResultsFile;
use super::stream::Stream;

/// Records gathered before they go to the kernel in one piece.
const BUFFER: usize = 1 << 20;

/// A file of records.
pub struct JsonLines {
    to: Target,
    /// What messages call it.
    name: String,
    buffer: Vec<u8>,
    /// Records taken that the kernel has not, as far as is known here.
    pub(super) n_unwritten: u64,
}

/// Where lines go.
enum Target {
    Stream(Stream),
    File(ResultsFile),
}

impl JsonLines {
    /// Records to standard output.
    pub fn stdout() -> Result<Self> {
        let stream = Stream::start(|| Ok(io::stdout()))?;
        Ok(Self::new(Target::Stream(stream), "standard output".into()))
    }

    /// Records to the FIFO at `path`, once somebody reads it.
    pub(super) fn fifo(path: &Path) -> Result<Self> {
        let name = format!("`{}`", path.display());
        let path: PathBuf = path.to_owned();
        let stream = Stream::start(move || OpenOptions::new().write(true).open(path))?;
        Ok(Self::new(Target::Stream(stream), name))
    }

    /// Records to a file.
    pub(super) fn file(file: ResultsFile) -> Self {
        let name = format!("`{}`", file.path.display());
        Self::new(Target::File(file), name)
    }

    fn new(to: Target, name: String) -> Self {
        Self { to, name, buffer: Vec::with_capacity(BUFFER), n_unwritten: 0 }
    }

    /// The file, where there is one.
    pub(super) fn as_file(&mut self) -> Option<&mut ResultsFile> {
        match &mut self.to {
            Target::Stream(_) => None,
            Target::File(file) => Some(file),
        }
    }

    /// Whether its reader is so far behind that no more tasks should be handed out.
    pub(super) fn is_full(&self) -> bool {
        matches!(&self.to, Target::Stream(stream) if stream.is_full())
    }

    /// Whether its reader has not got everything yet.
    pub(super) fn is_pending(&self) -> bool {
        matches!(&self.to, Target::Stream(stream) if stream.is_pending())
    }

    /// Whether [`Self::put`] of a record, so many bytes long, would give the kernel nothing yet.
    pub(super) fn has_room(&self, record: usize) -> bool {
        self.buffer.len() + record <= BUFFER
    }

    /// Takes a record, its line end included.
    pub fn put(&mut self, record: &[u8]) -> Result<()> {
        if record.is_empty() {
            return Ok(());
        }
        let flushed = if self.has_room(record.len()) { Ok(()) } else { self.flush() };
        self.n_unwritten += 1;
        flushed?;
        if record.len() > BUFFER {
            return self.write(record);
        }
        self.buffer.extend_from_slice(record);
        Ok(())
    }

    /// Gives everything to the kernel.
    pub fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    /// Gives everything to the kernel, and waits until it is on the disk, if it is to be there.
    pub fn finish(&mut self) -> Result<()> {
        self.flush()?;
        match &mut self.to {
            Target::Stream(stream) => {
                stream.finish().with_context(|| format!("cannot write results to {}", self.name))
            }
            Target::File(file) => {
                let cannot = || format!("cannot bring results in {} to the disk", self.name);
                file.finish().with_context(cannot)
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.to {
            Target::Stream(stream) => stream.write(bytes),
            Target::File(file) => file.write(bytes),
        };
        self.n_unwritten = match (&self.to, &written) {
            (_, Ok(())) => 0,
            (Target::File(file), Err(_)) => self.n_unwritten.saturating_sub(file.n_kept),
            (Target::Stream(_), Err(_)) => self.n_unwritten,
        };
        written.with_context(|| format!("cannot write results to {}", self.name))
    }
}

impl std::fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonLines").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::path::Path;

    use super::*;
    use crate::policy::Fsync;

    #[test]
    fn records_reach_the_kernel_in_order() {
        let (mut reader, writer) = io::pipe().unwrap();
        let stream = Stream::start(move || Ok(writer)).unwrap();
        let mut lines = JsonLines::new(Target::Stream(stream), "test".into());
        let small = vec![b'a'; BUFFER / 2 + 1];
        let large = vec![b'b'; 3 * BUFFER];
        for (record, has_room) in [(&small, true), (&small, false), (&large, false)] {
            assert_eq!(lines.has_room(record.len()), has_room);
            lines.put(record).unwrap();
        }
        lines.flush().unwrap();
        // Nobody has read it yet: it ends all the same once it is.
        assert!(lines.finish().is_err() && lines.is_pending());
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == [small.clone(), small, large].concat());
    }

    #[test]
    fn a_failing_disk_is_named() {
        let full = ResultsFile::create(Path::new("/dev/full"), true, Fsync::Always).unwrap();
        let mut lines = JsonLines::file(full);
        lines.put(b"{}\n").unwrap();
        let message = format!("{:#}", lines.flush().unwrap_err());
        assert!(message.starts_with("cannot write results to `/dev/full`: No space"), "{message}");
    }
}
