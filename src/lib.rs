//! One SPMD binary that runs a batch of tasks over a pool of MPI ranks.
pub mod schedule;
pub mod task;
pub mod units;
pub mod web;
