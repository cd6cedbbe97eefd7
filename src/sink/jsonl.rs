//! JSON Lines: one record a task, written whole.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Records gathered before they go to the kernel in one piece.
const BUFFER: usize = 1 << 20;

/// A file of records.
pub struct JsonLines {
    to: Box<dyn Write>,
    /// What messages call it.
    name: String,
    buffer: Vec<u8>,
}

impl JsonLines {
    /// Records to standard output.
    pub fn stdout() -> Self {
        Self::new(Box::new(io::stdout()), "standard output".into())
    }

    /// A new file at `path`; one that is there already is replaced only with `overwrite`.
    pub fn create(path: &Path, overwrite: bool) -> Result<Self> {
        let name = path.display().to_string();
        let mut options = OpenOptions::new();
        options.write(true).truncate(overwrite).create(true).create_new(!overwrite);
        match options.open(path) {
            Ok(file) => Ok(Self::new(Box::new(file), name)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
                "results file `{name}` exists; `--overwrite` replaces it, `--output FILE` writes \
                 elsewhere"
            ),
            Err(error) => Err(error).with_context(|| {
                format!("cannot create results file `{name}`; `--output FILE` writes elsewhere")
            }),
        }
    }

    fn new(to: Box<dyn Write>, name: String) -> Self {
        Self { to, name, buffer: Vec::with_capacity(BUFFER) }
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

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.to.write_all(bytes).and_then(|()| self.to.flush());
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
    use std::sync::{Arc, Mutex};

    use super::*;

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
        let mut lines = JsonLines::new(Box::new(pieces.clone()), "test".into());
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
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut lines = JsonLines::new(Box::new(full), "`x.jsonl`".into());
        lines.put(b"{}\n").unwrap();
        let message = format!("{:#}", lines.flush().unwrap_err());
        assert!(message.starts_with("cannot write results to `x.jsonl`: No space"), "{message}");
    }
}
