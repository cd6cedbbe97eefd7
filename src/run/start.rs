//! How a world agrees on a job: collectives in which every rank takes part.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{now, to_json};
use crate::executor::{self, Executor};
use crate::inventory::Inventory;
use crate::placement::Share;
use crate::task::{Place, Pool};
use crate::transport::Transport;
use crate::values;

/// What every rank needs to know of a job.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) tables: Vec<TableSetup>,
    pub(super) io_threads: u32,
    pub(super) records: bool,
    pub(super) ranks: u32,
    /// Whether the run goes on with what an earlier one left.
    pub(super) resume: bool,
    /// Where values go that are too large for records.
    pub(super) values: Option<values::Config>,
    /// Silence after which a rank is taken for dead.
    pub(super) heartbeat: Duration,
}

/// What every rank needs to know of a `[[task]]` table.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TableSetup {
    pub(super) kind: String,
    pub(super) options: String,
    pub(super) pool: Pool,
    pub(super) limit: Option<Duration>,
}

impl Setup {
    pub(super) fn pools(&self) -> BTreeSet<Pool> {
        self.tables.iter().map(|table| table.pool).collect()
    }

    /// A rank's executor, as the setup wants it.
    pub(super) fn executor(&self, own: &Inventory, share: Share, now: Instant) -> Result<Executor> {
        let tables = self.tables.iter();
        let tables = tables
            .map(|table| executor::table(&table.kind, &table.options, table.pool, table.limit))
            .collect::<Result<_>>()?;
        let config = executor::Config {
            place: Place { rank: own.rank, ranks: self.ranks, resume: self.resume },
            host: own.host.clone(),
            threads: share.threads,
            io_threads: if self.pools().contains(&Pool::Io) { self.io_threads } else { 0 },
            records: self.records,
            memory: share.memory,
            values: self.values.clone(),
        };
        Executor::new(config, tables, now)
    }
}

/// Gathers every rank's inventory on rank 0, by rank; the others get an empty list.
pub fn gather_world(transport: &mut impl Transport) -> Result<(Inventory, Vec<Inventory>)> {
    let own = Inventory::take(transport.rank().0, transport.describe());
    let gathered = transport.gather(to_json(&own)?)?;
    let world = gathered.iter().map(|bytes| read_inventory(bytes)).collect::<Result<_>>()?;
    Ok((own, world))
}

/// Another version's inventory may have another shape, but says whose it is.
fn read_inventory(bytes: &[u8]) -> Result<Inventory> {
    serde_json::from_slice(bytes).with_context(|| {
        let value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        let said = |key| value[key].as_str().unwrap_or("unknown").to_owned();
        format!(
            "host {} runs rankpool {}, whose inventory cannot be read; install the same version \
             on every host",
            said("host"),
            said("version")
        )
    })
}

/// Tells every rank what the job is, or that there is none (`None`) because rank 0 could not
/// prepare it.
pub(super) fn broadcast_setup(transport: &mut impl Transport, setup: Option<&Setup>) -> Result<()> {
    transport.broadcast(to_json(&setup)?).map(drop)
}

/// Hears what rank 0 tells by [`broadcast_setup`].
pub(super) fn receive_setup(transport: &mut impl Transport) -> Result<Option<Setup>> {
    let bytes = transport.broadcast(Vec::new())?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// A rank's part of the scatter that begins a run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) share: Share,
    /// The first chunks, as a message.
    pub(super) message: Vec<u8>,
}

impl Start {
    /// `length u32 LE` of the share as JSON, the share, the message.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let share = to_json(&self.share)?;
        let mut bytes = u32::try_from(share.len())?.to_le_bytes().to_vec();
        bytes.extend_from_slice(&share);
        bytes.extend_from_slice(&self.message);
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>().context("start ends early")?;
        let length = usize::try_from(u32::from_le_bytes(*length))?;
        let (share, message) = rest.split_at_checked(length).context("start ends early")?;
        Ok(Self { share: serde_json::from_slice(share)?, message: message.to_vec() })
    }
}

/// The run's start on this rank: the moment after the scatter.
pub(super) fn started() -> Instant {
    now()
}
