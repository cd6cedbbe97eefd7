//! What somebody outside asks: nothing is lost, and what is cancelled is told once.

use super::tests::{Given, config, decode_tasks, hand_out, hear, outcomes, table};
use super::*;
use crate::message::Status;
use crate::task::{ErrorClass, Input};

fn root(schedule: &str, n: u64) -> Root {
    let config = config(schedule.parse().unwrap(), false, vec![[1, 0], [1, 0]]);
    Root::new(config, vec![table(n, &[1.0], Pool::Cpu)])
}

/// Ends everything that is given, until nothing is left; which numbers those were.
fn run(root: &mut Root, mut given: Vec<Given>) -> Vec<u64> {
    let mut ended = Vec::new();
    loop {
        given.extend(hand_out(root).0);
        let Some((rank, id, tasks)) = given.pop() else { return ended };
        let all: Vec<u32> = (0..u32::try_from(tasks.len()).unwrap()).collect();
        hear(root, rank, &outcomes(id, &all, Status::Ok));
        ended.extend(tasks.iter().map(|task| task.1));
    }
}

#[test]
fn a_paused_root_hands_out_nothing_and_goes_on_later() {
    let mut root = root("dynamic", 9);
    let (given, _) = hand_out(&mut root);
    root.pause();
    let mut ended = run(&mut root, given);
    assert!(ended.len() < 9 && !root.is_done());
    root.resume();
    ended.extend(run(&mut root, Vec::new()));
    ended.sort_unstable();
    assert_eq!(ended, (0..9).collect::<Vec<_>>());
    assert!(root.is_done());
}

#[test]
fn a_drained_rank_gets_no_more_and_comes_back() {
    for schedule in ["static", "dynamic", "auto"] {
        let mut root = root(schedule, 40);
        let (given, _) = hand_out(&mut root);
        root.set_threads(Rank(0), 0, 0);
        let of_0 = |given: &[Given]| given.iter().filter(|given| given.0 == Rank(0)).count();
        let before = of_0(&given);
        let mut ended = run(&mut root, given);
        assert!(before > 0 && root.is_done(), "{schedule}");
        ended.sort_unstable();
        assert_eq!(ended, (0..40).collect::<Vec<_>>(), "{schedule}");
    }
}

#[test]
fn cancelled_tasks_wait_no_longer_and_ranks_are_told() {
    let mut root = root("dynamic", 20);
    let (given, _) = hand_out(&mut root);
    let n_out = given.len() as u64;
    let mut orders = Vec::new();
    let even = |task: &Task| matches!(task.input, Input::Number(n) if n % 2 == 0);
    let cancelled = root.cancel(&even, Duration::ZERO, &mut orders).unwrap();
    let out_even = given.iter().filter(|given| given.2[0].1 % 2 == 0).count() as u64;
    assert_eq!(cancelled, Cancelled { waiting: 10 - out_even, in_flight: out_even });
    let told =
        orders.iter().filter(|order| matches!(order, Order::Cancel(_, _, which) if which == &[0]));
    assert_eq!(told.count() as u64, out_even);
    let failed = orders.iter().filter(
        |order| matches!(order, Order::Fail(_, error, _) if error.class == ErrorClass::Cancelled),
    );
    assert_eq!(failed.count() as u64, 10 - out_even);
    let ended = run(&mut root, given);
    assert_eq!(ended.len() as u64, 10 + out_even);
    assert!(root.is_done() && n_out > 0);
    assert_eq!(root.n_done(), 20);
}

#[test]
fn doomed_tasks_are_cancelled_as_they_come() {
    let mut root = root("auto", 20_000);
    root.doom(Box::new(|task| matches!(task.input, Input::Number(n) if n >= 5)));
    let (mut n_failed, mut orders) = (0, Vec::new());
    while !root.is_done() {
        root.hand_out(Duration::ZERO, &mut orders).unwrap();
        for order in std::mem::take(&mut orders) {
            match order {
                Order::Fail(..) => n_failed += 1,
                Order::Chunk(rank, payload) => {
                    let (id, tasks) = decode_tasks(&payload);
                    let all: Vec<u32> = (0..u32::try_from(tasks.len()).unwrap()).collect();
                    hear(&mut root, rank, &outcomes(id, &all, Status::Ok));
                }
                Order::Drained | Order::Cancel(..) => {}
            }
        }
    }
    assert_eq!((n_failed, root.n_done()), (20_000 - 5, 20_000));
}

/// A stream whose writer is slow.
struct Silent;

impl crate::task::Source for Silent {
    fn next(&mut self, _: Duration) -> Result<crate::task::Next> {
        Ok(crate::task::Next::Waiting)
    }

    fn remaining(&self) -> Option<u64> {
        None
    }
}

#[test]
fn a_table_that_waits_holds_no_other() {
    let config = config("dynamic".parse().unwrap(), false, vec![[1, 0]]);
    let silent = || Table { source: Box::new(Silent), ..table(0, &[1.0], Pool::Cpu) };
    let mut root = Root::new(config, vec![silent(), table(5, &[1.0], Pool::Cpu), silent()]);
    assert_eq!(run(&mut root, Vec::new()).len(), 5);
    assert!(!root.is_done());
}
