//! Random deaths at random moments, until the job is complete all the same.
//!
//! `RANKPOOL_CHAOS_ROUNDS` and `RANKPOOL_CHAOS_SEED` make it longer or repeat it
//! (`scripts/chaos`).

use std::collections::BTreeMap;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::local::gathered;
use crate::util::{Dir, Rankpool, Running, rankpool, ranks_of, surviving_mpirun};

const ROUNDS: u64 = 5;
/// So many starts are enough for any job here: at most one of them is disturbed.
const STARTS: u32 = 4;

const JOB: &str = r#"
heartbeat = "2s"
crash_limit = 5

[[task]]
kind = "fibonacci"
n = [4, 3, 8, 6, 10, "0..=400", 5, 5, 300000]
value = "full"

[[task]]
kind = "probe"
n = "1..=120"
action = "sleep"
pool = "cpu"
time = "10ms"

[[task]]
kind = "probe"
n = "200..=300"
action = "sleep"
time = "20ms"

[[task]]
kind = "probe"
n = "1..=40"
action = "fail"
every = 10
"#;

/// xorshift64* (Marsaglia 2003; Vigna 2016).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect(name))
}

/// What happens to a run.
#[derive(Clone, Copy, Debug)]
enum Event {
    Workers(usize),
    Rank0,
    Mpirun,
    Silence,
    Nothing,
}

fn event(random: &mut Random) -> Event {
    match random.below(8) {
        0..=2 => Event::Workers(1),
        3 => Event::Workers(2),
        4 => Event::Rank0,
        5 => Event::Mpirun,
        6 => Event::Silence,
        _ => Event::Nothing,
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may have ended by itself meanwhile.
    let _ = kill_process(pid, signal);
}

/// Lets an event happen once `n` records are written, unless the run ends before.
fn disturb(running: &mut Running, event: Event, n: usize, random: &mut Random) {
    running.poll("records or the end", |running| {
        let text = std::fs::read_to_string(running.dir.path().join("job.results.jsonl"));
        let enough = text.is_ok_and(|text| text.lines().count() >= n);
        enough || running.child.try_wait().unwrap().is_some()
    });
    let mut ranks = ranks_of(running);
    ranks.sort_unstable();
    let Some((&root, workers)) = ranks.split_first() else { return };
    match event {
        Event::Workers(n) => workers.iter().take(n).for_each(|&pid| signal(pid, Signal::KILL)),
        Event::Rank0 => signal(root, Signal::KILL),
        Event::Mpirun => signal(running.child.id(), Signal::KILL),
        Event::Silence if !workers.is_empty() => {
            let which = usize::try_from(random.below(workers.len() as u64)).unwrap();
            signal(workers[which], Signal::STOP);
        }
        Event::Silence | Event::Nothing => {}
    }
}

/// Ends what mpirun leaves behind when it is killed itself, and waits until it is gone.
fn bury(running: &mut Running, ranks: &[u32]) {
    running.poll("all ranks to be gone", |_| {
        let is_there = |pid: &&u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !status.is_empty() && !status.contains(") Z ")
        };
        ranks.iter().filter(is_there).count() == 0
    });
}

fn undisturbed() -> BTreeMap<String, String> {
    let (_, dir) = rankpool().job(JOB).run();
    comparable(&dir)
}

/// What the tasks gave, whoever ran them and however often.
fn comparable(dir: &Dir) -> BTreeMap<String, String> {
    let mut records = dir.records("job.results.jsonl");
    for record in &mut records {
        record["attempts"] = 1.into();
    }
    gathered(&records)
}

fn start(pool: Rankpool, dir: Option<Dir>) -> Running {
    let first = dir.is_none();
    let pool = if let Some(dir) = dir { pool.in_dir(dir) } else { pool };
    let pool = pool.job(JOB).args(["--quiet"]);
    if first { pool } else { pool.args(["--resume"]) }.start()
}

#[test]
fn whatever_dies_nothing_is_lost() {
    if surviving_mpirun(2).is_none() {
        eprintln!("skipped: this MPI does not survive a dead rank (Open MPI 5 and 4.1 do)");
        return;
    }
    let expected = undisturbed();
    let seed = number("RANKPOOL_CHAOS_SEED", 1);
    for round in 0..number("RANKPOOL_CHAOS_ROUNDS", ROUNDS) {
        let mut random = Random::new(seed + round);
        let (event, n) = (event(&mut random), random.below(650));
        let n_ranks = u32::try_from(2 + random.below(3)).unwrap();
        let what = format!("seed {}: {event:?} after {n} records of {n_ranks} ranks", seed + round);
        eprintln!("{what}");
        let mut running = start(surviving_mpirun(n_ranks).unwrap(), None);
        disturb(&mut running, event, usize::try_from(n).unwrap(), &mut random);
        let ranks = ranks_of(&running);
        let mut dir = running.wait_and(|running| bury(running, &ranks));
        for _ in 0..STARTS {
            if complete(&dir, expected.len()) {
                break;
            }
            dir = start(surviving_mpirun(n_ranks).unwrap(), Some(dir)).wait().1;
        }
        assert_eq!(comparable(&dir), expected, "{what}");
    }
}

fn complete(dir: &Dir, n: usize) -> bool {
    let path: &Path = dir.path();
    let text = std::fs::read_to_string(path.join("job.results.jsonl")).unwrap_or_default();
    text.ends_with('\n') && text.lines().count() == n
}
