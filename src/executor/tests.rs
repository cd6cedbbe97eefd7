//! An executor alone: chunks in, outcomes out.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Barrier;

use crossbeam_channel::{Sender, unbounded};

use super::*;
use crate::message::{Outcomes, Span, Status, Told, encode_chunk};
use crate::task::items::SeenByContent;
use crate::task::{Context, ErrorClass, Input, PlanContext};

pub(super) fn executor(table: Table) -> Executor {
    executor_that(true, table)
}

/// One that makes `records` of tasks that succeed, or none.
#[allow(clippy::disallowed_methods, reason = "an executor counts from its start")]
fn executor_that(records: bool, table: Table) -> Executor {
    let config = Config {
        place: Place { rank: 0, ranks: 1, resume: false },
        host: "h1".to_owned(),
        threads: 2,
        io_threads: 0,
        records,
        values: None,
        memory: 1 << 20,
    };
    Executor::new(config, vec![table], Instant::now()).unwrap()
}

/// A table of probes with these lines.
pub(super) fn probe(lines: &str, limit: Option<Duration>) -> Table {
    let mut seen = SeenByContent::default();
    let mut context = PlanContext { folder: Path::new("jobs"), seen: &mut seen };
    let written = format!("n = 1\n{lines}").parse().unwrap();
    let plan = task::kind("probe").unwrap().plan(written, &mut context).unwrap();
    table("probe", &plan.options, Pool::Cpu, limit).unwrap()
}

/// Runs tasks with these limits; how each ended, and what it asks for.
fn run(executor: &Executor, limits: &[Option<Duration>]) -> Vec<(Status, Option<Duration>)> {
    let nanos = |limit: Duration| NonZeroU64::new(limit.as_nanos().try_into().unwrap()).unwrap();
    let task = |(idx, limit): (usize, &Option<Duration>)| Task {
        near: 0,
        seq: 0,
        table: 0,
        earlier_attempts: 0,
        occurrence: 0,
        cost: 1.0,
        history: None,
        limit: limit.map(nanos),
        input: Input::Number(idx as u64),
    };
    let tasks: Vec<Span> = limits.iter().enumerate().map(task).map(Span::from).collect();
    executor.start(&encode_chunk(7, tasks.iter())).unwrap();
    let mut ended = vec![None; tasks.len()];
    while ended.contains(&None) {
        let payload = executor.outcomes().recv_timeout(Duration::from_secs(100)).unwrap();
        let mut outcomes = Outcomes::decode(&payload).unwrap();
        assert_eq!(outcomes.chunk, 7);
        while let Some(told) = outcomes.take().unwrap() {
            let Told::One(outcome) = told else { panic!("it has a record") };
            let ended = &mut ended[outcome.index as usize];
            assert_eq!(ended.replace((outcome.status, outcome.again)), None, "once a task");
        }
    }
    ended.into_iter().flatten().collect()
}

#[test]
fn what_an_outcome_asks_for_arrives() {
    let hint = Some(Duration::from_millis(1500));
    let echo = executor(probe("again = \"1500ms\"", None));
    assert_eq!(run(&echo, &[None, None]), [(Status::Ok, hint); 2]);
    let fail = executor(probe("action = \"fail\"\nagain = \"1500ms\"", None));
    assert_eq!(run(&fail, &[None]), [(Status::Failed(ErrorClass::Failed), hint)]);
    let silent = executor(probe("", None));
    assert_eq!(run(&silent, &[None]), [(Status::Ok, None)]);
}

#[test]
fn a_tasks_own_limit_goes_before_its_tables() {
    let ms = |n| Some(Duration::from_millis(n));
    let over = (Status::Failed(ErrorClass::Timeout), None);
    let [sleep, busy] =
        ["sleep", "busy"].map(|action| format!("action = \"{action}\"\ntime = \"30s\""));
    assert_eq!(run(&executor(probe(&sleep, None)), &[ms(10), ms(20)]), [over; 2]);
    assert_eq!(run(&executor(probe(&sleep, ms(10))), &[None]), [over]);
    assert_eq!(run(&executor(probe(&busy, ms(3_600_000))), &[ms(10)]), [over]);
}

#[test]
fn many_tasks_that_fill_the_memory_all_run() {
    let executor = executor(probe("memory = 1000000", None));
    let limits = vec![None; 5000];
    assert_eq!(run(&executor, &limits), vec![(Status::Ok, None); 5000]);
}

/// Starts `n` tasks that sleep so long.
fn start_sleeps(n: usize, time: &str) -> Executor {
    let table = probe(&format!("action = \"sleep\"\ntime = \"{time}\"\npool = \"cpu\""), None);
    let executor = executor(table);
    let more = u32::try_from(n).unwrap() - 1;
    executor.start(&encode_chunk(7, [Span { more, step: 1, ..Span::default() }].iter())).unwrap();
    executor
}

fn n_running(executor: &Executor) -> usize {
    executor.shared.n_runners.load(Ordering::Acquire)
}

/// The threads of the records that arrive until all `n` tasks have ended.
fn threads_of(executor: &Executor, n: usize) -> Vec<u64> {
    let mut threads = Vec::new();
    while threads.len() < n {
        let payload = executor.outcomes().recv_timeout(Duration::from_secs(100)).unwrap();
        let mut outcomes = Outcomes::decode(&payload).unwrap();
        while let Some(told) = outcomes.take().unwrap() {
            let Told::One(outcome) = told else { panic!("it has a record") };
            let record: serde_json::Value = serde_json::from_slice(outcome.record).unwrap();
            threads.push(record["thread"].as_u64().unwrap());
        }
    }
    threads
}

#[test]
fn tasks_without_records_are_told_of_in_rows() {
    let table = probe("action = \"fail\"\nevery = 100", None);
    let executor = executor_that(false, table);
    let (more, first) = (999, Task { input: Input::Number(7), ..Task::default() });
    executor.start(&encode_chunk(7, [Span { first, more, step: 1 }].iter())).unwrap();
    let (mut n_ok, mut failed) = (0, Vec::new());
    while n_ok + failed.len() < 1000 {
        let payload = executor.outcomes().recv_timeout(Duration::from_secs(100)).unwrap();
        let mut outcomes = Outcomes::decode(&payload).unwrap();
        while let Some(told) = outcomes.take().unwrap() {
            match told {
                Told::Row(row) => n_ok += row.count as usize,
                Told::One(outcome) => {
                    let record: serde_json::Value = serde_json::from_slice(outcome.record).unwrap();
                    failed.push((outcome.index, record["input"]["n"].as_u64().unwrap()));
                }
            }
        }
    }
    failed.sort_unstable();
    let expected: Vec<_> = (1..=10).map(|n| (n * 100 - 7, u64::from(n) * 100)).collect();
    assert_eq!((n_ok, failed), (990, expected));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a deadline")]
fn an_executor_is_supplied_while_a_whole_chunk_waits() {
    let executor = start_sleeps(3, "1h");
    let deadline = Instant::now() + Duration::from_secs(100);
    while executor.is_supplied() {
        assert!(Instant::now() < deadline, "nobody begins the chunk");
        thread::yield_now();
    }
    executor.start(&encode_chunk(8, [Span::from(Task::default())].iter())).unwrap();
    assert!(executor.is_supplied());
    executor.stop();
    assert!(!executor.is_supplied(), "it will not be begun");
    executor.cancel(7, 0..3);
}

#[test]
fn more_threads_start_what_waits_at_once() {
    let executor = start_sleeps(8, "300ms");
    let all = NonZeroU32::new(8).unwrap();
    executor.resize(Pool::Cpu, all).unwrap();
    let mut threads = threads_of(&executor, 8);
    threads.sort_unstable();
    threads.dedup();
    // Two were at work already; six have started beside them, or all have in the new pool.
    assert!(threads.len() >= 6, "{threads:?}");
    assert_eq!(executor.shared.cpu.threads(), 8);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "an executor counts from its start")]
fn fewer_threads_let_running_tasks_end_and_the_ledger_stays_true() {
    let executor = start_sleeps(40, "20ms");
    executor.resize(Pool::Cpu, NonZeroU32::new(6).unwrap()).unwrap();
    threads_of(&executor, 12);
    executor.resize(Pool::Cpu, NonZeroU32::MIN).unwrap();
    threads_of(&executor, 12);
    assert!(n_running(&executor) <= 1, "{}", n_running(&executor));
    threads_of(&executor, 40 - 24 - 6);
    let ledger = executor.ledger(Instant::now());
    let sum = ledger.compute + ledger.overhead + ledger.waiting + ledger.idle;
    assert!((sum - ledger.thread_seconds).abs() < 1e-9, "{ledger:?}");
    assert!(ledger.waiting > -1e-3 && ledger.thread_seconds > ledger.wall, "{ledger:?}");
    assert_eq!(ledger.threads, 1);
}

/// A pool none of whose cores is ever free at once.
#[derive(Debug)]
struct Taken<'a>(&'a Arc<Shared>);

impl Cpu for Taken<'_> {
    fn lend(&self, _: &mut dyn FnMut()) -> bool {
        false
    }

    fn spawn(&self, step: Step) {
        self.0.spawn(step);
    }

    fn help(&self, compute: &mut dyn FnMut()) {
        self.0.help(compute);
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "an executor counts from its start")]
fn a_step_is_done_by_who_asks_while_a_core_is_free() {
    let executor = executor(probe("", None));
    let on_cpu = |cpu: &dyn Cpu| Context { cpu, ..Context::new(0) }.on_cpu(thread::current);
    assert_eq!(on_cpu(&executor.shared).id(), thread::current().id());

    let all = Arc::new(Barrier::new(3));
    let holders = [(); 2].map(|()| {
        let (shared, all) = (Arc::clone(&executor.shared), Arc::clone(&all));
        let hold = move || {
            all.wait();
            all.wait();
        };
        thread::spawn(move || assert!(shared.lend(&mut || hold())))
    });
    all.wait();
    assert!(!executor.shared.lend(&mut || unreachable!("both cores are taken")));
    let (sender, done_by) = unbounded();
    executor.shared.spawn(Box::new(move || sender.send(thread::current()).unwrap()));
    assert!(done_by.is_empty(), "both cores are taken");
    all.wait();
    let other = done_by.recv_timeout(Duration::from_secs(100)).unwrap();
    for done_by in [other, on_cpu(&Taken(&executor.shared))] {
        let name = done_by.name().unwrap_or_default();
        assert!(name.starts_with("task-cpu-"), "{name}");
    }
    for holder in holders {
        holder.join().unwrap();
    }

    let ledger = executor.ledger(Instant::now());
    let sum = ledger.compute + ledger.overhead + ledger.waiting + ledger.idle;
    assert!(ledger.compute > 0.0 && (sum - ledger.thread_seconds).abs() < 1e-9, "{ledger:?}");
}

/// Task 0 has another thread do a part of it, and waits for that; task 1 tells whether it runs in
/// the thread of task 0 meanwhile.
struct Shares {
    begun: Sender<()>,
    is_begun: Receiver<()>,
    to_go: Receiver<()>,
    waits: Mutex<Option<thread::ThreadId>>,
    inside: Sender<bool>,
}

impl Shares {
    fn share(&self) {
        let part = || {
            self.begun.send(()).unwrap();
            self.begun.send(()).unwrap();
            self.to_go.recv().unwrap();
            // Only another thread can do the second half: the one that waits, which looks for
            // more each time.
            for _ in 0..100 {
                let (done, is_done) = unbounded();
                rayon::join(|| is_done.recv().unwrap(), || done.send(()).unwrap());
            }
        };
        rayon::join(|| self.is_begun.recv().unwrap(), part);
    }
}

impl task::Work for Shares {
    fn write_input(&self, _: &Input, record: &mut Vec<u8>) {
        record.extend_from_slice(b"0");
    }

    fn run(
        &self,
        input: &Input,
        context: &Context<'_>,
        record: &mut Vec<u8>,
    ) -> Result<task::Done, TaskError> {
        record.extend_from_slice(b"0");
        let own = Some(thread::current().id());
        if *input == Input::Number(1) {
            self.inside.send(*self.waits.lock().unwrap() == own).unwrap();
            return Ok(task::Done::default());
        }
        *self.waits.lock().unwrap() = own;
        context.with_help(|| self.share());
        *self.waits.lock().unwrap() = None;
        Ok(task::Done::default())
    }
}

#[test]
fn a_task_that_waits_for_another_thread_has_no_other_task_inside() {
    const LIMIT: Duration = Duration::from_secs(100);
    for threads in [2, 3] {
        // One message for the other half, one for the test, whoever takes which.
        let (begun, is_begun) = unbounded();
        let has_begun = is_begun.clone();
        let (go, to_go) = unbounded();
        let (inside, is_inside) = unbounded();
        let work = Shares { begun, is_begun, to_go, waits: Mutex::default(), inside };
        let executor =
            executor(Table { kind: "shares", work: Box::new(work), pool: Pool::Cpu, limit: None });
        executor.resize(Pool::Cpu, NonZeroU32::new(threads).unwrap()).unwrap();
        let start = |id, number| {
            let task = Task { input: Input::Number(number), ..Task::default() };
            executor.start(&encode_chunk(id, [Span::from(task)].iter())).unwrap();
        };
        start(7, 0);
        has_begun.recv_timeout(LIMIT).unwrap();
        start(8, 1);
        // A third thread does not wait for what the two share.
        let is_first = (threads == 3).then(|| is_inside.recv_timeout(LIMIT).unwrap());
        go.send(()).unwrap();
        let is_inside = is_first.unwrap_or_else(|| is_inside.recv_timeout(LIMIT).unwrap());
        assert!(!is_inside, "with {threads} threads");
        threads_of(&executor, 2);
    }
}

/// A task of two halves, done by two threads at the same time.
struct Halves(Barrier);

impl Halves {
    /// How long each of them takes at least.
    const LENGTH: Duration = Duration::from_millis(20);

    fn half(&self) {
        self.0.wait();
        let began = now();
        while now() - began < Self::LENGTH {}
    }
}

impl task::Work for Halves {
    fn write_input(&self, _: &Input, record: &mut Vec<u8>) {
        record.extend_from_slice(b"0");
    }

    fn run(
        &self,
        _: &Input,
        context: &Context<'_>,
        record: &mut Vec<u8>,
    ) -> Result<task::Done, TaskError> {
        context.with_help(|| rayon::join(|| self.half(), || self.half()));
        record.extend_from_slice(b"0");
        Ok(task::Done::default())
    }
}

#[test]
fn a_thread_that_helps_computes() {
    let work = Box::new(Halves(Barrier::new(2)));
    let executor = executor(Table { kind: "halves", work, pool: Pool::Cpu, limit: None });
    assert_eq!(run(&executor, &[None]), [(Status::Ok, None)]);
    let deadline = now() + Duration::from_secs(20);
    let mut ledger = executor.ledger(now());
    // It says so after its half.
    while ledger.compute < 2.0 * Halves::LENGTH.as_secs_f64() {
        assert!(now() < deadline, "{ledger:?}");
        thread::yield_now();
        ledger = executor.ledger(now());
    }
    let sum = ledger.compute + ledger.overhead + ledger.waiting + ledger.idle;
    assert!((sum - ledger.thread_seconds).abs() < 1e-9, "{ledger:?}");
}
