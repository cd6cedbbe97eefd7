//! Runs tasks one after another on one thread and formats their records.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ledger::{Clock, Seat};
use super::{Config, Shared, Table, now, panics};
use crate::json;
use crate::message::{ChunkId, OutcomesBuilder, Status, Task};
use crate::task::{self, Cancel, Context, Deadline, Done, ErrorClass, TaskError};

/// Outcomes leave when they are so old, so that they are written as they arrive …
const OLDEST: Duration = Duration::from_millis(5);
/// … or so large.
const LARGEST: usize = 64 << 10;

/// Outcomes of one chunk, gathered on one thread.
pub(super) struct Batch<'a> {
    shared: &'a Arc<Shared>,
    chunk: ChunkId,
    outcomes: OutcomesBuilder,
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
            clock: &seat.clock,
            thread: seat.thread,
            opened: now,
            now,
        }
    }

    /// Runs one task and adds its outcome.
    pub(super) fn run(&mut self, index: u32, task: &Task, table: &Table, cancel: Cancel<'_>) {
        let record = self.outcomes.begin();
        let opened = Opened::open(record, task, table);
        record.extend_from_slice(b",\"status\":\"ok\",\"output\":");
        let started = now();
        self.clock.begin(started - self.now, started);
        let own = task.limit.map(|nanos| Duration::from_nanos(nanos.get()));
        let limit = own.or(table.limit);
        let deadline = limit.map(|limit| Deadline::new(started, limit));
        let Config { memory, place, .. } = self.shared.config;
        let values = Some(&self.shared.values);
        let context = Context {
            memory,
            deadline,
            cancel,
            place,
            cpu: self.shared,
            values,
            attempt: task.earlier_attempts + 1,
            occurrence: task.occurrence,
        };
        let result = if cancel.is_asked() {
            Err(TaskError::cancelled())
        } else {
            run_caught(table, task, &context, record)
        };
        let ended = now();
        self.clock.end(ended - started);
        self.now = ended;
        let (status, done) = match result {
            Ok(done) => (Status::Ok, done),
            Err(error) => {
                record.truncate(opened.input_end);
                put_error(record, &error);
                (
                    Status::Failed(error.class),
                    Done { again: error.again, report: error.message.into_bytes() },
                )
            }
        };
        if status == Status::Ok && !self.shared.config.records {
            let start = self.outcomes.record_start();
            self.outcomes.record().truncate(start);
        } else {
            opened.put_id(record, task, table);
            self.close_record(task, started, ended);
        }
        let nanos = u64::try_from((ended - started).as_nanos()).unwrap_or(u64::MAX);
        self.outcomes.end(index, status, nanos, &done);
        if ended - self.opened >= OLDEST || self.outcomes.size() >= LARGEST {
            self.flush();
        }
    }

    /// Who ran the task and when: what follows the output.
    fn close_record(&mut self, task: &Task, started: Instant, ended: Instant) {
        let ran = Ran { thread: self.thread, started, nanos: (ended - started).as_nanos() };
        ran.close_record(self.shared, self.outcomes.record(), task);
    }
    fn flush(&mut self) {
        let full = std::mem::replace(&mut self.outcomes, OutcomesBuilder::new(self.chunk));
        self.opened = self.now;
        // Nobody listens only when the run has ended in an error.
        let _ = self.shared.outcomes.send(full.finish());
    }

    /// Sends what is left.
    pub(super) fn send(mut self) {
        if !self.outcomes.is_empty() {
            self.flush();
        }
        let now = now();
        self.clock.overhead(now - self.now);
    }
}

/// Where and when a task ran.
struct Ran {
    thread: usize,
    started: Instant,
    nanos: u128,
}

impl Ran {
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
        json::put_fixed(record, self.nanos, 9);
        record.extend_from_slice(b"}\n");
    }
}

/// The record of a task that fails without having run here.
pub(super) fn failure(shared: &Shared, task: &Task, error: &TaskError) -> Vec<u8> {
    let table = &shared.tables[usize::from(task.table)];
    let mut record = Vec::new();
    let opened = Opened::open(&mut record, task, table);
    put_error(&mut record, error);
    opened.put_id(&mut record, task, table);
    let ran = Ran { thread: 0, started: now(), nanos: 0 };
    ran.close_record(shared, &mut record, task);
    record
}

fn run_caught(
    table: &Table,
    task: &Task,
    context: &Context<'_>,
    record: &mut Vec<u8>,
) -> Result<Done, TaskError> {
    let run = AssertUnwindSafe(|| table.work.run(&task.input, context, record));
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
