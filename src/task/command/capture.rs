//! What a command prints: kept up to a limit; what is longer goes to a file where there is a
//! folder for that, and else is cut.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::json;
use crate::values::{Stored, Values, Writer};

/// Bytes of the end that are remembered where the rest is in a file or cut: for the last line.
pub(super) const TAIL: usize = 512;

/// One stream of one command.
pub(super) struct Capture<'a> {
    /// The stream's name.
    name: &'static str,
    limit: usize,
    /// Bytes of the end that are remembered in any case.
    n_last: usize,
    /// Where what is longer goes.
    files: Option<(&'a Values, &'a Path)>,
    kept: Vec<u8>,
    tail: Vec<u8>,
    total: u64,
    file: ToFile<'a>,
}

enum ToFile<'a> {
    None,
    Writing(Box<Writer<'a>>),
    Whole(Stored),
}

impl<'a> Capture<'a> {
    /// Nothing yet; up to `limit` bytes stay in memory, and in any case the last `n_last`.
    pub(super) fn new(
        name: &'static str,
        limit: usize,
        n_last: usize,
        files: Option<(&'a Values, &'a Path)>,
    ) -> Self {
        let (kept, tail) = (Vec::new(), Vec::new());
        Self { name, limit, n_last, files, kept, tail, total: 0, file: ToFile::None }
    }

    /// Takes what was printed next.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.total += bytes.len() as u64;
        let room = self.limit - self.kept.len().min(self.limit);
        let in_memory = matches!(self.file, ToFile::None);
        if in_memory && bytes.len() <= room {
            self.kept.extend_from_slice(bytes);
            return Ok(());
        }
        if self.tail.is_empty() {
            let start = self.kept.len().saturating_sub(self.n_last);
            self.tail.extend_from_slice(&self.kept[start..]);
        }
        self.tail.extend_from_slice(bytes);
        self.tail.drain(..self.tail.len().saturating_sub(self.n_last));
        let Some((values, folder)) = self.files else {
            self.kept.extend_from_slice(&bytes[..room.min(bytes.len())]);
            return Ok(());
        };
        if in_memory {
            let mut writer = values.begin(folder, self.name)?;
            writer.write(&std::mem::take(&mut self.kept))?;
            self.file = ToFile::Writing(Box::new(writer));
        }
        match &mut self.file {
            ToFile::Writing(writer) => writer.write(bytes),
            ToFile::None | ToFile::Whole(_) => unreachable!("it was just opened"),
        }
    }

    /// The command has ended: what went to a file is brought to the disk.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.file = match std::mem::replace(&mut self.file, ToFile::None) {
            ToFile::Writing(writer) => ToFile::Whole(writer.finish()?),
            other => other,
        };
        Ok(())
    }

    /// Its end, as far as it is remembered.
    pub(super) fn last(&self) -> &[u8] {
        if self.tail.is_empty() { &self.kept } else { &self.tail }
    }

    /// The last line that says something.
    pub(super) fn last_line(&self) -> Option<String> {
        let end = self.last();
        let end = String::from_utf8_lossy(&end[end.len().saturating_sub(TAIL)..]);
        let line = end.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        Some(line.replace(char::is_control, " "))
    }

    /// Appends `,"stdout":"…"`, or whatever there is to say in its place.
    pub(super) fn put(&self, record: &mut Vec<u8>) {
        if let ToFile::Whole(stored) = &self.file {
            record.push(b',');
            stored.put(self.name, record);
            return;
        }
        let member = |record: &mut Vec<u8>, suffix: &str| {
            record.extend_from_slice(format!(",\"{}{suffix}\":", self.name).as_bytes());
        };
        let is_cut = self.total > self.kept.len() as u64;
        if let Some(text) = text(&self.kept, is_cut) {
            member(record, "");
            json::put_text(record, text);
        } else {
            member(record, "_base64");
            json::put_text(record, &BASE64_STANDARD.encode(&self.kept));
        }
        if is_cut {
            member(record, "_bytes");
            json::put_exact(record, self.total);
            member(record, "_cut");
            record.extend_from_slice(b"true");
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
        capture.put(&mut record);
        record.push(b'}');
        let mut value: serde_json::Value = serde_json::from_slice(&record).unwrap();
        value.as_object_mut().unwrap().remove("x");
        value
    }

    #[track_caller]
    fn check(limit: usize, parts: &[&[u8]], expected: &serde_json::Value, last: Option<&str>) {
        let mut capture = Capture::new("out", limit, TAIL, None);
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
        let cut = json!({"out": "x\n", "out_bytes": 4, "out_cut": true});
        check(2, &[b"x\na", b"b"], &cut, Some("ab"));
        check(2, &[b"abc"], &json!({"out": "ab", "out_bytes": 3, "out_cut": true}), Some("abc"));
        check(0, &[b"a\n"], &json!({"out": "", "out_bytes": 2, "out_cut": true}), Some("a"));
        let cut = json!({"out": "a", "out_bytes": 3, "out_cut": true});
        check(2, &["aé".as_bytes()], &cut, Some("aé"));
        check(9, &[b"\xff\x00"], &json!({"out_base64": "/wA="}), Some("\u{fffd} "));
    }

    #[test]
    fn long_output_goes_to_a_file_and_what_has_no_end_nowhere() {
        let folder = std::env::temp_dir().join(format!("rp-capture-{}", std::process::id()));
        let values = Values::new(None, "h", 2);
        let files = Some((&values, folder.as_path()));
        let mut capture = Capture::new("out", 3, TAIL, files);
        for part in ["ab", "cd", "ef"] {
            capture.take(part.as_bytes()).unwrap();
        }
        capture.end().unwrap();
        let value = put(&capture);
        let path = value["out_file"].as_str().unwrap();
        assert_eq!((&value["out_offset"], &value["out_bytes"]), (&0.into(), &6.into()));
        let mut killed = Capture::new("out", 3, TAIL, files);
        killed.take(b"12345").unwrap();
        drop(killed);
        assert_eq!(std::fs::read(path).unwrap(), b"abcdef");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
