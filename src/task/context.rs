//! What a running task may know of its surroundings: its rank's memory and pools, its time, and
//! where and how often it runs.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;

use super::{Cancel, Deadline, ErrorClass, TaskError};
use crate::units;
use crate::values::Values;

/// What a running task may know of its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Bytes that this rank may use for its tasks.
    pub memory: u64,
    /// When the task's time is over, if it has a limit.
    pub deadline: Option<Deadline>,
    /// Whether somebody asked for its end.
    pub cancel: Cancel<'a>,
    /// Where it runs.
    pub place: Place,
    /// The rank's CPU pool.
    pub cpu: &'a dyn Cpu,
    /// Where it writes what is too large for its record.
    pub values: Option<&'a Values>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// [`super::Item::occurrence`].
    pub occurrence: u32,
}

/// A rank in its world, and how the run began: what a kind needs to know that writes files of
/// its own on every rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// This rank.
    pub rank: u32,
    /// How many there are.
    pub ranks: u32,
    /// Whether the run goes on with what an earlier one left.
    pub resume: bool,
}

/// A rank's CPU pool, as its tasks see it.
pub trait Cpu: Sync + fmt::Debug {
    /// Does `step` in the calling thread if a core is free, and says whether one was. It must not
    /// panic.
    fn lend(&self, step: &mut dyn FnMut()) -> bool;

    /// Has the CPU pool do `step` when a core is free, and does not wait for that. It must not
    /// panic.
    fn spawn(&self, step: Box<dyn FnOnce() + Send>);

    /// Has free threads of the pool help with `compute`, which is called once.
    fn help(&self, compute: &mut dyn FnMut());
}

/// No pool: a step is done at once, by the caller.
#[derive(Debug)]
pub struct NoPool;

impl Cpu for NoPool {
    fn lend(&self, step: &mut dyn FnMut()) -> bool {
        step();
        true
    }

    fn spawn(&self, step: Box<dyn FnOnce() + Send>) {
        step();
    }

    fn help(&self, compute: &mut dyn FnMut()) {
        compute();
    }
}

impl Context<'_> {
    /// Surroundings without a time limit and without pools, of a first attempt.
    pub const fn new(memory: u64) -> Self {
        Self {
            memory,
            deadline: None,
            cancel: Cancel::NEVER,
            place: Place { rank: 0, ranks: 1, resume: false },
            cpu: &NoPool,
            values: None,
            attempt: 1,
            occurrence: 0,
        }
    }

    /// Computes what a task of the I/O pool needs in the place of one of the CPU pool, for which it
    /// may have to wait: hundreds of tasks may wait for their servers, as many as there are cores
    /// may compute. A panic of `step` is the caller's.
    pub fn on_cpu<T: Send + 'static>(&self, step: impl FnOnce() -> T + Send + 'static) -> T {
        let caught = |step| catch_unwind(AssertUnwindSafe(step));
        let (mut step, mut computed) = (Some(step), None);
        self.cpu.lend(&mut || computed = step.take().map(caught));
        let computed = computed.unwrap_or_else(|| {
            let step = step.expect("it was not done");
            let (sender, receiver) = mpsc::sync_channel(1);
            self.cpu.spawn(Box::new(move || {
                // Nobody listens only where the caller is gone, and the whole rank with it.
                let _ = sender.send(caught(step));
            }));
            receiver.recv().expect("the pool does what it is given")
        });
        computed.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Computes something of which rayon can give parts to the free threads of the CPU pool; without
    /// this they do not look for any.
    pub fn with_help<T>(&self, compute: impl FnOnce() -> T) -> T {
        let (mut compute, mut computed) = (Some(compute), None);
        self.cpu.help(&mut || computed = compute.take().map(|compute| compute()));
        computed.expect("it is called once")
    }

    /// Whether the task's time is over, or it was cancelled.
    pub fn is_over(&self) -> bool {
        self.cancel.is_asked() || self.deadline.is_some_and(|deadline| deadline.left().is_zero())
    }

    /// Fails once the task's time is over, or it was cancelled. A task that takes long asks
    /// between its steps;
    /// nothing else ends it. One that ends by itself has its outcome, however late.
    pub fn check(&self) -> Result<(), TaskError> {
        match self.deadline {
            _ if self.cancel.is_asked() => Err(TaskError::cancelled()),
            Some(deadline) if deadline.left().is_zero() => {
                let limit = units::format_duration(deadline.limit());
                Err(TaskError::new(ErrorClass::Timeout, format!("took longer than {limit}")))
            }
            _ => Ok(()),
        }
    }
}
