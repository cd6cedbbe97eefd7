//! The world as `rankpool info` shows it.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Serialize;

use super::table;
use crate::inventory::Inventory;
use crate::placement::{Placement, Share};

/// A line a host, and a line a rank; the caller adds the warnings.
pub fn info(world: &[Inventory], placement: &Placement) -> String {
    let root = &world[0];
    let header = ["rank", "pid", "cores", "threads", "memory", "host"];
    let rows: Vec<_> =
        world.iter().zip(&placement.shares).map(|(of, share)| row(of, share)).collect();
    format!(
        "rankpool {}, {}, thread level {}, {} rank{}\n\n{}\n{}",
        root.version,
        root.library.name,
        root.library.thread_level,
        world.len(),
        if world.len() == 1 { "" } else { "s" },
        hosts(world, placement),
        table(&header, &rows)
    )
}

/// Each host once, with what its ranks have together.
fn hosts(world: &[Inventory], placement: &Placement) -> String {
    let header = ["ranks", "cores", "threads", "memory", "host"];
    let mut hosts: Vec<&str> = Vec::new();
    for rank in world {
        if !hosts.contains(&rank.host.as_str()) {
            hosts.push(&rank.host);
        }
    }
    let row = |host: &&str| {
        let on_it = || world.iter().zip(&placement.shares).filter(|(rank, _)| rank.host == **host);
        let ranks: Vec<u32> = on_it().map(|(rank, _)| rank.rank).collect();
        let cores: BTreeSet<_> = on_it().flat_map(|(rank, _)| &rank.cores).collect();
        let (threads, memory) = on_it().fold((0, 0), |(threads, memory), (_, share)| {
            (threads + share.threads, memory + share.memory)
        });
        let host_cores = on_it().map(|(rank, _)| rank.host_cores).max().unwrap_or(0);
        vec![
            ranges(&ranks),
            format!("{} of {host_cores}", cores.len()),
            threads.to_string(),
            gib(memory),
            (*host).to_owned(),
        ]
    };
    table(&header, &hosts.iter().map(row).collect::<Vec<_>>())
}

/// `0-2,5` of numbers that ascend.
fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let shown = ranges.iter().map(|&(first, last)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    });
    shown.collect::<Vec<_>>().join(",")
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
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
        gib(share.memory),
        inventory.host.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_shown_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(ranges(&[]), "");
    }
}
