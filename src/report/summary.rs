//! A finished run: the table that users of Parallel Python know, then kinds, then where each
//! rank's time went.

use super::{duration, table};
use crate::stats::{HostSummary, KindSummary, RankSummary, Summary};
use crate::units::thousands;

/// The whole summary, some lines.
pub fn summary(summary: &Summary) -> String {
    let mut text = headline(summary);
    if summary.tasks == 0 {
        return text;
    }
    text += "\nJob execution statistics:\n";
    text += &servers(&summary.ranks);
    if summary.hosts.len() > 1 {
        text += "\nBy host:\n";
        text += &hosts(&summary.hosts);
    }
    text += "\nTask times by kind:\n";
    text += &kinds(&summary.kinds);
    text += "\nWhere each rank's time went, in % of its threads' time:\n";
    text += &ledgers(&summary.ranks);
    for account in &summary.texts {
        text += "\n";
        text += account;
    }
    let dispatch = duration(summary.dispatch_seconds_per_task);
    let imbalance = 100.0 * summary.imbalance;
    text + &format!("\nimbalance {imbalance:.1} %, dispatch {dispatch} a task on rank 0\n")
}

/// How far a run is, some lines.
pub fn interim(summary: &Summary) -> String {
    headline(summary) + &kinds(&summary.kinds)
}

fn headline(summary: &Summary) -> String {
    let retries = match summary.attempts - summary.tasks {
        0 => String::new(),
        1 => " (1 retry)".to_owned(),
        retries => format!(" ({} retries)", thousands(retries)),
    };
    let resumed = match (summary.resumed, summary.resumed_failed) {
        (0, _) => String::new(),
        (done, 0) => format!("; {} more had been done before", thousands(done)),
        (done, failed) => {
            let (done, failed) = (thousands(done), thousands(failed));
            format!("; {done} more had been done before, {failed} of them failed")
        }
    };
    let cancelled = match summary.cancelled {
        0 => String::new(),
        n => format!(", {} cancelled", thousands(n)),
    };
    let tasks = if summary.tasks == 1 { "task" } else { "tasks" };
    format!(
        "{}: {} {tasks}{retries}: {} ok, {} failed{cancelled}, in {} ({} tasks/s) on {}{resumed}\n",
        summary.job,
        thousands(summary.tasks),
        thousands(summary.ok),
        thousands(summary.failed),
        duration(summary.wall_seconds),
        rate(summary.tasks_per_second),
        places(&summary.ranks),
    )
}

fn places(ranks: &[RankSummary]) -> String {
    let mut hosts: Vec<&str> = ranks.iter().map(|rank| rank.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let threads: u32 = ranks.iter().map(|rank| rank.ledger.threads).sum();
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    format!(
        "{} rank{}, {threads} thread{}, {} host{}",
        ranks.len(),
        plural(ranks.len()),
        plural(threads as usize),
        hosts.len(),
        plural(hosts.len())
    )
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tasks a second")]
fn rate(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}") } else { thousands(rate.round() as u64) }
}

fn servers(ranks: &[RankSummary]) -> String {
    let header = ["job count", "% of all jobs", "job time sum", "time per job", "job server"];
    let row = |rank: &RankSummary| {
        vec![
            rank.tasks.to_string(),
            format!("{:.2}", rank.percent_of_tasks),
            format!("{:.4}", rank.task_seconds),
            if rank.seconds_per_task < 1e-3 {
                format!("{:.9}", rank.seconds_per_task)
            } else {
                format!("{:.6}", rank.seconds_per_task)
            },
            format!("rank {} pid {} on host {}", rank.rank, rank.pid, rank.host),
        ]
    };
    table(&header, &ranks.iter().map(row).collect::<Vec<_>>())
}

fn hosts(hosts: &[HostSummary]) -> String {
    let header =
        ["ranks", "threads", "job count", "% of all jobs", "job time sum", "compute", "host"];
    let row = |host: &HostSummary| {
        vec![
            host.ranks.to_string(),
            host.threads.to_string(),
            host.tasks.to_string(),
            format!("{:.2}", host.percent_of_tasks),
            format!("{:.4}", host.task_seconds),
            format!("{:.1} %", host.percent_compute),
            host.host.clone(),
        ]
    };
    table(&header, &hosts.iter().map(row).collect::<Vec<_>>())
}

fn kinds(kinds: &[KindSummary]) -> String {
    let header = ["ok", "failed", "tasks/s", "p50", "p95", "p99", "longest", "kind"];
    let row = |kind: &KindSummary| {
        let cancelled = (kind.cancelled > 0).then(|| format!("{} cancelled", kind.cancelled));
        let errors = kind.errors.iter().map(|(class, n)| format!("{n} {class}")).chain(cancelled);
        let errors = errors.collect::<Vec<_>>().join(", ");
        vec![
            thousands(kind.ok),
            thousands(kind.failed),
            rate(kind.tasks_per_second),
            duration(kind.p50_seconds),
            duration(kind.p95_seconds),
            duration(kind.p99_seconds),
            duration(kind.max_seconds),
            if errors.is_empty() { kind.kind.into() } else { format!("{} ({errors})", kind.kind) },
        ]
    };
    table(&header, &kinds.iter().filter(|kind| kind.tasks > 0).map(row).collect::<Vec<_>>())
}

fn ledgers(ranks: &[RankSummary]) -> String {
    let header =
        ["compute", "overhead", "waiting", "idle", "communication", "I/O tasks at once", "rank"];
    let row = |rank: &RankSummary| {
        let ledger = &rank.ledger;
        let wall = ledger.wall.max(f64::MIN_POSITIVE);
        let of_threads = 100.0 / ledger.thread_seconds.max(f64::MIN_POSITIVE);
        vec![
            format!("{:.1}", ledger.compute * of_threads),
            format!("{:.1}", ledger.overhead * of_threads),
            format!("{:.1}", ledger.waiting * of_threads),
            format!("{:.1}", ledger.idle * of_threads),
            format!("{:.1}", 100.0 * ledger.communication / wall),
            format!("{:.1}", ledger.io / wall),
            format!("rank {} on host {}", rank.rank, rank.host),
        ]
    };
    table(&header, &ranks.iter().map(row).collect::<Vec<_>>())
}
