//! Signals as messages. Every rank catches them, because launchers pass them on to all; rank 0
//! alone acts.

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals as Caught;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To stop; the name of the signal.
    Stop(&'static str),
    /// To tell how far the run is.
    Report,
}

/// The signals that this process has got.
#[derive(Debug)]
pub(super) struct Signals(Caught);

impl Signals {
    /// From here on signals no longer end this process.
    pub(super) fn catch() -> Result<Self> {
        let caught = Caught::new([SIGINT, SIGTERM, SIGUSR1, SIGUSR2]);
        caught.map(Self).context("cannot catch signals")
    }

    /// Those since the last call.
    pub(super) fn take(&mut self) -> Vec<Wish> {
        self.0.pending().filter_map(wish).collect()
    }
}

fn wish(signal: i32) -> Option<Wish> {
    match signal {
        SIGINT => Some(Wish::Stop("SIGINT")),
        SIGTERM => Some(Wish::Stop("SIGTERM")),
        SIGUSR2 => Some(Wish::Stop("SIGUSR2")),
        SIGUSR1 => Some(Wish::Report),
        _ => None,
    }
}
