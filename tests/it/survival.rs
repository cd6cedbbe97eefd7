//! Ranks that die or fall silent, signals, limits: what a run survives, and how it ends early.

use std::collections::BTreeSet;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::site::{Answer, Site, body, html};
use crate::util::{
    Dir, Rankpool, Running, is_open_mpi, mpirun, passes_codes_on, program, rankpool, ranks_of,
    surviving_mpirun,
};

/// Some seconds of work that can be interrupted anywhere.
const WORK: &str = "[[task]]\nkind = \"probe\"\nn = \"1..=150\"\naction = \"sleep\"\npool = \"cpu\"\ntime = \"20ms\"\n";
const WORK_TASKS: usize = 150;

/// A world that survives dead ranks; says so and gives none where the MPI cannot.
fn survivors(ranks: u32) -> Option<Rankpool> {
    let pool = surviving_mpirun(ranks);
    if pool.is_none() {
        eprintln!("skipped: this MPI does not survive a dead rank (Open MPI 5 and 4.1 do)");
    }
    pool
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits until the run is well on its way: records are written.
fn wait_for_records(running: &mut Running, n: usize) {
    running.poll("records", |running| {
        let written = std::fs::read_to_string(running.dir.path().join("job.results.jsonl"));
        written.is_ok_and(|text| text.lines().count() >= n)
    });
}

/// The process of a rank, by the records that it has written.
fn pid_of_rank(running: &mut Running, rank: u64) -> u32 {
    let mut pid = None;
    running.poll("a record of the rank", |running| {
        let text = std::fs::read_to_string(running.dir.path().join("job.results.jsonl"));
        let text = text.unwrap_or_default();
        let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        pid =
            whole.filter(|record| record["rank"] == rank).find_map(|record| record["pid"].as_u64());
        pid.is_some()
    });
    u32::try_from(pid.unwrap()).unwrap()
}

/// Exactly one record a task, all of them ok.
#[track_caller]
fn check_complete(dir: &Dir, n_tasks: usize) {
    let records = dir.records("job.results.jsonl");
    let ids: BTreeSet<_> = records.iter().map(|record| record["id"].to_string()).collect();
    assert_eq!((records.len(), ids.len()), (n_tasks, n_tasks));
    assert!(records.iter().all(|record| record["status"] == "ok"));
}

fn stats(dir: &Dir) -> Value {
    serde_json::from_str(&dir.read("stats.json")).unwrap()
}

#[test]
fn a_killed_worker_costs_nothing_but_time() {
    let Some(pool) = survivors(3) else { return };
    let mut running = pool.job(WORK).args(["--stats", "stats.json", "--heartbeat", "4s"]).start();
    let victim = pid_of_rank(&mut running, 1);
    signal(victim, Signal::KILL);
    let (ran, dir) = running.wait();
    ran.code(0).says("rank 1 (pid").says("the run goes on without it");
    check_complete(&dir, WORK_TASKS);
    assert_eq!(stats(&dir)["dead_ranks"], 1);
    assert_eq!(stats(&dir)["tasks"], WORK_TASKS);
}

#[test]
fn rank_0_finishes_alone_when_all_others_are_dead() {
    let Some(pool) = survivors(3) else { return };
    let job = format!("root_computes = false\nheartbeat = \"4s\"\n{WORK}");
    let mut running = pool.job(&job).args(["--stats", "stats.json"]).start();
    let victims = [pid_of_rank(&mut running, 1), pid_of_rank(&mut running, 2)];
    for victim in victims {
        signal(victim, Signal::KILL);
    }
    let (ran, dir) = running.wait();
    ran.code(0);
    check_complete(&dir, WORK_TASKS);
    assert_eq!(stats(&dir)["dead_ranks"], 2);
}

#[test]
fn a_task_that_kills_ranks_fails_and_no_other_one_does() {
    let Some(pool) = survivors(4) else { return };
    let job = "heartbeat = \"4s\"\nroot_computes = false\n[[task]]\nkind = \"probe\"\nn = \"1..=60\"\naction = \"exit\"\nevery = 37\n";
    let (ran, dir) = pool.job(job).args(["--stats", "stats.json"]).run();
    ran.says("crashed: 2 ranks that ran it died");
    if passes_codes_on() {
        ran.code(1);
    }
    let records = dir.records("job.results.jsonl");
    assert_eq!(records.len(), 60);
    let failed: Vec<&Value> =
        records.iter().filter(|record| record["status"] == "failed").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (&failed[0]["input"]["n"], &failed[0]["error"]["class"]),
        (&37.into(), &"crashed".into())
    );
    assert_eq!(stats(&dir)["dead_ranks"], 2);
}

#[test]
fn a_rank_that_is_late_is_not_dead_and_a_silent_one_is() {
    let Some(pool) = survivors(3) else { return };
    let mut running = pool.job(WORK).args(["--stats", "stats.json", "--heartbeat", "60s"]).start();
    let late = pid_of_rank(&mut running, 1);
    signal(late, Signal::STOP);
    let before = std::fs::read_to_string(running.dir.path().join("job.results.jsonl")).unwrap();
    wait_for_records(&mut running, before.lines().count() + 20);
    signal(late, Signal::CONT);
    let (ran, dir) = running.wait();
    ran.code(0);
    check_complete(&dir, WORK_TASKS);
    assert_eq!(stats(&dir)["dead_ranks"], 0);

    let pool = survivors(3).unwrap();
    let mut running = pool.job(WORK).args(["--stats", "stats.json", "--heartbeat", "1s"]).start();
    let silent = pid_of_rank(&mut running, 2);
    signal(silent, Signal::STOP);
    let (ran, dir) = running.wait();
    ran.code(0).says("said nothing for too long");
    check_complete(&dir, WORK_TASKS);
    assert_eq!(stats(&dir)["dead_ranks"], 1);
}

#[test]
fn a_signal_lets_what_runs_end_and_a_second_one_does_not() {
    for name in [Signal::INT, Signal::TERM, Signal::USR2] {
        let mut running = rankpool().job(WORK).start();
        wait_for_records(&mut running, 5);
        signal(running.child.id(), name);
        let (ran, dir) = running.wait();
        ran.code(3).says("stopping: SIG").says("run job.toml --resume`").says("stopped early: SIG");
        let n = dir.records("job.results.jsonl").len();
        assert!((5..WORK_TASKS).contains(&n), "{n}");
    }
    // Ten tasks of a minute each: nobody waits for their end after the second signal.
    // The shortest comes last: once it has a record, they have begun.
    let long = "grace = \"1h\"\n[[task]]\nkind = \"probe\"\nn = \"1..=10\"\naction = \"sleep\"\ntime = \"60s\"\n\
                [[task]]\nkind = \"probe\"\nn = 1\naction = \"sleep\"\ntime = \"20ms\"\n";
    let mut running = rankpool().job(long).start();
    wait_for_records(&mut running, 1);
    running.poll("it to catch signals", |running| catches_signals(running.child.id()));
    signal(running.child.id(), Signal::INT);
    running.poll("it to say that it stops", |running| {
        running.dir.read("stderr").contains("stopping: SIGINT")
    });
    signal(running.child.id(), Signal::INT);
    running.wait().0.code(3).says("stopped at once by SIGINT");
}

/// Whether a process has a handler for SIGINT (proc(5), `SigCgt`).
fn catches_signals(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (Signal::INT.as_raw() - 1)) != 0)
}

#[test]
fn signals_reach_rank_0_through_mpirun() {
    let mut running = mpirun(2).job(WORK).start();
    wait_for_records(&mut running, 5);
    // Open MPI's mpirun passes SIGUSR1 and SIGUSR2 on to every rank, MPICH's only the first.
    signal(running.child.id(), Signal::USR1);
    running.poll("statistics", |running| running.dir.read("stderr").contains("tasks/s) on"));
    let rank_0 = pid_of_rank(&mut running, 0);
    signal(if is_open_mpi() { running.child.id() } else { rank_0 }, Signal::USR2);
    let (ran, dir) = running.wait();
    ran.says("stopping: SIGUSR2").says("stopped early: SIGUSR2").code(3);
    assert!(dir.records("job.results.jsonl").len() < WORK_TASKS);
}

#[test]
fn too_many_failures_stop_a_run() {
    // Several times as many as a rank holds in advance: those would still end.
    let job = "[[task]]\nkind = \"probe\"\nn = \"1..=20000\"\naction = \"fail\"\nevery = 10\n";
    let (ran, _) = rankpool().job(job).run();
    ran.code(1);
    for most in ["5", "8%"] {
        let (ran, dir) =
            rankpool().job(job).args(["--max-failures", most, "--schedule", "dynamic"]).run();
        ran.code(3).says(&format!("tasks failed, more than {most}"));
        assert!(dir.records("job.results.jsonl").len() < 20_000);
    }
    let (ran, _) = rankpool().job(job).args(["--max-failures", "11%"]).run();
    ran.code(1);
}

#[test]
fn what_would_not_end_within_the_walltime_is_not_started() {
    let job = "[[task]]\nkind = \"probe\"\nn = \"1..=1000\"\naction = \"sleep\"\npool = \"cpu\"\ntime = \"50ms\"\n";
    let (ran, dir) = rankpool().job(job).args(["--walltime", "1s", "--threads", "2"]).run();
    ran.code(3).says("walltime");
    let records = dir.records("job.results.jsonl");
    assert!((10..=42).contains(&records.len()), "{} tasks of 50 ms in 1 s", records.len());
    // Whatever was started has ended.
    assert!(records.iter().all(|record| record["status"] == "ok"));
}

#[test]
fn a_slurm_allocation_s_end_is_a_walltime() {
    let job = "[[task]]\nkind = \"probe\"\nn = \"1..=3000\"\naction = \"sleep\"\npool = \"cpu\"\ntime = \"20ms\"\n";
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let end = (now.as_secs() + 8).to_string();
    let (ran, dir) = rankpool().job(job).env("SLURM_JOB_END_TIME", &end).run();
    ran.code(3).says("walltime");
    assert!(dir.records("job.results.jsonl").len() < 3000);
}

#[test]
fn failures_are_tried_again_as_the_job_says() {
    let job = "[retry]\nfailed = { retries = 3, backoff = \"1ms\", other_rank = true }\n\
               [[task]]\nkind = \"probe\"\nn = \"1..=9\"\naction = \"fail\"\nevery = 3\n";
    let (ran, dir) = mpirun(2).job(job).args(["--stats", "stats.json"]).run();
    ran.code(1).says("9 tasks (9 retries)");
    for record in dir.records("job.results.jsonl") {
        let attempts = if record["status"] == "failed" { 4 } else { 1 };
        assert_eq!(record["attempts"], attempts, "{record}");
    }
    assert_eq!((&stats(&dir)["tasks"], &stats(&dir)["attempts"]), (&9.into(), &18.into()));
}

#[test]
fn a_server_that_asks_to_come_again_is_asked_again() {
    let busy = || body("later").status(503).with("Retry-After", "0");
    let site = Site::start([
        (
            "/soon",
            Answer::Once { first: Box::new(busy()), then: Box::new(html("<title>x</title>")) },
        ),
        ("/never", busy()),
    ]);
    let job = format!(
        "[retry]\nunavailable = {{ retries = 2, backoff = \"1ms\" }}\n\
         [[task]]\nkind = \"fetch\"\nbase = \"{}\"\nurls = [\"/soon\", \"/never\"]\n",
        site.url("/")
    );
    let (ran, dir) = rankpool().job(&job).run();
    ran.code(0);
    let mut found: Vec<(String, u64, u64)> = dir
        .records("job.results.jsonl")
        .iter()
        .map(|record| {
            let path = record["input"]["url"].as_str().unwrap().rsplit('/').next().unwrap();
            let status = record["output"]["status"].as_u64().unwrap();
            (path.to_owned(), status, record["attempts"].as_u64().unwrap())
        })
        .collect();
    found.sort();
    assert_eq!(found, [("never".into(), 503, 3), ("soon".into(), 200, 2)]);
}

#[test]
fn no_rank_is_left_behind() {
    let mut running = mpirun(3).job(WORK).start();
    wait_for_records(&mut running, 1);
    let pids = ranks_of(&running);
    assert_eq!(pids.len(), 3);
    let mut rank_0 = pids.clone();
    rank_0.retain(|&pid| pid == pid_of_rank(&mut running, 0));
    signal(rank_0[0], Signal::KILL);
    let status = running.child.wait().unwrap();
    assert!(!status.success());
    running.poll("the other ranks to leave", |_| {
        pids.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}/exe")).exists())
    });
}

#[test]
fn a_rank_that_dies_while_the_others_start_ends_the_world() {
    if !is_open_mpi() {
        eprintln!("skipped: another MPI's launcher ends the other ranks by itself");
        return;
    }
    // Rank 0 reads its job before it starts MPI, and the others wait for it there.
    let pool = surviving_mpirun(3).unwrap();
    let fifo = pool.dir().path().join("job");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut running = pool.line("run job --output none").start();
    let mut ranks = Vec::new();
    running.poll("ranks", |running| {
        ranks = ranks_of(running);
        ranks.len() == 3
    });
    // The last one that was started.
    signal(*ranks.iter().max().unwrap(), Signal::KILL);
    std::fs::write(&fifo, WORK).unwrap();
    let (ran, _) = running.wait();
    assert!(!ran.status.success());
    ran.says("before all ranks had started; this world ends, and the run can be started again");
}

#[test]
fn a_full_disk_ends_a_run_in_order() {
    let (ran, _) = rankpool().job(WORK).args(["--output", "/dev/full", "--overwrite"]).run();
    ran.code(3).says("stopped early: cannot write results to").says("No space left on device");
    let (ran, _) = mpirun(2).job(WORK).args(["--output", "/dev/full", "--overwrite"]).run();
    ran.code(3).says("stopped early: cannot write results to");
}

#[test]
fn a_reader_that_goes_away_ends_a_run_in_order() {
    let dir = Dir::new();
    dir.write("job.toml", WORK);
    let line = format!("{} run job.toml --output - | head -n 1", env!("CARGO_BIN_EXE_rankpool"));
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &format!("{line}; echo \"code ${{PIPESTATUS[0]}}\"")]);
    let output = shell.current_dir(dir.path()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    let (stdout, stderr) = (stdout.unwrap(), stderr.unwrap());
    assert_eq!(stdout.lines().count(), 2, "{stdout}");
    assert!(stdout.ends_with("code 3\n"), "{stdout}\n{stderr}");
    assert!(stderr.contains("cannot write results to standard output"), "{stderr}");
    let line =
        format!("{} fib 1..=3000000 --value none | head -n 1", env!("CARGO_BIN_EXE_rankpool"));
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &format!("{line}; echo \"code ${{PIPESTATUS[0]}}\"")]);
    let stdout = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    assert!(stdout.ends_with("code 3\n"), "{stdout}");
}

/// What a terminal or a launcher sends goes to all of a process group: also to a process that is
/// to become a command, and has no group of its own yet.
#[test]
fn a_signal_to_a_whole_group_ends_no_command() {
    let job =
        "io_threads = 8\n[[task]]\nkind = \"command\"\nrun = \"true\"\nrange = \"1..=1500\"\n";
    let mut running =
        program("setsid".into()).args([env!("CARGO_BIN_EXE_rankpool")]).job(job).start();
    wait_for_records(&mut running, 1);
    let group = Pid::from_child(&running.child);
    running.poll("its end", |running| {
        // rankpool tells how far it is.
        let _ = rustix::process::kill_process_group(group, Signal::USR1);
        running.child.try_wait().unwrap().is_some()
    });
    let (ran, dir) = running.wait();
    ran.code(0);
    check_complete(&dir, 1500);
}
