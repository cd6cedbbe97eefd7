//! Rank 0's loop: outcomes in, chunks out, records to the sinks.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustc_hash::FxHashSet;

use super::prepare::Prepared;
use super::pulse::Pulse;
use super::shared;
use super::signals::Signals;
use super::start::{Start, broadcast_setup, gather_world, started};
use super::stop::Stop;
use super::write_down::Writing;
use super::{Backoff, Led, MESSAGES_A_TURN, now};
use crate::control::Server;
use crate::executor::{Executor, Ledger};
use crate::inventory::Inventory;
use crate::job::stream::OfJob;
use crate::job::{JobSpec, Output};
use crate::message::{Outcome, Rank, Status, Task, ToRoot, ToWorker};
use crate::policy::Policy;
use crate::root::{Heard, Listener as _, Order, Root};
use crate::sink::{Results, StatsFile, Terminal};
use crate::stats::{Stats, Summary};
use crate::task::{Note, OutputLost, Pool, TaskError};
use crate::transport::Transport;

/// A finished run, for whoever prints it.
#[derive(Debug)]
pub struct Finished {
    /// Its numbers.
    pub summary: Summary,
    /// Where its results are.
    pub output: Output,
    /// Whether nobody wants to hear more.
    pub quiet: bool,
    /// Why it ended early, if it did: it can be gone on with.
    pub stopped: Option<String>,
}

/// Leads a run as rank 0: prepares `job`, hands out its tasks, gathers their outcomes.
///
/// `warn` gets what wastes cores or time, a line each, before the run.
pub fn lead(
    transport: &mut impl Transport,
    job: Result<JobSpec>,
    mut warn: impl FnMut(&str),
) -> Result<Led<Finished>> {
    let (own, world) = gather_world(transport)?;
    match Prepared::new(job, &world, &mut warn) {
        Ok(mut prepared) => {
            broadcast_setup(transport, Some(&prepared.setup))?;
            if let Err(error) = shared::ask(transport, &prepared.setup, &world, warn)? {
                prepared.results.abandon();
                return Ok(Led::Refused(error));
            }
            Ok(Led::Done(Leader::start(transport, &own, world, prepared)?.run()?))
        }
        Err(error) => {
            broadcast_setup(transport, None)?;
            Ok(Led::Refused(error))
        }
    }
}

/// Rank 0 at work.
pub(super) struct Leader<'a, T> {
    pub(super) transport: &'a mut T,
    pub(super) world: Vec<Inventory>,
    pub(super) executor: Executor,
    pub(super) began: Instant,
    pub(super) root: Root,
    pub(super) name: String,
    pub(super) output: Output,
    pub(super) quiet: bool,
    pub(super) stats: Stats,
    pub(super) results: Results,
    pub(super) stats_file: Option<StatsFile>,
    pub(super) terminal: Terminal,
    pub(super) ledgers: Vec<Option<Ledger>>,
    pub(super) policy: Policy,
    pub(super) signals: Signals,
    pub(super) pulse: Pulse,
    pub(super) dead: Vec<bool>,
    pub(super) stop: Option<Stop>,
    /// Why results cannot be written any more.
    pub(super) output_lost: Option<String>,
    /// A message for each rank, sent at the end of a turn.
    pub(super) outbox: Vec<Vec<u8>>,
    pub(super) orders: Vec<Order>,
    pub(super) backoff: Backoff,
    pub(super) stream: Option<OfJob>,
    pub(super) control: Option<Server>,
    /// The name of each table's kind.
    pub(super) kinds: Vec<&'static str>,
    /// Whether there are tasks for I/O pools.
    pub(super) has_io: bool,
    /// What drained ranks had before, by rank.
    pub(super) drained: Vec<Option<[u32; 2]>>,
    /// Tasks that are cancelled when they come.
    pub(super) doomed_ids: FxHashSet<u128>,
}

impl<'a, T: Transport> Leader<'a, T> {
    /// Scatters each rank's share with its first chunks, and starts this rank's own pools.
    fn start(
        transport: &'a mut T,
        own: &Inventory,
        world: Vec<Inventory>,
        prepared: Prepared,
    ) -> Result<Self> {
        let signals = Signals::catch()?;
        let Prepared { setup, shares, mut root, .. } = prepared;
        let mut orders = Vec::new();
        root.hand_out(Duration::ZERO, &mut orders)?;
        let mut outbox = vec![Vec::new(); world.len()];
        // What has failed already is written once this rank can.
        let is_fail = |order: &mut Order| matches!(order, Order::Fail(..));
        let failed = orders.extract_if(.., is_fail).collect();
        for order in orders {
            address(order, &mut outbox);
        }
        let starts = shares
            .iter()
            .zip(&mut outbox)
            .map(|(&share, message)| Start { share, message: std::mem::take(message) }.encode());
        let start = transport.scatter(starts.collect::<Result<_>>()?)?;
        transport.started();
        let began = started();
        let executor = setup.executor(own, shares[0], began)?;
        outbox[0] = Start::decode(&start)?.message;
        let world_size = world.len();
        let ledgers = vec![None; world_size];
        let backoff = if world.len() == 1 { Backoff::alone() } else { Backoff::new() };
        Ok(Self {
            pulse: Pulse::new(prepared.policy.heartbeat, world.len()),
            dead: vec![false; world.len()],
            stop: None,
            output_lost: None,
            signals,
            policy: prepared.policy,
            transport,
            world,
            executor,
            began,
            root,
            name: prepared.name,
            output: prepared.output,
            quiet: prepared.quiet,
            stats: prepared.stats,
            results: prepared.results,
            stats_file: prepared.stats_file,
            terminal: prepared.terminal,
            stream: prepared.stream,
            control: prepared.control,
            kinds: prepared.kinds,
            has_io: setup.pools().contains(&Pool::Io),
            drained: vec![None; world_size],
            doomed_ids: FxHashSet::default(),
            ledgers,
            outbox,
            orders: failed,
            backoff,
        })
    }

    fn run(mut self) -> Result<Finished> {
        // Every worker hears of rank 0 at once: connections are made while all are alive.
        self.outbox[1..].iter_mut().for_each(|outbox| ToWorker::Beat.encode(outbox));
        self.send()?;
        let mut done = self.carry_out();
        loop {
            if let Err(error) = done {
                match error.downcast::<OutputLost>() {
                    Ok(lost) => self.lose_output(&lost),
                    Err(error) => return Err(error),
                }
            }
            if self.is_over() {
                return self.finish();
            }
            done = self.turn();
        }
    }

    fn is_over(&self) -> bool {
        let elapsed = self.elapsed();
        let stopped = self.stop.as_ref().filter(|stop| stop.is_over(elapsed));
        if stopped.is_none() && !self.root.is_done() {
            return false;
        }
        // Whoever reads the results has time, unless the run is to end now.
        let is_late = stopped.is_some_and(|stop| stop.is_late(elapsed));
        is_late || self.output_lost.is_some() || !self.results.is_pending()
    }

    pub(super) fn elapsed(&self) -> Duration {
        now() - self.began
    }

    /// One turn: hear what has arrived, hand out, write, or wait if nothing happened.
    fn turn(&mut self) -> Result<()> {
        let mut idle = true;
        for _ in 0..MESSAGES_A_TURN {
            let Some((rank, message)) = self.transport.poll()? else { break };
            self.hear(rank, &message)?;
            idle = false;
        }
        // Looked at first: what was done by then is heard before it counts.
        let is_quiet = self.executor.is_quiet();
        for _ in 0..MESSAGES_A_TURN {
            let Ok(payload) = self.executor.outcomes().try_recv() else { break };
            self.hear_outcomes(Rank::ROOT, &payload)?;
            idle = false;
        }
        if let Some(stop) = self.stop.as_mut().filter(|_| is_quiet && idle) {
            stop.quiet(Rank::ROOT);
        }
        if !idle {
            self.flush()?;
            if let Some(seq) = self.results.first_missing() {
                self.root.set_first_unwritten(seq);
            }
        }
        self.watch()?;
        self.obey()?;
        let elapsed = self.elapsed();
        if !self.results.is_full() {
            self.root.hand_out(elapsed, &mut self.orders)?;
        }
        self.carry_out()?;
        self.flush()?;
        self.send()?;
        let (done, total) = self.root.progress();
        self.terminal.progress(elapsed, done, total)?;
        self.pause(idle)
    }

    pub(super) fn own_ledger(&self) -> Ledger {
        let mut ledger = self.executor.ledger(now());
        ledger.asleep = self.backoff.asleep.as_secs_f64();
        ledger.communication = ledger.wall - ledger.asleep;
        ledger
    }

    /// Puts orders into the outboxes of those they are for, or does them.
    pub(super) fn carry_out(&mut self) -> Result<()> {
        let mut orders = std::mem::take(&mut self.orders);
        for order in orders.drain(..) {
            match order {
                Order::Fail(task, error, note) => self.fail(&task, &error, &note)?,
                order => address(order, &mut self.outbox),
            }
        }
        self.orders = orders;
        Ok(())
    }

    /// Writes that a task failed that no rank can run.
    fn fail(&mut self, task: &Task, error: &TaskError, note: &Note) -> Result<()> {
        let record = self.executor.failure(task, error);
        let status = Status::Failed(error.class);
        let (record, report) = (&*record, &[][..]);
        let outcome = Outcome { index: 0, status, nanos: 0, again: None, record, report };
        let heard = Heard { task, rank: Rank::ROOT, outcome, note, also: &[] };
        self.root.flush()?;
        let Self { results, terminal, stats, .. } = self;
        Writing { results, terminal, stats }.hear(&heard)
    }

    /// Gives the kernel what has been heard, and shows it then.
    fn flush(&mut self) -> Result<()> {
        self.root.flush()?;
        let written = self.results.flush().and_then(|()| self.terminal.show());
        written.map_err(|error| OutputLost::because(&error).into())
    }

    fn pause(&mut self, idle: bool) -> Result<()> {
        if !idle {
            self.backoff.reset();
            return Ok(());
        }
        let is_moving = self.transport.is_sending()? || self.transport.is_arriving();
        if is_moving {
            self.backoff.reset();
        }
        let is_supplied = !is_moving && self.root.is_supplied();
        if let Some(payload) = self.backoff.wait(&self.executor, is_supplied) {
            self.hear_outcomes(Rank::ROOT, &payload)?;
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn hear(&mut self, rank: Rank, message: &[u8]) -> Result<()> {
        if self.dead[rank.idx()] {
            // It was taken for dead, and what it held is with others.
            return Ok(());
        }
        self.pulse.heard(rank.idx(), self.elapsed());
        let mut rest = message;
        while let Some(said) = ToRoot::decode(&mut rest)? {
            match said {
                ToRoot::Outcomes(payload) => self.hear_outcomes(rank, payload)?,
                ToRoot::Beat => {}
                ToRoot::Stopped => {
                    if let Some(stop) = &mut self.stop {
                        stop.quiet(rank);
                    }
                }
                ToRoot::Ledger(json) => {
                    self.ledgers[rank.idx()] = Some(serde_json::from_slice(json)?);
                }
            }
        }
        Ok(())
    }

    fn hear_outcomes(&mut self, rank: Rank, payload: &[u8]) -> Result<()> {
        if self.output_lost.is_some() || self.ledgers[0].is_some() {
            // The results are closed: who goes on with them runs this task again.
            return Ok(());
        }
        let elapsed = self.elapsed();
        let Self { root, stats, results, terminal, .. } = self;
        root.on_outcomes(rank, payload, elapsed, &mut Writing { results, terminal, stats })
    }

    /// Sends each rank what its outbox holds.
    pub(super) fn send(&mut self) -> Result<()> {
        let elapsed = self.elapsed();
        for (idx, outbox) in self.outbox.iter_mut().enumerate() {
            if outbox.is_empty() {
                continue;
            }
            let message = std::mem::take(outbox);
            if idx > 0 {
                self.transport.send(Rank::at(idx), message)?;
                self.pulse.sent(idx, elapsed);
                continue;
            }
            let mut rest = message.as_slice();
            while let Some(order) = ToWorker::decode(&mut rest)? {
                match order {
                    ToWorker::Chunk(payload) => self.executor.start(payload)?,
                    ToWorker::Drained => self.executor.drained(now()),
                    // Threads that cannot be started leave those that there are.
                    ToWorker::Threads(threads) => drop(self.executor.set_threads(threads)),
                    ToWorker::Cancel(chunk, tasks) => {
                        self.executor.cancel(chunk, tasks.into_iter().map(|idx| idx as usize));
                    }
                    ToWorker::Finish | ToWorker::Stop | ToWorker::Beat => {
                        bail!("rank 0 does not talk to itself")
                    }
                }
            }
        }
        Ok(())
    }
}

/// Puts an order into the outboxes of those it is for.
fn address(order: Order, outbox: &mut [Vec<u8>]) {
    match order {
        Order::Chunk(rank, payload) => ToWorker::Chunk(&payload).encode(&mut outbox[rank.idx()]),
        Order::Cancel(rank, chunk, tasks) => {
            ToWorker::Cancel(chunk, tasks).encode(&mut outbox[rank.idx()]);
        }
        Order::Drained => outbox.iter_mut().for_each(|to| ToWorker::Drained.encode(to)),
        Order::Fail(..) => unreachable!("rank 0 writes that itself"),
    }
}
