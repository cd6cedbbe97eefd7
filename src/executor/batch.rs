//! Runs tasks one after another on one thread and formats their records.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ledger::{Clock, Seat};
use super::{Shared, Table, now, panics};
use crate::json;
use crate::message::{ChunkId, OutcomesBuilder, Status, Task, Times};
use crate::task::{self, Cancel, Context, Deadline, Done, ErrorClass, TaskError};

/// Outcomes leave when they are so old, so that they are written as they arrive …
const OLDEST: Duration = Duration::from_millis(10);
/// … or so large.
const LARGEST: usize = 64 << 10;

/// Tasks of a row that take less than this are timed together …
const SHORT_NANOS: u64 = 1000;
/// … so many of them.
const TIMED_TOGETHER: u32 = 16;

/// A task that a thread has taken from its chunk.
pub(super) struct Claimed<'a> {
    /// Its number in the chunk.
    pub(super) index: u32,
    pub(super) task: &'a Task,
    pub(super) table: &'a Table,
    pub(super) cancel: Cancel<'a>,
    /// Whether another task of the same row may follow.
    pub(super) more: bool,
}

/// Tasks in a row that have run since the clock was read.
struct Group {
    first: u32,
    n: u32,
    /// How many there may be.
    most: u32,
}

/// Outcomes of one chunk, gathered on one thread.
pub(super) struct Batch<'a> {
    shared: &'a Arc<Shared>,
    chunk: ChunkId,
    outcomes: OutcomesBuilder,
    group: Group,
    clock: &'a Clock,
    thread: usize,
    /// When the first of the outcomes was begun.
    opened: Instant,
    /// When the last task ended, or the batch was made.
    now: Instant,
}

impl<'a> Batch<'a> {
    pub(super) fn new(chunk: ChunkId, shared: &'a Arc<Shared>, seat: &'a Seat) -> Self {
        let now = now();
        Self {
            shared,
            chunk,
            outcomes: OutcomesBuilder::new(chunk),
            group: Group { first: 0, n: 0, most: 1 },
            clock: &seat.clock,
            thread: seat.thread,
            opened: now,
            now,
        }
    }

    /// Runs one task and adds its outcome.
    pub(super) fn run(&mut self, claimed: &Claimed<'_>) {
        if self.shared.config.records {
            self.run_recorded(claimed);
        } else {
            self.run_plain(claimed);
        }
        let is_old = self.now - self.opened >= OLDEST || self.outcomes.size() >= LARGEST;
        if is_old && self.group.n == 0 {
            self.flush();
        }
    }

    /// Runs a task whose output somebody wants.
    fn run_recorded(&mut self, claimed: &Claimed<'_>) {
        let &Claimed { index, task, table, .. } = claimed;
        let record = self.outcomes.begin();
        let opened = Opened::open(record, task, table);
        record.extend_from_slice(b",\"status\":\"ok\",\"output\":");
        let started = now();
        self.clock.begin(started - self.now, started);
        let result = run_caught(self.shared, started, claimed, record);
        let (ended, nanos) = self.clock.stop(started);
        self.now = ended;
        let (status, done) = match result {
            Ok(done) => (Status::Ok, done),
            Err(error) => {
                record.truncate(opened.input_end);
                put_error(record, &error);
                failed(error)
            }
        };
        opened.put_id(record, task, table);
        let ran = Ran { thread: self.thread, started, nanos };
        ran.close_record(self.shared, record, task);
        self.outcomes.end(index, status, nanos, &done);
    }

    /// Runs a task of which only a failure gets a record. With nothing to do between two such
    /// tasks, one begins when the other ends, and the short ones of a row are timed together:
    /// reading the clock takes longer than many of them.
    fn run_plain(&mut self, claimed: &Claimed<'_>) {
        let &Claimed { index, task, table, more, .. } = claimed;
        if self.group.n > 0 && self.group.first + self.group.n != index {
            self.close_group();
        }
        if self.group.n == 0 {
            self.group.first = index;
            self.clock.begin(Duration::ZERO, self.now);
        }
        let started = self.now;
        let result =
            self.outcomes.without(|unwanted| run_caught(self.shared, started, claimed, unwanted));
        match result {
            Ok(Done { again: None, report }) if report.is_empty() => {
                self.group.n += 1;
                let has_limit = task.limit.is_some() || table.limit.is_some();
                if !more || has_limit || self.group.n >= self.group.most {
                    self.close_group();
                }
            }
            Ok(done) => {
                let nanos = self.close_group_with(1);
                self.outcomes.begin();
                self.outcomes.end(index, Status::Ok, nanos, &done);
            }
            Err(error) => {
                let nanos = self.close_group_with(1);
                let ran = Ran { thread: self.thread, started, nanos };
                ran.write_failure(self.shared, self.outcomes.begin(), task, &error);
                let (status, done) = failed(error);
                self.outcomes.end(index, status, nanos, &done);
            }
        }
    }

    /// Times the tasks that have run since the clock was read.
    fn close_group(&mut self) {
        if self.group.n > 0 {
            self.close_group_with(0);
        }
    }

    /// The same where `n_more` tasks have run that are told of by themselves; the time of each.
    fn close_group_with(&mut self, n_more: u32) -> u64 {
        let (ended, nanos) = self.clock.stop(self.now);
        let n = self.group.n;
        let each = nanos / u64::from(n + n_more);
        if n > 0 {
            self.outcomes.add_plain(self.group.first, Times { n, nanos: each });
        }
        let most = if each < SHORT_NANOS { TIMED_TOGETHER } else { 1 };
        (self.group, self.now) = (Group { first: 0, n: 0, most }, ended);
        each
    }

    fn flush(&mut self) {
        let full = std::mem::replace(&mut self.outcomes, OutcomesBuilder::new(self.chunk));
        self.opened = self.now;
        // Nobody listens only when the run has ended in an error.
        let _ = self.shared.outcomes.send(full.finish());
    }

    /// Sends what is left.
    pub(super) fn send(mut self) {
        self.close_group();
        if !self.outcomes.is_empty() {
            self.flush();
        }
        let now = now();
        self.clock.overhead(now - self.now);
    }
}

/// What a task's failure says to rank 0 beside its record.
fn failed(error: TaskError) -> (Status, Done) {
    let TaskError { class, message, again, .. } = error;
    (Status::Failed(class), Done { again, report: message.into_bytes() })
}

/// Which thread ran a task, and when.
struct Ran {
    thread: usize,
    started: Instant,
    nanos: u64,
}

impl Ran {
    /// Writes the whole record of a task that failed.
    fn write_failure(&self, shared: &Shared, record: &mut Vec<u8>, task: &Task, error: &TaskError) {
        let table = shared.table(task);
        let opened = Opened::open(record, task, table);
        put_error(record, error);
        opened.put_id(record, task, table);
        self.close_record(shared, record, task);
    }

    /// Writes what follows the output.
    fn close_record(&self, shared: &Shared, record: &mut Vec<u8>, task: &Task) {
        let Shared { config, pid, started: (instant, system), .. } = shared;
        let start = (*system + (self.started - *instant)).duration_since(std::time::UNIX_EPOCH);
        let micros = start.unwrap_or_default().as_micros();
        record.extend_from_slice(b",\"attempts\":");
        json::put_number(record, u64::from(task.earlier_attempts) + 1);
        record.extend_from_slice(b",\"rank\":");
        json::put_number(record, u64::from(config.place.rank));
        record.extend_from_slice(b",\"host\":");
        json::put_text(record, &config.host);
        record.extend_from_slice(b",\"pid\":");
        json::put_number(record, u64::from(*pid));
        record.extend_from_slice(b",\"thread\":");
        json::put_number(record, self.thread as u64);
        record.extend_from_slice(b",\"start\":");
        json::put_fixed(record, micros, 6);
        record.extend_from_slice(b",\"seconds\":");
        json::put_fixed(record, self.nanos.into(), 9);
        record.extend_from_slice(b"}\n");
    }
}

/// The record of a task that fails without having run here.
pub(super) fn failure(shared: &Shared, task: &Task, error: &TaskError) -> Vec<u8> {
    let mut record = Vec::new();
    Ran { thread: 0, started: now(), nanos: 0 }.write_failure(shared, &mut record, task, error);
    record
}

/// Runs a task that begins now and appends its output.
fn run_caught(
    shared: &Arc<Shared>,
    started: Instant,
    &Claimed { task, table, cancel, .. }: &Claimed<'_>,
    output: &mut Vec<u8>,
) -> Result<Done, TaskError> {
    if cancel.is_asked() {
        return Err(TaskError::cancelled());
    }
    let own = task.limit.map(|nanos| Duration::from_nanos(nanos.get()));
    let context = Context {
        memory: shared.config.memory,
        deadline: own.or(table.limit).map(|limit| Deadline::new(started, limit)),
        cancel,
        place: shared.config.place,
        cpu: shared,
        values: Some(&shared.values),
        attempt: task.earlier_attempts + 1,
        occurrence: task.occurrence,
    };
    let run = AssertUnwindSafe(|| table.work.run(&task.input, &context, output));
    catch_unwind(run).unwrap_or_else(|panic| {
        Err(TaskError::new(ErrorClass::Panic, panics::message(panic.as_ref())))
    })
}

/// Where the parts of a record's beginning stand.
struct Opened {
    id: usize,
    input: usize,
    input_end: usize,
}

impl Opened {
    /// Writes a record up to its input, with room for the id that is made from it.
    fn open(record: &mut Vec<u8>, task: &Task, table: &Table) -> Self {
        record.extend_from_slice(b"{\"id\":\"");
        let id = record.len();
        record.resize(id + task::ID_DIGITS, b'0');
        record.extend_from_slice(b"\",\"kind\":\"");
        record.extend_from_slice(table.kind.as_bytes());
        record.extend_from_slice(b"\",\"input\":");
        let input = record.len();
        table.work.write_input(&task.input, record);
        Self { id, input, input_end: record.len() }
    }

    fn put_id(&self, record: &mut [u8], task: &Task, table: &Table) {
        let input = &record[self.input..self.input_end];
        let id = task::id(table.kind, input, task.occurrence);
        record[self.id..self.id + task::ID_DIGITS].copy_from_slice(&task::id_digits(id));
    }
}

fn put_error(record: &mut Vec<u8>, error: &TaskError) {
    let status = if error.class == ErrorClass::Cancelled { "cancelled" } else { "failed" };
    record.extend_from_slice(b",\"status\":");
    json::put_text(record, status);
    record.extend_from_slice(b",\"error\":{\"class\":");
    json::put_text(record, error.class.as_str());
    record.extend_from_slice(b",\"message\":");
    json::put_text(record, &error.message);
    record.extend_from_slice(error.more.as_deref().unwrap_or_default().as_bytes());
    record.push(b'}');
}
