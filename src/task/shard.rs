//! One part of a job: the tasks that one of several runs of the same job takes.
//!
//! **Invariant:** a task's id alone decides which part it is in, so that every task is in just
//! one part, whatever else the job file names and in whatever order.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Account, Begin, Ended, Item, Next, Note, Recorded, Source, Work, id};

/// The `number`th of `of` parts, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: NonZeroU32,
    of: NonZeroU32,
}

impl Shard {
    /// `2-of-4`, as it stands in the names of files.
    pub fn file_name(self) -> String {
        format!("{}-of-{}", self.number, self.of)
    }

    /// Whether a task is in it.
    fn has(self, id: u128) -> bool {
        id % u128::from(self.of.get()) == u128::from(self.number.get() - 1)
    }
}

impl FromStr for Shard {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let way_out =
            || format!("`{text}` is no part of a job; write `1/4` to `4/4` for its quarters");
        let (number, of) = text.split_once('/').with_context(way_out)?;
        let (number, of) =
            (number.parse().with_context(way_out)?, of.parse().with_context(way_out)?);
        ensure!(number <= of, "there is no part {number} of {of}; the last one is `{of}/{of}`");
        Ok(Self { number, of })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// A source without the tasks of other parts.
pub struct Sharded {
    source: Box<dyn Source>,
    shard: Shard,
    /// Makes the ids, with the name of the kind.
    work: Box<dyn Work>,
    kind: &'static str,
    scratch: Vec<u8>,
}

/// Tasks of other parts are passed over, at most so many at a time: rank 0 has others to answer.
const AT_A_TIME: u32 = 50_000;

impl Sharded {
    /// The tasks of `source` that are in `shard`; `work` is their kind's.
    pub fn new(
        source: Box<dyn Source>,
        shard: Shard,
        kind: &'static str,
        work: Box<dyn Work>,
    ) -> Self {
        Self { source, shard, work, kind, scratch: Vec::new() }
    }

    fn has(&mut self, item: &Item) -> bool {
        self.scratch.clear();
        self.work.write_input(&item.input, &mut self.scratch);
        self.shard.has(id(self.kind, &self.scratch, item.occurrence))
    }
}

impl Source for Sharded {
    fn begin(&mut self, begin: Begin<'_>) -> Result<()> {
        self.source.begin(begin)
    }

    fn on_outcome(&mut self, ended: &Ended<'_>, now: Duration) -> Result<Note> {
        self.source.on_outcome(ended, now)
    }

    fn on_recorded(&mut self, item: &Item, recorded: Recorded) {
        self.source.on_recorded(item, recorded);
    }

    fn finish(&mut self) -> Result<Option<Account>> {
        self.source.finish()
    }

    fn next(&mut self, now: Duration) -> Result<Next> {
        for _ in 0..AT_A_TIME {
            match self.source.next(now)? {
                Next::Task(ref item) | Next::Failed(ref item, _) if !self.has(item) => {}
                next => return Ok(next),
            }
        }
        Ok(Next::Waiting)
    }

    /// An estimate: ids fall into the parts evenly.
    fn remaining(&self) -> Option<u64> {
        Some(self.source.remaining()?.div_ceil(self.shard.of.get().into()))
    }
}

impl fmt::Debug for Sharded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharded").field("shard", &self.shard).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_in_one_part() {
        for of in 1..=5 {
            let of = NonZeroU32::new(of).unwrap();
            let parts =
                (1..=of.get()).map(|number| Shard { number: number.try_into().unwrap(), of });
            let parts: Vec<Shard> = parts.collect();
            for n in 0_u32..100 {
                let id = id("probe", n.to_string().as_bytes(), 0);
                assert_eq!(parts.iter().filter(|part| part.has(id)).count(), 1, "{n} of {of}");
            }
        }
    }

    #[test]
    fn parts_are_written_as_fractions() {
        assert_eq!("3/4".parse::<Shard>().unwrap().to_string(), "3/4");
        for (text, error) in [
            ("5/4", "there is no part 5 of 4; the last one is `4/4`"),
            ("0/4", "`0/4` is no part of a job; write `1/4` to `4/4` for its quarters"),
            ("2", "`2` is no part of a job; write `1/4` to `4/4` for its quarters"),
        ] {
            assert_eq!(text.parse::<Shard>().unwrap_err().to_string(), error);
        }
    }
}
