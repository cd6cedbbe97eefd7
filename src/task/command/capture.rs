//! What a command prints: kept up to a limit; what is longer goes to a file where there is a
//! folder for that, and else is cut.
//!
//! **Invariant:** a file belongs to one command at a time, so that what it printed lies there in
//! one piece.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::json;

/// Bytes of the end that are remembered where the rest is in a file or cut: for the last line.
const TAIL: usize = 512;

/// The files of a rank for outputs that are too long for records.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    /// The stream's name.
    stream: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<Spool>,
    n_files: u32,
}

#[derive(Debug)]
struct Spool {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Files {
    /// Files of `stream` in `folder`, made when they are needed.
    pub(super) fn new(folder: &Path, stream: &'static str) -> Self {
        Self { folder: folder.to_owned(), stream, state: Mutex::default() }
    }

    fn take(&self, rank: u32) -> io::Result<Spool> {
        let mut state = self.state.lock().expect("no holder panics");
        if let Some(spool) = state.free.pop() {
            return Ok(spool);
        }
        std::fs::create_dir_all(&self.folder)?;
        loop {
            let (pid, n) = (std::process::id(), state.n_files);
            state.n_files += 1;
            let path = self.folder.join(format!("rank{rank}-pid{pid}-{n}.{}", self.stream));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Spool { file, path, length: 0 }),
                // Of an earlier process with this number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn give_back(&self, spool: Spool) {
        self.state.lock().expect("no holder panics").free.push(spool);
    }
}

/// One stream of one command.
pub(super) struct Capture<'a> {
    limit: usize,
    files: Option<&'a Files>,
    rank: u32,
    kept: Vec<u8>,
    tail: Vec<u8>,
    total: u64,
    /// The file, and where this output begins.
    spool: Option<(Spool, u64)>,
}

impl<'a> Capture<'a> {
    /// Nothing yet; up to `limit` bytes stay in memory.
    pub(super) fn new(limit: usize, files: Option<&'a Files>, rank: u32) -> Self {
        Self { limit, files, rank, kept: Vec::new(), tail: Vec::new(), total: 0, spool: None }
    }

    /// Takes what was printed next.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.total += bytes.len() as u64;
        let room = self.limit - self.kept.len().min(self.limit);
        if self.spool.is_none() && bytes.len() <= room {
            self.kept.extend_from_slice(bytes);
            return Ok(());
        }
        self.tail.extend_from_slice(bytes);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        let Some(files) = self.files else {
            self.kept.extend_from_slice(&bytes[..room.min(bytes.len())]);
            return Ok(());
        };
        if self.spool.is_none() {
            let spool = files.take(self.rank)?;
            let start = spool.length;
            self.spool = Some((spool, start));
            let kept = std::mem::take(&mut self.kept);
            self.write(&kept)?;
        }
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (spool, _) = self.spool.as_mut().expect("it was just opened");
        spool.file.write_all(bytes)?;
        spool.length += bytes.len() as u64;
        Ok(())
    }

    /// The last line that says something.
    pub(super) fn last_line(&self) -> Option<String> {
        let end = if self.tail.is_empty() { &self.kept } else { &self.tail };
        let end = String::from_utf8_lossy(&end[end.len().saturating_sub(TAIL)..]);
        let line = end.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        Some(line.replace(char::is_control, " "))
    }

    /// Appends `,"stdout":"…"`, or whatever there is to say in its place.
    pub(super) fn put(&self, stream: &str, record: &mut Vec<u8>) {
        let member = |record: &mut Vec<u8>, suffix: &str| {
            record.extend_from_slice(format!(",\"{stream}{suffix}\":").as_bytes());
        };
        let bytes = |record: &mut Vec<u8>| {
            member(record, "_bytes");
            json::put_exact(record, self.total);
        };
        if let Some((spool, start)) = &self.spool {
            member(record, "_file");
            json::put_text(record, &spool.path.to_string_lossy());
            member(record, "_offset");
            json::put_exact(record, *start);
            bytes(record);
            return;
        }
        let is_cut = self.total > self.kept.len() as u64;
        if let Some(text) = text(&self.kept, is_cut) {
            member(record, "");
            json::put_text(record, text);
        } else {
            member(record, "_base64");
            json::put_text(record, &BASE64_STANDARD.encode(&self.kept));
        }
        if is_cut {
            bytes(record);
            member(record, "_cut");
            record.extend_from_slice(b"true");
        }
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        if let (Some(files), Some((spool, _))) = (self.files, self.spool.take()) {
            files.give_back(spool);
        }
    }
}

/// The bytes as text, if they are; a character that the limit cut is left out.
fn text(bytes: &[u8], is_cut: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if is_cut && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(capture: &Capture<'_>) -> serde_json::Value {
        let mut record = b"{\"x\":0".to_vec();
        capture.put("out", &mut record);
        record.push(b'}');
        let mut value: serde_json::Value = serde_json::from_slice(&record).unwrap();
        value.as_object_mut().unwrap().remove("x");
        value
    }

    #[track_caller]
    fn check(limit: usize, parts: &[&[u8]], expected: &serde_json::Value, last: Option<&str>) {
        let mut capture = Capture::new(limit, None, 0);
        for part in parts {
            capture.take(part).unwrap();
        }
        assert_eq!(put(&capture), *expected);
        assert_eq!(capture.last_line().as_deref(), last);
    }

    #[test]
    fn text_is_kept_up_to_the_limit() {
        use serde_json::json;
        check(9, &[], &json!({"out": ""}), None);
        check(9, &[b"a\n", b"b \n\n"], &json!({"out": "a\nb \n\n"}), Some("b"));
        check(2, &[b"a", b"b"], &json!({"out": "ab"}), Some("ab"));
        check(2, &[b"abc"], &json!({"out": "ab", "out_bytes": 3, "out_cut": true}), Some("abc"));
        check(0, &[b"a\n"], &json!({"out": "", "out_bytes": 2, "out_cut": true}), Some("a"));
        let cut = json!({"out": "a", "out_bytes": 3, "out_cut": true});
        check(2, &["aé".as_bytes()], &cut, Some("aé"));
        check(9, &[b"\xff\x00"], &json!({"out_base64": "/wA="}), Some("\u{fffd} "));
    }

    #[test]
    fn long_outputs_share_a_file_one_after_the_other() {
        let folder = std::env::temp_dir().join(format!("rp-capture-{}", std::process::id()));
        let files = Files::new(&folder.join("sub"), "out");
        let mut first = Capture::new(3, Some(&files), 2);
        first.take(b"ab").unwrap();
        first.take(b"cd").unwrap();
        let value = put(&first);
        drop(first);
        let mut second = Capture::new(3, Some(&files), 2);
        let mut third = Capture::new(3, Some(&files), 2);
        second.take(b"12345").unwrap();
        third.take(b"xyz!").unwrap();
        second.take(b"6").unwrap();
        let path = value["out_file"].as_str().unwrap();
        assert_eq!((&value["out_offset"], &value["out_bytes"]), (&0.into(), &4.into()));
        let value = put(&second);
        assert_eq!(value["out_file"], path);
        assert_eq!((&value["out_offset"], &value["out_bytes"]), (&4.into(), &6.into()));
        assert_ne!(put(&third)["out_file"], path);
        assert_eq!(std::fs::read(path).unwrap(), b"abcd123456");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
