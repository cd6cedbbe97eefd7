//! How the ranks of a world share their hosts: threads and memory of each, and what to warn of.
//!
//! **Invariant:** pure; decided on rank 0 from every rank's inventory.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::inventory::Inventory;

/// What one rank may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Threads for tasks that compute.
    pub threads: u32,
    /// Bytes for tasks.
    pub memory: u64,
}

/// What the user asked for instead of a rank's share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Threads a rank.
    pub threads: Option<u32>,
    /// Bytes a rank.
    pub memory: Option<u64>,
}

/// Each rank's share, by rank, and what wastes cores or time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// By rank.
    pub shares: Vec<Share>,
    /// One line each, with the way out.
    pub warnings: Vec<String>,
}

/// The part of a host's memory that tasks may use: the rest is for everything else there.
const MEMORY_FOR_TASKS: f64 = 0.8;

/// Shares out the hosts of `world`, which holds every rank's inventory by rank.
pub fn place(world: &[Inventory], wanted: Wanted) -> Result<Placement> {
    check_versions(world)?;
    let mut hosts = BTreeMap::<&str, Vec<&Inventory>>::new();
    for inventory in world {
        hosts.entry(&inventory.host).or_default().push(inventory);
    }
    let shares: Vec<Share> =
        world.iter().map(|rank| share(rank, &hosts[rank.host.as_str()], wanted)).collect();
    let warnings = hosts.iter().flat_map(|(host, ranks)| warnings(host, ranks, &shares, wanted));
    let warnings = warnings.collect();
    Ok(Placement { shares, warnings })
}

fn check_versions(world: &[Inventory]) -> Result<()> {
    let root = &world[0];
    for other in world {
        if other.version != root.version {
            bail!(
                "rank {} on host {} runs rankpool {}, rank 0 on host {} runs {}; \
                 install the same version on every host",
                other.rank,
                other.host,
                other.version,
                root.host,
                root.version
            );
        }
        if other.library.name != root.library.name {
            bail!(
                "rank {} on host {} runs with {}, rank 0 on host {} with {}; \
                 use the same MPI on every host",
                other.rank,
                other.host,
                other.library.name,
                root.host,
                root.library.name
            );
        }
    }
    Ok(())
}

fn share(own: &Inventory, host: &[&Inventory], wanted: Wanted) -> Share {
    let memory = own.memory as f64 * MEMORY_FOR_TASKS / host.len() as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a host")]
    let memory = wanted.memory.unwrap_or(memory as u64);
    Share { threads: wanted.threads.unwrap_or_else(|| threads(own, host)), memory }
}

/// A rank's cores, shared with the ranks of its host that are bound to the same ones.
fn threads(own: &Inventory, host: &[&Inventory]) -> u32 {
    let sharers = host.iter().filter(|other| other.cores == own.cores);
    let sharers: Vec<u32> = sharers.map(|other| other.rank).collect();
    let place = sharers.iter().position(|&rank| rank == own.rank).unwrap_or(0);
    let cores = usable_cores(own);
    let threads = cores / sharers.len() + usize::from(place < cores % sharers.len());
    u32::try_from(threads.max(1)).unwrap_or(u32::MAX)
}

/// The cores of a rank's mask, or its cgroup's share of time where that is less.
pub fn usable_cores(rank: &Inventory) -> usize {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few cores")]
    let quota = rank.quota.map_or(usize::MAX, |quota| quota.ceil() as usize);
    rank.cores.len().min(quota).max(1)
}

fn warnings(host: &str, ranks: &[&Inventory], shares: &[Share], wanted: Wanted) -> Vec<String> {
    let threads: u32 = ranks.iter().map(|rank| shares[rank.rank as usize].threads).sum();
    let union: std::collections::BTreeSet<_> = ranks.iter().flat_map(|rank| &rank.cores).collect();
    let host_cores = ranks[0].host_cores;
    let quota = ranks[0].quota.map_or(f64::INFINITY, f64::ceil);
    let mut warnings = Vec::new();
    if union.len() < host_cores && (union.len() as f64) < quota && wanted.threads.is_none() {
        let each = (host_cores / ranks.len()).max(1);
        warnings.push(format!(
            "host {host}: its ranks are bound to {} of {host_cores} cores; `mpirun --bind-to none`, \
             `mpirun --map-by slot:PE={each}` or `srun --cpus-per-task={each}` uses them all",
            union.len(),
        ));
    }
    let cores = union.len().min(usable_cores(ranks[0]).max(union.len().min(host_cores)));
    if threads as usize > cores {
        warnings.push(format!(
            "host {host}: {} with {threads} threads in all share {cores} {}; \
             start fewer ranks there, or ask for fewer threads with `--threads`",
            plural(ranks.len(), "rank"),
            if cores == 1 { "core" } else { "cores" },
        ));
    }
    warnings
}

fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Library;

    fn rank(rank: u32, host: &str, cores: std::ops::Range<usize>, host_cores: usize) -> Inventory {
        Inventory {
            rank,
            host: host.into(),
            pid: 100 + rank,
            version: "1.0.0".into(),
            cores: cores.collect(),
            host_cores,
            quota: None,
            memory: 1000,
            library: Library { name: "Open MPI v5".into(), thread_level: "funneled".into() },
        }
    }

    #[track_caller]
    fn check(world: &[Inventory], threads: &[u32], warnings: &[&str]) {
        let placement = place(world, Wanted::default()).unwrap();
        let found: Vec<u32> = placement.shares.iter().map(|share| share.threads).collect();
        assert_eq!(found, threads);
        assert_eq!(placement.warnings.len(), warnings.len(), "{:?}", placement.warnings);
        for (warning, part) in placement.warnings.iter().zip(warnings) {
            assert!(warning.contains(part), "{warning}");
        }
    }

    #[test]
    fn unbound_ranks_share_their_host() {
        check(&[rank(0, "a", 0..8, 8)], &[8], &[]);
        let three = [rank(0, "a", 0..8, 8), rank(1, "a", 0..8, 8), rank(2, "a", 0..8, 8)];
        check(&three, &[3, 3, 2], &[]);
        check(&[rank(0, "a", 0..2, 2), rank(1, "b", 0..4, 4)], &[2, 4], &[]);
    }

    #[test]
    fn bound_ranks_keep_their_own_cores() {
        check(&[rank(0, "a", 0..4, 8), rank(1, "a", 4..8, 8)], &[4, 4], &[]);
        check(
            &[rank(0, "a", 0..1, 8), rank(1, "a", 1..2, 8)],
            &[1, 1],
            &[
                "bound to 2 of 8 cores; `mpirun --bind-to none`, `mpirun --map-by slot:PE=4` or `srun",
            ],
        );
    }

    #[test]
    fn more_ranks_than_cores_are_warned_of() {
        let three = [rank(0, "a", 0..2, 2), rank(1, "a", 0..2, 2), rank(2, "a", 0..2, 2)];
        check(&three, &[1, 1, 1], &["host a: 3 ranks with 3 threads in all share 2 cores"]);
    }

    #[test]
    fn a_quota_counts_as_cores() {
        let mut limited = rank(0, "a", 0..8, 8);
        limited.quota = Some(2.5);
        check(&[limited], &[3], &[]);
    }

    #[test]
    fn what_is_asked_for_wins() {
        let world = [rank(0, "a", 0..8, 8), rank(1, "a", 0..8, 8)];
        let wanted = Wanted { threads: Some(2), memory: Some(7) };
        let placement = place(&world, wanted).unwrap();
        assert_eq!(placement.shares, [Share { threads: 2, memory: 7 }; 2]);
        let shared = place(&world, Wanted::default()).unwrap();
        assert_eq!(shared.shares[0].memory, 400);
    }

    #[test]
    fn other_versions_are_refused_by_host() {
        let mut world = [rank(0, "a", 0..8, 8), rank(1, "b", 0..8, 8)];
        world[1].version = "0.9.0".into();
        let message = place(&world, Wanted::default()).unwrap_err().to_string();
        assert!(message.starts_with("rank 1 on host b runs rankpool 0.9.0"), "{message}");
        world[1] = rank(1, "b", 0..8, 8);
        world[1].library.name = "MPICH".into();
        let message = place(&world, Wanted::default()).unwrap_err().to_string();
        assert!(message.contains("use the same MPI on every host"), "{message}");
    }
}
