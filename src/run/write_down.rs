//! What becomes of an outcome that counts: a record, a line for people, statistics.

use std::borrow::Cow;

use anyhow::Result;

use crate::message::Outcome;
use crate::root::{Heard, Listener};
use crate::sink::{Results, Terminal};
use crate::stats::Stats;
use crate::task::{Note, OutputLost};

/// Puts outcomes into the results, onto the terminal and into the statistics.
pub(super) struct Writing<'a> {
    pub(super) results: &'a mut Results,
    pub(super) terminal: &'a mut Terminal,
    pub(super) stats: &'a mut Stats,
}

impl Listener for Writing<'_> {
    fn hear(&mut self, heard: &Heard<'_>) -> Result<()> {
        let record = noted(heard.outcome.record, heard.note);
        let heard = Heard { outcome: Outcome { record: &record, ..heard.outcome }, ..*heard };
        let mut written = self.results.put(&heard);
        if !heard.note.hidden {
            written = written.and_then(|()| self.terminal.put(&heard));
            self.stats.record(&heard);
        }
        written.map_err(|error| OutputLost::because(&error).into())
    }

    fn has_room(&self, record: usize) -> bool {
        self.results.has_room(record)
    }
}

/// A record with what its source adds to it; empty where it is the source's own business.
fn noted<'a>(record: &'a [u8], note: &Note) -> Cow<'a, [u8]> {
    if note.hidden {
        return Cow::Borrowed(&[]);
    }
    match record.strip_suffix(b"}\n").filter(|_| !note.members.is_empty()) {
        None => Cow::Borrowed(record),
        Some(open) => Cow::Owned([open, &note.members, b"}\n"].concat()),
    }
}
