//! `rankpool launch` starts a world that died again, and every task ends up with one record.

use std::collections::BTreeSet;

use rustix::process::Signal;

use crate::launch::{is_clean, kill, launch, named, rank0, wait_for_records};
use crate::util::Running;

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
