//! The integration tests: one binary, a module a boundary.

// The command line and its errors, on the real binary.
mod check;
mod cli;
// The kind `fetch` against servers on loopback.
mod fetch;
mod site;
// Whole jobs, with ranks as threads.
mod local;
// What all of them use.
mod util;
