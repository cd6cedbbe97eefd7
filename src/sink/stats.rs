//! The statistics file: complete or not there.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::stats::Summary;

/// A statistics file to be: opened before the run, so that a wrong path is known in time, and
/// renamed into place once it is complete.
#[derive(Debug)]
pub struct StatsFile {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
}

impl StatsFile {
    /// Prepares to write `path`.
    pub fn create(path: &Path) -> Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let unfinished = PathBuf::from(name);
        let file = File::create(&unfinished)
            .with_context(|| format!("cannot create statistics file `{}`", path.display()))?;
        Ok(Self { path: path.to_owned(), unfinished, file })
    }

    /// Writes the summary as JSON.
    pub fn write(mut self, summary: &Summary) -> Result<()> {
        let mut text = serde_json::to_string_pretty(summary)?;
        text.push('\n');
        let written = self.file.write_all(text.as_bytes());
        written
            .and_then(|()| fs::rename(&self.unfinished, &self.path))
            .with_context(|| format!("cannot write statistics to `{}`", self.path.display()))
    }
}
