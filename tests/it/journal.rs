//! The results file as a journal: runs that go on with what an earlier one left.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;

use rankpool::cli::{Overrides, RunOptions};
use rankpool::job::JobSpec;
use rankpool::run::{self, Led};
use rankpool::stats::Summary;
use rankpool::transport::local;
use rustix::process::Signal;
use serde_json::Value;

use crate::launch::{kill, named, wait_for_records};
use crate::local::{MIXED, gathered};
use crate::util::{Dir, mpirun, rankpool};

/// Terms, one of them twice, and a task that fails.
const SMALL: &str = "[[task]]\nkind = \"fibonacci\"\nn = [1, 30, 2, 2]\nvalue = \"full\"\n\
                     [[task]]\nkind = \"probe\"\nn = [4, 5]\naction = \"fail\"\nevery = 2\n";

/// Runs a job on ranks as threads, its results in `x.jsonl`; the summary or the refusal, and
/// the warnings.
fn attempt(
    dir: &Dir,
    ranks: u32,
    job: &str,
    options: impl FnOnce(&mut RunOptions),
) -> (Result<Summary, String>, Vec<String>) {
    let path = dir.write("job.toml", job);
    let mut overrides = Overrides::default();
    overrides.run.quiet = true;
    overrides.run.output = Some(dir.path().join("x.jsonl"));
    options(&mut overrides.run);
    let mut world = local::world(ranks);
    let others = world.split_off(1);
    let mut warnings = Vec::new();
    let led = thread::scope(|scope| {
        for mut transport in others {
            scope.spawn(move || run::work(&mut transport).expect("a worker ends well"));
        }
        let mut root = world.pop().expect("rank 0");
        let warn = |warning: &str| {
            // Tests share few cores.
            if !warning.starts_with("host ") {
                warnings.push(warning.to_owned());
            }
        };
        run::lead(&mut root, JobSpec::from_file(&path, &overrides), warn)
    });
    match led.expect("the world holds") {
        Led::Done(finished) => (Ok(finished.summary), warnings),
        Led::Refused(error) => (Err(format!("{error:#}")), warnings),
    }
}

fn resume(options: &mut RunOptions) {
    options.resume = true;
}

fn retry_failed(options: &mut RunOptions) {
    options.retry_failed = true;
}

/// Goes on with `x.jsonl`; the summary.
#[track_caller]
fn go_on(dir: &Dir, job: &str, options: fn(&mut RunOptions)) -> Summary {
    let (result, warnings) = attempt(dir, 1, job, options);
    assert_eq!(warnings, Vec::<String>::new());
    result.unwrap()
}

/// What a job gathers when nothing disturbs it, and its results file.
fn undisturbed(job: &str) -> (BTreeMap<String, String>, String) {
    let dir = Dir::new();
    attempt(&dir, 1, job, |_| ()).0.unwrap();
    (gathered(&dir.records("x.jsonl")), dir.read("x.jsonl"))
}

/// Why a job does not go on with a file, which stays as it is.
#[track_caller]
fn refused(results: &str, job: &str, expected: &str) {
    for options in [resume, retry_failed] {
        let dir = Dir::new();
        dir.write("x.jsonl", results);
        let error = attempt(&dir, 1, job, options).0.unwrap_err();
        let error = error.replace(&format!("{}/", dir.path().display()), "");
        assert!(error.starts_with(expected), "{error}");
        assert!(error.ends_with("`--overwrite` instead of resuming replaces it"), "{error}");
        assert_eq!(dir.read("x.jsonl"), results);
    }
}

#[test]
fn a_file_cut_at_any_byte_is_gone_on_with() {
    let (expected, text) = undisturbed(SMALL);
    for cut in 0..=text.len() {
        let dir = Dir::new();
        dir.write("x.jsonl", &text[..cut]);
        // Most positions alone, where a run costs least.
        let ranks = if cut % 50 == 0 { 3 } else { 1 };
        let (summary, warnings) = attempt(&dir, ranks, SMALL, resume);
        let summary = summary.unwrap();
        let whole = text[..cut].rfind('\n').map_or(0, |at| at + 1);
        let torn = cut - whole;
        let result = dir.read("x.jsonl");
        assert!(result.starts_with(&text[..whole]), "{cut}");
        assert_eq!(gathered(&dir.records("x.jsonl")), expected, "{cut}");
        assert_eq!(summary.resumed, text[..whole].lines().count() as u64);
        assert_eq!(summary.tasks + summary.resumed, 6);
        assert_eq!(summary.failed + summary.resumed_failed, 1);
        assert_eq!(summary.unnamed, 0);
        let told = format!(
            "{}: the last record was torn ({torn} bytes); cut",
            dir.path().join("x.jsonl").display()
        );
        assert_eq!(warnings, if torn > 0 { vec![told] } else { vec![] });
    }
}

#[test]
fn a_job_of_every_kind_is_gone_on_with_on_any_ranks_and_schedule() {
    let (expected, text) = undisturbed(MIXED);
    for (part, ranks, schedule) in
        [(0.1, 2, "auto"), (0.5, 3, "static"), (0.9, 1, "guided,4"), (0.99, 4, "static,3")]
    {
        let dir = Dir::new();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part")]
        dir.write("x.jsonl", &text[..(text.len() as f64 * part) as usize]);
        let job = format!("schedule = \"{schedule}\"\n{MIXED}");
        attempt(&dir, ranks, &job, resume).0.unwrap();
        assert_eq!(gathered(&dir.records("x.jsonl")), expected);
    }
}

#[test]
fn without_an_earlier_run_it_is_a_normal_start() {
    let (expected, _) = undisturbed(SMALL);
    for options in [resume, retry_failed] {
        let dir = Dir::new();
        assert_eq!(go_on(&dir, SMALL, options).tasks, 6);
        assert_eq!(gathered(&dir.records("x.jsonl")), expected);
    }
    let (ran, _) = rankpool().line("fib 10 --resume").run();
    ran.code(2).says("without a results file there is nothing to resume; `--output FILE`");
}

#[test]
fn an_edited_job_runs_what_it_has_and_the_file_has_not() {
    let dir = Dir::new();
    let job = |n: &str| format!("[[task]]\nkind = \"fibonacci\"\nn = {n}\nvalue = \"full\"\n");
    assert_eq!(go_on(&dir, &job("[7, 8, 9, 9]"), resume).tasks, 4);
    // Reordered.
    let summary = go_on(&dir, &job("[9, 9, 8, 7]"), resume);
    assert_eq!((summary.tasks, summary.resumed), (0, 4));
    // More, less and both, in another table.
    let summary = go_on(&dir, &job("\"1..=9\""), resume);
    assert_eq!((summary.tasks, summary.resumed, summary.unnamed), (6, 3, 1));
    let edited = format!("{}{}", job("9"), job("[9, 9, 100]"));
    let summary = go_on(&dir, &edited, resume);
    assert_eq!((summary.tasks, summary.resumed, summary.unnamed), (2, 2, 8));
    assert_eq!(gathered(&dir.records("x.jsonl")).len(), 12);
}

#[test]
fn what_is_newly_run_keeps_the_order() {
    let dir = Dir::new();
    let job = |n: &str| format!("ordered = true\n[[task]]\nkind = \"probe\"\nn = {n}\n");
    go_on(&dir, &job("[50, 70]"), resume);
    go_on(&dir, &job("\"1..=100\""), resume);
    let n = |record: &Value| record["input"]["n"].as_u64().unwrap();
    let ns: Vec<u64> = dir.records("x.jsonl").iter().map(n).collect();
    let rest = (1..=100).filter(|n| ![50, 70].contains(n));
    assert_eq!(ns, [50, 70].into_iter().chain(rest).collect::<Vec<_>>());
}

fn probes(n: &str, every: u32) -> String {
    format!("[[task]]\nkind = \"probe\"\nn = {n}\naction = \"fail\"\nevery = {every}\n")
}

/// The status of each number's one record.
#[track_caller]
fn statuses(dir: &Dir) -> BTreeMap<u64, bool> {
    let mut statuses = BTreeMap::new();
    for record in dir.records("x.jsonl") {
        let n = record["input"]["n"].as_u64().unwrap();
        assert_eq!(statuses.insert(n, record["status"] == "ok"), None, "{record}");
    }
    statuses
}

#[test]
fn failed_tasks_run_again_when_asked() {
    let dir = Dir::new();
    let summary = go_on(&dir, &probes("\"1..=20\"", 2), resume);
    assert_eq!((summary.ok, summary.failed), (10, 10));
    let lines = dir.read("x.jsonl");
    // Not asked: nothing runs, and the run still counts as one with failures.
    let summary = go_on(&dir, &probes("\"1..=20\"", 5), resume);
    assert_eq!((summary.tasks, summary.resumed, summary.resumed_failed), (0, 20, 10));
    assert!(summary.has_failed());
    assert_eq!(dir.read("x.jsonl"), lines);
    // Now only 10 and 20 fail: 5 and 15 are done.
    let summary = go_on(&dir, &probes("\"1..=20\"", 5), retry_failed);
    assert_eq!((summary.ok, summary.failed, summary.resumed), (8, 2, 10));
    assert_eq!((summary.resumed_failed, summary.unnamed), (0, 0));
    assert_eq!(statuses(&dir), (1..=20).map(|n| (n, n % 10 != 0)).collect());
    assert!(!dir.path().join("x.jsonl.part").exists());
    // The job no longer has 20: its record stays, and does not count.
    let summary = go_on(&dir, &probes("\"1..=19\"", 100), retry_failed);
    assert_eq!((summary.ok, summary.failed, summary.resumed), (1, 0, 18));
    assert_eq!((summary.unnamed, summary.has_failed()), (1, false));
    assert_eq!(statuses(&dir), (1..=20).map(|n| (n, n != 20)).collect());
    // A new one, and 20 again.
    let summary = go_on(&dir, &probes("[21, 20]", 20), retry_failed);
    assert_eq!((summary.ok, summary.failed, summary.resumed, summary.unnamed), (1, 1, 0, 19));
    assert_eq!(statuses(&dir), (1..=21).map(|n| (n, n != 20)).collect());
}

#[test]
fn of_two_records_of_a_task_the_ok_one_counts() {
    let dir = Dir::new();
    attempt(&dir, 1, &probes("[1, 2]", 2), |_| ()).0.unwrap();
    let failed = dir.read("x.jsonl");
    attempt(&dir, 1, &probes("[1, 2, 3]", 3), |options| options.overwrite = true).0.unwrap();
    let other = dir.read("x.jsonl");
    dir.write("x.jsonl", &format!("{failed}{other}{failed}"));
    let (summary, warnings) = attempt(&dir, 1, &probes("\"1..=4\"", 3), resume);
    let summary = summary.unwrap();
    assert_eq!((summary.tasks, summary.resumed, summary.resumed_failed), (1, 3, 1));
    assert!(warnings.concat().ends_with("4 records repeat a task; the first that is ok counts"));
    assert_eq!(statuses(&dir), BTreeMap::from([(1, true), (2, true), (3, false), (4, true)]));
    let lines: Vec<String> = dir.read("x.jsonl").lines().map(str::to_owned).collect();
    assert!(failed.contains(&lines[0]) && lines[0].contains("\"n\":1"), "the first: {lines:?}");
}

#[test]
fn a_file_of_something_else_is_refused_and_kept() {
    let record = undisturbed(&probes("1", 2)).1;
    let job = probes("[1, 2]", 2);
    refused("precious\n", &job, "x.jsonl:1: no record of rankpool, it is no JSON; ");
    refused("precious", &job, "x.jsonl:1: no record of rankpool, it is no JSON; ");
    let foreign = format!("{record}precious\n{record}");
    refused(&foreign, &job, "x.jsonl:2: no record of rankpool, it is no JSON; ");
    let foreign = format!("{record}{{\"id\":1}}\n");
    refused(&foreign, &job, "x.jsonl:2: no record of rankpool, invalid type: integer `1`");
    let foreign = format!("{record}{{}}\n{record}");
    refused(&foreign, &job, "x.jsonl:2: no record of rankpool, missing field `id`");
    let (ran, _) = rankpool().job(&job).args(["--output", "/dev/null", "--resume"]).run();
    ran.code(2).says("`/dev/null` is no regular file: there is nothing to resume in it");
}

#[test]
fn the_results_of_another_job_are_refused_and_kept() {
    let kinds = undisturbed(SMALL).1;
    let other = "x.jsonl: records of kind `fibonacci`, which this job has not; ";
    refused(&kinds, &probes("1", 1), other);
    let fib = |n: &str, keys: &str| format!("[[task]]\nkind = \"fibonacci\"\nn = {n}\n{keys}\n");
    for (written, asked) in [("full", "none"), ("none", "summary"), ("summary", "full")] {
        let results = undisturbed(&fib("[1, 100]", &format!("value = \"{written}\""))).1;
        let told = format!(
            "x.jsonl:1: a record of kind `fibonacci` has the form `value = \"{written}\"`, but \
             this job asks for `\"{asked}\"`; `value = \"{written}\"` in the job goes on with it; "
        );
        let value = format!("value = \"{asked}\"");
        refused(&results, &fib("[1, 100]", &value), &told);
        // A remainder beside it does not change that.
        let both = format!("{}{}", fib("5", "modulus = 3"), fib("100", &value));
        refused(&results, &both, &told);
        // A table that asks for that form does.
        let dir = Dir::new();
        dir.write("x.jsonl", &results);
        let value = format!("value = \"{written}\"");
        let both = format!("{}{}", fib("5", ""), fib("100", &value));
        assert_eq!(go_on(&dir, &both, resume).tasks, 1);
    }
    // Remainders are other tasks.
    let dir = Dir::new();
    dir.write("x.jsonl", &undisturbed(&fib("[1, 2]", "modulus = 3")).1);
    let summary = go_on(&dir, &fib("[1, 2]", ""), resume);
    assert_eq!((summary.tasks, summary.unnamed), (2, 2));
}

#[test]
fn the_user_is_told_what_was_done_before() {
    let pool = rankpool().job(&probes("\"1..=3\"", 2)).args(["--resume", "--stats", "s.json"]);
    let (results, _) = rankpool().job(&probes("\"2..=5\"", 2)).run();
    results.code(1);
    let text = undisturbed(&probes("\"2..=5\"", 2)).1;
    pool.dir().write("job.results.jsonl", &format!("{text}{{\"id\":\"0"));
    let (ran, dir) = pool.run();
    ran.code(1)
        .says("warning: job.results.jsonl: the last record was torn (8 bytes); cut")
        .says("job: 1 task: 1 ok, 0 failed")
        .says("; 2 more had been done before, 1 of them failed")
        .says("2 records in job.results.jsonl belong to tasks that the job no longer names");
    let stats: Value = serde_json::from_str(&dir.read("s.json")).unwrap();
    let count = |name: &str| stats[name].as_u64().unwrap();
    let counts = ["tasks", "resumed", "resumed_failed", "unnamed"].map(count);
    assert_eq!(counts, [1, 2, 1, 2]);
}

#[test]
fn a_killed_run_is_gone_on_with_until_it_is_done() {
    let job = "io_threads = 4\n[[task]]\nkind = \"probe\"\nn = \"1..=300\"\naction = \"sleep\"\n\
               time = \"30ms\"\n[[task]]\nkind = \"fibonacci\"\nn = \"1..=2000\"\n";
    let mut n_records = 0;
    let mut text = String::new();
    for _ in 0..3 {
        let pool = mpirun(2).job(job).args(["--resume"]);
        pool.dir().write("job.results.jsonl", &text);
        let mut running = pool.start();
        wait_for_records(&mut running, (n_records + 40).min(2300));
        for pid in named(&running, "rankpool") {
            kill(pid, Signal::KILL);
        }
        let (_, dir) = running.wait();
        text = dir.read("job.results.jsonl");
        n_records = text.lines().count();
        assert!(n_records < 2300, "it was killed too late");
    }
    let pool = mpirun(2).job(job).args(["--resume"]);
    pool.dir().write("job.results.jsonl", &text);
    let (ran, dir) = pool.run();
    ran.code(0).says("more had been done before");
    assert_eq!(gathered(&dir.records("job.results.jsonl")).len(), 2300);
}

#[test]
fn two_runs_do_not_share_a_file() {
    let job = "[[task]]\nkind = \"probe\"\nn = \"1..=1000\"\naction = \"sleep\"\ntime = \"1s\"\n";
    let mut running = rankpool().job(job).args(["--io-threads", "1"]).start();
    wait_for_records(&mut running, 1);
    let results = running.dir.path().join("job.results.jsonl");
    let path = results.to_str().unwrap();
    for how in ["--resume", "--retry-failed", "--overwrite"] {
        let (ran, _) = mpirun(2).job(job).args(["--output", path, how]).run();
        let pid = running.child.id();
        ran.code(2).says(&format!(
            "results file `{path}` is in use by another run (pid {pid}); wait for its end, or \
             `--output FILE` writes elsewhere"
        ));
    }
    assert!(running.dir.read("job.results.jsonl").lines().count() >= 1, "it is still there");
    running.child.kill().unwrap();
    let (_, dir) = running.wait();
    // Nobody has to clean up after it.
    let few = probes("1", 2);
    attempt(&dir, 1, &few, |options| {
        options.output = Some(results);
        resume(options);
    })
    .0
    .unwrap();
}

#[test]
fn a_file_that_may_not_grow_ends_with_a_whole_record() {
    let job = "[[task]]\nkind = \"fibonacci\"\nn = \"1..=2000\"\nvalue = \"summary\"\n";
    let dir = Dir::new();
    dir.write("job.toml", job);
    let mut command = Command::new("bash");
    // Without the signal, a write beyond the limit is cut short, as on a full disk.
    let line = "trap '' XFSZ; ulimit -f 16; exec \"$0\" run job.toml";
    command.args(["-c", line, env!("CARGO_BIN_EXE_rankpool")]).current_dir(dir.path());
    let output = command.arg0("bash").stdin(Stdio::null()).output().unwrap();
    let said =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("cannot write results to `job.results.jsonl`: File too large"), "{said}");
    assert!(said.contains("its records so far are whole, and `--resume` goes on"), "{said}");
    let n_records = dir.records("job.results.jsonl").len();
    assert!(n_records > 10 && n_records < 2000, "{n_records}");
    let results = dir.path().join("job.results.jsonl");
    let summary = attempt(&dir, 2, job, |options| {
        options.output = Some(results);
        resume(options);
    });
    assert_eq!(summary.0.unwrap().resumed, n_records as u64);
    assert_eq!(gathered(&dir.records("job.results.jsonl")).len(), 2000);
}

/// How often a run brings its results to the disk.
fn fsyncs(flag: &str) -> Option<usize> {
    let job = "[[task]]\nkind = \"probe\"\nn = \"1..=20\"\naction = \"sleep\"\ntime = \"20ms\"\n";
    let dir = Dir::new();
    dir.write("job.toml", job);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=fdatasync", "-o", "trace"]);
    command.args([env!("CARGO_BIN_EXE_rankpool"), "run", "job.toml", "--io-threads", "1"]);
    command.args(["--quiet", "--fsync", flag]);
    let status = command.current_dir(dir.path()).status().ok()?;
    if !status.success() {
        eprintln!("skipped: strace cannot trace here");
        return None;
    }
    assert_eq!(dir.records("job.results.jsonl").len(), 20);
    Some(dir.read("trace").matches("fdatasync(").count())
}

#[test]
fn results_reach_the_disk_as_soon_as_asked_for() {
    for flag in ["always", "never", "250ms"] {
        let (ran, _) = rankpool().line("fib 10 --output x.jsonl --fsync").args([flag]).run();
        ran.code(0);
    }
    let (Some(always), Some(never)) = (fsyncs("always"), fsyncs("never")) else { return };
    assert!(always >= 10, "{always}");
    assert_eq!(never, 0);
    assert_eq!(fsyncs("1h"), Some(1));
}

#[test]
fn a_stream_of_tasks_is_gone_on_with() {
    let dir = Dir::new();
    attempt(&dir, 1, &probes("\"1..=20\"", 2), |_| ()).0.unwrap();
    let job = "[[task]]\nkind = \"probe\"\nn_from = \"tasks\"\naction = \"fail\"\nevery = 4\n";
    let fifo = dir.path().join("tasks");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let run = |options: fn(&mut RunOptions)| {
        thread::scope(|scope| {
            scope.spawn(|| {
                use std::io::Write as _;
                let mut writer = OpenOptions::new().write(true).open(&fifo).unwrap();
                for n in 1..=30 {
                    writeln!(writer, "{n}").unwrap();
                }
            });
            go_on(&dir, job, options)
        })
    };
    let summary = run(resume);
    assert_eq!((summary.tasks, summary.resumed, summary.resumed_failed), (10, 20, 10));
    let summary = run(retry_failed);
    assert_eq!((summary.tasks, summary.resumed), (12, 18));
    assert_eq!(statuses(&dir), (1..=30).map(|n| (n, n % 4 != 0)).collect());
    let _ = fs::remove_file(fifo);
}

#[test]
fn the_parts_of_a_job_are_the_whole_together() {
    let (_, dir) = rankpool().job(MIXED).run();
    let whole = gathered(&dir.records("job.results.jsonl"));
    let mut dir = Dir::new();
    for part in ["1/3", "2/3", "3/3"] {
        let (ran, after) = rankpool().in_dir(dir).job(MIXED).args(["--shard", part]).run();
        assert!(matches!(ran.status.code(), Some(0 | 1)), "{}", ran.stderr);
        dir = after;
    }
    let parts: Vec<String> =
        (1..=3).map(|n| dir.read(&format!("job.{n}-of-3.results.jsonl"))).collect();
    assert!(parts.iter().all(|part| part.lines().count() > 5), "each part has some tasks");
    dir.write("job.results.jsonl", &parts.concat());
    assert_eq!(gathered(&dir.records("job.results.jsonl")), whole);
    // Nothing is left to do for a run that goes on with all of them.
    let (ran, _) = rankpool().in_dir(dir).job(MIXED).args(["--resume"]).run();
    ran.code(1).says("job: 0 tasks");
    let (ran, _) = rankpool().job(MIXED).args(["--shard", "5/4"]).run();
    ran.code(2).says("there is no part 5 of 4; the last one is `4/4`");
}
