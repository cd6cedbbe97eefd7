//! What rank 0 makes of outcomes: which of them count, and what is learnt from them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::feed::Said;
use super::flight::InFlight;
use super::{Heard, POOLS, Root};
use crate::message::{Outcome, Outcomes, Rank, Row, Status, Times, Told};
use crate::task::{End, Note};

/// What gets each outcome that counts.
pub trait Listener {
    /// Gets one.
    fn hear(&mut self, heard: &Heard<'_>) -> Result<()>;

    /// Whether it keeps a record, so many bytes long, for now. Where it would give the kernel
    /// something, what sources have noted goes first.
    fn has_room(&self, record: usize) -> bool {
        let _ = record;
        false
    }
}

impl<T: FnMut(&Heard<'_>) -> Result<()>> Listener for T {
    fn hear(&mut self, heard: &Heard<'_>) -> Result<()> {
        self(heard)
    }
}

impl Root {
    /// Hears a worker's outcomes; `listener` gets each one that counts, once a task. What came
    /// from a chunk that was taken back does not count, nor a failure that is tried again.
    pub fn on_outcomes(
        &mut self,
        rank: Rank,
        payload: &[u8],
        now: Duration,
        listener: &mut dyn Listener,
    ) -> Result<()> {
        let mut outcomes = Outcomes::decode(payload)?;
        let id = outcomes.chunk;
        // Out of the table meanwhile: it is one thing, what is learnt of it another.
        let Some(mut chunk) = self.in_flight.take(id) else { return Ok(()) };
        self.looks.iter_mut().for_each(|looks| looks.open(rank));
        let done = self.on_all(rank, &mut chunk, &mut outcomes, now, listener);
        if chunk.n_left > 0 {
            self.in_flight.put_back(id, chunk);
        } else {
            let worker = &mut self.workers[rank.idx()];
            worker.chunks[chunk.pool] -= 1;
            worker.has_suspect = false;
        }
        done
    }

    fn on_all(
        &mut self,
        rank: Rank,
        chunk: &mut InFlight,
        outcomes: &mut Outcomes<'_>,
        now: Duration,
        listener: &mut dyn Listener,
    ) -> Result<()> {
        ensure!(chunk.rank == rank, "{rank} sent outcomes of a chunk of {}", chunk.rank);
        while let Some(told) = outcomes.take()? {
            match told {
                Told::One(outcome) => self.on_outcome(chunk, outcome, now, listener)?,
                Told::Row(row) => self.on_row(chunk, row, now, listener)?,
            }
        }
        Ok(())
    }

    fn on_outcome(
        &mut self,
        chunk: &mut InFlight,
        outcome: Outcome<'_>,
        now: Duration,
        listener: &mut dyn Listener,
    ) -> Result<()> {
        let (rank, pool) = (chunk.rank, chunk.pool);
        if !chunk.is_first(outcome.index)? {
            return Ok(());
        }
        let out = chunk.out(outcome.index).expect("it was just marked");
        let task = &*out.task(outcome.index);
        let worker = &mut self.workers[rank.idx()];
        worker.tasks[pool] -= 1;
        worker.seconds[pool] -= out.seconds;
        let policy = Some(&self.config.policy).filter(|_| !self.feed.has_own_retries(task));
        let pause = policy.and_then(|policy| policy.retry(task, POOLS[pool], &outcome));
        if let Some(pause) = pause {
            let again = task.another_attempt(pause.other_rank.then_some((rank, now)));
            self.again.keep(now + pause.pause, pool, again);
            return Ok(());
        }
        self.rates[usize::from(task.table)].measure(1, task.cost, outcome.nanos as f64 * 1e-9);
        self.limits[usize::from(task.table)].measure(outcome.status, outcome.nanos);
        let end = match outcome.status {
            Status::Ok => End::Ok,
            Status::Failed(class) => End::Failed(class),
        };
        let Outcome { report, again, nanos, .. } = outcome;
        let said = Said { report, again, nanos };
        let note = self.feed.on_outcome(task, (rank, end), said, now)?;
        self.n_done += u64::from(!note.hidden);
        if !listener.has_room(outcome.record.len() + note.members.len()) {
            self.feed.flush()?;
        }
        listener.hear(&Heard { task, rank, outcome, note: &note, also: &[] })
    }

    /// Hears outcomes in a row: all at once where nobody asks for each of them.
    fn on_row(
        &mut self,
        chunk: &mut InFlight,
        mut row: Row<'_>,
        now: Duration,
        listener: &mut dyn Listener,
    ) -> Result<()> {
        while row.count > 0 {
            let of_chunk =
                || format!("{} sent outcome {} of a smaller chunk", chunk.rank, row.index);
            let out = chunk.out(row.index).with_context(of_chunk)?;
            let is_plain = !self.config.ordered && !self.feed.hears_outcomes(&out.span.first);
            if is_plain {
                let end = out.end().min(row.index + row.count);
                self.on_plain(chunk, &mut row, end, listener)?;
            } else {
                let index = row.index;
                let outcome = plain(index, row.take(1)?.nanos);
                self.on_outcome(chunk, outcome, now, listener)?;
            }
        }
        Ok(())
    }

    /// Hears those of a row up to the number `end`, all of one span.
    fn on_plain(
        &mut self,
        chunk: &mut InFlight,
        row: &mut Row<'_>,
        end: u32,
        listener: &mut dyn Listener,
    ) -> Result<()> {
        let start = row.index;
        let mut times = std::mem::take(&mut self.times);
        times.clear();
        while row.index < end {
            let (index, Times { n, nanos }) = (row.index, row.take(end - row.index)?);
            let n = chunk.n_first(index..index + n)?;
            times.extend((n > 0).then_some(Times { n, nanos }));
        }
        let counted = self.count_plain(chunk, start, &mut times, listener);
        self.times = times;
        counted
    }

    /// Counts tasks of the span of the number `start`.
    fn count_plain(
        &mut self,
        chunk: &InFlight,
        start: u32,
        times: &mut [Times],
        listener: &mut dyn Listener,
    ) -> Result<()> {
        let Some(&Times { nanos, .. }) = times.first() else { return Ok(()) };
        let out = chunk.out(start).expect("it was just there");
        let task = &out.span.first;
        let n = times.iter().map(|times| times.n).sum();
        let worker = &mut self.workers[chunk.rank.idx()];
        worker.tasks[chunk.pool] -= n;
        worker.seconds[chunk.pool] -= f64::from(n) * out.seconds;
        let seconds = |times: &Times| f64::from(times.n) * times.nanos as f64 * 1e-9;
        let seconds = times.iter().map(seconds).sum();
        self.rates[usize::from(task.table)].measure(n, task.cost, seconds);
        self.limits[usize::from(task.table)].measure_all(times);
        self.n_done += u64::from(n);
        times[0].n -= 1;
        let (rank, outcome) = (chunk.rank, plain(start, nanos));
        listener.hear(&Heard { task, rank, outcome, note: &Note::default(), also: times })
    }
}

/// The outcome of a task that gave an output nobody wants.
fn plain(index: u32, nanos: u64) -> Outcome<'static> {
    Outcome { index, status: Status::Ok, nanos, again: None, record: &[], report: &[] }
}
