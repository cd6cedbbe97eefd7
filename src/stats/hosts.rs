//! A run by host: its ranks' parts, added up.

use serde::Serialize;

use super::RankSummary;

/// One host's part of a [`Summary`](super::Summary).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostSummary {
    /// Its name.
    pub host: String,
    /// How many ranks ran there.
    pub ranks: u32,
    /// Their threads for tasks that compute.
    pub threads: u32,
    /// Tasks that they ran.
    pub tasks: u64,
    /// Of all tasks.
    pub percent_of_tasks: f64,
    /// Sum of the tasks' times.
    pub task_seconds: f64,
    /// The part of the threads' time that went into tasks that compute, in percent.
    pub percent_compute: f64,
}

/// The ranks' parts by host, in the order of each host's first rank.
pub(super) fn by_host(ranks: &[RankSummary]) -> Vec<HostSummary> {
    let mut hosts: Vec<&str> = Vec::new();
    for rank in ranks {
        if !hosts.contains(&rank.host.as_str()) {
            hosts.push(&rank.host);
        }
    }
    let of = |host: &str| ranks.iter().filter(|rank| rank.host == host).collect::<Vec<_>>();
    hosts.iter().map(|host| sum(host, &of(host))).collect()
}

fn sum(host: &str, ranks: &[&RankSummary]) -> HostSummary {
    let ledgers = || ranks.iter().map(|rank| &rank.ledger);
    let time: f64 = ledgers().map(|ledger| ledger.wall * f64::from(ledger.threads)).sum();
    let compute: f64 = ledgers().map(|ledger| ledger.compute).sum();
    HostSummary {
        host: host.to_owned(),
        ranks: u32::try_from(ranks.len()).unwrap_or(u32::MAX),
        threads: ledgers().map(|ledger| ledger.threads).sum(),
        tasks: ranks.iter().map(|rank| rank.tasks).sum(),
        percent_of_tasks: ranks.iter().map(|rank| rank.percent_of_tasks).sum(),
        task_seconds: ranks.iter().map(|rank| rank.task_seconds).sum(),
        percent_compute: if time > 0.0 { 100.0 * compute / time } else { 0.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Ledger;

    fn rank(rank: u32, host: &str, tasks: u64, compute: f64) -> RankSummary {
        RankSummary {
            rank,
            host: host.into(),
            pid: 1,
            tasks,
            percent_of_tasks: 10.0,
            task_seconds: 2.0,
            seconds_per_task: 1.0,
            ledger: Ledger { wall: 10.0, threads: 2, compute, ..Ledger::default() },
        }
    }

    #[test]
    fn a_host_s_ranks_are_added_up() {
        let ranks = [rank(0, "b", 5, 20.0), rank(1, "a", 1, 5.0), rank(2, "b", 2, 10.0)];
        let hosts = by_host(&ranks);
        assert_eq!(hosts.iter().map(|host| host.host.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!((hosts[0].ranks, hosts[0].threads, hosts[0].tasks), (2, 4, 7));
        assert!((hosts[0].percent_compute - 75.0).abs() < 1e-9);
        assert!((hosts[0].percent_of_tasks - 20.0).abs() < 1e-9);
        assert!((hosts[1].percent_compute - 25.0).abs() < 1e-9);
    }
}
