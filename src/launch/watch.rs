//! Whether rank 0 is still there, where `launch` runs on another host: nothing tells mpirun that
//! a host has lost its power, and Open MPI 4's stays when the daemon there has died.
//!
//! **Invariant:** rank 0 is given up only if it has left no sign of life in the folder that both
//! hosts share, and its host does not answer that it is there either.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant, SystemTime};

use super::hosts::Hosts;
use super::marks::{Files, Rank0};
use super::{here, now};

/// What is known of it.
#[derive(Debug)]
pub(super) struct Watch {
    /// So long rank 0 may give no sign.
    limit: Duration,
    /// Its last sign, and when that was seen.
    sign: (Option<SystemTime>, Instant),
    /// Whether its host says that it is there, once that was asked.
    answer: Option<Receiver<bool>>,
}

impl Watch {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, sign: (None, now()), answer: None }
    }

    /// Looks at what there is now, without waiting for anything.
    pub(super) fn has_lost(&mut self, files: &Files) -> bool {
        let Some(rank0) = files.rank0().filter(|rank0| rank0.host != here::name()) else {
            return false;
        };
        let sign = files.last_sign();
        if sign != self.sign.0 {
            self.sign = (sign, now());
            self.answer = None;
        }
        if now() < self.sign.1 + self.limit {
            return false;
        }
        let answer = self.answer.get_or_insert_with(|| ask(rank0));
        match answer.try_recv() {
            Ok(is_there) => {
                // It may be stopped: its host is asked again after as long.
                self.sign.1 = now();
                self.answer = None;
                !is_there
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => true,
        }
    }
}

/// Asks rank 0's host for it.
fn ask(rank0: Rank0) -> Receiver<bool> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let line = format!("kill -0 {} && echo here || echo gone", rank0.pid);
        let silent = Hosts::one(rank0.host).leave_out_silent(&line, "here");
        // Nobody wants to know any more: all the same.
        let _ = sender.send(silent.is_empty());
    });
    receiver
}
