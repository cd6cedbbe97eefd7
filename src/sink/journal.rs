//! The results file as a journal: what an earlier run left in it, and its clean-up.
//!
//! A run that goes on reads the whole file ([`Journal::read`]), cuts a torn end, has what runs
//! again taken out ([`rewrite`]), and appends. So the order of the job holds for what one run
//! wrote, not for the file as a whole.
//!
//! **Invariant:** a file that this job cannot go on with is not touched; one that it can never
//! loses a whole record of an output, whenever the process ends.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::file::sync_folder;
use super::lock;
use super::record::{Record, Wrong};
use crate::job::TableSpec;
use crate::root::{Done, Ids, Records};

const CHUNK: usize = 1 << 20;

/// What becomes of a file that cannot be gone on with.
const WAY_OUT: &str =
    "`--output FILE` writes elsewhere, `--overwrite` instead of resuming replaces it";

/// What a results file holds.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) records: Records,
    /// Bytes of its whole records.
    pub(super) length: u64,
    /// Bytes that follow these: what a crash left of a record.
    pub(super) torn: u64,
}

impl Journal {
    /// Reads a file, a record at a time, and refuses one that the job's tables cannot go on
    /// with. What it keeps of a record while it reads are 16 bytes.
    pub(super) fn read(file: &File, path: &Path, tables: &[TableSpec]) -> Result<Self> {
        let mut forms = Forms { tables, path, known: Vec::new() };
        let (mut ok, mut failed) = (Vec::new(), Vec::new());
        let mut lines = Lines::new(file, path)?;
        let mut torn = 0;
        while lines.advance()? {
            match Record::read(&lines.line) {
                Ok(record) => {
                    forms.check(&record, &lines)?;
                    if record.is_ok { &mut ok } else { &mut failed }.push(record.id);
                }
                Err(wrong) => {
                    lines.end_at(&wrong)?;
                    torn = lines.line.len() as u64;
                }
            }
        }
        let n_read = (ok.len() + failed.len()) as u64;
        let ok = Ids::new(ok);
        let failed = Ids::new(failed).without(&ok);
        let n_repeated = n_read - (ok.len() + failed.len()) as u64;
        let records = Records { ok, failed, by_kind: forms.by_kind(), n_repeated };
        Ok(Self { records, length: lines.position - torn, torn })
    }
}

/// The lines of a results file.
pub(super) struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<&'a File>,
    pub(super) line: Vec<u8>,
    /// Of the last line, from 1.
    number: u64,
    /// Where it ends.
    position: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(file: &'a File, path: &'a Path) -> Result<Self> {
        let mut reader = BufReader::with_capacity(CHUNK, file);
        reader.rewind().with_context(|| cannot_read(path))?;
        Ok(Self { path, reader, line: Vec::new(), number: 0, position: 0 })
    }

    /// Goes on to the next line, if there is one.
    pub(super) fn advance(&mut self) -> Result<bool> {
        self.line.clear();
        let n = self.reader.read_until(b'\n', &mut self.line);
        let n = n.with_context(|| cannot_read(self.path))?;
        self.number += 1;
        self.position += n as u64;
        Ok(n > 0)
    }

    /// Refuses the file, unless its last line alone is no record because it is torn.
    fn end_at(&mut self, wrong: &Wrong) -> Result<()> {
        let (name, number) = (self.path.display(), self.number);
        let is_last = self.reader.fill_buf().with_context(|| cannot_read(self.path))?.is_empty();
        // Not much of a single line tells whose it is; it must at least begin like a record.
        let may_be_ours = number > 1 || Record::may_begin(&self.line);
        let reason = match wrong {
            Wrong::Torn if is_last && may_be_ours => return Ok(()),
            Wrong::Torn => "it is no JSON",
            Wrong::Foreign(reason) => reason,
        };
        bail!("{name}:{number}: no record of rankpool, {reason}; {WAY_OUT}")
    }
}

/// Checks that records are such as this job's tables give, and counts them.
struct Forms<'a> {
    tables: &'a [TableSpec],
    path: &'a Path,
    known: Vec<Known>,
}

/// Records of one kind and one form, which were found to be right.
struct Known {
    kind: String,
    form: u64,
    /// How many are ok and how many failed.
    counts: [u64; 2],
}

impl Forms<'_> {
    fn check(&mut self, record: &Record<'_>, lines: &Lines<'_>) -> Result<()> {
        let is_of = |known: &Known| known.kind == record.kind && known.form == record.form;
        let place = if let Some(place) = self.known.iter().position(is_of) {
            place
        } else {
            self.check_form(record, lines)?;
            let kind = record.kind.clone().into_owned();
            self.known.push(Known { kind, form: record.form, counts: [0; 2] });
            self.known.len() - 1
        };
        self.known[place].counts[usize::from(!record.is_ok)] += 1;
        Ok(())
    }

    fn check_form(&self, record: &Record<'_>, lines: &Lines<'_>) -> Result<()> {
        let (name, number, kind) = (self.path.display(), lines.number, &record.kind);
        let is_of_kind = |table: &&TableSpec| table.kind.name() == record.kind;
        let tables: Vec<_> = self.tables.iter().filter(is_of_kind).collect();
        if tables.is_empty() {
            bail!("{name}: records of kind `{kind}`, which this job has not; {WAY_OUT}")
        }
        if !record.is_ok {
            return Ok(());
        }
        let value: Value = serde_json::from_slice(&lines.line)?;
        let fits = |table: &&TableSpec| table.kind.fits(&table.plan.options, &value["output"]);
        let answers: Vec<_> = tables.iter().map(fits).collect();
        if answers.iter().any(|answer| matches!(answer, Ok(true))) {
            return Ok(());
        }
        match answers.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some(difference) => {
                bail!("{name}:{number}: a record of kind `{kind}` {difference:#}; {WAY_OUT}")
            }
        }
    }

    fn by_kind(self) -> BTreeMap<String, [u64; 2]> {
        let mut by_kind = BTreeMap::<_, [u64; 2]>::new();
        for Known { kind, counts, .. } in self.known {
            let sums = by_kind.entry(kind).or_default();
            *sums = [sums[0] + counts[0], sums[1] + counts[1]];
        }
        by_kind
    }
}

/// Writes a file anew without the records whose tasks are run again and without those that
/// repeat another.
pub(super) fn rewrite(file: &File, path: &Path, done: &Done) -> Result<File> {
    replace(file, path, |new| copy(file, path, new, done))
}

/// Has a file written anew; it takes the place of the old one when it is complete and on the disk.
///
/// The new one is locked before it is found under its name.
pub(super) fn replace(
    file: &File,
    path: &Path,
    write: impl FnOnce(&File) -> Result<()>,
) -> Result<File> {
    // Through symbolic links: it is the file that is replaced.
    let path = &fs::canonicalize(path).with_context(|| cannot_read(path))?;
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let cannot = || format!("cannot write `{}`, which is to replace the results", part.display());
    let new = File::options().append(true).create(true).open(&part).with_context(cannot)?;
    lock::take(&new, &part)?;
    new.set_len(0).with_context(cannot)?;
    new.set_permissions(file.metadata()?.permissions()).with_context(cannot)?;
    let written = write(&new).and_then(|()| new.sync_all().with_context(cannot));
    if let Err(error) = written {
        // The old file is still there and whole.
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    fs::rename(&part, path).with_context(cannot)?;
    sync_folder(path);
    Ok(new)
}

fn copy(from: &File, path: &Path, to: &File, done: &Done) -> Result<()> {
    let Records { ok, failed, .. } = done.records();
    let mut seen = [vec![false; ok.len()], vec![false; failed.len()]];
    let mut lines = Lines::new(from, path)?;
    let mut writer = BufWriter::with_capacity(CHUNK, to);
    while lines.advance()? {
        let Ok(record) = Record::read(&lines.line) else {
            bail!("`{}` changes while it is read; is another program writing it?", path.display())
        };
        let place = if record.is_ok { ok } else { failed }.position(record.id);
        let is_first = place.is_some_and(|place| {
            !std::mem::replace(&mut seen[usize::from(!record.is_ok)][place], true)
        });
        if is_first && (record.is_ok || !done.runs_again(record.id)) {
            writer.write_all(&lines.line).context("cannot write results anew")?;
        }
    }
    writer.flush().context("cannot write results anew")
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read results file `{}`", path.display())
}
