//! Random deaths at random moments of random jobs, until each is complete all the same: under
//! plain mpirun, gone on with by `--resume`, and under `rankpool launch`, which goes on by itself.
//!
//! `RANKPOOL_CHAOS_ROUNDS` and `RANKPOOL_CHAOS_SEED` make it longer or repeat it
//! (`scripts/chaos`).

mod disturb;
mod jobs;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::disturb::{Disturbance, Undertaker, bury};
use self::jobs::Job;
pub(crate) use self::jobs::outcomes;
use crate::util::{Dir, Ran, passes_codes_on, rankpool, surviving_mpirun};

/// Rounds where nobody asks for more.
const ROUNDS: u64 = 4;
/// So many starts beyond the disturbed ones are enough for any job here.
const MORE_STARTS: usize = 2;

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

/// Who starts the ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Mpirun,
    Launch,
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect(name))
}

/// A job, and what happens to it.
struct Round {
    how: How,
    n_ranks: u32,
    job: Job,
    disturbances: Vec<Disturbance>,
}

impl Round {
    fn draw(how: How, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let job = Job::draw(&mut random);
        let n_ranks = u32::try_from(2 + random.below(3)).unwrap();
        let n = 1 + random.below(2);
        let disturbances = (0..n).map(|_| Disturbance::draw(how, &mut random)).collect();
        Self { how, n_ranks, job, disturbances }
    }

    /// Starts the job until it is done, and looks at what it left.
    fn run(&self) {
        // One of them ends a plain run; `launch` goes on by itself.
        let starts: Vec<&[Disturbance]> = match self.how {
            How::Mpirun => self.disturbances.chunks(1).collect(),
            How::Launch => vec![&self.disturbances],
        };
        let mut left = None;
        for happens in starts.into_iter().chain([&[][..]; MORE_STARTS]) {
            let (ran, dir) = self.start(left.take(), happens);
            let is_complete = self.job.is_complete(&dir);
            self.check_code(&ran, is_complete, happens);
            left = Some(dir);
            if is_complete {
                break;
            }
        }
        let found = outcomes(&left.unwrap().records("job.results.jsonl"));
        let differ = |(id, what): (&String, &String)| {
            (found.get(id) != Some(what)).then(|| format!("{what}, but {:?}", found.get(id)))
        };
        let differing: Vec<String> = self.job.expected.iter().filter_map(differ).take(3).collect();
        assert_eq!((found.len(), differing), (self.job.expected.len(), vec![]));
    }

    /// Starts the job and lets these happen to it, one after the other; what it left.
    fn start(&self, dir: Option<Dir>, happens: &[Disturbance]) -> (Ran, Dir) {
        let pool = match self.how {
            How::Mpirun => surviving_mpirun(self.n_ranks).expect("an MPI that survives"),
            How::Launch => rankpool().line(&format!("launch -n {} --restarts 6", self.n_ranks)),
        };
        let resume: &[&str] = if dir.is_some() { &["--resume"] } else { &[] };
        let pool = if let Some(dir) = dir { pool.in_dir(dir) } else { pool };
        let pool = pool.job(&self.job.text).args(["--quiet"]).args(resume.iter().copied());
        let mut running = pool.start();
        let _undertaker = Undertaker(running.dir.path().to_owned());
        for disturbance in happens {
            disturbance.happen(self.how, self.job.bytes, &mut running);
        }
        running.poll("it to end", |running| running.child.try_wait().unwrap().is_some());
        bury(&mut running);
        running.wait()
    }

    /// A code that says that all is done has to be right, and `launch` goes on until it is.
    #[track_caller]
    fn check_code(&self, ran: &Ran, is_complete: bool, happens: &[Disturbance]) {
        let code = ran.status.code();
        let is_done = matches!(code, Some(0 | 1));
        let ends = happens.iter().any(|disturbance| disturbance.ends_launch());
        match self.how {
            How::Launch if !ends => {
                let expected = (Some(i32::from(self.job.fails)), true);
                assert_eq!((code, is_complete), expected, "{}\n{}", ran.stdout, ran.stderr);
            }
            // mpirun's own code is 0 or 1 as well where it killed the ranks.
            How::Mpirun if !(happens.is_empty() && passes_codes_on()) => {}
            How::Launch | How::Mpirun => {
                assert!(is_complete || !is_done, "{code:?}: {}\n{}", ran.stdout, ran.stderr);
            }
        }
    }
}

/// Round after round, and at the end what was found.
#[track_caller]
fn rounds(how: How) {
    if surviving_mpirun(2).is_none() {
        eprintln!("skipped: this MPI does not survive a dead rank (Open MPI 5 and 4.1 do)");
        return;
    }
    let (first, n) = (number("RANKPOOL_CHAOS_SEED", 1), number("RANKPOOL_CHAOS_ROUNDS", ROUNDS));
    let (mut counts, mut findings) = (BTreeMap::<_, u64>::new(), Vec::new());
    for seed in first..first + n {
        let round = Round::draw(how, seed);
        let what = format!(
            "seed {seed}: {how:?} of {} ranks, {}; {:?}",
            round.n_ranks, round.job.name, round.disturbances
        );
        eprintln!("{what}");
        for disturbance in &round.disturbances {
            *counts.entry(disturbance.name()).or_default() += 1;
        }
        // What a finding says is printed as it happens; the others go on.
        if catch_unwind(AssertUnwindSafe(|| round.run())).is_err() {
            findings.push(what);
        }
    }
    eprintln!("{n} rounds of {how:?}, {} findings; {counts:?}", findings.len());
    assert_eq!(findings, Vec::<String>::new());
}

#[test]
fn whatever_dies_under_mpirun_nothing_is_lost() {
    rounds(How::Mpirun);
}

#[test]
fn whatever_dies_under_launch_it_goes_on() {
    rounds(How::Launch);
}
