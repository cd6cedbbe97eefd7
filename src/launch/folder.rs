//! Files that `launch` looks at or makes: its private folder, and the state of the results.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A folder of nobody else's, gone at the end.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes one below the temporary folder, or below the current one where other hosts may have
    /// to see it.
    pub(super) fn new(is_shared: bool) -> Result<Self> {
        let (below, begin) = if is_shared {
            (std::env::current_dir().context("there is no current folder")?, ".rankpool-launch")
        } else {
            (std::env::temp_dir(), "rankpool-launch")
        };
        let pid = std::process::id();
        for number in 0.. {
            let path = below.join(format!("{begin}-{pid}-{number}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                // Another host's, or one that a killed `launch` left.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let shown = path.display();
                    return Err(error).with_context(|| format!("cannot make the folder `{shown}`"));
                }
            }
        }
        unreachable!("the numbers do not end")
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is small, and harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// By what one sees that a file was written to; `None`: there is no file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State(Option<(u64, u64, i64, i64)>);

impl State {
    pub(super) fn of(results: &Result<PathBuf, &'static str>) -> Self {
        let metadata = results.as_ref().ok().and_then(|path| fs::metadata(path).ok());
        Self(metadata.map(|file| (file.ino(), file.len(), file.mtime(), file.mtime_nsec())))
    }
}
