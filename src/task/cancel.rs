//! Tasks of a chunk that somebody has asked to end.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Flags of a chunk's tasks; none are made before one is asked for.
#[derive(Debug, Default)]
pub struct Cancels(OnceLock<Box<[AtomicBool]>>);

impl Cancels {
    /// Asks the task at `idx` of `n` to end.
    pub fn ask(&self, idx: usize, n: usize) {
        let flags = self.0.get_or_init(|| (0..n).map(|_| AtomicBool::new(false)).collect());
        if let Some(flag) = flags.get(idx) {
            flag.store(true, Relaxed);
        }
    }

    /// Whether the task at `idx` was asked to end.
    pub fn is_asked(&self, idx: usize) -> bool {
        self.0.get().is_some_and(|flags| flags[idx].load(Relaxed))
    }
}

/// One task's flag.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cancel<'a>(Option<(&'a Cancels, usize)>);

impl<'a> Cancel<'a> {
    /// Of a task that nobody can ask.
    pub const NEVER: Self = Self(None);

    /// Of the task at `idx`.
    pub fn new(cancels: &'a Cancels, idx: usize) -> Self {
        Self(Some((cancels, idx)))
    }

    /// Whether it is to end.
    pub fn is_asked(self) -> bool {
        self.0.is_some_and(|(cancels, idx)| cancels.is_asked(idx))
    }
}
