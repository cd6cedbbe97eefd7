//! The integration tests.

/// The command line: help, version, usage errors, job file errors, exit codes.
mod cli;
