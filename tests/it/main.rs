//! The integration tests: one binary, a module a boundary.

#![allow(clippy::unwrap_used, reason = "what a test does not expect is to end it")]
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a short text, made once: what reads best is best"
)]

// The command line and its errors, on the real binary.
mod check;
mod cli;
// The kind `fetch` against servers on loopback.
mod fetch;
mod site;
// Worlds that `launch` starts and supervises.
mod launch;
// Whole jobs, with ranks as threads.
mod local;
// Whole jobs on real MPI ranks.
mod mpirun;
// The rules of the architecture.
mod tidy;
// What all of them use.
mod util;
