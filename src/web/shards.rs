//! Files that each rank writes by itself, beside those of the others: `PREFIX-r0003…`.
//!
//! **Invariant:** a file ends with a whole record at any time, but for the last write of a
//! process that is being killed; a write that fails is taken back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// A file that whole records are appended to.
#[derive(Debug)]
pub(super) struct Appender {
    what: &'static str,
    pub(super) path: PathBuf,
    file: File,
    /// Bytes in it, all of them whole records.
    pub(super) length: u64,
}

impl Appender {
    /// A new file; `what` it is, in messages.
    pub(super) fn create(what: &'static str, path: PathBuf) -> Result<Self> {
        let opened = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = opened.with_context(|| format!("cannot create {what} `{}`", path.display()))?;
        Ok(Self { what, path, file, length: 0 })
    }

    /// A file that is there, or a new one.
    pub(super) fn go_on(what: &'static str, path: PathBuf) -> Result<Self> {
        let opened = OpenOptions::new().append(true).create(true).open(&path);
        let opened = opened.and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) =
            opened.with_context(|| format!("cannot go on with {what} `{}`", path.display()))?;
        Ok(Self { what, path, file, length })
    }

    /// Appends whole records. Where the disk does not take all of them, it takes none.
    pub(super) fn append(&mut self, records: &[u8]) -> Result<()> {
        let result = write_all(&self.file, records);
        if result.is_ok() {
            self.length += records.len() as u64;
        } else {
            // Should this fail too, whoever opens the file again cuts the rest.
            let _ = self.file.set_len(self.length);
        }
        result.with_context(|| {
            let path = self.path.display();
            format!("cannot write {} `{path}`; its records so far are whole", self.what)
        })
    }

    /// Brings everything to the disk.
    pub(super) fn sync(&self) -> Result<()> {
        let synced = self.file.sync_data();
        synced.with_context(|| {
            format!("cannot bring {} `{}` to the disk", self.what, self.path.display())
        })
    }
}

fn write_all(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// `prefix` with more at its end.
pub(super) fn named(prefix: &Path, rest: &str) -> PathBuf {
    let mut path = prefix.to_owned().into_os_string();
    path.push(rest);
    path.into()
}

/// The files whose path begins with `prefix` and ends with what `parse` knows, sorted by what
/// it makes of that.
pub(super) fn found<T: Ord>(
    prefix: &Path,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<(T, PathBuf)>> {
    let folder = prefix.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let what = || format!("cannot look into `{}` for what earlier runs wrote", folder.display());
    let stem = prefix.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(what)? {
        let path = entry.with_context(what)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(parsed) = name.strip_prefix(&stem).and_then(&parse) {
            found.push((parsed, path));
        }
    }
    found.sort();
    Ok(found)
}

/// What is to become of files that an earlier run has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// They are not touched: it is an error that there are any.
    Refuse,
    /// They are removed.
    Replace,
    /// They are gone on with: what a kill has torn is cut.
    Mend,
}

/// Deals with an earlier run's files before any rank writes; what was cut, in lines for people.
pub(super) fn prepare(
    what: &str,
    files: &[PathBuf],
    earlier: Earlier,
    whole: impl Fn(&File) -> io::Result<u64>,
) -> Result<Vec<String>> {
    let mut mended = Vec::new();
    for path in files {
        match earlier {
            Earlier::Refuse => bail!(exists(what, path)),
            Earlier::Replace => {
                let removed = fs::remove_file(path);
                removed.with_context(|| format!("cannot replace {what} `{}`", path.display()))?;
            }
            Earlier::Mend => mended.extend(mend(path, &whole)?),
        }
    }
    Ok(mended)
}

pub(super) fn exists(what: &str, path: &Path) -> String {
    let path = path.display();
    format!(
        "{what} `{path}` exists; `--resume` goes on with it, `--overwrite` replaces it, another \
         name writes elsewhere"
    )
}

/// The digits of a rank or of a segment.
pub(super) fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Cuts what follows the last whole record, where `whole` says how many bytes are; what was
/// cut, in a line for people, if anything was.
pub(super) fn mend(
    path: &Path,
    whole: impl FnOnce(&File) -> io::Result<u64>,
) -> Result<Option<String>> {
    let what = || format!("cannot go on with `{}`", path.display());
    let file = OpenOptions::new().read(true).write(true).open(path).with_context(what)?;
    let length = file.metadata().with_context(what)?.len();
    let whole = whole(&file).with_context(what)?;
    if whole == length {
        return Ok(None);
    }
    file.set_len(whole).with_context(what)?;
    Ok(Some(format!("`{}`: cut {} bytes of a torn record", path.display(), length - whole)))
}
