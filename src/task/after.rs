//! Tables that run after others: `after` in job files.
//!
//! The sources of all tables that wait and that are waited for are wrapped ([`link`]); together
//! they keep a [`Board`] of how far each one is. A table opens once all tasks of those before it
//! have succeeded. Once one of these has failed, its own are given as cancelled.
//!
//! **Invariant:** what is kept of a table does not grow with its tasks.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::{
    Account, Begin, End, Ended, ErrorClass, Item, Next, Note, Nothing, Recorded, Source, TaskError,
};

/// One table that waits or is waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// What messages call it.
    pub name: String,
    /// The places of those before it.
    pub after: Vec<usize>,
}

/// Has the `sources` wait for each other, each linked as `links` has it at the same place;
/// there is no circle in them.
pub fn link<'a>(links: Vec<Link>, sources: impl Iterator<Item = &'a mut Box<dyn Source>>) {
    let standings = links.into_iter().map(|link| Standing {
        gate: if link.after.is_empty() { Gate::Open } else { Gate::Closed },
        link,
        ..Standing::default()
    });
    let board = Rc::new(RefCell::new(Board(standings.collect())));
    for (idx, source) in sources.enumerate() {
        let inner = std::mem::replace(source, Box::new(Nothing));
        *source = Box::new(Linked { source: inner, board: Rc::clone(&board), idx });
    }
}

/// How far each table is.
#[derive(Debug)]
struct Board(Vec<Standing>);

#[derive(Debug, Default)]
struct Standing {
    link: Link,
    gate: Gate,
    is_exhausted: bool,
    /// Tasks that were given and have not ended.
    n_out: u64,
    has_failed: bool,
    /// Some of its tasks are left for a later run.
    is_left_out: bool,
}

/// Whether a table's tasks may go out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gate {
    #[default]
    Closed,
    Open,
    /// They are cancelled, because of the table at this place.
    Cancelled(usize),
    /// They are left for a later run.
    LeftOut,
}

impl Board {
    /// Looks whether a table's gate has changed: it does so once.
    fn gate(&mut self, idx: usize) -> Gate {
        if self.0[idx].gate == Gate::Closed {
            self.0[idx].gate = self.look(idx);
        }
        self.0[idx].gate
    }

    fn look(&self, idx: usize) -> Gate {
        let before = || self.0[idx].link.after.iter().map(|&place| (place, &self.0[place]));
        let failed = before().find_map(|(place, table)| match table.gate {
            Gate::Cancelled(cause) => Some(cause),
            _ => table.has_failed.then_some(place),
        });
        match failed {
            Some(cause) => Gate::Cancelled(cause),
            None if before().any(|(_, table)| table.is_left_out) => Gate::LeftOut,
            None if before().all(|(_, table)| table.is_exhausted && table.n_out == 0) => Gate::Open,
            None => Gate::Closed,
        }
    }

    fn cancelled_for(&self, cause: usize) -> TaskError {
        let name = &self.0[cause].link.name;
        let message = format!("it comes after `{name}`, of which not every task succeeded");
        TaskError::new(ErrorClass::Cancelled, message)
    }
}

/// A table's source, linked to others.
struct Linked {
    source: Box<dyn Source>,
    board: Rc<RefCell<Board>>,
    idx: usize,
}

impl Linked {
    fn update(&self, update: impl FnOnce(&mut Standing)) {
        update(&mut self.board.borrow_mut().0[self.idx]);
    }
}

impl Source for Linked {
    fn begin(&mut self, begin: Begin<'_>) -> Result<()> {
        let Begin { results, overwrite, recorded } = begin;
        let mut has_failed = false;
        let mut heard = recorded.map(|recorded| {
            |item: &Item| {
                let recorded = recorded(item);
                has_failed |= recorded == Some(Recorded::Failed);
                recorded
            }
        });
        let recorded = heard.as_mut().map(|asks| asks as &mut dyn FnMut(&Item) -> _);
        self.source.begin(Begin { results, overwrite, recorded })?;
        self.update(|own| own.has_failed |= has_failed);
        Ok(())
    }

    fn next(&mut self, now: Duration) -> Result<Next> {
        let gate = self.board.borrow_mut().gate(self.idx);
        let next = match gate {
            Gate::Closed => return Ok(Next::Waiting),
            Gate::LeftOut => Next::Exhausted,
            Gate::Open => self.source.next(now)?,
            Gate::Cancelled(cause) => match self.source.next(now)? {
                Next::Task(item) => Next::Failed(item, self.board.borrow().cancelled_for(cause)),
                next => next,
            },
        };
        self.update(|own| match next {
            Next::Task(_) | Next::Failed(..) => own.n_out += 1,
            Next::Waiting => {}
            Next::Exhausted => {
                own.is_exhausted = true;
                own.is_left_out |= gate == Gate::LeftOut;
            }
        });
        Ok(next)
    }

    fn on_recorded(&mut self, item: &Item, recorded: Recorded) {
        self.source.on_recorded(item, recorded);
        self.update(|own| {
            own.n_out -= 1;
            own.has_failed |= recorded == Recorded::Failed;
        });
    }

    fn on_outcome(&mut self, ended: &Ended<'_>, now: Duration) -> Result<Note> {
        let note = self.source.on_outcome(ended, now)?;
        self.update(|own| {
            own.n_out -= 1;
            match ended.end {
                End::Ok => {}
                // What its source keeps to itself is tried again, or no task of the job.
                End::Failed(_) => own.has_failed |= !note.hidden,
                End::LeftOut => own.is_left_out = true,
            }
        });
        Ok(note)
    }

    fn is_held(&self) -> bool {
        self.board.borrow().0[self.idx].gate != Gate::Open
    }

    fn is_turn(&self) -> bool {
        self.source.is_turn()
    }

    fn remaining(&self) -> Option<u64> {
        self.source.remaining()
    }

    fn finish(&mut self) -> Result<Option<Account>> {
        self.source.finish()
    }
}
