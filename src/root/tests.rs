use std::num::NonZeroU32;

use proptest::prelude::*;
use rustc_hash::FxHashSet;

use super::refill::{LOOK_AHEAD, ORDER_WINDOW};
use super::*;
use crate::message::{ChunkId, OutcomesBuilder, Span, Status, Times, decode_chunk};
use crate::schedule::{self, View};
use crate::task::{ErrorClass, Input, Item, Next, Source};

/// The numbers below `n`, of these costs in turn.
struct Numbers {
    next: u64,
    n: u64,
    costs: Vec<f32>,
    tells_remaining: bool,
}

impl Source for Numbers {
    fn next(&mut self, _now: Duration) -> Result<Next> {
        if self.next == self.n {
            return Ok(Next::Exhausted);
        }
        let idx = usize::try_from(self.next).unwrap();
        let cost = self.costs[idx % self.costs.len()];
        self.next += 1;
        Ok(Next::Task(Item { input: Input::Number(self.next - 1), cost, ..Item::default() }))
    }

    /// In rows where all cost the same.
    fn next_row(&mut self, most: u32, now: Duration) -> Result<Next> {
        let next = self.next(now)?;
        let Next::Task(item) = next else { return Ok(next) };
        let left = u32::try_from(self.n - self.next).unwrap_or(u32::MAX);
        let more = if self.costs.len() == 1 { left.min(most - 1) } else { 0 };
        self.next += u64::from(more);
        Ok(Next::Task(Item { more, step: 1, ..item }))
    }

    fn hears_outcomes(&self) -> bool {
        false
    }

    fn remaining(&self) -> Option<u64> {
        self.tells_remaining.then_some(self.n - self.next)
    }
}

pub(super) fn table(n: u64, costs: &[f32], pool: Pool) -> Table {
    let source = Numbers { next: 0, n, costs: costs.to_vec(), tells_remaining: true };
    Table { source: Box::new(source), pool, limit: None, own_retries: false }
}

pub(super) fn config(schedule: Schedule, ordered: bool, threads: Vec<[u32; 2]>) -> Config {
    Config { schedule, ordered, threads, reserve: [1, 1], policy: Policy::default() }
}

fn root(schedule: &str, threads: &[[u32; 2]], tables: Vec<Table>) -> Root {
    let schedule = schedule.parse().unwrap();
    Root::new(config(schedule, false, threads.to_vec()), tables)
}

/// A chunk as its worker sees it: who has it, its id, and table and number of each task.
pub(super) type Given = (Rank, ChunkId, Vec<(u16, u64)>);

pub(super) fn hand_out(root: &mut Root) -> (Vec<Given>, bool) {
    let mut orders = Vec::new();
    root.hand_out(Duration::ZERO, &mut orders).unwrap();
    let mut drained = false;
    let mut given = Vec::new();
    for order in orders {
        match order {
            Order::Cancel(..) => panic!("nobody cancels"),
            Order::Fail(task, error, _) => panic!("{task:?} failed: {error}"),
            Order::Drained => drained = true,
            Order::Chunk(rank, payload) => {
                let (id, tasks) = decode_tasks(&payload);
                let number = |task: &Task| match task.input {
                    Input::Number(number) => (task.table, number),
                    Input::Text(_) => panic!("a number was sent"),
                };
                given.push((rank, id, tasks.iter().map(number).collect()));
            }
        }
    }
    (given, drained)
}

/// A chunk's tasks, each by itself.
pub(super) fn decode_tasks(payload: &[u8]) -> (ChunkId, Vec<Task>) {
    let (id, spans) = decode_chunk(payload).unwrap();
    (id, spans.iter().flat_map(Span::tasks).collect())
}

pub(super) fn outcomes(id: ChunkId, indices: &[u32], status: Status) -> Vec<u8> {
    let mut builder = OutcomesBuilder::new(id);
    for &index in indices {
        builder.begin();
        builder.end(index, status, 1_000_000, &crate::task::Done::default());
    }
    builder.finish()
}

pub(super) fn hear(root: &mut Root, rank: Rank, payload: &[u8]) -> Vec<u64> {
    let mut heard = Vec::new();
    let mut on = |outcome: &Heard<'_>| {
        heard.push(outcome.task.seq);
        Ok(())
    };
    root.on_outcomes(rank, payload, Duration::ZERO, &mut on).unwrap();
    heard
}

#[test]
fn a_job_without_tasks_is_done_at_once() {
    for tables in [vec![], vec![table(0, &[1.0], Pool::Cpu)]] {
        let mut root = root("auto", &[[1, 0]], tables);
        assert_eq!(hand_out(&mut root), (vec![], true));
        assert!(root.is_done());
        assert_eq!(root.progress(), (0, Some(0)));
    }
}

#[test]
fn of_many_ranks_the_one_that_has_ended_something_gets_more_at_once() {
    let mut root = root("dynamic", &[[1, 0]; 300], vec![table(10_000, &[1.0], Pool::Cpu)]);
    let (given, _) = hand_out(&mut root);
    assert!(hand_out(&mut root).0.is_empty(), "all are full");
    let (_, id, tasks) = given.iter().find(|given| given.0 == Rank(250)).unwrap();
    assert_eq!(hear(&mut root, Rank(250), &outcomes(*id, &[0], Status::Ok)), [tasks[0].1]);
    let (given, _) = hand_out(&mut root);
    assert!(given.iter().any(|given| given.0 == Rank(250)), "{given:?}");
    // Those have another look in turn: what they hold is known to be short only now.
    let others: FxHashSet<Rank> = given.iter().map(|given| given.0).collect();
    assert!(others.len() < 20, "{others:?}");
}

#[test]
fn one_task_goes_out_once_and_counts_once() {
    let mut root = root("dynamic", &[[1, 0], [1, 0]], vec![table(1, &[1.0], Pool::Cpu)]);
    let (given, drained) = hand_out(&mut root);
    assert_eq!((given, drained), (vec![(Rank(0), 0, vec![(0, 0)])], true));
    assert!(!root.is_done());
    let payload = outcomes(0, &[0], Status::Failed(ErrorClass::Panic));
    assert_eq!(hear(&mut root, Rank(0), &payload), [0]);
    assert_eq!(hear(&mut root, Rank(0), &payload), [0; 0]);
    assert!(root.is_done());
    assert_eq!(hand_out(&mut root), (vec![], false));
}

#[test]
fn outcomes_of_another_rank_or_beyond_a_chunk_are_errors() {
    let mut root = root("dynamic", &[[1, 0], [1, 0]], vec![table(2, &[1.0], Pool::Cpu)]);
    hand_out(&mut root);
    let payload = outcomes(0, &[0], Status::Ok);
    assert!(
        root.on_outcomes(Rank(1), &payload, Duration::ZERO, &mut |_: &Heard<'_>| Ok(())).is_err()
    );
    let payload = outcomes(0, &[1], Status::Ok);
    assert!(
        root.on_outcomes(Rank(0), &payload, Duration::ZERO, &mut |_: &Heard<'_>| Ok(())).is_err()
    );
}

#[test]
fn pools_do_not_hold_each_other_up() {
    let tables = vec![table(100, &[0.1], Pool::Io), table(100, &[1e-3], Pool::Cpu)];
    let mut root = root("dynamic", &[[1, 4]], tables);
    let (given, _) = hand_out(&mut root);
    let of_table = |table| given.iter().filter(|(_, _, tasks)| tasks[0].0 == table).count();
    assert_eq!((of_table(0), of_table(1)), (8, 2));
}

#[test]
fn the_longest_go_first_within_the_look_ahead() {
    let mut root = root("dynamic", &[[1, 0]], vec![table(5, &[1.0, 2.0, 64.0], Pool::Cpu)]);
    let (given, _) = hand_out(&mut root);
    assert_eq!(given.iter().map(|given| given.2[0].1).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_rank_without_threads_gets_nothing() {
    for schedule in ["static", "dynamic", "guided", "auto"] {
        let mut root = root(schedule, &[[0, 0], [2, 0]], vec![table(9, &[1.0], Pool::Cpu)]);
        let (given, _) = hand_out(&mut root);
        assert!(!given.is_empty() && given.iter().all(|(rank, ..)| *rank == Rank(1)), "{schedule}");
    }
}

#[test]
fn a_static_schedule_deals_one_block_a_thread() {
    let mut root = root("static", &[[1, 0], [2, 0]], vec![table(9, &[1.0], Pool::Cpu)]);
    let (given, drained) = hand_out(&mut root);
    let all = |rank| given.iter().filter(move |given| given.0 == rank).flat_map(|given| &given.2);
    assert_eq!(all(Rank(0)).map(|task| task.1).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(all(Rank(1)).map(|task| task.1).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8]);
    assert!(drained);
}

#[test]
fn few_slow_tasks_are_spread_over_ranks() {
    let mut root = root("auto", &[[1, 64], [1, 64]], vec![table(100, &[0.1], Pool::Io)]);
    let (given, _) = hand_out(&mut root);
    let of = |rank| given.iter().filter(|given| given.0 == rank).map(|given| given.2.len()).sum();
    let (first, second): (usize, usize) = (of(Rank(0)), of(Rank(1)));
    assert_eq!(first + second, 100);
    assert!(first.abs_diff(second) <= 50, "{first} and {second}");
}

#[test]
fn a_long_source_is_read_as_needed() {
    let mut root = root("auto", &[[2, 0]; 4], vec![table(1 << 50, &[1e-6], Pool::Cpu)]);
    for _ in 0..10 {
        for (rank, id, tasks) in hand_out(&mut root).0 {
            let all: Vec<u32> = (0..u32::try_from(tasks.len()).unwrap()).collect();
            let mut builder = OutcomesBuilder::new(id);
            for index in all {
                builder.begin();
                builder.end(index, Status::Ok, 300, &crate::task::Done::default());
            }
            hear(&mut root, rank, &builder.finish());
        }
    }
    assert!(root.n_done() > 100_000, "{}", root.n_done());
    assert!(root.feed.n_pulled() - root.n_done() <= LOOK_AHEAD as u64);
}

#[test]
fn results_in_order_bound_how_far_ahead_tasks_go() {
    let config = config(Schedule::Auto, true, vec![[1, 1]]);
    let tables = vec![table(1 << 20, &[1e-6], Pool::Cpu), table(9, &[1.0], Pool::Io)];
    let mut root = Root::new(config, tables);
    let mut first = None;
    for _ in 0..1000 {
        for (rank, id, tasks) in hand_out(&mut root).0 {
            // The very first task never ends.
            let indices = 0..u32::try_from(tasks.len()).unwrap();
            let keep = |index: &u32| tasks[*index as usize] != (0, 0);
            let indices: Vec<u32> = indices.filter(keep).collect();
            first = first.or((indices.len() < tasks.len()).then_some((rank, id)));
            hear(&mut root, rank, &outcomes(id, &indices, Status::Ok));
        }
    }
    assert!(first.is_some());
    assert_eq!(root.feed.n_pulled(), ORDER_WINDOW);
    root.set_first_unwritten(ORDER_WINDOW);
    assert!(!hand_out(&mut root).0.is_empty());
}

/// Any schedule, written as users do.
fn schedule() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec!["static", "dynamic", "guided"]);
    let chunked = (kind, prop::option::of(1..200u32)).prop_map(|(kind, chunk)| match chunk {
        None => kind.to_owned(),
        Some(chunk) => format!("{kind},{chunk}"),
    });
    prop_oneof![chunked, Just("auto".to_owned())]
}

#[test]
fn another_rank_tries_first_though_the_one_that_failed_has_room() {
    let retry = "failed = { retries = 2, backoff = \"1ms\", other_rank = true }";
    for (schedule, n_ranks) in [("auto", 3), ("dynamic", 3), ("static", 3), ("auto", 1)] {
        let mut config = config(schedule.parse().unwrap(), false, vec![[1, 0]; n_ranks]);
        config.policy.retries =
            crate::policy::Retries::from_table(&retry.parse().unwrap()).unwrap();
        let mut root = Root::new(config, vec![table(1, &[1.0], Pool::Cpu)]);
        let (given, _) = hand_out(&mut root);
        let (failed, id, _) = given[0];
        hear(&mut root, failed, &outcomes(id, &[0], Status::Failed(ErrorClass::Failed)));
        let mut orders = Vec::new();
        root.hand_out(Duration::from_millis(50), &mut orders).unwrap();
        let [Order::Chunk(next, _)] = orders[..] else { panic!("{schedule}: {orders:?}") };
        assert_eq!(next != failed, n_ranks > 1, "{schedule}: {next}");
    }
}

proptest! {
    /// Whatever the schedule, the ranks, the costs and the order of outcomes.
    #[test]
    fn every_task_goes_out_exactly_once(
        schedule in schedule(),
        threads in prop::collection::vec([1..5u32, 1..9u32], 1..6),
        sizes in prop::collection::vec((0..700u64, any::<bool>(), any::<bool>()), 0..4),
        costs in prop::collection::vec(0.0..10f32, 1..9),
        ordered in any::<bool>(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 64),
    ) {
        let tables = sizes.iter().map(|&(n, io, tells_remaining)| Table {
            source: Box::new(Numbers { next: 0, n, costs: costs.clone(), tells_remaining }),
            pool: if io { Pool::Io } else { Pool::Cpu },
            limit: None,
            own_retries: false,
        });
        let schedule = schedule.parse().unwrap();
        let mut root = Root::new(config(schedule, ordered, threads), tables.collect());
        let mut running: Vec<(Rank, ChunkId, u32)> = Vec::new();
        let mut started = Vec::new();
        let mut ended = Vec::new();
        let mut picks = picks.iter().cycle();
        let mut n_drained = 0;
        loop {
            let (given, drained) = hand_out(&mut root);
            n_drained += u32::from(drained);
            for (rank, id, tasks) in given {
                prop_assert!(!tasks.is_empty());
                running.extend((0..).zip(&tasks).map(|(index, _)| (rank, id, index)));
                started.extend(tasks);
            }
            if running.is_empty() {
                break;
            }
            let (rank, id, index) = running.swap_remove(picks.next().unwrap().index(running.len()));
            ended.extend(hear(&mut root, rank, &outcomes(id, &[index], Status::Ok)));
            root.set_first_unwritten(u64::MAX - ORDER_WINDOW);
        }
        let mut expected: Vec<(u16, u64)> = Vec::new();
        for (table, (n, ..)) in (0..).zip(&sizes) {
            expected.extend((0..*n).map(|number| (table, number)));
        }
        started.sort_unstable();
        prop_assert_eq!(&started, &expected);
        ended.sort_unstable();
        prop_assert_eq!(ended, (0..expected.len() as u64).collect::<Vec<_>>());
        prop_assert!(root.is_done());
        prop_assert_eq!(n_drained, 1);
    }
}

#[test]
fn chunks_follow_the_schedule() {
    let view = View {
        threads: 2,
        all_threads: 8,
        task_seconds: Some(0.001),
        remaining: Some(800),
        remaining_seconds: Some(0.8),
    };
    let chunk = |schedule: &str, view: View| {
        let schedule: Schedule = schedule.parse().unwrap();
        schedule.chunk(&view)
    };
    assert_eq!(chunk("dynamic", view).tasks, 1);
    assert_eq!(chunk("dynamic,7", view).tasks, 7);
    // A quarter of the threads: half of a quarter of what is left.
    assert_eq!(chunk("guided", view).tasks, 100);
    assert_eq!(chunk("guided,5", View { remaining: Some(3), ..view }).tasks, 5);
    assert_eq!(chunk("guided", View { remaining: None, ..view }).tasks, 1);
    // 20 ms for each of two threads, while that is less than half of its share of the rest.
    let is_close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    is_close(chunk("auto", view).seconds, 0.04);
    is_close(chunk("auto", View { remaining_seconds: Some(0.08), ..view }).seconds, 0.01);
    // Never less than what a round trip takes.
    is_close(chunk("auto", View { remaining_seconds: Some(0.001), ..view }).seconds, 0.006);
    is_close(schedule::hold(&View { remaining_seconds: Some(0.001), ..view }).seconds, 0.006);
    // Before anything is measured: a task a thread.
    assert_eq!(chunk("auto", View { task_seconds: None, ..view }).tasks, 2);
}

/// Hands out, and hears of each chunk that it took a millisecond a task and unit of cost.
fn turn(root: &mut Root, held: &mut Vec<Given>, cost: impl Fn(u64) -> u64) {
    held.extend(hand_out(root).0);
    let (rank, id, tasks) = held.remove(0);
    let mut builder = OutcomesBuilder::new(id);
    for (index, (_, number)) in (0..).zip(tasks) {
        builder.begin();
        let nanos = 1_000_000 * cost(number);
        builder.end(index, Status::Ok, nanos, &crate::task::Done::default());
    }
    hear(root, rank, &builder.finish());
    held.extend(hand_out(root).0);
}

#[test]
fn workers_are_supplied_while_each_has_measured_work_beside_what_it_runs() {
    let rows = [([[1, 0], [1, 0]], 1000, true), ([[1, 0], [1, 1]], 1000, false)];
    for (threads, n, is_supplied) in rows {
        let mut root = root("auto", &threads, vec![table(n, &[1.0], Pool::Cpu)]);
        let mut held = hand_out(&mut root).0;
        assert!(!root.is_supplied(), "nothing is measured");
        for _ in 0..8 {
            turn(&mut root, &mut held, |_| 1);
        }
        assert_eq!(root.is_supplied(), is_supplied, "{threads:?}");
        while held.len() > 1 {
            assert!(held.len() > 2 || !root.is_supplied(), "one has one chunk of 20 ms or less");
            turn(&mut root, &mut held, |_| 1);
        }
        root.stop();
        assert!(!root.is_supplied());
    }
    // Of tasks that take long none is held in advance.
    let mut root = root("auto", &[[1, 0]], vec![table(1000, &[1.0], Pool::Cpu)]);
    let mut held = Vec::new();
    for _ in 0..8 {
        turn(&mut root, &mut held, |_| 1000);
    }
    assert!(!root.is_supplied());
}

#[test]
fn the_rest_is_no_longer_than_its_longest_task() {
    // The long ones go first: what is left then is 10 ms for each of two threads.
    let cost = |number: u64| if number < 10 { 100 } else { 1 };
    let costs: Vec<f32> = (0..30u16).map(|number| cost(number.into()) as f32).collect();
    let mut root = root("auto", &[[1, 0], [1, 0]], vec![table(30, &costs, Pool::Cpu)]);
    let mut held = Vec::new();
    while root.n_done() < 10 {
        turn(&mut root, &mut held, cost);
    }
    let most = held.iter().map(|(_, _, tasks)| tasks.len()).max();
    assert!(most <= Some(5), "half of its share is 5 ms: {held:?}");
}

#[test]
fn schedules_are_written_as_they_are_read() {
    for text in ["static", "static,4", "dynamic,1", "guided,16", "auto"] {
        assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
    }
    let one = NonZeroU32::MIN;
    assert_eq!("dynamic".parse::<Schedule>().unwrap(), Schedule::Dynamic { chunk: one });
    for (text, part) in [
        ("fair", "unknown schedule `fair`; use static[,chunk]"),
        ("dynamic,0", "chunk `0` is not a whole number from 1"),
        ("guided,-1", "chunk `-1`"),
        ("auto,4", "takes no chunk"),
    ] {
        let message = text.parse::<Schedule>().unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

fn on_dead(root: &mut Root, rank: Rank) -> (usize, Vec<u64>) {
    let mut orders = Vec::new();
    let n_held = root.on_dead(rank, Duration::ZERO, &mut orders).unwrap();
    let failed = |order| match order {
        Order::Fail(task, error, _) => {
            assert_eq!(error.class, ErrorClass::Crashed);
            task.seq
        }
        other => panic!("{other:?}"),
    };
    (n_held, orders.into_iter().map(failed).collect())
}

#[test]
fn what_a_dead_rank_held_goes_to_others_one_at_a_time() {
    let threads = [[0, 0], [1, 0], [2, 0]];
    let mut root = root("dynamic", &threads, vec![table(6, &[1.0], Pool::Cpu)]);
    let (given, _) = hand_out(&mut root);
    let of_1: Vec<&Given> = given.iter().filter(|given| given.0 == Rank(1)).collect();
    let suspects: Vec<(u16, u64)> = of_1.iter().flat_map(|given| given.2.clone()).collect();
    assert_eq!(suspects.len(), 2);
    assert_eq!(on_dead(&mut root, Rank(1)), (2, vec![]));
    // A second report of the same death changes nothing.
    assert_eq!(on_dead(&mut root, Rank(1)), (0, vec![]));
    // Late outcomes of what was taken back do not count.
    assert_eq!(hear(&mut root, Rank(1), &outcomes(of_1[0].1, &[0], Status::Ok)), [0; 0]);
    let mut out: Vec<Given> = given.iter().filter(|given| given.0 == Rank(2)).cloned().collect();
    while !root.is_done() {
        out.extend(hand_out(&mut root).0);
        let has_suspect = out.iter().any(|given| suspects.contains(&given.2[0]));
        assert!(!has_suspect || out.len() == 1, "a suspect has nothing beside it: {out:?}");
        let (rank, id, _) = out.pop().expect("something is out");
        assert_eq!(rank, Rank(2));
        hear(&mut root, rank, &outcomes(id, &[0], Status::Ok));
    }
    assert_eq!(root.n_done(), 6);
}

#[test]
fn a_task_that_kills_its_ranks_fails_and_rank_0_is_the_last_to_try() {
    let threads = [[1, 0], [1, 0], [1, 0], [1, 0]];
    let mut root = root("dynamic", &threads, vec![table(1, &[1.0], Pool::Cpu)]);
    // Rank 0 is asked first and takes it; a test may kill it nevertheless.
    assert_eq!(hand_out(&mut root).0[0].0, Rank(0));
    assert_eq!(on_dead(&mut root, Rank(0)), (1, vec![]));
    let (given, _) = hand_out(&mut root);
    assert_eq!(given[0].0, Rank(1));
    assert_eq!(on_dead(&mut root, Rank(1)), (1, vec![0]));
    assert!(root.is_done());
    assert_eq!(root.n_done(), 1);
}

#[test]
fn rank_0_goes_on_alone_with_what_it_has_in_reserve() {
    for schedule in ["static", "dynamic", "auto"] {
        let mut root = root(schedule, &[[0, 0], [1, 1]], vec![table(9, &[1.0], Pool::Cpu)]);
        hand_out(&mut root);
        on_dead(&mut root, Rank(1));
        for _ in 0..9 {
            let (given, _) = hand_out(&mut root);
            for (rank, id, tasks) in given {
                assert_eq!(rank, Rank(0), "{schedule}");
                let all: Vec<u32> = (0..u32::try_from(tasks.len()).unwrap()).collect();
                hear(&mut root, rank, &outcomes(id, &all, Status::Ok));
            }
        }
        assert!(root.is_done(), "{schedule}");
        assert_eq!(root.n_done(), 9);
    }
}

#[test]
fn a_task_that_is_longer_than_what_is_left_is_not_started() {
    let mut config = config("dynamic".parse().unwrap(), false, vec![[4, 0]]);
    config.policy.walltime = Some(Duration::from_secs(10));
    let mut root = Root::new(config, vec![table(20, &[1.0], Pool::Cpu)]);
    let (given, _) = hand_out(&mut root);
    assert!((1..20).contains(&given.len()));
    for (rank, id, _) in given {
        let mut builder = OutcomesBuilder::new(id);
        builder.begin();
        builder.end(0, Status::Ok, 8_000_000, &crate::task::Done::default());
        hear(&mut root, rank, &builder.finish());
    }
    assert!(!root.has_left_out());
    // Four threads could share 8 ms of work in the 4 ms that are left, but not one task of 8 ms.
    let mut orders = Vec::new();
    root.hand_out(Duration::from_millis(9_996), &mut orders).unwrap();
    assert_eq!(orders, [Order::Drained]);
    assert!(root.has_left_out() && root.is_done());
}

#[test]
fn a_stopped_root_hands_out_nothing_more() {
    let mut root = root("dynamic", &[[1, 0]], vec![table(9, &[1.0], Pool::Cpu)]);
    assert_eq!(hand_out(&mut root).0.len(), 2);
    root.stop();
    hear(&mut root, Rank(0), &outcomes(0, &[0], Status::Ok));
    assert_eq!(hand_out(&mut root), (vec![], false));
    assert!(!root.is_done());
}

proptest! {
    /// Ranks that die at any moment, tasks that fail and are tried again: every task is done
    /// exactly once, and none is lost.
    #[test]
    fn deaths_and_retries_lose_nothing(
        schedule in schedule(),
        n_ranks in 2..6usize,
        n in 0..300u64,
        costs in prop::collection::vec(0.0..10f32, 1..5),
        picks in prop::collection::vec((any::<prop::sample::Index>(), 0..40u8), 64),
    ) {
        let schedule = schedule.parse().unwrap();
        let mut config = config(schedule, false, vec![[1, 1]; n_ranks]);
        let retry = "failed = { retries = 2, backoff = \"1ms\", other_rank = true }";
        config.policy.retries = crate::policy::Retries::from_table(&retry.parse().unwrap()).unwrap();
        config.policy.crash_limit = NonZeroU32::new(3).unwrap();
        let mut root = Root::new(config, vec![table(n, &costs, Pool::Cpu)]);
        let mut running: Vec<(Rank, ChunkId, u32)> = Vec::new();
        let mut done = Vec::new();
        let mut alive: Vec<Rank> = (1..n_ranks).map(Rank::at).collect();
        let mut now = Duration::ZERO;
        for (pick, what) in picks.iter().cycle() {
            now += Duration::from_millis(20);
            let mut orders = Vec::new();
            root.hand_out(now, &mut orders).unwrap();
            for order in orders {
                if let Order::Chunk(rank, payload) = order {
                    let (id, tasks) = decode_tasks(&payload);
                    running.extend((0..).zip(&tasks).map(|(index, _)| (rank, id, index)));
                }
            }
            if root.is_done() {
                break;
            }
            if *what == 0 && !alive.is_empty() {
                let victim = alive.swap_remove(pick.index(alive.len()));
                running.retain(|(rank, ..)| *rank != victim);
                done.extend(on_dead(&mut root, victim).1);
            } else if !running.is_empty() {
                let (rank, id, index) = running.swap_remove(pick.index(running.len()));
                let status = if *what < 5 { Status::Failed(ErrorClass::Failed) } else { Status::Ok };
                let payload = outcomes(id, &[index], status);
                let mut on = |heard: &Heard<'_>| {
                    done.push(heard.task.seq);
                    Ok(())
                };
                root.on_outcomes(rank, &payload, now, &mut on).unwrap();
            }
        }
        done.sort_unstable();
        prop_assert_eq!(done, (0..n).collect::<Vec<_>>());
    }

    /// Outcomes in rows of any length, in any order and twice, and ranks that die: every task is
    /// counted once.
    #[test]
    fn rows_count_every_task_once(
        schedule in schedule(),
        n in 0..3000u64,
        n_ranks in 1..4usize,
        picks in prop::collection::vec((any::<prop::sample::Index>(), 1..200u32, 0..20u8), 64),
    ) {
        let schedule = schedule.parse().unwrap();
        let mut config = config(schedule, false, vec![[1, 1]; n_ranks]);
        config.policy.crash_limit = NonZeroU32::MAX;
        let mut root = Root::new(config, vec![table(n, &[1e-6], Pool::Cpu)]);
        let mut out: Vec<(Rank, ChunkId, Vec<u32>)> = Vec::new();
        let mut alive: Vec<Rank> = (1..n_ranks).map(Rank::at).collect();
        let mut counted = 0;
        for (pick, length, what) in picks.iter().cycle() {
            for (rank, id, tasks) in hand_out(&mut root).0 {
                out.push((rank, id, (0..u32::try_from(tasks.len()).unwrap()).collect()));
            }
            if root.is_done() {
                break;
            }
            if *what == 0 && !alive.is_empty() {
                let victim = alive.swap_remove(pick.index(alive.len()));
                out.retain(|(rank, ..)| *rank != victim);
                on_dead(&mut root, victim);
                continue;
            }
            let chunk = pick.index(out.len());
            let (rank, id, left) = &mut out[chunk];
            let from = pick.index(left.len());
            let to = left.len().min(from + *length as usize);
            let mut builder = OutcomesBuilder::new(*id);
            let times = Times { n: 1, nanos: 1000 };
            left[from..to].iter().for_each(|&index| builder.add_plain(index, times));
            let (rank, payload) = (*rank, builder.finish());
            left.drain(from..to);
            if left.is_empty() {
                out.swap_remove(chunk);
            }
            for _ in 0..=*what % 2 {
                let mut on = |heard: &Heard<'_>| {
                    counted += 1 + heard.also.iter().map(|times| u64::from(times.n)).sum::<u64>();
                    Ok(())
                };
                root.on_outcomes(rank, &payload, Duration::ZERO, &mut on).unwrap();
            }
        }
        prop_assert_eq!((counted, root.n_done()), (n, n));
        prop_assert_eq!(root.rank(Rank(0)).in_flight, 0);
    }
}
