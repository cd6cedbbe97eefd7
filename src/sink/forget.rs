//! Takes records out of the results of a run that has ended, so that a later one makes them anew.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::journal::{Lines, replace};
use super::lock;
use super::record::Record;

/// Leaves out the records of these tasks; the file is replaced once the new one is on the disk.
pub fn forget(path: &Path, tasks: &BTreeSet<u128>) -> Result<()> {
    let cannot = || format!("cannot write results file `{}`", path.display());
    let file =
        lock::open(path, OpenOptions::new().read(true).append(true)).with_context(cannot)??;
    replace(&file, path, |new| {
        let mut lines = Lines::new(&file, path)?;
        let mut writer = BufWriter::new(new);
        while lines.advance()? {
            // A torn end goes as well.
            let Ok(record) = Record::read(&lines.line) else { continue };
            if !tasks.contains(&record.id) {
                writer.write_all(&lines.line).with_context(cannot)?;
            }
        }
        writer.flush().with_context(cannot)
    })?;
    Ok(())
}
