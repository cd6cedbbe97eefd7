//! A source whose tasks lead to others: it hears how each ended, once, and what it wants of a
//! record is done.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::tests::decode_tasks;
use super::{Config, Heard, Listener, Order, Root, Table};
use crate::message::{OutcomesBuilder, Rank, Status};
use crate::policy::Policy;
use crate::task::{Done, End, Ended, ErrorClass, Input, Item, Next, Note, Pool, Source, TaskError};

/// The number 8, then from each number that it hears of both halves, down to 1. Fives are
/// its own business.
#[derive(Default)]
struct Halves {
    to_come: Vec<u64>,
    n_out: u32,
    begun: bool,
}

impl Source for Halves {
    fn next(&mut self, _: Duration) -> Result<Next> {
        if !std::mem::replace(&mut self.begun, true) {
            self.to_come.push(8);
        }
        let Some(number) = self.to_come.pop() else {
            return Ok(if self.n_out == 0 { Next::Exhausted } else { Next::Waiting });
        };
        self.n_out += 1;
        Ok(Next::Task(Item { input: Input::Number(number), near: 3, ..Item::default() }))
    }

    fn remaining(&self) -> Option<u64> {
        None
    }

    fn on_outcome(&mut self, ended: &Ended<'_>, _: Duration) -> Result<Note> {
        self.n_out -= 1;
        let &Input::Number(number) = ended.input else { panic!("numbers were given") };
        if ended.end == End::Ok {
            assert_eq!(ended.report, [b'r']);
            self.to_come.extend((number > 1).then_some([number / 2; 2]).into_iter().flatten());
        }
        Ok(Note { members: b",\"halved\":true".to_vec(), hidden: number == 2 })
    }
}

fn root(n_ranks: usize) -> Root {
    root_of(n_ranks, Box::new(Halves::default()), false)
}

fn root_of(n_ranks: usize, source: Box<dyn Source>, own_retries: bool) -> Root {
    let config = Config {
        schedule: "dynamic,1".parse().unwrap(),
        ordered: false,
        threads: vec![[1, 1]; n_ranks],
        reserve: [1, 1],
        policy: Policy::default(),
    };
    Root::new(config, vec![Table { source, pool: Pool::Cpu, limit: None, own_retries }])
}

/// Runs everything; what was heard, and who ran it.
fn run(root: &mut Root, status: impl Fn(u64) -> Status) -> Vec<(u64, Rank, bool)> {
    let mut heard = Vec::new();
    let mut orders = Vec::new();
    while !root.is_done() {
        root.hand_out(Duration::ZERO, &mut orders).unwrap();
        for order in orders.drain(..) {
            let Order::Chunk(rank, payload) = order else { continue };
            let (id, tasks) = decode_tasks(&payload);
            let Input::Number(number) = tasks[0].input else { panic!("numbers were given") };
            let mut builder = OutcomesBuilder::new(id);
            builder.begin();
            let report = vec![b'r'];
            builder.end(0, status(number), 1000, &Done { again: None, report });
            let mut on = |one: &Heard<'_>| {
                assert_eq!(one.note.members, b",\"halved\":true");
                heard.push((number, rank, one.note.hidden));
                Ok(())
            };
            root.on_outcomes(rank, &builder.finish(), Duration::ZERO, &mut on).unwrap();
        }
    }
    heard
}

#[test]
fn what_a_task_leads_to_is_run_and_everything_ends() {
    let mut root = root(1);
    let heard = run(&mut root, |_| Status::Ok);
    let count = |n| heard.iter().filter(|(number, ..)| *number == n).count();
    assert_eq!([8, 4, 2, 1].map(count), [1, 2, 4, 8]);
    assert!(heard.iter().all(|&(number, _, hidden)| hidden == (number == 2)));
    assert_eq!(root.n_done(), 15 - 4, "what is hidden is not counted");
}

#[test]
fn what_fails_leads_nowhere_and_everything_ends() {
    let class = ErrorClass::Memory;
    let heard = run(&mut root(1), |n| if n == 4 { Status::Failed(class) } else { Status::Ok });
    assert_eq!(heard.len(), 3);
}

#[test]
fn a_rank_s_death_is_an_outcome_too() {
    let mut root = root(3);
    let mut orders = Vec::new();
    for n in 1..3 {
        root.hand_out(Duration::ZERO, &mut orders).unwrap();
        let [Order::Chunk(rank, _)] = orders[..] else { panic!("one task: {orders:?}") };
        orders.clear();
        // The last death is the second one.
        root.on_dead(rank, Duration::ZERO, &mut orders).unwrap();
        assert_eq!(orders.len(), n - 1);
    }
    assert!(matches!(&orders[..], [Order::Fail(_, _, note)] if !note.hidden));
    root.hand_out(Duration::ZERO, &mut orders).unwrap();
    assert!(root.is_done(), "its source has heard of it");
}

/// The number 1 until it has gone well: it is given again at once, and only what counts is
/// written. Number 2 comes as failed, and its own outcome is its source's business.
#[derive(Default)]
struct Stubborn {
    n_given: u32,
    is_out: bool,
    ends: Vec<End>,
}

impl Source for Stubborn {
    fn next(&mut self, _: Duration) -> Result<Next> {
        let item = |number, earlier_attempts| {
            let input = Input::Number(number);
            Item { input, earlier_attempts, ..Item::default() }
        };
        if std::mem::replace(&mut self.is_out, true) {
            return Ok(if self.ends.contains(&End::Ok) { Next::Exhausted } else { Next::Waiting });
        }
        self.n_given += 1;
        if self.n_given == 1 {
            self.is_out = false;
            return Ok(Next::Failed(item(2, 0), TaskError::new(ErrorClass::InvalidInput, "no")));
        }
        Ok(Next::Task(item(1, self.n_given - 2)))
    }

    fn remaining(&self) -> Option<u64> {
        None
    }

    fn on_outcome(&mut self, ended: &Ended<'_>, _: Duration) -> Result<Note> {
        self.ends.push(ended.end);
        let is_2 = *ended.input == Input::Number(2);
        self.is_out = ended.end == End::Ok;
        Ok(Note { hidden: !is_2 && ended.end != End::Ok, ..Note::default() })
    }
}

#[test]
fn a_source_gives_what_has_failed_already() {
    let mut root = root_of(1, Box::new(Stubborn::default()), true);
    let mut orders = Vec::new();
    root.hand_out(Duration::ZERO, &mut orders).unwrap();
    let [Order::Chunk(..), Order::Fail(task, error, note)] = &orders[..] else {
        panic!("{orders:?}")
    };
    assert_eq!((&task.input, error.class), (&Input::Number(2), ErrorClass::InvalidInput));
    assert!(!note.hidden);
    assert_eq!(root.n_done(), 1);
}

#[test]
fn a_source_that_tries_again_itself_hears_every_failure_and_every_death() {
    let mut root = root_of(3, Box::new(Stubborn::default()), true);
    let mut orders = Vec::new();
    let mut attempts = Vec::new();
    for ended in [None, Some(Status::Failed(ErrorClass::Connect)), Some(Status::Ok)] {
        orders.clear();
        root.hand_out(Duration::ZERO, &mut orders).unwrap();
        let Order::Chunk(rank, payload) = &orders[0] else { panic!("{orders:?}") };
        let (rank, (id, tasks)) = (*rank, decode_tasks(payload));
        attempts.extend(tasks.iter().map(|task| task.earlier_attempts));
        let Some(status) = ended else {
            orders.clear();
            assert_eq!(root.on_dead(rank, Duration::ZERO, &mut orders).unwrap(), 1);
            assert!(orders.is_empty(), "its death is its source's business: {orders:?}");
            continue;
        };
        let mut builder = OutcomesBuilder::new(id);
        builder.begin();
        builder.end(0, status, 1000, &Done::default());
        let mut hidden = Vec::new();
        let mut on = |heard: &Heard<'_>| {
            hidden.push(heard.note.hidden);
            Ok(())
        };
        root.on_outcomes(rank, &builder.finish(), Duration::ZERO, &mut on).unwrap();
        assert_eq!(hidden, [status != Status::Ok]);
    }
    assert_eq!(attempts, [0, 1, 2]);
    root.hand_out(Duration::ZERO, &mut orders).unwrap();
    assert!(root.is_done());
    assert_eq!(root.n_done(), 2);
}

/// One task, given again as often as rank 0 lets it.
#[derive(Default)]
struct Fragile {
    crashes: u32,
    is_out: bool,
    is_over: bool,
}

impl Source for Fragile {
    fn next(&mut self, _: Duration) -> Result<Next> {
        if std::mem::replace(&mut self.is_out, true) {
            return Ok(if self.is_over { Next::Exhausted } else { Next::Waiting });
        }
        let crashes = self.crashes;
        Ok(Next::Task(Item { crashes, earlier_attempts: crashes, ..Item::default() }))
    }

    fn remaining(&self) -> Option<u64> {
        None
    }

    fn on_outcome(&mut self, ended: &Ended<'_>, _: Duration) -> Result<Note> {
        assert_eq!(ended.end, End::Failed(ErrorClass::Crashed));
        self.is_over = ended.again.is_none();
        self.is_out = self.is_over;
        self.crashes += 1;
        Ok(Note { hidden: !self.is_over, ..Note::default() })
    }
}

#[test]
fn what_kills_ranks_fails_also_where_its_source_tries_again() {
    let mut root = root_of(4, Box::new(Fragile::default()), true);
    let limit = Policy::default().crash_limit.get();
    for death in 1..=limit {
        let mut orders = Vec::new();
        root.hand_out(Duration::ZERO, &mut orders).unwrap();
        let [Order::Chunk(rank, _)] = &orders[..] else { panic!("{orders:?}") };
        let rank = *rank;
        orders.clear();
        root.on_dead(rank, Duration::ZERO, &mut orders).unwrap();
        match &orders[..] {
            [] => assert!(death < limit),
            [Order::Fail(_, error, _)] => {
                assert_eq!((death, error.class), (limit, ErrorClass::Crashed));
                assert_eq!(error.message, format!("{limit} ranks that ran it died"));
            }
            orders => panic!("{orders:?}"),
        }
    }
    root.hand_out(Duration::ZERO, &mut Vec::new()).unwrap();
    assert!(root.is_done());
}

/// What happens, in its order.
type Log = Rc<RefCell<Vec<&'static str>>>;

/// One task, of whose end it makes a note.
struct Notes(bool, Log);

impl Source for Notes {
    fn next(&mut self, _: Duration) -> Result<Next> {
        let is_over = std::mem::replace(&mut self.0, true);
        Ok(if is_over { Next::Exhausted } else { Next::Task(Item::default()) })
    }

    fn remaining(&self) -> Option<u64> {
        Some(u64::from(!self.0))
    }

    fn on_outcome(&mut self, _: &Ended<'_>, _: Duration) -> Result<Note> {
        self.1.borrow_mut().push("noted");
        Ok(Note { members: vec![b' '; 10], hidden: false })
    }

    fn flush(&mut self) -> Result<()> {
        self.1.borrow_mut().push("flushed");
        Ok(())
    }
}

/// Keeps records of so many bytes.
struct Keeps(usize, Log);

impl Listener for Keeps {
    fn hear(&mut self, _: &Heard<'_>) -> Result<()> {
        self.1.borrow_mut().push("recorded");
        Ok(())
    }

    fn has_room(&self, record: usize) -> bool {
        record <= self.0
    }
}

#[test]
fn a_note_goes_to_the_kernel_before_its_record_may() {
    for (room, expected) in
        [(12, &["noted", "recorded", "flushed"][..]), (11, &["noted", "flushed", "recorded"])]
    {
        let log = Log::default();
        let mut root = root_of(1, Box::new(Notes(false, Rc::clone(&log))), false);
        let mut orders = Vec::new();
        root.hand_out(Duration::ZERO, &mut orders).unwrap();
        let Some(Order::Chunk(rank, payload)) = orders.first() else { panic!("{orders:?}") };
        let mut builder = OutcomesBuilder::new(decode_tasks(payload).0);
        builder.begin().extend_from_slice(b"{}");
        builder.end(0, Status::Ok, 1000, &Done::default());
        let mut keeps = Keeps(room, Rc::clone(&log));
        root.on_outcomes(*rank, &builder.finish(), Duration::ZERO, &mut keeps).unwrap();
        if !log.borrow().contains(&"flushed") {
            root.flush().unwrap();
        }
        assert_eq!(*log.borrow(), expected);
    }
}
