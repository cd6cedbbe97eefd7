//! The world as `rankpool info` shows it.

use anyhow::Result;
use serde::Serialize;

use super::table;
use crate::inventory::Inventory;
use crate::placement::{Placement, Share};

/// A line a rank; the caller adds the warnings.
pub fn info(world: &[Inventory], placement: &Placement) -> String {
    let root = &world[0];
    let header = ["rank", "pid", "cores", "threads", "memory", "host"];
    let rows: Vec<_> =
        world.iter().zip(&placement.shares).map(|(of, share)| row(of, share)).collect();
    format!(
        "rankpool {}, {}, thread level {}, {} rank{}\n\n{}",
        root.version,
        root.library.name,
        root.library.thread_level,
        world.len(),
        if world.len() == 1 { "" } else { "s" },
        table(&header, &rows)
    )
}

/// The same as JSON, with the warnings.
pub fn info_json(world: &[Inventory], placement: &Placement) -> Result<String> {
    #[derive(Serialize)]
    struct Rank<'a> {
        #[serde(flatten)]
        inventory: &'a Inventory,
        share: &'a Share,
    }
    #[derive(Serialize)]
    struct Info<'a> {
        ranks: Vec<Rank<'a>>,
        warnings: &'a [String],
    }
    let ranks = world.iter().zip(&placement.shares);
    let ranks = ranks.map(|(inventory, share)| Rank { inventory, share }).collect();
    Ok(serde_json::to_string_pretty(&Info { ranks, warnings: &placement.warnings })?)
}

fn row(inventory: &Inventory, share: &Share) -> Vec<String> {
    vec![
        inventory.rank.to_string(),
        inventory.pid.to_string(),
        format!("{} of {}", inventory.cores.len(), inventory.host_cores),
        share.threads.to_string(),
        format!("{:.1} GiB", share.memory as f64 / f64::from(1 << 30)),
        inventory.host.clone(),
    ]
}
