//! What other processes ask of a run while it goes on.

use anyhow::{Context as _, Result, bail, ensure};
use rustc_hash::FxHashSet;

use super::root::Leader;
use crate::control::{Command, RankStatus, Ranks, Status};
use crate::message::{Rank, Task, ToWorker};
use crate::root::RankState;
use crate::task::{ID_DIGITS, Pool, id_digits};
use crate::transport::Transport;

impl<T: Transport> Leader<'_, T> {
    /// Does what was asked, and answers.
    pub(super) fn obey(&mut self) -> Result<()> {
        let Some(mut control) = self.control.take() else { return Ok(()) };
        while let Some(mut request) = control.poll(self.elapsed()) {
            let command = std::mem::replace(&mut request.command, Ok(Command::Pause));
            let answer = command.and_then(|command| self.command(command));
            control.answer(&request, answer);
        }
        self.control = Some(control);
        self.carry_out()
    }

    /// Does one command; the answer. An error leaves the run as it was.
    fn command(&mut self, command: Command) -> Result<String> {
        match command {
            Command::Status { json: true } => Ok(serde_json::to_string(&self.status())?),
            Command::Status { json: false } => Ok(self.status().to_string()),
            Command::Stats { json } => self.statistics(json),
            Command::Pause => {
                self.root.pause();
                Ok("paused; what is out ends".to_owned())
            }
            Command::Resume => {
                self.root.resume();
                Ok("going on".to_owned())
            }
            Command::Threads(pool, n, ranks) => self.resize(pool, n.get(), ranks),
            Command::Drain(rank) => self.drain(rank),
            Command::Cancel(what) => self.cancel(&what),
            Command::Submit(line) => self.submit(&line),
            Command::Finish => {
                let stream = self.stream.as_ref().context("this run has no stream of tasks")?;
                stream.stream.finish()?;
                Ok("the stream of tasks ends with what is there".to_owned())
            }
            Command::Stop => {
                self.stop_for("asked to stop".to_owned(), self.policy.grace);
                Ok("stopping; what runs has its grace time".to_owned())
            }
        }
    }

    fn status(&self) -> Status {
        let (done, total) = self.root.progress();
        let ranks: Vec<_> = (0..self.world.len()).map(|idx| self.rank_status(idx)).collect();
        let waiting = self.stream.as_ref().map_or(0, |stream| stream.stream.n_waiting());
        let stream = self.stream.as_ref().map(|of| of.stream.is_at_end());
        Status {
            job: self.name.clone(),
            pid: self.world[0].pid,
            state: match () {
                () if self.stop.is_some() => "stopping",
                () if self.root.is_paused() => "paused",
                () => "running",
            },
            seconds: self.elapsed().as_secs_f64(),
            done,
            total,
            failed: self.stats.n_failed(),
            cancelled: self.stats.n_cancelled(),
            ready: self.root.n_ready() + waiting,
            in_flight: ranks.iter().map(|rank| u64::from(rank.in_flight)).sum(),
            stream: stream.map(|is_at_end| if is_at_end { "ended" } else { "open" }),
            ranks,
        }
    }

    fn rank_status(&self, idx: usize) -> RankStatus {
        let RankState { threads: [threads, io_threads], in_flight, is_dead } =
            self.root.rank(Rank::at(idx));
        let inventory = &self.world[idx];
        RankStatus {
            rank: inventory.rank,
            host: inventory.host.clone(),
            pid: inventory.pid,
            threads,
            io_threads,
            in_flight,
            state: match () {
                () if is_dead => "dead",
                () if [threads, io_threads] == [0, 0] => "drained",
                () => "working",
            },
        }
    }

    fn statistics(&self, json: bool) -> Result<String> {
        let ledger = self.own_ledger();
        let summary = self.stats.summary(&self.name, &self.world[..1], &[ledger]);
        Ok(if json { serde_json::to_string(&summary)? } else { crate::report::interim(&summary) })
    }

    /// The living ranks that are meant.
    fn meant(&self, ranks: Ranks) -> Result<Vec<Rank>> {
        let all = (0..self.world.len()).filter(|idx| !self.dead[*idx]).map(Rank::at);
        match ranks {
            Ranks::All => Ok(all.collect()),
            Ranks::One(rank) => {
                let size = self.world.len();
                ensure!((rank as usize) < size, "there is no rank {rank}; there are {size} ranks");
                ensure!(!self.dead[rank as usize], "rank {rank} is dead");
                Ok(vec![Rank(rank)])
            }
        }
    }

    fn resize(&mut self, pool: Pool, n: u32, ranks: Ranks) -> Result<String> {
        let has_tasks = pool == Pool::Cpu || self.has_io;
        ensure!(has_tasks, "this run has no tasks that wait, and so no I/O threads");
        let ranks = self.meant(ranks)?;
        for &rank in &ranks {
            self.root.set_threads(rank, pool as usize, n);
            let mut threads = [0, 0];
            threads[pool as usize] = n;
            self.back_to_work(rank, pool, &mut threads);
            ToWorker::Threads(threads).encode(&mut self.outbox[rank.idx()]);
        }
        let what = if pool == Pool::Cpu { "threads" } else { "I/O threads" };
        Ok(match ranks[..] {
            [rank] => format!("{n} {what} on {rank}"),
            _ => format!("{n} {what} on each of {} ranks", ranks.len()),
        })
    }

    /// A rank that was drained takes tasks that wait again, too.
    fn back_to_work(&mut self, rank: Rank, pool: Pool, threads: &mut [u32; 2]) {
        let Some(drained) = self.drained[rank.idx()].take() else { return };
        let other = 1 - pool as usize;
        self.root.set_threads(rank, other, drained[other]);
        threads[other] = drained[other];
    }

    fn drain(&mut self, rank: u32) -> Result<String> {
        let rank = self.meant(Ranks::One(rank))?[0];
        let gets_tasks = |idx: usize| self.root.rank(Rank::at(idx)).threads != [0, 0];
        let others = (0..self.world.len()).filter(|idx| *idx != rank.idx());
        ensure!(
            others.into_iter().any(gets_tasks),
            "{rank} is the last one that gets tasks; `pause` hands out none, `stop` ends the run"
        );
        let threads = self.root.rank(rank).threads;
        if threads != [0, 0] {
            self.drained[rank.idx()] = Some(threads);
        }
        for pool in [Pool::Cpu, Pool::Io] {
            self.root.set_threads(rank, pool as usize, 0);
        }
        let n = self.root.rank(rank).in_flight;
        Ok(format!("{rank} gets no more tasks; it ends the {n} that it has"))
    }

    fn cancel(&mut self, what: &str) -> Result<String> {
        let is_id = what.len() == ID_DIGITS && what.bytes().all(|byte| byte.is_ascii_hexdigit());
        let cancelled = if is_id {
            self.cancel_id(u128::from_str_radix(what, 16)?)?
        } else {
            self.cancel_kind(what)?
        };
        let crate::root::Cancelled { waiting, in_flight } = cancelled;
        Ok(format!("cancelled {waiting} waiting tasks; {in_flight} that ranks have are to end"))
    }

    fn cancel_id(&mut self, id: u128) -> Result<crate::root::Cancelled> {
        let ids = self.executor.ids();
        let is_it =
            move |task: &Task| ids.of(usize::from(task.table), &task.input, task.occurrence) == id;
        let elapsed = self.elapsed();
        let cancelled = self.root.cancel(&is_it, elapsed, &mut self.orders)?;
        if cancelled == crate::root::Cancelled::default() {
            // It may be still to come.
            if self.doomed_ids.insert(id) {
                self.root.doom(Box::new(is_it));
            }
        }
        Ok(cancelled)
    }

    fn cancel_kind(&mut self, kind: &str) -> Result<crate::root::Cancelled> {
        let of_kind: FxHashSet<u16> = (0..)
            .zip(&self.kinds)
            .filter(|(_, name)| **name == kind)
            .map(|(table, _)| table)
            .collect();
        if of_kind.is_empty() {
            let kinds: std::collections::BTreeSet<_> = self.kinds.iter().copied().collect();
            let kinds: Vec<_> = kinds.into_iter().collect();
            bail!("`{kind}` is no id and no kind of this job; kinds: {}", kinds.join(", "));
        }
        let elapsed = self.elapsed();
        let tables = of_kind.clone();
        let mut cancelled =
            self.root.cancel(&|task| tables.contains(&task.table), elapsed, &mut self.orders)?;
        // The rest of a list goes with it; a stream may bring more that is wanted.
        let first = self.stream.as_ref().map_or(usize::MAX, |stream| stream.first);
        let lists: FxHashSet<u16> =
            of_kind.iter().copied().filter(|table| usize::from(*table) < first).collect();
        self.root.doom(Box::new(move |task| lists.contains(&task.table)));
        if let Some(stream) = &self.stream {
            let of_stream =
                of_kind.iter().filter_map(|table| usize::from(*table).checked_sub(first));
            cancelled.waiting += of_stream.map(|idx| stream.stream.cancel(idx)).sum::<u64>();
        }
        Ok(cancelled)
    }

    fn submit(&mut self, line: &str) -> Result<String> {
        let stream = self
            .stream
            .as_ref()
            .context("this run takes no tasks; start it with `--tasks PATH` or `--keep-open`")?;
        ensure!(self.stop.is_none(), "the run is stopping");
        let (idx, input, occurrence) = stream.stream.submit(line)?;
        let table = stream.first + idx;
        let id = id_digits(self.executor.ids().of(table, &input, occurrence));
        let id = std::str::from_utf8(&id).expect("digits are ASCII");
        Ok(format!("{} {id}", self.kinds[table]))
    }
}
