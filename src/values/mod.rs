//! Values that are too large for records: written by the rank that made them, into files of its
//! own in a folder; the record names the file, and the place, size and digest of its value there.
//!
//! Values share files, one after the other, as many files as a rank writes at once: a file for
//! each value would be millions of them, which shared file systems bear badly.
//!
//! **Invariant:** a record names only what is whole and, unless nothing is to be synced, on the
//! disk: a value is written, brought there and only then named. What a rank leaves half-written
//! when it dies is named by nobody.

mod shared;
mod writer;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

pub use shared::{Marker, View};
pub use writer::{Stored, Writer};

/// Values up to this size in bytes stay in their records.
pub const LARGEST_IN_RECORD: usize = 64 << 10;
/// A file of so many bytes gets no further value: it is not to grow without end.
const FULL: u64 = 1 << 30;

/// Where the values of a run go; crosses to every rank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The folder.
    pub folder: PathBuf,
    /// Whether a value is on the disk before its record is written.
    pub sync: bool,
}

/// The files of a rank.
#[derive(Debug)]
pub struct Values {
    config: Option<Config>,
    /// What the names of its files begin with.
    owner: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<Segment>,
    n_files: u32,
}

/// A file of values, with one writer at a time.
#[derive(Debug)]
struct Segment {
    file: File,
    folder: PathBuf,
    suffix: &'static str,
    path: PathBuf,
    length: u64,
}

impl Values {
    /// Files of this process, which is `rank` on `host`; without `config`, values stay in their
    /// records but for those that have a folder of their own.
    pub fn new(config: Option<Config>, host: &str, rank: u32) -> Self {
        let host = host.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        let owner = format!("{host}-rank{rank}-pid{}", std::process::id());
        Self { config, owner, state: Mutex::default() }
    }

    /// Where values go that have no folder of their own.
    pub fn folder(&self) -> Option<&Path> {
        self.config.as_ref().map(|config| config.folder.as_path())
    }

    fn syncs(&self) -> bool {
        self.config.as_ref().is_none_or(|config| config.sync)
    }

    /// Begins a value in `folder`, in a file whose name ends with `suffix`.
    pub fn begin(&self, folder: &Path, suffix: &'static str) -> io::Result<Writer<'_>> {
        let segment = self.take(folder, suffix).map_err(|error| about(folder, &error))?;
        Ok(Writer::new(self, segment))
    }

    fn take(&self, folder: &Path, suffix: &'static str) -> io::Result<Segment> {
        let mut state = self.state.lock().expect("no holder panics");
        let fits = |segment: &Segment| segment.suffix == suffix && segment.folder == folder;
        if let Some(idx) = state.free.iter().position(fits) {
            return Ok(state.free.swap_remove(idx));
        }
        std::fs::create_dir_all(folder)?;
        loop {
            let path = folder.join(format!("{}-{}.{suffix}", self.owner, state.n_files));
            state.n_files += 1;
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => {
                    if self.syncs() {
                        File::open(folder)?.sync_all()?;
                    }
                    return Ok(Segment { file, folder: folder.into(), suffix, path, length: 0 });
                }
                // Of an earlier process with this number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a file back, for the next value.
    fn give_back(&self, segment: Segment) {
        if segment.length < FULL {
            self.state.lock().expect("no holder panics").free.push(segment);
        }
    }
}

/// An error with the path that it is about.
fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_128;

    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("rp-values-{name}-{}", std::process::id()))
    }

    fn store(values: &Values, folder: &Path, parts: &[&[u8]]) -> Stored {
        let mut writer = values.begin(folder, "value").unwrap();
        for part in parts {
            writer.write(part).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn values_share_a_file_one_after_the_other() {
        let folder = folder("share");
        let values = Values::new(None, "a/b c", 3);
        let first = store(&values, &folder, &[b"ab", b"cd"]);
        let second = store(&values, &folder, &[b"efg"]);
        let open = values.begin(&folder, "value").unwrap();
        let third = store(&values, &folder, &[b"h"]);
        drop(open);
        assert_eq!(std::fs::read(&first.path).unwrap(), b"abcdefg");
        assert_eq!((first.offset, first.bytes, first.digest), (0, 4, xxh3_128(b"abcd")));
        assert_eq!((second.offset, second.bytes, &second.path), (4, 3, &first.path));
        assert_ne!(third.path, first.path);
        let name = first.path.file_name().unwrap().to_str().unwrap();
        assert_eq!(name, format!("a-b-c-rank3-pid{}-0.value", std::process::id()));
        // Another process with the same number.
        let later = store(&Values::new(None, "a/b c", 3), &folder, &[b"x"]);
        assert!(later.path != first.path && later.path != third.path);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_not_finished_leaves_nothing_behind() {
        let folder = folder("torn");
        let values = Values::new(None, "h", 0);
        let first = store(&values, &folder, &[b"abc"]);
        let mut torn = values.begin(&folder, "value").unwrap();
        torn.write(b"never").unwrap();
        drop(torn);
        let next = store(&values, &folder, &[b"de"]);
        assert_eq!((next.offset, &next.path), (3, &first.path));
        assert_eq!(std::fs::read(&first.path).unwrap(), b"abcde");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn errors_name_the_place() {
        let file = folder("file");
        std::fs::write(&file, "").unwrap();
        let error = Values::new(None, "h", 0).begin(&file.join("x"), "value").unwrap_err();
        assert!(error.to_string().starts_with(&format!("`{}", file.display())), "{error}");
        std::fs::remove_file(file).unwrap();
    }
}
