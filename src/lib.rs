//! One SPMD binary that runs a batch of tasks over a pool of MPI ranks.

pub mod cli;
pub mod executor;
pub mod inventory;
pub mod job;
pub mod json;
pub mod message;
pub mod placement;
pub mod report;
pub mod root;
pub mod run;
pub mod schedule;
pub mod sink;
pub mod stats;
pub mod task;
pub mod transport;
pub mod units;
pub mod web;
pub mod world;
