//! The integration tests: one binary, a module a boundary.

// The command line and its errors, on the real binary.
mod check;
mod cli;
// The kind `fetch` against servers on loopback.
mod fetch;
mod site;
// Whole jobs, with ranks as threads.
mod local;
// Whole jobs on real MPI ranks.
mod mpirun;
// The rules of the architecture.
mod tidy;
// What all of them use.
mod util;
