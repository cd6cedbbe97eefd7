//! JSON Lines: one record a task, written whole.

use std::io::{self, Write};

use anyhow::{Context as _, Result};

use super::file::ResultsFile;

/// Records gathered before they go to the kernel in one piece.
const BUFFER: usize = 1 << 20;

/// A file of records.
pub struct JsonLines {
    to: Target,
    /// What messages call it.
    name: String,
    buffer: Vec<u8>,
}

/// Where lines go.
enum Target {
    Stream(Box<dyn Write>),
    File(ResultsFile),
}

impl JsonLines {
    /// Records to standard output.
    pub fn stdout() -> Self {
        Self::new(Target::Stream(Box::new(io::stdout())), "standard output".into())
    }

    /// Records to a file.
    pub(super) fn file(file: ResultsFile) -> Self {
        let name = format!("`{}`", file.path.display());
        Self::new(Target::File(file), name)
    }

    fn new(to: Target, name: String) -> Self {
        Self { to, name, buffer: Vec::with_capacity(BUFFER) }
    }

    /// The file, where there is one.
    pub(super) fn as_file(&mut self) -> Option<&mut ResultsFile> {
        match &mut self.to {
            Target::Stream(_) => None,
            Target::File(file) => Some(file),
        }
    }

    /// Takes a record, its line end included.
    pub fn put(&mut self, record: &[u8]) -> Result<()> {
        if self.buffer.len() + record.len() > BUFFER {
            self.flush()?;
        }
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
        let finished = self.as_file().map_or(Ok(()), ResultsFile::finish);
        finished.with_context(|| format!("cannot bring results in {} to the disk", self.name))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.to {
            Target::Stream(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Target::File(file) => file.write(bytes),
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
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::policy::Fsync;

    #[derive(Clone, Default)]
    struct Pieces(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn records_reach_the_kernel_whole() {
        let pieces = Pieces::default();
        let mut lines = JsonLines::new(Target::Stream(Box::new(pieces.clone())), "test".into());
        let small = vec![b'a'; BUFFER / 2 + 1];
        let large = vec![b'b'; 3 * BUFFER];
        for record in [&small, &small, &large] {
            lines.put(record).unwrap();
        }
        lines.flush().unwrap();
        let pieces = pieces.0.lock().unwrap();
        assert_eq!(pieces.concat(), [small.clone(), small.clone(), large].concat());
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>()[0], small.len());
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
