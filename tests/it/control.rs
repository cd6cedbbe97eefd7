//! Jobs that other processes ask and tell, by `rankpool ctl`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::util::{Running, mpirun, rankpool};

/// Many tasks that hold a thread for a moment each.
const SLEEPS: &str = "[[task]]\nkind = 'probe'\naction = 'sleep'\ntime = '50ms'\npool = 'cpu'\n";

/// A job that is controlled at `ctl`, and its folder.
struct Job {
    running: Running,
    dir: PathBuf,
}

impl Job {
    fn start(ranks: u32, job: &str, line: &str) -> Self {
        let pool = if ranks == 1 { rankpool() } else { mpirun(ranks) };
        let pool = pool.job(job).args(["--control", "ctl", "--quiet", "--stats", "stats.json"]);
        let mut running = pool.line(line).start();
        let dir = running.dir.path().to_owned();
        running.poll("the control", |_| ask(&dir, "status").status.success());
        Self { running, dir }
    }

    #[track_caller]
    fn tell(&self, line: &str) -> String {
        let output = ask(&self.dir, line);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        said
    }

    #[track_caller]
    fn refused(&self, line: &str, part: &str) {
        let output = ask(&self.dir, line);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(said.contains(part), "{line}: {said}");
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.tell("status --json")).unwrap()
    }

    /// Waits until the status is as wanted.
    #[track_caller]
    fn until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) {
        let dir = self.dir.clone();
        self.running.poll(what, |_| {
            let output = ask(&dir, "status --json");
            output.status.success() && holds(&serde_json::from_slice(&output.stdout).unwrap())
        });
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ask(dir: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rankpool"));
    command.args(["ctl", "ctl"]).args(line.split(' ')).current_dir(dir).stdin(Stdio::null());
    command.output().unwrap()
}

fn sleeps(count: u32) -> String {
    format!("{SLEEPS}count = {count}\n")
}

fn stats(dir: &crate::util::Dir) -> Value {
    serde_json::from_str(&dir.read("stats.json")).unwrap()
}

#[test]
fn a_job_grows_shrinks_pauses_and_ends_with_everything_done() {
    let mut job = Job::start(2, &sleeps(200), "--threads 1 --output out.jsonl");
    assert_eq!(job.tell("threads 4 --rank 1").trim(), "4 threads on rank 1");
    job.until("four at work", |status| status["ranks"][1]["in_flight"].as_u64() >= Some(4));
    assert_eq!(job.tell("threads 3").trim(), "3 threads on each of 2 ranks");
    job.tell("pause");
    job.until("what is out to end", |status| status["in_flight"] == 0);
    let paused = job.status();
    assert_eq!((&paused["state"], &paused["ranks"][0]["threads"]), (&"paused".into(), &3.into()));
    assert_eq!(job.status()["done"], paused["done"]);
    job.tell("resume");
    job.tell("drain 0");
    job.refused("drain 1", "rank 1 is the last one that gets tasks");
    job.until("rank 0 to be empty", |status| status["ranks"][0]["in_flight"] == 0);
    assert_eq!(job.status()["ranks"][0]["state"], "drained");
    job.tell("threads 2 --rank 0");
    assert_eq!(job.status()["ranks"][0]["state"], "working");
    assert!(job.tell("stats").contains("ok"));
    let (ran, dir) = job.running.wait();
    ran.code(0);
    assert_eq!(dir.records("out.jsonl").len(), 200);
    for rank in stats(&dir)["ranks"].as_array().unwrap() {
        let ledger = |name: &str| rank["ledger"][name].as_f64().unwrap();
        let sum = ledger("compute") + ledger("overhead") + ledger("waiting") + ledger("idle");
        assert!((sum - ledger("thread_seconds")).abs() < 1e-6, "{rank}");
        assert!(ledger("compute") <= ledger("thread_seconds") + 1e-3, "{rank}");
    }
}

#[test]
fn threads_that_wait_come_and_go_and_numbers_are_told_as_json() {
    let waits = "[[task]]\nkind = 'probe'\naction = 'sleep'\ntime = '20ms'\ncount = 300\n";
    let mut job = Job::start(1, waits, "--io-threads 1 --output out.jsonl");
    assert_eq!(job.tell("io-threads 6").trim(), "6 I/O threads on rank 0");
    job.until("six of them", |status| status["ranks"][0]["io_threads"] == 6);
    let stats: Value = serde_json::from_str(&job.tell("stats --json")).unwrap();
    assert_eq!(stats["kinds"][0]["kind"], "probe");
    assert!(job.tell("status").starts_with("job: running for "));
    assert_eq!(job.tell("io-threads 2 --rank 0").trim(), "2 I/O threads on rank 0");
    let (ran, dir) = job.running.wait();
    ran.code(0);
    let records = dir.records("out.jsonl");
    let threads: std::collections::BTreeSet<_> =
        records.iter().map(|record| record["thread"].as_u64().unwrap()).collect();
    assert!(records.len() == 300 && (2..=6).contains(&threads.len()), "{threads:?}");
}

#[test]
fn tasks_are_cancelled_where_they_wait_where_they_run_and_before_they_come() {
    let long =
        "[[task]]\nkind = 'probe'\naction = 'sleep'\ntime = '1h'\npool = 'cpu'\nn = '0..30'\n";
    let mut job = Job::start(2, long, "--keep-open --threads 1 --output out.jsonl");
    job.until("both at work", |status| status["in_flight"].as_u64() >= Some(2));
    let submitted = job.tell("submit fib 100");
    let (kind, id) = submitted.trim().split_once(' ').unwrap();
    assert_eq!((kind, id.len()), ("fibonacci", 32));
    assert!(job.tell(&format!("cancel {id}")).starts_with("cancelled 1 waiting tasks; 0"));
    // The id of `fib 77`, which nobody has asked for yet.
    let fib_77 = rankpool::task::id("fibonacci", b"{\"n\":77}", 0);
    let digits = rankpool::task::id_digits(fib_77);
    job.tell(&format!("cancel {}", std::str::from_utf8(&digits).unwrap()));
    job.tell("submit fib 77");
    job.refused("cancel fish", "`fish` is no id and no kind of this job");
    job.tell("cancel probe");
    job.until("all to be done", |status| status["done"] == 32);
    assert_eq!(job.tell("submit fib 3").split(' ').next(), Some("fibonacci"));
    job.tell("finish");
    let (ran, dir) = job.running.wait();
    ran.code(1);
    let records = dir.records("out.jsonl");
    assert_eq!(records.len(), 33);
    let cancelled = records.iter().filter(|record| record["status"] == "cancelled");
    assert_eq!(cancelled.count(), 32);
    assert!(records.iter().all(|record| record["status"] != "failed"));
    let stats = stats(&dir);
    assert_eq!([&stats["ok"], &stats["failed"], &stats["cancelled"]], [1, 0, 32]);
    // What was cancelled is done, until its failure is to be tried again.
    dir.write("none.txt", "");
    let again = rankpool().in_dir(dir);
    let again = again.line("run job.toml --tasks none.txt --resume --output out.jsonl");
    let (ran, _) = again.run();
    ran.code(1).says("30 more had been done before, 30 of them failed");
}

#[test]
fn commands_of_several_shells_do_not_mix() {
    let job = Job::start(2, &sleeps(10_000), "--keep-open --threads 1 --output none");
    let asking: Vec<_> = (0..16u32)
        .map(|n| {
            let dir = job.dir.clone();
            std::thread::spawn(move || {
                for m in 0..4 {
                    let number = n * 100 + m;
                    let said = text(&ask(&dir, &format!("submit probe {number}")).stdout);
                    let id = rankpool::task::id(
                        "probe",
                        format!("{{\"n\":{number}}}").as_bytes(),
                        u32::from(number < 10_000),
                    );
                    let digits = rankpool::task::id_digits(id);
                    let first = rankpool::task::id_digits(rankpool::task::id(
                        "probe",
                        format!("{{\"n\":{number}}}").as_bytes(),
                        0,
                    ));
                    let answers = [digits, first]
                        .map(|digits| format!("probe {}\n", std::str::from_utf8(&digits).unwrap()));
                    assert!(answers.contains(&said), "{said} is not for {number}");
                    let status = ask(&dir, "status --json");
                    assert!(serde_json::from_slice::<Value>(&status.stdout).is_ok());
                }
            })
        })
        .collect();
    for thread in asking {
        thread.join().unwrap();
    }
    job.tell("stop");
    let (ran, _) = job.running.wait();
    ran.code(3).says("stopping: asked to stop");
}

#[test]
fn mistakes_are_named_and_the_run_goes_on() {
    let job = Job::start(1, &sleeps(10_000), "--output none --threads 2");
    job.refused("dance", "unknown command `dance`; use one of status [--json], threads N");
    job.refused("threads 0", "`0` is no number of threads");
    job.refused("threads 3 --rank 7", "there is no rank 7; there are 1 ranks");
    job.refused("io-threads 3", "this run has no tasks that wait");
    job.refused("submit fib 3", "this run takes no tasks; start it with `--tasks PATH`");
    job.refused("finish", "this run has no stream of tasks");
    let mode = |name: &str| {
        fs::metadata(job.dir.join("ctl").join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(""), mode("requests"), mode("job")), (0o700, 0o600, 0o600));
    let left = fs::read_dir(job.dir.join("ctl")).unwrap().count();
    assert_eq!(left, 2, "answers leave nothing behind");
    job.tell("stop");
    let (ran, dir) = job.running.wait();
    ran.code(3);
    assert!(!dir.path().join("ctl").exists(), "it is gone with its job");
}

#[test]
fn a_dead_job_is_recognised_and_its_folder_is_taken_over() {
    let mut job = Job::start(1, &sleeps(10_000), "--output none --threads 1");
    let pid = job.running.child.id();
    let second = rankpool().args(["fib", "1", "--output", "none", "--control"]);
    let folder = job.dir.join("ctl").display().to_string();
    let (ran, _) = second.args([folder.as_str()]).run();
    ran.code(2).says(&format!("the job with pid {pid} is controlled at `"));
    // A job that is stopped does not answer, and nobody waits for ever.
    let raw = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(raw, Signal::STOP).unwrap();
    let mut patient = Command::new(env!("CARGO_BIN_EXE_rankpool"));
    let patient = patient.args(["ctl", "--deadline", "200ms", "ctl", "status"]);
    let output = patient.current_dir(&job.dir).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no answer from the job with pid"));
    kill_process(raw, Signal::KILL).unwrap();
    let dir = job.dir.clone();
    job.running.poll("its end", |_| {
        text(&ask(&dir, "status").stderr).contains(&format!("(pid {pid}) has ended"))
    });
    let dir = job.running.wait_and(|_| ());
    let next = rankpool().in_dir(dir).line("fib 1 --output none --control ctl -q");
    let (ran, dir) = next.run();
    ran.code(0);
    let gone = ask(dir.path(), "status");
    assert!(text(&gone.stderr).contains("no job is controlled at `ctl`"), "{gone:?}");
}
