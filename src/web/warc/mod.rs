//! Archives: WARC 1.1 (ISO 28500:2017), each record a gzip member of its own (Annex D), in
//! segment files that one rank writes by itself: `PREFIX-r0003-00000.warc.gz`.
//!
//! A capture is a `response`, or a `revisit` where the same payload is archived already, then its
//! `request` and its `metadata`, in one piece. A `response` holds the head as it was received
//! and the body with its content coding but without transfer coding, which is what readers and
//! validators take the payload digest of (they disagree about bodies in chunks). Where there was
//! a transfer coding, the head says so as in the archives of Common Crawl:
//! `X-Crawler-Transfer-Encoding` instead of `Transfer-Encoding`, and a `Content-Length`.
//! Credentials, in addresses or headers, are left out.
//!
//! An archive that a killed run left is gone on with: what follows the last whole record is cut
//! off, and a new segment begins, which says in its `warcinfo` who wrote it.
//!
//! **Invariant:** a segment file is a sequence of whole records at any time, but for the last
//! write of a process that is being killed; a write that fails is taken back.

mod gzip;
mod head;
mod record;
mod scan;
mod segment;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::Result;
use url::Url;

use self::gzip::Gzip;
pub use self::gzip::Level;
pub use self::record::payload_digest;
use self::segment::Segments;
use super::http::Exchange;
use super::shards::Earlier;

/// How archives are written.
#[derive(Clone, Debug)]
pub struct Config {
    /// Path of the segment files up to `-r0003-00000.warc.gz`.
    pub prefix: PathBuf,
    /// Whose segments are written.
    pub rank: u32,
    /// How many ranks write: what ranks beyond them left is mended by those that are there.
    pub ranks: u32,
    /// Goes on with an earlier run's archive; without, one that is there is an error.
    pub resume: bool,
    /// Bytes after which a segment is followed by another.
    pub segment_size: u64,
    /// How hard to compress.
    pub level: Level,
    /// More fields of each segment's `warcinfo`: `operator`, `robots`, `hostname`,
    /// `http-header-user-agent`; `software`, `format` and `conformsTo` are there already.
    pub info: Vec<(String, String)>,
}

/// The usual size of a segment.
pub const SEGMENT_SIZE: u64 = 1_000_000_000;

/// What is archived of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Capture<'a> {
    /// What was asked for.
    pub url: &'a Url,
    /// What was sent and received.
    pub exchange: &'a Exchange,
    /// [`payload_digest`] of the exchange's `wire`.
    pub payload_digest: &'a str,
    /// The type that was found by looking into the body, not the header's word.
    pub identified_type: Option<&'a str>,
    /// Where the same payload is archived already.
    pub duplicate_of: Option<&'a Original>,
    /// Fields of the `metadata` record: `via`, `hopsFromSeed`; `fetchTimeMs` is there already.
    pub metadata: &'a [(&'a str, &'a str)],
}

/// An archived response that later ones refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// What was asked for.
    pub url: String,
    /// When.
    pub started: SystemTime,
}

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Name of the segment file, without its folder.
    pub file: String,
    /// Where the record's gzip member begins.
    pub offset: u64,
    /// Bytes of that member.
    pub length: u64,
}

/// One rank's archive; for any number of threads at once.
#[derive(Debug)]
pub struct Warc {
    segments: Mutex<Segments>,
    /// Compressors at rest: making one costs more than many a record.
    gzips: Mutex<Vec<Gzip>>,
    level: Level,
}

impl Warc {
    /// A new archive, or an earlier run's. Errors name the file.
    pub fn open(config: Config) -> Result<Self> {
        let level = config.level;
        let segments = Mutex::new(Segments::open(config)?);
        Ok(Self { segments, gzips: Mutex::default(), level })
    }

    /// What was cut off the files of an earlier run that was killed, in lines for people.
    pub fn mended(&self) -> Vec<String> {
        self.segments().mended.clone()
    }

    /// Archives one exchange; where its `response` or `revisit` stands.
    pub fn capture(&self, capture: &Capture<'_>) -> Result<Location> {
        let resting = || self.gzips.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = resting().pop();
        let mut gzip = idle.unwrap_or_else(|| Gzip::new(self.level));
        let mut members = Vec::with_capacity(capture.exchange.wire.len() / 2 + 2048);
        let first = record::capture(capture, &mut gzip, &mut members);
        let now = capture.exchange.started;
        let location = self.segments().append(&members, first as u64, now, &mut gzip);
        resting().push(gzip);
        location
    }

    /// Brings everything to the disk.
    pub fn finish(&self) -> Result<()> {
        self.segments().finish()
    }

    fn segments(&self) -> MutexGuard<'_, Segments> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deals with the segments that an earlier run has left, before any rank writes; what was cut off
/// them, in lines for people.
pub fn prepare(prefix: &Path, earlier: Earlier) -> Result<Vec<String>> {
    segment::prepare(prefix, earlier)
}

#[cfg(test)]
mod tests;
