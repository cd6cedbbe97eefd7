//! `rankpool launch` starts a world that died again, and every task ends up with one record.

use std::collections::BTreeSet;
use std::io::Write as _;

use rustix::process::Signal;

use crate::launch::{is_clean, kill, launch, named, rank0, wait_for_records};
use crate::util::{self, Rankpool, Running, program};

const JOB: &str = "[[task]]\nkind = \"probe\"\nn = \"1..=400\"\naction = \"sleep\"\ntime = \"300ms\"\n\
                   [[task]]\nkind = \"fibonacci\"\nn = \"1..=5000\"\n";

/// Runs the job, has it broken in the middle, and looks for each task's one record.
#[track_caller]
fn survives(breaks: impl FnOnce(&Running)) {
    let mut running = launch("-n 2", JOB).args(["--io-threads", "8"]).start();
    wait_for_records(&mut running, 20);
    breaks(&running);
    let (ran, dir) = running.wait();
    ran.code(0).says("restart 1 of 3 in 1 s");
    let records = dir.records("job.results.jsonl");
    let ids: BTreeSet<&str> = records.iter().map(|record| record["id"].as_str().unwrap()).collect();
    assert_eq!((records.len(), ids.len()), (5400, 5400));
    is_clean(&dir);
}

#[test]
fn the_loss_of_mpirun_is_survived() {
    survives(|running| {
        let mpirun = ["prterun", "mpirun", "mpiexec"].iter().flat_map(|name| named(running, name));
        mpirun.for_each(|pid| kill(pid, Signal::KILL));
    });
}

#[test]
fn the_loss_of_rank_0_is_survived() {
    survives(|running| kill(rank0(running).expect("rank 0 runs"), Signal::KILL));
}

/// A shell that runs this with rankpool's path as `$0`.
fn shell(line: &str) -> Rankpool {
    program("sh".into()).args(["-c", line, env!("CARGO_BIN_EXE_rankpool")])
}

#[test]
fn standard_input_reaches_rank_0() {
    let n = util::lines_of_input();
    let fib = format!("seq {n} | $0 launch -n 2 fib - --modulus 7 --output x.jsonl");
    let run = format!(
        "seq {n} | sed 's/.*/fib &/' | $0 launch -n 2 run job.toml --tasks - --output x.jsonl"
    );
    for line in [fib, run] {
        let pool = shell(&line);
        pool.dir().write("job.toml", "");
        let (ran, dir) = pool.run();
        ran.code(0);
        assert_eq!(dir.records("x.jsonl").len(), n);
    }
}

#[test]
fn what_came_by_standard_input_is_not_started_again() {
    let pool = shell("exec $0 launch -n 2 run --tasks - --output job.results.jsonl < tasks");
    let fifo = pool.dir().path().join("tasks");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut running = pool.start();
    let mut writer = std::fs::OpenOptions::new().write(true).open(fifo).unwrap();
    writer.write_all(b"fib 7\n").unwrap();
    wait_for_records(&mut running, 1);
    kill(rank0(&running).expect("rank 0 runs"), Signal::KILL);
    let (ran, dir) = running.wait();
    ran.code(2).says("its tasks came from a stream, which no restart can read again");
    is_clean(&dir);
}
