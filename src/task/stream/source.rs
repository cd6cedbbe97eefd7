//! Rank 0's side of a stream: what was read, by table.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use crossbeam_channel::TryRecvError;

use super::parse::{Parsed, Parser};
use super::reader::{From, Reading};
use super::{BadLine, Lines};
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

impl Shared {
    fn is_at_end(&self) -> bool {
        !self.is_open && self.from.is_none() && self.reading.is_none()
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
        self.queues[idx].push_back((self.n_read, item, error));
        self.n_read += 1;
    }

    /// Reads on, unless there is enough or nothing; false then.
    fn read_on(&mut self) -> Result<bool> {
        if let Some(from) = self.from.take() {
            self.reading = Some(Reading::start(&from, self.is_open, Arc::clone(&self.parser))?);
        }
        let Some(reading) = &self.reading else { return Ok(false) };
        if self.queues.iter().any(|queue| queue.len() >= MOST_WAITING) {
            return Ok(false);
        }
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
