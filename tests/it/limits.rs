//! Time limits and memory: what a run ends, and what it lets run together.

use rankpool::stats::Summary;
use serde_json::Value;

use crate::local::run;
use crate::site::{Site, html};
use crate::util::{mpirun, rankpool};

/// One table of tasks on one thread, one at a time, so that each knows of those before it.
fn one_by_one(table: &str) -> (Summary, Vec<Value>) {
    let settings = "threads = 1\nio_threads = 1\nschedule = \"dynamic,1\"";
    run(1, &format!("{settings}\n[[task]]\n{table}\n"))
}

#[track_caller]
fn timed_out(record: &Value, message: &str) {
    assert_eq!(record["error"]["class"], "timeout", "{record}");
    let said = record["error"]["message"].as_str().unwrap();
    assert!(said.starts_with(message), "{record}");
}

#[test]
fn tasks_that_take_longer_than_their_limit_fail() {
    for action in ["sleep", "busy"] {
        let table = format!(
            "kind = \"probe\"\naction = \"{action}\"\ntime = \"30s\"\ntimeout = \"50ms\"\nn = [1, 2]"
        );
        let (summary, records) = run(2, &format!("[[task]]\n{table}\n"));
        assert_eq!((summary.tasks, summary.failed), (2, 2));
        for record in &records {
            timed_out(record, "took longer than 50ms");
            assert!(record["seconds"].as_f64().unwrap() >= 0.05, "{record}");
        }
    }
}

#[test]
fn tasks_within_their_limit_are_as_without_it() {
    let terms =
        "[[task]]\nkind = \"fibonacci\"\nn = [10, 186, 187, 20000, 400000]\nvalue = \"full\"\n";
    let outputs = |records: Vec<Value>| {
        let mut outputs: Vec<String> = records.iter().map(|r| r["output"].to_string()).collect();
        outputs.sort();
        outputs
    };
    let limited = run(2, &format!("{terms}timeout = \"10m\"\n")).1;
    assert_eq!(outputs(limited), outputs(run(2, terms).1));
}

#[test]
fn a_huge_term_ends_at_its_limit() {
    for value in ["none", "summary"] {
        let table = "[[task]]\nkind = \"fibonacci\"\nn = 100000000\ntimeout = \"50ms\"";
        let (ran, dir) = rankpool().job(&format!("{table}\nvalue = \"{value}\"\n")).run();
        ran.code(1);
        timed_out(&dir.records("job.results.jsonl")[0], "took longer than 50ms");
    }
}

#[test]
fn limits_hold_on_every_rank() {
    let table = "[[task]]\nkind = \"probe\"\naction = \"sleep\"\npool = \"cpu\"\ntime = \"30s\"";
    let job = format!("threads = 2\n{table}\ntimeout = \"100ms\"\nn = \"1..=12\"\n");
    let (ran, dir) = mpirun(3).job(&job).run();
    ran.code(1);
    let records = dir.records("job.results.jsonl");
    assert_eq!(records.len(), 12);
    for record in &records {
        timed_out(record, "took longer than 100ms");
    }
    assert!(records.iter().any(|record| record["rank"] != 0));
}

#[test]
fn a_task_far_beyond_the_median_fails() {
    let table = "kind = \"probe\"\naction = \"sleep\"\ntime = \"4ms\"\nn = \"1..=100\"\n\
        every = 100\nslower = 50";
    let (summary, _) = one_by_one(table);
    assert_eq!(summary.failed, 0, "without a limit it takes its time");
    let (summary, records) = one_by_one(&format!("{table}\ntimeout = \"20x\""));
    let last = records.iter().find(|record| record["input"]["n"] == 100).unwrap();
    timed_out(last, "took longer than ");
    // On a busy machine others may be late too, but not many.
    assert!(summary.failed < 30, "{summary:?}");
    let (summary, _) = one_by_one(&format!("{table}\ntimeout = \"10000x\""));
    assert_eq!(summary.failed, 0);
}

#[test]
fn before_enough_tasks_have_ended_nothing_is_far_from_the_median() {
    let table = "kind = \"probe\"\naction = \"sleep\"\ntime = \"1ms\"\nn = \"1..=18\"\n\
        every = 18\nslower = 500\ntimeout = \"2x\"";
    assert_eq!(one_by_one(table).0.failed, 0);
}

#[test]
fn a_slow_page_is_held_against_the_others() {
    let slow = html("").after(std::time::Duration::from_secs(20));
    let site = Site::start([("/", html("<title>t</title>")), ("/slow", slow)]);
    let mut urls: Vec<String> = (0..60).map(|n| site.url(&format!("/?{n}"))).collect();
    urls.push(site.url("/slow"));
    let (_, records) =
        one_by_one(&format!("kind = \"fetch\"\nurls = {urls:?}\ntimeout = \"100x\""));
    let last = records.iter().find(|record| record["input"]["url"] == urls[60]).unwrap();
    timed_out(last, "not done within `timeout` (");
}

/// The most of these tasks that ran at the same time.
fn most_at_once(records: &[Value]) -> usize {
    let span = |record: &Value| {
        let start = record["start"].as_f64().unwrap();
        (start, start + record["seconds"].as_f64().unwrap())
    };
    let spans: Vec<_> = records.iter().map(span).collect();
    // A start is written in microseconds.
    let at = |time: f64| spans.iter().filter(|span| span.0 <= time && time + 2e-6 < span.1).count();
    spans.iter().map(|span| at(span.0)).max().unwrap_or(0)
}

const SLEEP: &str =
    "[[task]]\nkind = \"probe\"\naction = \"sleep\"\npool = \"cpu\"\ntime = \"20ms\"";

#[test]
fn only_what_fits_into_memory_runs_together() {
    for (memory, most) in [("40MB", 2), ("60MB", 1), ("100MB", 1), ("1MB", 4)] {
        let job = format!(
            "threads = 4\nmemory = \"100MB\"\n{SLEEP}\nmemory = \"{memory}\"\nn = \"1..=12\"\n"
        );
        let (summary, records) = run(1, &job);
        assert_eq!((summary.tasks, summary.failed), (12, 0));
        assert_eq!(most_at_once(&records), most, "{memory}");
        // What waits for memory is not a task's time: with it the last ones would take ten times
        // as long.
        let quick = |record: &&Value| record["seconds"].as_f64().unwrap() < 0.1;
        assert!(records.iter().filter(quick).count() > 6, "{memory}");
    }
}

#[test]
fn what_never_fits_fails_and_holds_up_nobody() {
    let job = format!(
        "threads = 2\nmemory = \"100MB\"\n{SLEEP}\nmemory = \"101MB\"\nn = \"1..=8\"\n\
         {SLEEP}\nmemory = \"99MB\"\nn = \"11..=13\"\n{SLEEP}\nn = \"21..=23\"\n"
    );
    let (summary, records) = run(3, &job);
    assert_eq!((summary.tasks, summary.failed), (14, 8));
    for record in records.iter().filter(|record| record["status"] == "failed") {
        assert_eq!(record["error"]["class"], "memory");
        let message = record["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("101000000 bytes do not fit"), "{message}");
    }
}

#[test]
fn large_terms_take_turns() {
    // Each needs about 26 MB.
    let job = "threads = 4\nmemory = \"60MB\"\n[[task]]\nkind = \"fibonacci\"\nn = [\"30000000..=30000005\"]\nvalue = \"none\"\n";
    let (summary, records) = run(1, job);
    assert_eq!((summary.tasks, summary.failed), (6, 0));
    assert!(most_at_once(&records) <= 3);
}

#[test]
fn memory_is_shared_by_both_pools_and_all_tables() {
    let io = SLEEP.replace("pool = \"cpu\"", "pool = \"io\"");
    let job = format!(
        "threads = 2\nio_threads = 4\nmemory = \"100MB\"\n{SLEEP}\nmemory = \"60MB\"\nn = \"1..=8\"\n\
         {io}\nmemory = \"60MB\"\nn = \"11..=18\"\n"
    );
    let (summary, records) = run(1, &job);
    assert_eq!((summary.tasks, summary.failed), (16, 0));
    assert_eq!(most_at_once(&records), 1);
}

#[test]
fn bad_limits_are_refused_by_their_key() {
    let urls = "urls = \"http://h/\"";
    for (kind, table) in [("fibonacci", "n = 1"), ("probe", "n = 1"), ("fetch", urls)] {
        for (value, part) in [
            ("\"soon\"", "`soon` is no time limit"),
            ("\"0s\"", "`0s` is zero"),
            ("\"0.5x\"", "`0.5x` would end most tasks"),
            ("30", ""),
        ] {
            let job = format!("[[task]]\nkind = \"{kind}\"\n{table}\ntimeout = {value}\n");
            let (ran, _) = rankpool().job(&job).run();
            ran.code(2).says("`timeout`").says(part);
        }
        let job = format!("[[task]]\nkind = \"{kind}\"\n{table}\ntimeout = \"2.5x\"\n");
        let check = rankpool();
        check.dir().write("job.toml", &job);
        check.line("check job.toml").run().0.code(0).says("timeout = \"2.5x\"");
    }
}
