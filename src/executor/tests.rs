//! An executor alone: chunks in, outcomes out.

use std::num::NonZeroU64;
use std::path::Path;

use super::*;
use crate::message::{Outcomes, Status, encode_chunk};
use crate::task::items::SeenByContent;
use crate::task::{ErrorClass, Input, PlanContext};

#[allow(clippy::disallowed_methods, reason = "an executor counts from its start")]
fn executor(table: Table) -> Executor {
    let config = Config {
        place: Place { rank: 0, ranks: 1, resume: false },
        host: "h1".to_owned(),
        threads: 2,
        io_threads: 0,
        records: true,
        memory: 1 << 20,
    };
    Executor::new(config, vec![table], Instant::now()).unwrap()
}

/// A table of probes with these lines.
fn probe(lines: &str, limit: Option<Duration>) -> Table {
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
    let tasks: Vec<Task> = limits.iter().enumerate().map(task).collect();
    executor.start(&encode_chunk(7, tasks.iter())).unwrap();
    let mut ended = vec![None; tasks.len()];
    while ended.contains(&None) {
        let payload = executor.outcomes().recv_timeout(Duration::from_secs(100)).unwrap();
        let mut outcomes = Outcomes::decode(&payload).unwrap();
        assert_eq!(outcomes.chunk, 7);
        while let Some(outcome) = outcomes.take().unwrap() {
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
