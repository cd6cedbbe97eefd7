//! A results file: locked, written in whole records, brought to the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::durable::Syncer;
use super::lock;
use crate::policy::Fsync;

/// A file of records, open to write and locked.
#[derive(Debug)]
pub(super) struct ResultsFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Bytes in it, all of them whole records; of a regular file.
    length: Option<u64>,
    fsync: Fsync,
    syncer: Option<Syncer>,
    /// Records that are in the file of a write that failed.
    pub(super) n_kept: u64,
}

impl ResultsFile {
    /// A new file at `path`; one that is there already is replaced only with `overwrite`.
    pub(super) fn create(path: &Path, overwrite: bool, fsync: Fsync) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).create_new(!overwrite);
        let file = match lock::open(path, &options) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
                "results file `{0}` exists; `--overwrite` replaces it, `--resume` goes on with \
                 it, `--output FILE` writes elsewhere",
                path.display()
            ),
            opened => opened.with_context(|| cannot_open(path, "create"))??,
        };
        let created = Self::new(file, path, fsync)?;
        if created.length.is_some_and(|length| length > 0) {
            created.file.set_len(0).with_context(|| cannot_open(path, "overwrite"))?;
        }
        Ok(Self { length: created.length.map(|_| 0), ..created })
    }

    /// The file of an earlier run at `path`, or a new one.
    pub(super) fn go_on(path: &Path, fsync: Fsync) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let file =
            lock::open(path, &options).with_context(|| cannot_open(path, "go on with"))??;
        let opened = Self::new(file, path, fsync)?;
        if opened.length.is_none() {
            bail!("`{}` is no regular file: there is nothing to resume in it", path.display());
        }
        Ok(opened)
    }

    fn new(file: File, path: &Path, fsync: Fsync) -> Result<Self> {
        let metadata = file.metadata().with_context(|| cannot_open(path, "look at"))?;
        let length = metadata.is_file().then_some(metadata.len());
        Ok(Self { file, path: path.to_owned(), length, fsync, syncer: None, n_kept: 0 })
    }

    /// Cuts what follows the first `length` bytes.
    pub(super) fn cut(&mut self, length: u64) -> Result<()> {
        self.length = Some(length);
        let cut = self.file.set_len(length);
        cut.with_context(|| format!("cannot cut results file `{}`", self.path.display()))
    }

    /// Removes the file if nothing is in it.
    pub(super) fn abandon(&self) {
        if self.length == Some(0) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Goes on with another file that has taken this one's place.
    pub(super) fn replace(&mut self, file: File) -> Result<()> {
        *self = Self::new(file, &self.path, self.fsync)?;
        Ok(())
    }

    /// Gives whole records to the kernel. Where it does not take them all, the file ends with
    /// the last one that it took whole.
    pub(super) fn write(&mut self, records: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < records.len() {
            match self.file.write(&records[written..]) {
                Ok(0) => {
                    return Err(self.cut_back(&records[..written], ErrorKind::WriteZero.into()));
                }
                Ok(n) => written += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.cut_back(&records[..written], error)),
            }
        }
        self.length = self.length.map(|length| length + records.len() as u64);
        self.sync_soon().inspect_err(|_| self.n_kept = n_lines(records))
    }

    fn cut_back(&mut self, written: &[u8], error: io::Error) -> io::Error {
        let Some(length) = self.length else { return error };
        let whole = written.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        self.n_kept = n_lines(&written[..whole]);
        let length = length + whole as u64;
        self.length = Some(length);
        let told = match self.file.set_len(length) {
            Ok(()) => "its records so far are whole, and `--resume` goes on with them",
            Err(_) => "its last record may be torn, and `--resume` cuts it and goes on",
        };
        io::Error::new(error.kind(), format!("{error}; {told}"))
    }

    fn sync_soon(&mut self) -> io::Result<()> {
        let pause = match self.fsync {
            _ if self.length.is_none() => return Ok(()),
            Fsync::Never => return Ok(()),
            Fsync::Always => Duration::ZERO,
            Fsync::Every(pause) => pause,
        };
        if self.syncer.is_none() {
            self.syncer = Some(self.syncer(pause).map_err(io::Error::other)?);
        }
        self.syncer.as_ref().map_or(Ok(()), Syncer::written)
    }

    fn syncer(&self, pause: Duration) -> Result<Syncer> {
        let file = self.file.try_clone().context("cannot open the results file again")?;
        let path = self.path.clone();
        let mut is_new = true;
        Syncer::start(pause, move || {
            file.sync_data()?;
            if std::mem::take(&mut is_new) {
                sync_folder(&path);
            }
            Ok(())
        })
    }

    /// Waits until everything is on the disk, if it is to be there.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.syncer.take().map_or(Ok(()), Syncer::finish)
    }
}

fn n_lines(records: &[u8]) -> u64 {
    records.iter().map(|&byte| u64::from(byte == b'\n')).sum()
}

/// Brings a file's name to the disk, where the file system has a use for that.
pub(super) fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Not every file system can; the file itself is safe.
    let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
}

fn cannot_open(path: &Path, what: &str) -> String {
    format!("cannot {what} results file `{}`; `--output FILE` writes elsewhere", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("rankpool-{}-{name}", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn a_short_write_leaves_whole_records() {
        let path = scratch("short");
        let mut file = ResultsFile::create(&path, false, Fsync::Never).unwrap();
        file.write(b"{\"a\":1}\n").unwrap();
        // What the kernel took of a write before it ran out of space.
        let taken = b"{\"b\":2}\n{\"c\"";
        file.file.write_all(taken).unwrap();
        let error = file.cut_back(taken, ErrorKind::StorageFull.into());
        assert_eq!(file.n_kept, 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\":2}\n");
        assert!(error.to_string().ends_with("whole, and `--resume` goes on with them"), "{error}");
        file.write(b"{\"c\":3}\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_lock_comes_before_the_truncation() {
        let path = scratch("truncated");
        let mut file = ResultsFile::create(&path, false, Fsync::Always).unwrap();
        file.write(b"{}\n").unwrap();
        let error = ResultsFile::create(&path, true, Fsync::Never).unwrap_err().to_string();
        assert!(error.contains("in use by another run"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"{}\n");
        file.finish().unwrap();
        drop(file);
        ResultsFile::create(&path, true, Fsync::Never).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        let error = ResultsFile::create(&path, false, Fsync::Never).unwrap_err().to_string();
        assert!(error.contains("exists; `--overwrite` replaces it, `--resume`"), "{error}");
        fs::remove_file(path).unwrap();
    }
}
