//! A job made ready: everything that can be refused is refused here, before any rank starts.

use anyhow::{Context as _, Result, bail, ensure};

use super::allocation_left;
use super::start::{Setup, TableSetup};
use crate::control::Server;
use crate::inventory::Inventory;
use crate::job::stream::OfJob;
use crate::job::{JobSpec, Output, Resume, Settings, TableSpec};
use crate::placement::{self, Placement, Share, Wanted};
use crate::policy::{Fsync, Policy};
use crate::root::{Config, Done, Naming, Records, Root, Table};
use crate::sink::{Lines, Results, StatsFile, Terminal};
use crate::stats::Stats;
use crate::task::{Begin, Item, Plan, Pool, Shard, Sharded, TimeLimit};
use crate::values;

/// Tables of up to so many tasks get a line a task on the terminal.
const SMALL_TABLE: u64 = 20;

/// A job that can start.
pub(super) struct Prepared {
    pub(super) name: String,
    pub(super) output: Output,
    pub(super) quiet: bool,
    pub(super) policy: Policy,
    pub(super) setup: Setup,
    pub(super) shares: Vec<Share>,
    pub(super) root: Root,
    pub(super) stats: Stats,
    pub(super) results: Results,
    pub(super) stats_file: Option<StatsFile>,
    pub(super) terminal: Terminal,
    pub(super) stream: Option<OfJob>,
    pub(super) control: Option<Server>,
    /// The name of each table's kind.
    pub(super) kinds: Vec<&'static str>,
}

impl Prepared {
    pub(super) fn new(
        job: Result<JobSpec>,
        world: &[Inventory],
        mut warn: impl FnMut(&str),
    ) -> Result<Self> {
        let JobSpec { name, mut settings, tables, stream } = job?;
        settings.policy.walltime = settings.policy.walltime.or_else(allocation_left);
        let lines = lines(&settings, &tables);
        let to_file = matches!(settings.output, Output::File(_) | Output::Fifo(_) | Output::Stdout);
        let records = to_file || lines.0.contains(&true);
        let table_setup = |table: &TableSpec| TableSetup {
            kind: table.kind.name().to_owned(),
            options: table.plan.options.clone(),
            pool: table.plan.pool,
            limit: table.plan.limit.and_then(TimeLimit::fixed),
        };
        let sync = settings.fsync != Fsync::Never;
        let values = settings.values_dir.clone().map(|folder| values::Config { folder, sync });
        let setup = Setup {
            values,
            tables: tables.iter().map(table_setup).collect(),
            io_threads: settings.io_threads.get(),
            records,
            ranks: u32::try_from(world.len())?,
            resume: settings.resume != Resume::No,
            heartbeat: settings.policy.heartbeat,
        };
        let warnings = tables.iter().filter_map(|table| table.kind.warning(&table.plan.options));
        warnings.for_each(|warning| warn(&warning));
        let shares = shares(&settings, world, &mut warn)?;
        let (mut results, earlier) = Results::open(&settings, &tables, warn)?;
        let mut done = earlier.map(|records| done(records, &settings, &tables)).transpose()?;
        let stats_file = settings.stats.as_deref().map(StatsFile::create).transpose()?;
        let kinds: Vec<_> = tables.iter().map(|table| table.kind).collect();
        let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        let tables = tables.into_iter().map(|table| sourced(table, settings.shard));
        let mut tables: Vec<_> = tables.collect::<Result<_>>()?;
        begin(&mut tables, &settings, done.as_mut()).inspect_err(|_| results.abandon())?;
        let control = settings.control.as_deref().map(Server::start).transpose()?;
        let root = Root::resumed_from(done, config(&settings, &setup, &shares), tables)?;
        root.done().map_or(Ok(()), |done| results.clean(done))?;
        Ok(Self {
            root,
            stats: Stats::new(&names, world.len()),
            stream,
            control,
            kinds: names,
            terminal: Terminal::new(kinds, lines, settings.quiet),
            name,
            quiet: settings.quiet,
            policy: settings.policy,
            output: settings.output,
            setup,
            shares,
            results,
            stats_file,
        })
    }
}

/// A table as rank 0 hands it out: all of it, or a part.
fn sourced(table: TableSpec, shard: Option<Shard>) -> Result<Table> {
    let TableSpec { kind, plan: Plan { source, pool, limit, options, own_retries, .. }, .. } =
        table;
    let source = match shard {
        None => source,
        Some(_) if own_retries => bail!(
            "tasks of kind `{}` lead to others, so that no part of them can be run alone; leave \
             `--shard` out",
            kind.name()
        ),
        Some(shard) => Box::new(Sharded::new(source, shard, kind.name(), kind.work(&options)?)),
    };
    Ok(Table { source, pool, limit, own_retries })
}

/// What an earlier run has done, with what makes the ids of this job's tasks.
fn done(records: Records, settings: &Settings, tables: &[TableSpec]) -> Result<Done> {
    let naming = |table: &TableSpec| {
        let work = table.kind.work(&table.plan.options)?;
        Ok(Naming { kind: table.kind.name(), work })
    };
    let namings = tables.iter().map(naming).collect::<Result<_>>()?;
    Ok(Done::new(records, namings, settings.resume == Resume::MissingAndFailed))
}

/// Tells the sources that the run begins.
fn begin(tables: &mut [Table], settings: &Settings, mut done: Option<&mut Done>) -> Result<()> {
    let output = &settings.output;
    let results = if let Output::File(path) = output { Some(path.as_path()) } else { None };
    let overwrite = settings.overwrite;
    for (idx, table) in tables.iter_mut().enumerate() {
        let mut recorded = done.as_mut().map(|done| |item: &Item| done.recorded(idx, item));
        let recorded = recorded.as_mut().map(|asks| asks as &mut dyn FnMut(&Item) -> _);
        let begun = table.source.begin(Begin { results, overwrite, recorded });
        begun.with_context(|| format!("[[task]] {}", idx + 1))?;
    }
    Ok(())
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
        reserve: [1, io_threads],
        policy: settings.policy.clone(),
    }
}

/// Which tables' tasks get a line each: all where lines are the output, else small tables'.
fn lines(settings: &Settings, tables: &[TableSpec]) -> Lines {
    let small = |table: &TableSpec| table.plan.source.remaining().is_some_and(|n| n <= SMALL_TABLE);
    Lines(match settings.output {
        Output::Stdout => vec![false; tables.len()],
        Output::Lines | Output::Printed => vec![true; tables.len()],
        Output::File(_) | Output::Fifo(_) | Output::None => {
            tables.iter().map(|table| !settings.quiet && small(table)).collect()
        }
    })
}
