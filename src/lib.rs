//! rankpool runs a batch of tasks over a pool of MPI ranks: one SPMD binary under `mpirun` or
//! Slurm, in which rank 0 hands out tasks, every rank (rank 0 too) runs them on its cores with
//! rayon, and rank 0 gathers every outcome, writes it down and sums up.
//!
//! # One arrow
//!
//! ```text
//! cli -> job -> source (rank 0: which task next) -> root (who gets it) -> transport -> executor -> kind
//!                 ^                                                                                |
//!                 +------------- outcome (rank 0: sinks write it, statistics count it) <-----------+
//! ```
//!
//! Workers never enqueue work: what a task finds comes back in its outcome, and only rank 0's
//! source decides what to do with it.
//!
//! # The rooms, in the order the data flows
//!
//! - [`cli`]: what was typed. [`job`]: what it means, merged with the job file, checked and
//!   complete.
//! - [`world`]: joins the ranks that a launcher started, or makes a world of this process
//!   alone. [`inventory`]: what each rank finds where it runs. [`placement`]: how ranks share
//!   their hosts.
//! - [`message`]: all that crosses a rank boundary. [`transport`]: moves bytes.
//! - [`root`]: rank 0's decisions. [`schedule`]: how large the next chunk is. [`policy`]: what is
//!   done about failures.
//! - [`run`]: the two loops. [`executor`]: one rank's pools.
//! - [`task`]: the kinds of work, and the seams between a kind and everything else. [`web`]:
//!   what fetching needs.
//! - [`values`]: what is too large for records, in files of the rank that made it.
//! - [`sink`]: where outcomes go. [`stats`]: what is counted. [`report`]: statistics as text.
//! - [`launch`]: starts a world and supervises it, from outside.
//! - [`gather`]: brings values to one host that a run left on several.
//! - [`discover`]: machines that say on the network that they are there, as a hostfile.
//! - [`control`]: a running job, asked and told by other processes.
//! - [`pipe`]: named pipes, for processes that know nothing of each other.
//! - [`channel`], [`json`], [`units`]: small things that many use.
//!
//! # A task's way
//!
//! A [`task::Source`] gives it as an [`task::Item`]; it waits among [`root`]'s ready tasks,
//! the longest first; it goes out in a chunk ([`message::encode_chunk`]) that the schedule sized;
//! [`executor`] runs it with its kind's [`task::Work`] and writes its record; the record comes
//! back in [`message::Outcomes`]; [`root::Root::on_outcomes`] counts it once; [`sink::Results`]
//! writes it. Numbers of a range go this way in rows: one [`message::Span`] out and, where nobody
//! wants their records, one [`message::Row`] back.
//!
//! # A new kind of work
//!
//! One file in `task/` with a [`task::Kind`] and a [`task::Work`], and one line in
//! [`task::KINDS`].
//!
//! # What holds everywhere
//!
//! - Only the main thread calls MPI, and it never computes. Collectives only at the start; then
//!   messages between rank 0 and each worker. Sends never block.
//! - Decisions ([`root`], [`schedule`], [`placement`], [`stats`]) are functions over data: no
//!   MPI, clock, thread or file in them, so that tests need none.
//! - A task that fails is an outcome, a panic included. A rank that fails ends the world at
//!   once, with its reason, and never leaves the others waiting.
//! - Rank 0's memory does not grow with the length of a job, but for 16 bytes for each record
//!   of an earlier run that it goes on with, and for tasks that others have named and that wait.
//!
//! The rules on who may use what are tests (`tests/it/tidy.rs`).

/// Here and not in `main.rs`, so that examples and benches measure what the program does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

mod channel;
pub mod cli;
pub mod control;
pub mod discover;
pub mod executor;
pub mod gather;
pub mod inventory;
pub mod job;
pub mod json;
pub mod launch;
pub mod message;
pub mod pipe;
pub mod placement;
pub mod policy;
pub mod report;
pub mod root;
pub mod run;
pub mod schedule;
pub mod sink;
pub mod stats;
pub mod task;
pub mod transport;
pub mod units;
pub mod values;
pub mod web;
pub mod world;
