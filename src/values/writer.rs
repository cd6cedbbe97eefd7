//! One value on its way into a file.

use std::io::{self, Write as _};
use std::path::PathBuf;

use xxhash_rust::xxh3::Xxh3Default;

use super::{Segment, Values, about};
use crate::json;
use crate::task::id_digits;

/// A value that is being written. Dropped before its end, it leaves nothing behind.
pub struct Writer<'a> {
    values: &'a Values,
    /// Until it is given back.
    segment: Option<Segment>,
    start: u64,
    digest: Xxh3Default,
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The file, by its absolute path on the host that wrote it.
    pub path: PathBuf,
    /// Where the value begins in it.
    pub offset: u64,
    /// Its size.
    pub bytes: u64,
    /// XXH3-128 of its bytes.
    pub digest: u128,
}

impl<'a> Writer<'a> {
    pub(super) fn new(values: &'a Values, segment: Segment) -> Self {
        let start = segment.length;
        Self { values, segment: Some(segment), start, digest: Xxh3Default::new() }
    }

    fn segment(&mut self) -> &mut Segment {
        self.segment.as_mut().expect("it is given back at the end")
    }

    /// Appends to the value.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        let segment = self.segment();
        segment.file.write_all(bytes).map_err(|error| about(&segment.path, &error))?;
        segment.length += bytes.len() as u64;
        Ok(())
    }

    /// Brings the value to the disk; from here on a record may name it.
    pub fn finish(mut self) -> io::Result<Stored> {
        let (start, digest, syncs) = (self.start, self.digest.digest128(), self.values.syncs());
        let segment = self.segment();
        if syncs {
            segment.file.sync_data().map_err(|error| about(&segment.path, &error))?;
        }
        let (path, bytes) = (segment.path.clone(), segment.length - start);
        self.values.give_back(self.segment.take().expect("it was just used"));
        Ok(Stored { path, offset: start, bytes, digest })
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        let Some(mut segment) = self.segment.take() else { return };
        // A file that cannot be cut gets no further value.
        if segment.file.set_len(self.start).is_ok() {
            segment.length = self.start;
            self.values.give_back(segment);
        }
    }
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("segment", &self.segment).finish_non_exhaustive()
    }
}

impl Stored {
    /// Appends `"NAME_file":"…","NAME_offset":0,"NAME_bytes":4,"NAME_digest":"xxh3:…"`.
    pub fn put(&self, name: &str, record: &mut Vec<u8>) {
        record.extend_from_slice(format!("\"{name}_file\":").as_bytes());
        json::put_text(record, &self.path.to_string_lossy());
        record.extend_from_slice(format!(",\"{name}_offset\":").as_bytes());
        json::put_exact(record, self.offset);
        record.extend_from_slice(format!(",\"{name}_bytes\":").as_bytes());
        json::put_exact(record, self.bytes);
        record.extend_from_slice(format!(",\"{name}_digest\":\"xxh3:").as_bytes());
        record.extend_from_slice(&id_digits(self.digest));
        record.push(b'"');
    }
}
