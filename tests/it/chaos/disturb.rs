//! What happens to a run, and when.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{How, Random};
use crate::launch::processes;
use crate::util::{Running, is_open_mpi, now};

/// Something that happens at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disturbance {
    event: Event,
    moment: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// So many workers are killed at once.
    Workers(usize),
    Rank0,
    Mpirun,
    /// Everything that was started.
    All,
    /// A worker, from the last one, is stopped and stays so.
    Silence(usize),
    /// A worker is stopped for so many milliseconds.
    Late(usize, u64),
    /// Rank 0 is stopped for so many milliseconds.
    Rank0Late(u64),
    /// Somebody asks for an end.
    Ask(Signal),
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So many milliseconds after the first rank is there.
    Early(u64),
    /// Once so many thousandths of the results are written that were missing.
    Written(u64),
}

impl Disturbance {
    /// One of those that can happen.
    pub(super) fn draw(how: How, random: &mut Random) -> Self {
        let which = |random: &mut Random| usize::try_from(random.below(3)).unwrap();
        let event = match random.below(20) {
            0..=3 => Event::Workers(1),
            4..=6 => Event::Workers(2 + which(random)),
            7..=8 => Event::Rank0,
            9..=10 => Event::Mpirun,
            11..=12 => Event::All,
            13..=14 => Event::Silence(which(random)),
            15 => Event::Late(which(random), 100 + random.below(3000)),
            16 => Event::Rank0Late(100 + random.below(4000)),
            17..=18 => Event::Ask(asks(how, random)),
            _ => Event::Nothing,
        };
        let moment = match random.below(6) {
            0 => Moment::Early(random.below(400)),
            _ => Moment::Written(random.below(1000)),
        };
        Self { event, moment }
    }

    /// What statistics call it.
    pub(super) fn name(self) -> String {
        let name = match self.event {
            Event::Workers(1) => "one worker killed".into(),
            Event::Workers(_) => "several workers killed".into(),
            Event::Rank0 => "rank 0 killed".into(),
            Event::Mpirun => "mpirun killed".into(),
            Event::All => "everything killed".into(),
            Event::Silence(_) => "worker stopped".into(),
            Event::Late(..) => "worker stopped for a while".into(),
            Event::Rank0Late(_) => "rank 0 stopped for a while".into(),
            Event::Ask(signal) => format!("{signal:?}"),
            Event::Nothing => "nothing".to_owned(),
        };
        let early = if matches!(self.moment, Moment::Early(_)) { ", early" } else { "" };
        format!("{name}{early}")
    }

    /// Whether `launch` does not go on after it.
    pub(super) fn ends_launch(self) -> bool {
        matches!(self.event, Event::All | Event::Ask(_))
    }

    /// Waits for its moment, unless the run ends before, and lets it happen to a run of whose
    /// results so many bytes are expected.
    pub(super) fn happen(self, how: How, bytes: u64, running: &mut Running) {
        self.moment.wait(bytes, running);
        let ranks = ranks(running.dir.path());
        let workers = || ranks.iter().filter(|&(&rank, _)| rank > 0).map(|(_, &pid)| pid);
        let worker = |which: usize| workers().nth_back(which);
        match self.event {
            Event::Workers(n) => signal(workers().take(n), Signal::KILL),
            Event::Rank0 => signal(ranks.get(&0).copied(), Signal::KILL),
            Event::Mpirun => signal(mpiruns(running), Signal::KILL),
            Event::All => {
                signal([child(running)], Signal::KILL);
                signal(processes(running.dir.path()), Signal::KILL);
            }
            Event::Silence(which) => signal(worker(which), Signal::STOP),
            Event::Late(which, millis) => stop_for(worker(which), millis, running),
            Event::Rank0Late(millis) => stop_for(ranks.get(&0).copied(), millis, running),
            Event::Ask(name) if how == How::Launch => signal([child(running)], name),
            Event::Ask(name) => signal(mpiruns(running), name),
            Event::Nothing => {}
        }
    }
}

/// What asks for an end: `launch` takes each as such, MPICH's mpirun would not pass SIGUSR2 on.
fn asks(how: How, random: &mut Random) -> Signal {
    match random.below(3) {
        0 => Signal::INT,
        1 => Signal::TERM,
        _ if how == How::Mpirun && is_open_mpi() => Signal::USR2,
        _ => Signal::TERM,
    }
}

impl Moment {
    fn wait(self, bytes: u64, running: &mut Running) {
        let has_ended = |running: &mut Running| running.child.try_wait().unwrap().is_some();
        running.poll("ranks or the end", |running| {
            !ranks(running.dir.path()).is_empty() || has_ended(running)
        });
        match self {
            Self::Early(millis) => pause(millis, running),
            Self::Written(part) => {
                let before = written(running).unwrap_or(0);
                let enough = before + bytes.saturating_sub(before) * part / 1000;
                running.poll("results or the end", |running| {
                    written(running).is_some_and(|bytes| bytes >= enough) || has_ended(running)
                });
            }
        }
    }
}

/// How many bytes of results there are.
fn written(running: &Running) -> Option<u64> {
    fs::metadata(running.dir.path().join("job.results.jsonl")).ok().map(|file| file.len())
}

fn pause(millis: u64, running: &mut Running) {
    let end = now() + Duration::from_millis(millis);
    running.poll("the time", |_| now() >= end);
}

fn stop_for(pid: Option<i32>, millis: u64, running: &mut Running) {
    signal(pid, Signal::STOP);
    pause(millis, running);
    signal(pid, Signal::CONT);
}

fn child(running: &Running) -> i32 {
    i32::try_from(running.child.id()).unwrap()
}

fn signal(pids: impl IntoIterator<Item = i32>, signal: Signal) {
    for pid in pids {
        // It may have ended by itself meanwhile.
        let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
    }
}

/// The processes that have this folder in their environment, by what they run.
fn programs(folder: &Path) -> Vec<(i32, String, Vec<String>)> {
    let words = |path: String| -> Vec<String> {
        let text = fs::read(path).unwrap_or_default();
        text.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into()).collect()
    };
    let program = |pid| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let environment = words(format!("/proc/{pid}/environ"));
        let is_inner = words(format!("/proc/{pid}/cmdline")).get(1)?.starts_with("__");
        (!is_inner).then(|| (pid, comm.trim_end().to_owned(), environment))
    };
    processes(folder).into_iter().filter_map(program).collect()
}

/// Ranks and their processes. Of two that claim a rank the older one is it: the other is
/// about to become a command.
fn ranks(folder: &Path) -> BTreeMap<u32, i32> {
    let mut ranks = BTreeMap::new();
    for (pid, comm, environment) in programs(folder) {
        let rank = environment.iter().find_map(|variable| {
            variable.strip_prefix("OMPI_COMM_WORLD_RANK=").or(variable.strip_prefix("PMI_RANK="))
        });
        if let Some(rank) = rank.filter(|_| comm == "rankpool") {
            let own = ranks.entry(rank.parse().unwrap()).or_insert(pid);
            *own = pid.min(*own);
        }
    }
    ranks
}

fn mpiruns(running: &Running) -> Vec<i32> {
    let is_mpirun = |comm: &str| ["mpirun", "prterun", "orterun", "mpiexec"].contains(&comm);
    let programs = programs(running.dir.path()).into_iter();
    programs.filter(|(_, comm, _)| is_mpirun(comm)).map(|(pid, ..)| pid).collect()
}

/// Waits until nothing is left of what was started.
#[track_caller]
pub(super) fn bury(running: &mut Running) {
    let left = |running: &Running| {
        let pids = processes(running.dir.path()).into_iter();
        let shown =
            |pid| (pid, fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default());
        pids.map(shown).collect::<Vec<_>>()
    };
    running.poll("all processes to be gone", |running| left(running).is_empty());
}

/// Kills what a round that failed has left.
pub(super) struct Undertaker(pub(super) PathBuf);

impl Drop for Undertaker {
    fn drop(&mut self) {
        signal(processes(&self.0), Signal::KILL);
    }
}
