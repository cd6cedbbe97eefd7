//! Signals to `rankpool launch`, as events that can be waited for.

use std::time::Duration;

use anyhow::{Context as _, Result};
use crossbeam_channel::{Receiver, unbounded};
use rustix::process::Signal;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

/// The signals that have arrived.
#[derive(Debug)]
pub(super) struct Signals(Receiver<Signal>);

impl Signals {
    /// Catches signals from now on.
    pub(super) fn catch() -> Result<Self> {
        let wanted = [SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD];
        let mut caught =
            signal_hook::iterator::Signals::new(wanted).context("cannot catch signals")?;
        let (sender, receiver) = unbounded();
        std::thread::spawn(move || {
            for signal in caught.forever() {
                if Signal::from_named_raw(signal).is_some_and(|signal| sender.send(signal).is_err())
                {
                    return;
                }
            }
        });
        Ok(Self(receiver))
    }

    /// The next signal, or `None` after a while or when a child ended.
    pub(super) fn wait(&self, limit: Duration) -> Option<Signal> {
        self.0.recv_timeout(limit).ok().filter(|&signal| signal != Signal::CHILD)
    }

    /// Waits, and tells whether somebody asked for an end meanwhile.
    pub(super) fn end_within(&self, pause: Duration) -> bool {
        let deadline = super::now() + pause;
        loop {
            let left = deadline.saturating_duration_since(super::now());
            match self.wait(left) {
                Some(Signal::INT | Signal::TERM) => return true,
                _ if super::now() >= deadline => return false,
                _ => {}
            }
        }
    }
}
