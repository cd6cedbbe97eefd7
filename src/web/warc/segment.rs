//! Segment files: named, begun with a `warcinfo`, appended to, followed by the next.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Result, bail};

use super::gzip::Gzip;
use super::{Config, Location, record, scan};
use crate::web::shards::{self, Appender, Earlier};

const END: &str = ".warc.gz";
const WHAT: &str = "archive";

/// One rank's segments.
#[derive(Debug)]
pub(super) struct Segments {
    config: Config,
    /// What was cut off earlier segments.
    pub(super) mended: Vec<String>,
    /// The number of the next one.
    next: u32,
    current: Option<Segment>,
}

#[derive(Debug)]
struct Segment {
    name: String,
    file: Appender,
}

impl Segments {
    /// Looks at what is there; the first segment of this run begins with the first record.
    pub(super) fn open(config: Config) -> Result<Self> {
        let found = shards::found(&config.prefix, numbers)?;
        // Other ranks may have begun already.
        let own = found.iter().find(|((rank, _), _)| !config.resume && *rank == config.rank);
        if let Some((_, path)) = own {
            bail!(shards::exists(WHAT, path));
        }
        let (mut next, mut mended) = (0, Vec::new());
        for (idx, ((rank, number), path)) in found.iter().enumerate() {
            if *rank == config.rank {
                next = number + 1;
            }
            let is_last = found.get(idx + 1).is_none_or(|((next, _), _)| next != rank);
            if is_last && rank % config.ranks.max(1) == config.rank {
                mended.extend(shards::mend(path, |file| scan::whole_members(file))?);
            }
        }
        Ok(Self { config, mended, next, current: None })
    }

    /// Appends the members of a capture, the first of them of `first` bytes, and says where that
    /// one stands. Where the disk does not take all of them, it takes none. `now` is told by a
    /// new segment's `warcinfo`.
    pub(super) fn append(
        &mut self,
        members: &[u8],
        first: u64,
        now: SystemTime,
        gzip: &mut Gzip,
    ) -> Result<Location> {
        let (limit, more) = (self.config.segment_size, members.len() as u64);
        let is_full = |segment: &mut Segment| segment.file.length.saturating_add(more) > limit;
        if let Some(full) = self.current.take_if(is_full) {
            full.file.sync()?;
        }
        let segment = match &mut self.current {
            Some(segment) => segment,
            none => {
                let begun = Segment::begin(&self.config, self.next, now, gzip)?;
                self.next += 1;
                none.insert(begun)
            }
        };
        let offset = segment.file.length;
        segment.file.append(members)?;
        Ok(Location { file: segment.name.clone(), offset, length: first })
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        self.current.as_ref().map_or(Ok(()), |segment| segment.file.sync())
    }
}

impl Segment {
    fn begin(config: &Config, number: u32, now: SystemTime, gzip: &mut Gzip) -> Result<Self> {
        let rest = format!("-r{:04}-{number:05}{END}", config.rank);
        let path = shards::named(&config.prefix, &rest);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut file = Appender::create(WHAT, path)?;
        let mut info = Vec::new();
        record::info(now, &name, &config.info, gzip, &mut info);
        file.append(&info)?;
        Ok(Self { name, file })
    }
}

/// Deals with the segments that an earlier run has left, before any rank writes.
pub(super) fn prepare(prefix: &Path, earlier: Earlier) -> Result<Vec<String>> {
    let found = shards::found(prefix, numbers)?;
    let files: Vec<PathBuf> = found.into_iter().map(|(_, path)| path).collect();
    shards::prepare(WHAT, &files, earlier, |file| scan::whole_members(file))
}

/// Rank and number out of `-r0003-00000.warc.gz`.
fn numbers(rest: &str) -> Option<(u32, u32)> {
    let (rank, number) = rest.strip_prefix("-r")?.strip_suffix(END)?.split_once('-')?;
    Some((shards::number(rank)?, shards::number(number)?))
}
