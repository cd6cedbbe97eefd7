//! One SPMD binary that runs a batch of tasks over a pool of MPI ranks.
pub mod executor;
pub mod inventory;
pub mod json;
pub mod message;
pub mod placement;
pub mod root;
pub mod schedule;
pub mod task;
pub mod transport;
