//! Rank 0's side of a stream: what was read, by table.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use serde_json::Value;

use super::follow::Named;
use super::parse::{Parsed, Parser, shown};
use super::reader::{From, Reading};
use super::records::Records;
use super::{BadLine, Lines};
use crate::channel::TryRecvError;
use crate::task::items::Seen;
use crate::task::{ErrorClass, Input, Item, Kind, Next, Plan, Source, TaskError};

/// A table's tasks that wait here; beyond them nothing is read, for any table.
const MOST_WAITING: usize = 16_384;

/// A stream of tasks, as whoever leads the run holds it.
#[derive(Clone, Debug)]
pub struct Stream(Rc<RefCell<Shared>>);

#[derive(Debug)]
struct Shared {
    from: Option<From>,
    parser: Arc<Parser>,
    reading: Option<Reading>,
    /// Whether tasks are taken in the order of the stream, whatever their table.
    ordered: bool,
    /// Whether more may come when what is read is at its end.
    is_open: bool,
    /// By table, the last one that of bad lines; each with its place in the stream.
    queues: Vec<VecDeque<(u64, Item, Option<TaskError>)>>,
    seen: Vec<Rc<RefCell<Seen>>>,
    n_read: u64,
    /// By table, whether its tasks may name others.
    names: Vec<bool>,
    /// What an earlier run's records name.
    records: Option<Records>,
    /// Tables of the job that have tasks to come which may name others …
    n_tables: u64,
    /// … and such tasks that have not ended.
    n_tasks: u64,
}

impl Stream {
    /// The stream of `from`, if there is one, for these kinds; with `keep_open` it has no end
    /// until [`Self::finish`]. Its tables' sources, and the table of bad lines; `ordered` where
    /// the order of the stream is to be kept over all of them.
    pub fn new(
        from: Option<From>,
        keep_open: bool,
        ordered: bool,
        tables: Vec<(&'static dyn Kind, Lines)>,
    ) -> (Self, Vec<TableSource>, Plan) {
        let mut seen: Vec<_> = tables.iter().map(|(_, lines)| Rc::clone(&lines.seen)).collect();
        seen.push(Rc::default());
        let tables = tables.into_iter().map(|(kind, lines)| (kind, lines.read)).collect();
        let parser = Arc::new(Parser::new(tables));
        let n_queues = parser.n_tables() + 1;
        let shared = Shared {
            from,
            parser,
            reading: None,
            ordered,
            is_open: keep_open,
            queues: vec![VecDeque::new(); n_queues],
            seen,
            n_read: 0,
            names: vec![false; n_queues],
            records: None,
            n_tables: 0,
            n_tasks: 0,
        };
        let stream = Self(Rc::new(RefCell::new(shared)));
        let mut sources: Vec<_> =
            (0..n_queues).map(|idx| TableSource { stream: stream.clone(), idx }).collect();
        let bad = BadLine::table(Box::new(sources.pop().expect("the last one is for bad lines")));
        (stream, sources, bad)
    }

    /// Takes a task from elsewhere than the stream: its input, occurrence and table.
    pub fn submit(&self, line: &str) -> Result<(usize, Input, u32)> {
        let mut shared = self.0.borrow_mut();
        ensure!(
            !shared.is_at_end(),
            "the stream of tasks is at its end; `--keep-open` takes tasks until `finish`"
        );
        let (idx, input, cost) = shared.parser.task(line.trim())?;
        let item = shared.item(idx, input, cost);
        let taken = (idx, item.input.clone(), item.occurrence);
        shared.push(idx, item, None);
        Ok(taken)
    }

    /// Cancels the tasks of a table that were read and are not handed out; how many.
    pub fn cancel(&self, idx: usize) -> u64 {
        let mut shared = self.0.borrow_mut();
        let Some(queue) = shared.queues.get_mut(idx) else { return 0 };
        let waiting = queue.iter_mut().filter(|(_, _, error)| error.is_none());
        waiting.map(|(_, _, error)| *error = Some(TaskError::cancelled())).count() as u64
    }

    /// Lets the stream end with what is there now.
    pub fn finish(&self) -> Result<()> {
        let mut shared = self.0.borrow_mut();
        shared.is_open = false;
        shared.reading.as_ref().map_or(Ok(()), Reading::close)
    }

    /// Whether no more will come.
    pub fn is_at_end(&self) -> bool {
        self.0.borrow().is_at_end()
    }

    /// Tasks that were read and are not handed out.
    pub fn n_waiting(&self) -> usize {
        self.0.borrow().queues.iter().map(VecDeque::len).sum()
    }
}

/// What tasks name that others run.
impl Stream {
    /// The tasks of the table at this place of the stream may name others.
    pub fn names_tasks(&self, idx: usize) {
        self.0.borrow_mut().names[idx] = true;
    }

    /// A table beside the stream has such tasks.
    pub(super) fn expect_table(&self) {
        self.0.borrow_mut().n_tables += 1;
    }

    pub(super) fn table_ended(&self) {
        self.0.borrow_mut().n_tables -= 1;
    }

    /// One of them is given.
    pub(super) fn expect_task(&self) {
        self.0.borrow_mut().n_tasks += 1;
    }

    pub(super) fn task_ended(&self) {
        self.0.borrow_mut().n_tasks -= 1;
    }

    /// Whether so many tasks wait that none should come that name more.
    pub(super) fn is_full(&self) -> bool {
        self.0.borrow().is_full()
    }

    /// Takes what a task named.
    pub(super) fn follow(&self, named: &Named) {
        self.0.borrow_mut().follow(named);
    }

    /// Takes, by and by, what the records of an earlier run name; once, whoever asks.
    pub(super) fn follow_records(&self, results: &Path) -> Result<()> {
        let mut shared = self.0.borrow_mut();
        if shared.records.is_none() {
            shared.records = Some(Records::open(results)?);
        }
        Ok(())
    }
}

impl Shared {
    fn is_at_end(&self) -> bool {
        let may_be_named = self.records.is_some() || self.n_tables > 0 || self.n_tasks > 0;
        !self.is_open && self.from.is_none() && self.reading.is_none() && !may_be_named
    }

    fn is_full(&self) -> bool {
        self.queues.iter().any(|queue| queue.len() >= MOST_WAITING)
    }

    fn follow(&mut self, Named { of, then }: &Named) {
        for (idx, named) in then.iter().enumerate() {
            let task = match named {
                Value::String(line) => self.parser.task(line.trim()),
                Value::Object(members) => self.parser.members(members.clone()),
                other => Err(anyhow!("`{other}` is neither a text nor an object")),
            };
            self.take(task.map_or_else(
                |error| {
                    let (of, number) = (shown(&of.to_string()), idx + 1);
                    let text = named.as_str().map_or_else(|| named.to_string(), str::to_owned);
                    Parsed::Bad(shown(&text), format!("task {number} that {of} named: {error:#}"))
                },
                |(table, input, cost)| Parsed::Task(table, input, cost),
            ));
        }
    }

    /// Reads a part of the records; whether they named any.
    fn read_records(&mut self) -> Result<bool> {
        let Some(records) = &mut self.records else { return Ok(false) };
        let Some(named) = records.read()? else {
            self.records = None;
            return Ok(true);
        };
        for named in &named {
            self.follow(named);
        }
        Ok(!named.is_empty())
    }

    fn item(&self, idx: usize, input: Input, cost: f32) -> Item {
        let mut seen = self.seen[idx].borrow_mut();
        let occurrence = match &input {
            Input::Number(number) => seen.number(*number),
            Input::Text(text) => seen.text(text),
        };
        Item { input, occurrence, cost, ..Item::default() }
    }

    fn push(&mut self, idx: usize, item: Item, error: Option<TaskError>) {
        self.n_tasks += u64::from(self.names[idx]);
        self.queues[idx].push_back((self.n_read, item, error));
        self.n_read += 1;
    }

    /// Reads on, unless there is enough or nothing; false then.
    fn read_on(&mut self) -> Result<bool> {
        if let Some(from) = self.from.take() {
            self.reading = Some(Reading::start(&from, self.is_open, Arc::clone(&self.parser))?);
        }
        if self.is_full() {
            return Ok(false);
        }
        if self.read_records()? {
            return Ok(true);
        }
        let Some(reading) = &self.reading else { return Ok(false) };
        match reading.batches.try_recv() {
            Ok(batch) => batch?.into_iter().for_each(|parsed| self.take(parsed)),
            Err(TryRecvError::Empty) => return Ok(false),
            Err(TryRecvError::Disconnected) => self.reading = None,
        }
        Ok(true)
    }

    fn take(&mut self, parsed: Parsed) {
        match parsed {
            Parsed::Task(idx, input, cost) => {
                let item = self.item(idx, input, cost);
                self.push(idx, item, None);
            }
            Parsed::Bad(text, message) => {
                let idx = self.queues.len() - 1;
                let item = self.item(idx, Input::Text(text.into()), 0.0);
                self.push(idx, item, Some(TaskError::new(ErrorClass::InvalidInput, message)));
            }
        }
    }

    fn first(&self) -> Option<usize> {
        let fronts = self.queues.iter().enumerate();
        let fronts = fronts.filter_map(|(idx, queue)| Some((queue.front()?.0, idx)));
        fronts.min().map(|(_, idx)| idx)
    }
}

/// The source of one table of a stream.
#[derive(Debug)]
pub struct TableSource {
    stream: Stream,
    idx: usize,
}

impl Source for TableSource {
    fn next(&mut self, _: Duration) -> Result<Next> {
        let mut shared = self.stream.0.borrow_mut();
        loop {
            if shared.ordered && shared.first().is_some_and(|first| first != self.idx) {
                return Ok(Next::Waiting);
            }
            if let Some((_, item, error)) = shared.queues[self.idx].pop_front() {
                return Ok(match error {
                    None => Next::Task(item),
                    Some(error) => Next::Failed(item, error),
                });
            }
            if !shared.read_on()? {
                return Ok(if shared.is_at_end() { Next::Exhausted } else { Next::Waiting });
            }
        }
    }

    fn remaining(&self) -> Option<u64> {
        let shared = self.stream.0.borrow();
        shared.is_at_end().then(|| shared.queues[self.idx].len() as u64)
    }

    fn is_turn(&self) -> bool {
        self.stream.0.borrow().first().is_none_or(|idx| idx == self.idx)
    }
}
