//! Rank 0's loop: outcomes in, chunks out, records to the sinks.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::start::{Setup, Start, TableSetup, broadcast_setup, gather_world, started};
use super::{Backoff, Led, MESSAGES_A_TURN, now};
use crate::executor::{Executor, Ledger};
use crate::inventory::Inventory;
use crate::job::{JobSpec, Output, Settings};
use crate::message::{Rank, ToRoot, ToWorker};
use crate::placement::{self, Placement, Share, Wanted};
use crate::root::{Config, Order, Root, Table};
use crate::sink::{Lines, Results, StatsFile, Terminal};
use crate::stats::{Stats, Summary};
use crate::task::{Plan, Pool, TimeLimit};
use crate::transport::Transport;

/// How long rank 0 waits for the workers' ledgers once every outcome is there.
const LEDGER_LIMIT: Duration = Duration::from_secs(10);
/// Tables of up to so many tasks get a line a task on the terminal.
const SMALL_TABLE: u64 = 20;

/// A finished run, for whoever prints it.
#[derive(Debug)]
pub struct Finished {
    /// Its numbers.
    pub summary: Summary,
    /// Where its results are.
    pub output: Output,
    /// Whether nobody wants to hear more.
    pub quiet: bool,
}

/// Leads a run as rank 0: prepares `job`, hands out its tasks, gathers their outcomes.
///
/// `warn` gets what wastes cores or time, a line each, before the run.
pub fn lead(
    transport: &mut impl Transport,
    job: Result<JobSpec>,
    warn: impl FnMut(&str),
) -> Result<Led<Finished>> {
    let (own, world) = gather_world(transport)?;
    match Prepared::new(job, &world, warn) {
        Ok(prepared) => {
            broadcast_setup(transport, Some(&prepared.setup))?;
            Ok(Led::Done(Leader::start(transport, &own, world, prepared)?.run()?))
        }
        Err(error) => {
            broadcast_setup(transport, None)?;
            Ok(Led::Refused(error))
        }
    }
}

/// A job that can start.
struct Prepared {
    name: String,
    output: Output,
    quiet: bool,
    setup: Setup,
    shares: Vec<Share>,
    root: Root,
    stats: Stats,
    results: Results,
    stats_file: Option<StatsFile>,
    terminal: Terminal,
}

impl Prepared {
    fn new(job: Result<JobSpec>, world: &[Inventory], warn: impl FnMut(&str)) -> Result<Self> {
        let JobSpec { name, settings, tables } = job?;
        let lines = lines(&settings, &tables);
        let to_file = matches!(settings.output, Output::File(_) | Output::Stdout);
        let records = to_file || lines.0.contains(&true);
        let table_setup = |table: &crate::job::TableSpec| TableSetup {
            kind: table.kind.name().to_owned(),
            options: table.plan.options.clone(),
            pool: table.plan.pool,
            limit: table.plan.limit.and_then(TimeLimit::fixed),
        };
        let setup = Setup {
            tables: tables.iter().map(table_setup).collect(),
            io_threads: settings.io_threads.get(),
            records,
        };
        let shares = shares(&settings, world, warn)?;
        let results = Results::open(&settings)?;
        let stats_file = settings.stats.as_deref().map(StatsFile::create).transpose()?;
        let kinds: Vec<_> = tables.iter().map(|table| table.kind).collect();
        let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        let tables = tables.into_iter().map(|table| table.plan);
        let table = |plan: Plan| Table { source: plan.source, pool: plan.pool, limit: plan.limit };
        let tables = tables.map(table).collect();
        Ok(Self {
            root: Root::new(config(&settings, &setup, &shares), tables),
            stats: Stats::new(&names, world.len()),
            terminal: Terminal::new(kinds, lines, settings.quiet),
            name,
            quiet: settings.quiet,
            output: settings.output,
            setup,
            shares,
            results,
            stats_file,
        })
    }
}

/// Each rank's share; rank 0's without threads where it only hands out.
fn shares(settings: &Settings, world: &[Inventory], warn: impl FnMut(&str)) -> Result<Vec<Share>> {
    let wanted = Wanted { threads: settings.threads.map(Into::into), memory: settings.memory };
    let Placement { mut shares, warnings } = placement::place(world, wanted)?;
    warnings.iter().map(String::as_str).for_each(warn);
    if !settings.root_computes {
        ensure!(
            world.len() > 1,
            "rank 0 is not to compute, and there is no other rank: start more (`mpirun -n 2 \
             rankpool …`), or let it compute"
        );
        shares[0].threads = 0;
    }
    Ok(shares)
}

fn config(settings: &Settings, setup: &Setup, shares: &[Share]) -> Config {
    let io_threads = if setup.pools().contains(&Pool::Io) { setup.io_threads } else { 0 };
    let threads = |share: &Share| match share.threads {
        0 => [0, 0],
        threads => [threads, io_threads],
    };
    Config {
        schedule: settings.schedule,
        ordered: settings.ordered,
        threads: shares.iter().map(threads).collect(),
    }
}

/// Which tables' tasks get a line each: all where lines are the output, else small tables'.
fn lines(settings: &Settings, tables: &[crate::job::TableSpec]) -> Lines {
    let small = |table: &crate::job::TableSpec| {
        table.plan.source.remaining().is_some_and(|n| n <= SMALL_TABLE)
    };
    Lines(match settings.output {
        Output::Stdout => vec![false; tables.len()],
        Output::Lines => vec![true; tables.len()],
        Output::File(_) | Output::None => {
            tables.iter().map(|table| !settings.quiet && small(table)).collect()
        }
    })
}

/// Rank 0 at work.
struct Leader<'a, T> {
    transport: &'a mut T,
    world: Vec<Inventory>,
    executor: Executor,
    began: Instant,
    root: Root,
    name: String,
    output: Output,
    quiet: bool,
    stats: Stats,
    results: Results,
    stats_file: Option<StatsFile>,
    terminal: Terminal,
    ledgers: Vec<Option<Ledger>>,
    /// A message for each rank, sent at the end of a turn.
    outbox: Vec<Vec<u8>>,
    orders: Vec<Order>,
    backoff: Backoff,
}

impl<'a, T: Transport> Leader<'a, T> {
    /// Scatters each rank's share with its first chunks, and starts this rank's own pools.
    fn start(
        transport: &'a mut T,
        own: &Inventory,
        world: Vec<Inventory>,
        prepared: Prepared,
    ) -> Result<Self> {
        let Prepared { setup, shares, mut root, .. } = prepared;
        let mut orders = Vec::new();
        root.hand_out(Duration::ZERO, &mut orders)?;
        let mut outbox = vec![Vec::new(); world.len()];
        address(&mut orders, &mut outbox);
        let starts = shares
            .iter()
            .zip(&mut outbox)
            .map(|(&share, message)| Start { share, message: std::mem::take(message) }.encode());
        let start = transport.scatter(starts.collect::<Result<_>>()?)?;
        let began = started();
        let executor = setup.executor(own, shares[0], began)?;
        outbox[0] = Start::decode(&start)?.message;
        let ledgers = vec![None; world.len()];
        let backoff = Backoff::new();
        Ok(Self {
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
            ledgers,
            outbox,
            orders,
            backoff,
        })
    }

    fn run(mut self) -> Result<Finished> {
        self.send()?;
        while !self.root.is_done() {
            self.turn()?;
        }
        self.finish()
    }

    /// One turn: hear what has arrived, hand out, write, or wait if nothing happened.
    fn turn(&mut self) -> Result<()> {
        let mut idle = true;
        for _ in 0..MESSAGES_A_TURN {
            let Some((rank, message)) = self.transport.poll()? else { break };
            self.hear(rank, &message)?;
            idle = false;
        }
        for _ in 0..MESSAGES_A_TURN {
            let Ok(payload) = self.executor.outcomes().try_recv() else { break };
            self.hear_outcomes(Rank::ROOT, &payload)?;
            idle = false;
        }
        if !idle {
            self.results.flush()?;
            if let Some(seq) = self.results.first_missing() {
                self.root.set_first_unwritten(seq);
            }
        }
        let elapsed = now() - self.began;
        self.root.hand_out(elapsed, &mut self.orders)?;
        address(&mut self.orders, &mut self.outbox);
        self.send()?;
        let (done, total) = self.root.progress();
        self.terminal.progress(elapsed, done, total)?;
        self.pause(idle)
    }

    fn pause(&mut self, idle: bool) -> Result<()> {
        if !idle {
            self.backoff.reset();
        } else if self.transport.is_sending()? {
            std::thread::yield_now();
        } else if let Some(payload) = self.backoff.wait(self.executor.outcomes()) {
            self.hear_outcomes(Rank::ROOT, &payload)?;
            self.results.flush()?;
        }
        Ok(())
    }

    fn hear(&mut self, rank: Rank, message: &[u8]) -> Result<()> {
        let mut rest = message;
        while let Some(said) = ToRoot::decode(&mut rest)? {
            match said {
                ToRoot::Outcomes(payload) => self.hear_outcomes(rank, payload)?,
                ToRoot::Ledger(json) => {
                    self.ledgers[rank.idx()] = Some(serde_json::from_slice(json)?);
                }
            }
        }
        Ok(())
    }

    fn hear_outcomes(&mut self, rank: Rank, payload: &[u8]) -> Result<()> {
        let Self { root, stats, results, terminal, .. } = self;
        root.on_outcomes(rank, payload, |heard| {
            stats.record(&heard);
            results.put(&heard)?;
            terminal.put(&heard)
        })
    }

    /// Sends each rank what its outbox holds.
    fn send(&mut self) -> Result<()> {
        for (idx, outbox) in self.outbox.iter_mut().enumerate() {
            if outbox.is_empty() {
                continue;
            }
            let message = std::mem::take(outbox);
            if idx > 0 {
                self.transport.send(Rank::at(idx), message)?;
                continue;
            }
            let mut rest = message.as_slice();
            while let Some(order) = ToWorker::decode(&mut rest)? {
                match order {
                    ToWorker::Chunk(payload) => self.executor.start(payload)?,
                    ToWorker::Drained => self.executor.drained(now()),
                    ToWorker::Finish => bail!("rank 0 does not end itself by a message"),
                }
            }
        }
        Ok(())
    }

    /// Ends the workers, gathers their ledgers and sums up.
    fn finish(mut self) -> Result<Finished> {
        self.results.flush()?;
        self.terminal.finish();
        let mut ledger = self.executor.ledger(now());
        ledger.asleep = self.backoff.asleep.as_secs_f64();
        ledger.communication = ledger.wall - ledger.asleep;
        self.ledgers[0] = Some(ledger);
        self.outbox[1..].iter_mut().for_each(|outbox| ToWorker::Finish.encode(outbox));
        self.send()?;
        self.gather_ledgers()?;
        let ledgers: Vec<_> = self.ledgers.into_iter().map(Option::unwrap_or_default).collect();
        let summary = self.stats.summary(&self.name, &self.world, &ledgers);
        if let Some(file) = self.stats_file {
            file.write(&summary)?;
        }
        Ok(Finished { summary, output: self.output, quiet: self.quiet })
    }

    fn gather_ledgers(&mut self) -> Result<()> {
        let deadline = now() + LEDGER_LIMIT;
        while self.ledgers.iter().any(Option::is_none) {
            match self.transport.poll()? {
                Some((rank, message)) => self.hear(rank, &message)?,
                None => drop(self.backoff.wait(self.executor.outcomes())),
            }
            let missing = self.ledgers.iter().position(Option::is_none).map(Rank::at);
            if let Some(rank) = missing.filter(|_| now() > deadline) {
                return Err(anyhow::anyhow!("{rank} did not answer for {LEDGER_LIMIT:?}"))
                    .context("every outcome is in the results, but the statistics are incomplete");
            }
        }
        Ok(())
    }
}

/// Puts orders into the outboxes of those they are for.
fn address(orders: &mut Vec<Order>, outbox: &mut [Vec<u8>]) {
    for order in orders.drain(..) {
        match order {
            Order::Chunk(rank, payload) => {
                ToWorker::Chunk(&payload).encode(&mut outbox[rank.idx()]);
            }
            Order::Drained => outbox.iter_mut().for_each(|to| ToWorker::Drained.encode(to)),
        }
    }
}
