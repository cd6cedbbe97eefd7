//! Results that cannot be written any more, on a file system that fills up in the middle of a run.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::local::gathered;
use crate::util::{Dir, Rankpool, program, rankpool, surviving_flags};

/// Some 600 KB of records, and a small table, whose tasks have a line each on the terminal.
const JOB: &str = "[[task]]\nkind = \"fibonacci\"\nn = \"1..=2000\"\nvalue = \"summary\"\n\
                   [[task]]\nkind = \"probe\"\nn = \"1..=20\"\naction = \"output\"\nbytes = 9000\n";
const TASKS: usize = 2020;
/// What a shell of its own does: nobody else sees its file system, and it is gone with the shell.
/// What is on it is copied once the run has ended, however that was.
const ON_TMPFS: &str = "mkdir -p small && mount -t tmpfs -o size=$1 tmpfs small || exit 77\n\
                        cp results small/x.jsonl 2>/dev/null\nshift\n\"$@\"\ncode=$?\n\
                        cp small/x.jsonl results\nexit $code";

/// A command whose results go to a file system of this size.
fn on_tmpfs(size: &str, launcher: &[&str]) -> Rankpool {
    let pool = program(PathBuf::from("unshare"));
    let pool = pool.args(["--mount", "--", "sh", "-c", ON_TMPFS, "sh", size]);
    let pool = pool.args(launcher.iter().copied()).args([env!("CARGO_BIN_EXE_rankpool")]);
    pool.job(JOB).args(["--output", "small/x.jsonl", "--stats", "stats.json"])
}

#[test]
fn a_file_system_that_fills_up_loses_nothing_that_was_told() {
    let mpirun = ["mpirun", "-n", "2", "--bind-to", "none"];
    let worlds: &[&[&str]] = if surviving_flags().is_some() { &[&[], &mpirun] } else { &[&[]] };
    for launcher in worlds {
        let (ran, dir) = on_tmpfs("200k", launcher).run();
        if ran.status.code() == Some(77) || ran.stderr.contains("unshare failed") {
            eprintln!("skipped: only root can mount a small file system here: {}", ran.stderr);
            return;
        }
        ran.code(3).says("stopped early: cannot write results to").says("No space left on device");
        ran.says("its records so far are whole, and `--resume` goes on with them");
        let records = dir.records("results");
        assert!((30..TASKS).contains(&records.len()), "{}", records.len());
        all_that_was_told_is_there(&dir, &records, &ran.stdout);

        let (ran, dir) = on_tmpfs("20m", launcher).in_dir(dir).args(["--resume"]).run();
        ran.code(0).says("more had been done before");
        assert_eq!(gathered(&dir.records("results")).len(), TASKS);
    }
}

/// Statistics and lines on the terminal name no task without a record.
#[track_caller]
fn all_that_was_told_is_there(dir: &Dir, records: &[Value], stdout: &str) {
    let stats: Value = serde_json::from_str(&dir.read("stats.json")).unwrap();
    let count = |name: &str| stats[name].as_u64().unwrap();
    assert_eq!(count("tasks") - count("unwritten"), records.len() as u64);
    let probes = records.iter().filter(|record| record["kind"] == "probe");
    let there: BTreeSet<_> = probes.map(|record| record["input"]["n"].to_string()).collect();
    let told = stdout.lines().filter_map(|line| line.strip_prefix("for input "));
    for told in told.filter_map(|line| line.split_once(", the probe")).map(|(n, _)| n) {
        assert!(there.contains(told), "{told} was told: {stdout}");
    }
}

#[test]
fn a_path_that_cannot_be_written_is_refused_before_anything_runs() {
    for output in ["missing/x.jsonl", "/proc/x.jsonl"] {
        let (ran, _) = rankpool().job(JOB).args(["--output", output]).run();
        ran.code(2).says(&format!(
            "cannot create results file `{output}`; `--output FILE` writes elsewhere: "
        ));
        assert!(!ran.stdout.contains("for input"), "{}", ran.stdout);
    }
}
