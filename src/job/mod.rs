//! stub
use crate::schedule::Schedule;
use crate::task::{Kind, Plan};
use std::num::NonZeroU32;
use std::path::PathBuf;
pub struct JobSpec { pub name: String, pub settings: Settings, pub tables: Vec<TableSpec> }
pub struct TableSpec { pub kind: &'static dyn Kind, pub plan: Plan }
pub struct Settings { pub schedule: Schedule, pub threads: Option<NonZeroU32>, pub io_threads: NonZeroU32, pub root_computes: bool, pub ordered: bool, pub memory: Option<u64>, pub output: Output, pub overwrite: bool, pub stats: Option<PathBuf>, pub quiet: bool }
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output { File(PathBuf), Stdout, None }
