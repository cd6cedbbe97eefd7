//! What the records of an earlier run name: read again from the results file, a part at a time,
//! as the journal's ids alone do not tell.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Take};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::follow::Named;

/// Bytes of records that are read in one go.
const AT_A_TIME: u64 = 1 << 20;
/// What a record has that names tasks.
const MARK: &str = ",\"then\":[";

/// The records that an earlier run left.
#[derive(Debug)]
pub(super) struct Records {
    reader: Take<BufReader<File>>,
    line: Vec<u8>,
}

#[derive(Deserialize)]
struct Record {
    status: String,
    input: Value,
    output: Option<Output>,
}

#[derive(Deserialize)]
struct Output {
    then: Option<Vec<Value>>,
}

impl Records {
    /// Those that are in `results` now; what is written from now on is none of them.
    pub(super) fn open(results: &Path) -> Result<Self> {
        let cannot = || format!("cannot read results file `{}`", results.display());
        let file = File::open(results).with_context(cannot)?;
        let length = file.metadata().with_context(cannot)?.len();
        Ok(Self { reader: BufReader::new(file).take(length), line: Vec::new() })
    }

    /// What the next records name; `None` at the end.
    pub(super) fn read(&mut self) -> Result<Option<Vec<Named>>> {
        let mut named = Vec::new();
        let start = self.reader.limit();
        while start - self.reader.limit() < AT_A_TIME {
            self.line.clear();
            let read = self.reader.read_until(b'\n', &mut self.line);
            if read.context("cannot read an earlier run's results")? == 0 {
                return Ok((self.reader.limit() < start).then_some(named));
            }
            named.extend(of_line(&self.line));
        }
        Ok(Some(named))
    }
}

/// What a record names, if it is one that does.
fn of_line(line: &[u8]) -> Option<Named> {
    std::str::from_utf8(line).is_ok_and(|text| text.contains(MARK)).then_some(())?;
    let Record { status, input, output } = serde_json::from_slice(line).ok()?;
    let then = output?.then.filter(|_| status == "ok")?;
    Some(Named { of: input, then })
}
