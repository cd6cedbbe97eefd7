//! Whole jobs with ranks as threads: the same loops and messages without a launcher.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

use rankpool::cli::Overrides;
use rankpool::job::JobSpec;
use rankpool::run::{self, Led};
use rankpool::stats::Summary;
use rankpool::transport::{Transport, local};
use serde_json::Value;

use crate::util::Dir;

/// Runs a job on `n` ranks; its summary and its records.
#[track_caller]
pub(crate) fn run(n: u32, job: &str) -> (Summary, Vec<Value>) {
    let dir = Dir::new();
    let output = dir.path().join("results.jsonl");
    let path = dir.write("job.toml", &format!("output = \"{}\"\n{job}", output.display()));
    let mut world = local::world(n);
    let others = world.split_off(1);
    let summary = thread::scope(|scope| {
        for mut transport in others {
            scope.spawn(move || run::work(&mut transport).expect("a worker ends well"));
        }
        let mut root = world.pop().expect("rank 0");
        lead(&mut root, &path)
    });
    (summary, dir.records("results.jsonl"))
}

pub(crate) fn lead(root: &mut impl Transport, path: &Path) -> Summary {
    lead_with(root, path, Overrides::default())
}

/// The same, asked and told by way of the folder `control`.
pub(crate) fn lead_controlled(root: &mut impl Transport, path: &Path, control: &Path) -> Summary {
    let mut overrides = Overrides::default();
    overrides.run.control = Some(control.to_owned());
    lead_with(root, path, overrides)
}

fn lead_with(root: &mut impl Transport, path: &Path, mut overrides: Overrides) -> Summary {
    overrides.run.quiet = true;
    let job = JobSpec::from_file(path, &overrides);
    match run::lead(root, job, |_| ()).expect("the world holds") {
        Led::Done(finished) => finished.summary,
        Led::Refused(error) => panic!("{error:#}"),
    }
}

/// What a task is and gave, without who ran it and when: by id, so that two records of one task
/// would show.
pub(crate) fn gathered(records: &[Value]) -> BTreeMap<String, String> {
    let mut gathered = BTreeMap::new();
    for record in records {
        let id = record["id"].as_str().expect("a record has an id").to_owned();
        let keys = ["kind", "input", "status", "output", "error", "attempts"];
        let what = keys.map(|key| record[key].to_string()).join(" ");
        assert_eq!(gathered.insert(id, what), None, "{record}");
    }
    gathered
}

/// A job of every kind but the web.
pub(crate) const MIXED: &str = r#"
[[task]]
kind = "fibonacci"
n = [4, 3, 8, 6, 10, "0..=300", 5, 5, 20000]
value = "full"

[[task]]
kind = "probe"
n = "1..=50"
action = "sleep"
time = "1ms"

[[task]]
kind = "fibonacci"
n = "0..=2000:7"
modulus = 1000000007

[[task]]
kind = "probe"
n = "1..=40"
action = "fail"
every = 10

[[task]]
kind = "probe"
n = "100..=110"
action = "panic"
every = 5
"#;

/// Tasks of [`MIXED`], and how many of them fail.
pub(crate) const MIXED_TASKS: (u64, u64) = (5 + 301 + 3 + 50 + 286 + 40 + 11, 4 + 3);

#[test]
fn any_number_of_ranks_gathers_the_same() {
    let (summary, records) = run(1, MIXED);
    assert_eq!((summary.tasks, summary.failed), MIXED_TASKS);
    let alone = gathered(&records);
    assert_eq!(alone.len() as u64, MIXED_TASKS.0);
    for n in 2..=8 {
        let (summary, records) = run(n, MIXED);
        assert_eq!(gathered(&records), alone, "{n} ranks");
        assert_eq!((summary.tasks, summary.failed), MIXED_TASKS);
    }
}

#[test]
fn any_schedule_gathers_the_same() {
    let alone = gathered(&run(1, MIXED).1);
    for schedule in ["static", "static,3", "dynamic", "dynamic,7", "guided", "guided,4", "auto"] {
        let (_, records) = run(3, &format!("schedule = \"{schedule}\"\n{MIXED}"));
        assert_eq!(gathered(&records), alone, "{schedule}");
    }
}

#[test]
fn results_keep_the_order_of_the_job() {
    let (_, records) = run(3, &format!("ordered = true\n{MIXED}"));
    let firsts: Vec<String> =
        records.iter().take(7).map(|record| record["input"]["n"].to_string()).collect();
    assert_eq!(firsts, ["4", "3", "8", "6", "10", "0", "1"]);
    let kinds: Vec<&str> = records.iter().filter_map(|record| record["kind"].as_str()).collect();
    let (fibonacci, rest) = kinds.split_at(309);
    assert!(fibonacci.iter().all(|&kind| kind == "fibonacci"));
    assert!(rest[..50].iter().all(|&kind| kind == "probe"));
}

#[test]
fn a_task_named_again_is_another_task() {
    let job = "[[task]]\nkind = \"fibonacci\"\nn = [7, 7, \"6..=8\"]\n";
    let first = gathered(&run(2, job).1);
    assert_eq!(first.len(), 5);
    // The same tasks written otherwise have the same ids.
    let job = "[[task]]\nkind = \"fibonacci\"\nn = [8, 6, 7]\n[[task]]\nkind = \"fibonacci\"\nn = [7, 7]\n";
    assert_eq!(gathered(&run(3, job).1), first);
}

#[test]
fn small_and_empty_jobs_end() {
    for n in [1, 2, 5] {
        let (summary, records) = run(n, "");
        assert_eq!((summary.tasks, records.len()), (0, 0));
        let (summary, records) = run(n, "[[task]]\nkind = \"fibonacci\"\nn = 10\n");
        assert_eq!((summary.tasks, records.len()), (1, 1));
        assert_eq!(records[0]["output"]["value"], "55");
    }
}

#[test]
fn the_ledger_adds_up() {
    let job = r#"
[[task]]
kind = "probe"
n = "1..=60"
action = "busy"
time = "3ms"
[[task]]
kind = "probe"
n = "1..=30"
action = "sleep"
time = "5ms"
"#;
    let (summary, records) = run(3, job);
    assert_eq!(summary.tasks, records.len() as u64);
    assert_eq!(summary.attempts, summary.tasks);
    assert_eq!(summary.ranks.iter().map(|rank| rank.tasks).sum::<u64>(), summary.tasks);
    assert_eq!(summary.kinds.iter().map(|kind| kind.tasks).sum::<u64>(), summary.tasks);
    for rank in &summary.ranks {
        let ledger = &rank.ledger;
        let whole = ledger.thread_seconds;
        assert!((whole - f64::from(ledger.threads) * ledger.wall).abs() < 1e-6 * whole);
        let sum = ledger.compute + ledger.overhead + ledger.waiting + ledger.idle;
        assert!((sum - whole).abs() < 1e-6 * whole, "{ledger:?}");
        let main = ledger.communication + ledger.asleep;
        assert!((main - ledger.wall).abs() < 1e-6 * ledger.wall, "{ledger:?}");
        for part in [ledger.compute, ledger.overhead, ledger.waiting, ledger.asleep] {
            assert!(part >= 0.0, "{ledger:?}");
        }
        assert!(ledger.idle > -1e-3, "{ledger:?}");
        // What the ledgers call compute and I/O is what the records say.
        let of_rank = records.iter().filter(|record| record["rank"] == rank.rank);
        let seconds: f64 = of_rank.filter_map(|record| record["seconds"].as_f64()).sum();
        assert!((seconds - ledger.compute - ledger.io).abs() < 1e-3, "{seconds} {ledger:?}");
        assert!((seconds - rank.task_seconds).abs() < 1e-3, "{seconds} {rank:?}");
    }
}

#[test]
fn rank_0_can_leave_the_work_to_others() {
    let (summary, records) = run(3, &format!("root_computes = false\n{MIXED}"));
    assert_eq!(summary.tasks, records.len() as u64);
    assert_eq!(summary.ranks[0].tasks, 0);
    assert!(records.iter().all(|record| record["rank"] != 0));
}
