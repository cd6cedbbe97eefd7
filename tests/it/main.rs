//! The integration tests: one binary, a module a boundary.

#![allow(clippy::unwrap_used, reason = "what a test does not expect is to end it")]
#![allow(clippy::print_stderr, reason = "a test that cannot run here says why")]
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a short text, made once: what reads best is best"
)]

// Tables that run after others.
mod after;
// Random deaths at random moments.
mod chaos;
// The command line and its errors, on the real binary.
mod check;
mod cli;
// The kind `crawl` against servers on loopback.
mod crawl;
mod crawl_docs;
mod crawl_finds;
mod crawl_hostile;
mod crawl_input;
mod crawl_polite;
mod crawl_resume;
// Machines found on the network, on hosts in network namespaces.
mod discover;
mod netns;
// One HTTP exchange, and whom nothing is said to.
mod exchange;
// `rankpool explain`.
mod explain;
// The kind `command`: programs as tasks.
mod command;
// A file system that fills up.
mod full_disk;
// The kind `fetch` against servers on loopback.
mod fetch;
mod site;
// A transport that delays, reorders and loses ranks.
mod flaky;
// Several hosts, and what happens to them.
mod hosts;
mod lost_root;
// The job files in jobs/.
mod jobs;
// A running job, asked and told by other processes.
mod control;
// Named pipes, tasks as a stream.
mod pipe;
// The launch lines of docs/placement.md.
mod placement;
// README.md.
mod readme;
// Runs that go on with what an earlier one left.
mod journal;
// Worlds that `launch` starts and supervises.
mod launch;
mod launch_resume;
// Limits of time and memory.
mod limits;
// Whole jobs, with ranks as threads.
mod local;
// Whole jobs on real MPI ranks.
mod mpirun;
// robots.txt and sitemaps, fuzzed; `explain robots`.
mod robots;
// Batch jobs under a real Slurm.
mod slurm;
// Ranks that die, signals, limits: what a run survives and how it ends early.
mod survival;
// Tasks that others name.
mod then;
// The rules of the architecture.
mod tidy;
// What a crawl reads of addresses and pages: properties, and another parser's opinion.
mod urls;
// Values in files of the ranks that made them.
mod values;
// What all of them use.
mod util;
// Archives, as programs of others read them.
mod warc;
