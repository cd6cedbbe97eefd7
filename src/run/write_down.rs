//! What becomes of an outcome that counts: a record, a line for people, statistics.

use std::borrow::Cow;

use anyhow::Result;

use crate::message::Outcome;
use crate::root::Heard;
use crate::sink::{OutputLost, Results, Terminal};
use crate::stats::Stats;
use crate::task::Note;

/// Puts an outcome into the results, onto the terminal and into the statistics.
pub(super) fn write_down(
    heard: &Heard<'_>,
    results: &mut Results,
    terminal: &mut Terminal,
    stats: &mut Stats,
) -> Result<()> {
    let record = noted(heard.outcome.record, heard.note);
    let heard = Heard { outcome: Outcome { record: &record, ..heard.outcome }, ..*heard };
    let mut written = results.put(&heard);
    if !heard.note.hidden {
        written = written.and_then(|()| terminal.put(&heard));
        stats.record(&heard);
    }
    written.map_err(|error| OutputLost::because(&error).into())
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
