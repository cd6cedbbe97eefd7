//! What a task is: the seams between a kind of work and everything that hands it out.
//!
//! A kind is one file or folder here and one line in [`KINDS`].
//! Rank 0 asks a kind for a [`Plan`] of each `[[task]]` table and pulls [`Item`]s from its
//! [`Source`], lazily; every rank builds the kind's [`Work`] from the plan's options and runs
//! inputs with it.
//!
//! **Invariant:** nothing here knows of MPI, ranks' messages, files of results or threads.

pub mod after;
mod cancel;
pub mod command;
mod context;
pub mod crawl;
pub mod fetch;
pub mod fibonacci;
pub mod items;
mod limit;
pub mod probe;
mod shard;
mod source;
pub mod stream;

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

pub use cancel::{Cancel, Cancels};
pub use context::{Context, Cpu, NoPool, Place};
pub use limit::{Deadline, TimeLimit};
pub use shard::{Shard, Sharded};
pub use source::{
    Account, AskRecorded, Begin, End, Ended, Item, Next, Note, Nothing, OutputLost, Recorded,
    Source,
};

/// Every kind of work, in the order in which help and errors list them.
pub static KINDS: &[&dyn Kind] =
    &[&fibonacci::Fibonacci, &fetch::Fetch, &crawl::Crawl, &command::Command, &probe::Probe];

/// Finds a kind by its name in records: that of job files, or `line`.
pub fn kind(name: &str) -> Option<&'static dyn Kind> {
    let of_streams: [&'static dyn Kind; 1] = [&stream::BadLine];
    KINDS.iter().copied().chain(of_streams).find(|kind| kind.name() == name)
}

/// One kind of work: what stands in a `[[task]]` table as `kind = "…"`.
pub trait Kind: Sync {
    /// The name in job files and in results.
    fn name(&self) -> &'static str;

    /// Checks one `[[task]]` table (without its `kind`) and completes it with every default.
    ///
    /// Errors name the key and the way out; the caller puts the file and the table's number
    /// in front.
    fn plan(&self, table: toml::Table, context: &mut PlanContext<'_>) -> Result<Plan>;

    /// The same for a table of a stream, which [`stream::Streamed::table`] made.
    fn plan_streamed(&self, table: toml::Table, context: &mut PlanContext<'_>) -> Result<Plan> {
        self.plan(table, context)
    }

    /// Builds what runs this table's tasks, on any rank, from [`Plan::options`].
    fn work(&self, options: &str) -> Result<Box<dyn Work>>;

    /// Whether an earlier run of a table with these [`Plan::options`] could have given `output`:
    /// an output of one set of keys stands for all that have the same. `false`: no task of the
    /// table has such an output, so that none is mistaken for it. An error names what the table
    /// asks for instead, in the form "has …, but …".
    fn fits(&self, options: &str, output: &serde_json::Value) -> Result<bool> {
        let _ = (options, output);
        Ok(true)
    }

    /// Whether its tasks have an order, in which their records can be written.
    fn is_ordered(&self) -> bool {
        true
    }

    /// Why a job can have only one table of this kind, where it can.
    fn only_once(&self) -> Option<&'static str> {
        None
    }

    /// What may go wrong with a table of these [`Plan::options`] on this host, told before the run.
    fn warning(&self, options: &str) -> Option<String> {
        let _ = options;
        None
    }

    /// What a task of this record printed itself, on standard output and standard error: shown
    /// as it is where a line a task is shown, in place of [`Self::describe`].
    fn printed(&self, record: &serde_json::Value) -> Option<[Vec<u8>; 2]> {
        let _ = record;
        None
    }

    /// How lines of a stream of tasks name those of this kind, where they can.
    fn streamed(&self) -> Option<&'static dyn stream::Streamed> {
        None
    }

    /// One record of the results, as a line for people (the original example's lines).
    fn describe(&self, record: &serde_json::Value) -> String;
}

/// What a plan may need to know of the job around its table.
#[derive(Debug)]
pub struct PlanContext<'a> {
    /// The folder of the job file: relative paths in it start there.
    pub folder: &'a std::path::Path,
    /// The numbers and texts that earlier tables named, by kind and content: a task named
    /// twice is two tasks, told apart by [`Item::occurrence`].
    pub seen: &'a mut items::SeenByContent,
}

/// One `[[task]]` table, checked and complete.
pub struct Plan {
    /// The table with every default filled in, as `rankpool check` prints it: again a valid
    /// table.
    pub resolved: toml::Table,
    /// What [`Kind::work`] needs on every rank (JSON, without the list of inputs).
    pub options: String,
    /// Where the inputs come from; used on rank 0 only.
    pub source: Box<dyn Source>,
    /// The pool that the tasks run in.
    pub pool: Pool,
    /// How long each task may run, for [`Context::check`]; `None` also where the kind keeps its
    /// limit by itself.
    pub limit: Option<TimeLimit>,
    /// Whether the source tries again by itself: it hears of every failure at once, and the
    /// job's retries and a rank's death leave its tasks alone.
    pub own_retries: bool,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("resolved", &self.resolved).finish_non_exhaustive()
    }
}

/// Which of a rank's two pools runs a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// One thread a core: tasks that compute.
    Cpu,
    /// Many threads: tasks that wait.
    Io,
}

/// A task's input, compact on the wire; what it means is its kind's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A number, such as a term's index.
    Number(u64),
    /// A text, such as a URL.
    Text(Box<str>),
}

impl Default for Input {
    fn default() -> Self {
        Self::Number(0)
    }
}

/// Hexadecimal digits of a task's id.
pub const ID_DIGITS: usize = 32;

/// A task's id: XXH3-128 of its input as JSON, with the seed XXH3-64(kind) + occurrence. It
/// depends on what the task is, not on where it stands in a job.
pub fn id(kind: &str, input_json: &[u8], occurrence: u32) -> u128 {
    let seed = xxh3_64(kind.as_bytes()).wrapping_add(occurrence.into());
    xxh3_128_with_seed(input_json, seed)
}

/// An id as records show it.
pub fn id_digits(id: u128) -> [u8; ID_DIGITS] {
    std::array::from_fn(|idx| {
        b"0123456789abcdef"[(id >> (4 * (ID_DIGITS - 1 - idx)) & 15) as usize]
    })
}

/// What runs the tasks of one table, on any rank and any thread.
pub trait Work: Send + Sync {
    /// Appends the input as the JSON value that stands in the record and that the task's id is
    /// made from: the same input always gives the same bytes.
    fn write_input(&self, input: &Input, record: &mut Vec<u8>);

    /// Bytes that the task is expected to need at its peak: tasks run at the same time as far as
    /// they fit into [`Context::memory`] together. 0 where it is next to nothing; more than all
    /// of it is for [`Work::run`] to refuse.
    fn footprint(&self, _: &Input) -> u64 {
        0
    }

    /// Threads of the CPU pool that each task holds while it runs, as far as there are.
    fn cores(&self) -> u32 {
        1
    }

    /// Runs one task and appends its output as a JSON object.
    ///
    /// On an error, whatever was appended is dropped by the caller. A panic is caught by the
    /// caller and becomes an error of class [`ErrorClass::Panic`].
    fn run(
        &self,
        input: &Input,
        context: &Context<'_>,
        record: &mut Vec<u8>,
    ) -> Result<Done, TaskError>;
}

/// A task that gave an output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Whoever gave the output asks to be asked again after so long, zero where no time was
    /// named. The output counts where nobody does.
    pub again: Option<Duration>,
    /// What the task has to tell its source on rank 0 beside its record, in a form that only the
    /// two of them know; at most 4 GiB. It is not told where the task is tried again.
    pub report: Vec<u8>,
}

/// Why a task failed: data, written to its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskError {
    /// What sort of failure, for people and for policies.
    pub class: ErrorClass,
    /// What happened, in one line.
    pub message: String,
    /// Whoever refused asks to be asked again after so long.
    pub again: Option<Duration>,
    /// What else the record's `error` has: members of a JSON object, each with a comma before it.
    pub more: Option<Box<str>>,
}

impl TaskError {
    /// An error of `class` that says `message`.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), again: None, more: None }
    }

    /// Somebody asked for the task's end.
    pub fn cancelled() -> Self {
        Self::new(ErrorClass::Cancelled, "cancelled on request")
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.as_str(), self.message)
    }
}

/// The classes of failure, as they stand in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorClass {
    /// The task panicked.
    Panic,
    /// It did what it was ordered to: `probe` with `fail`.
    Failed,
    /// A time limit ended it.
    Timeout,
    /// The server could not be reached, or closed before it answered.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The host name could not be resolved.
    Dns,
    /// The server's answer broke HTTP, or redirects did not end.
    Http,
    /// The body was larger than `max_body`.
    BodyTooLarge,
    /// The input cannot be run.
    InvalidInput,
    /// The result would not fit in memory.
    Memory,
    /// The server asks to come again later (status 429 or 503).
    Unavailable,
    /// The ranks that ran it died.
    Crashed,
    /// The host's addresses are private, and such may not be connected to.
    PrivateAddress,
    /// The command ended with an exit code that is not among `ok_exit`.
    ExitCode,
    /// A signal ended the command.
    Signal,
    /// Somebody asked that it is not run: no failure, but a status of its own.
    Cancelled,
    /// What was computed did not pass its own check.
    WrongResult,
}

impl ErrorClass {
    /// Every class, in the order of their codes.
    pub const ALL: &[Self] = &[
        Self::Panic,
        Self::Failed,
        Self::Timeout,
        Self::Connect,
        Self::Tls,
        Self::Dns,
        Self::Http,
        Self::BodyTooLarge,
        Self::InvalidInput,
        Self::Memory,
        Self::Unavailable,
        Self::Crashed,
        Self::PrivateAddress,
        Self::ExitCode,
        Self::Signal,
        Self::Cancelled,
        Self::WrongResult,
    ];

    /// The code on the wire, from 1.
    pub fn code(self) -> u8 {
        self as u8 + 1
    }

    /// The class of a code from the wire.
    pub fn from_code(code: u8) -> Result<Self> {
        let class = usize::from(code).checked_sub(1).and_then(|idx| Self::ALL.get(idx));
        class.copied().ok_or_else(|| anyhow::anyhow!("unknown error class {code}"))
    }

    /// The name in records: `body-too-large`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::Http => "http",
            Self::BodyTooLarge => "body-too-large",
            Self::InvalidInput => "invalid-input",
            Self::Memory => "memory",
            Self::Unavailable => "unavailable",
            Self::Crashed => "crashed",
            Self::PrivateAddress => "private-address",
            Self::ExitCode => "exit-code",
            Self::Signal => "signal",
            Self::Cancelled => "cancelled",
            Self::WrongResult => "wrong-result",
        }
    }
}
