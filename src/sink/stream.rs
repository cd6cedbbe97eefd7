//! A stream of records to whoever reads it, written by a thread of its own: a reader that stops
//! reading holds the run, but never rank 0 itself, which has others to answer.
//!
//! **Invariant:** bytes leave in the order in which they came, and none is dropped while there
//! is a reader.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use anyhow::{Context as _, Result};

/// With more than this on its way, in bytes, no more tasks are handed out.
const FULL: usize = 8 << 20;

/// What is on its way to a reader.
#[derive(Debug)]
pub(super) struct Stream {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<u8>,
    /// Bytes that the thread has taken and not written.
    taken: usize,
    error: Option<io::Error>,
    /// No more will come.
    is_ending: bool,
}

impl Stream {
    /// Writes to what `open` opens, which may wait for a reader.
    pub(super) fn start<W: Write>(
        open: impl FnOnce() -> io::Result<W> + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let write_all = move || {
            if let Err(error) = open().and_then(|mut to| of_thread.write_all(&mut to)) {
                of_thread.fail(error);
            }
        };
        let thread = thread::Builder::new().name("results".into()).spawn(write_all);
        thread.context("cannot start a thread that writes results")?;
        Ok(Self { shared })
    }

    /// Takes bytes; tells what went wrong earlier.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.shared.state();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        state.pending.extend_from_slice(bytes);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Whether the reader is so far behind that no more should come.
    pub(super) fn is_full(&self) -> bool {
        let state = self.shared.state();
        state.pending.len() + state.taken > FULL
    }

    /// Whether something is on its way still.
    pub(super) fn is_pending(&self) -> bool {
        let state = self.shared.state();
        state.error.is_none() && !(state.pending.is_empty() && state.taken == 0)
    }

    /// Ends the stream, without waiting for a reader.
    pub(super) fn finish(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        state.is_ending = true;
        self.shared.changed.notify_one();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        match state.pending.len() + state.taken {
            0 => Ok(()),
            n => {
                let told = format!("the reader takes nothing; {n} bytes did not reach it");
                Err(io::Error::new(ErrorKind::TimedOut, told))
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    fn fail(&self, error: io::Error) {
        let mut state = self.state();
        state.error = Some(error);
        state.taken = 0;
        state.pending = Vec::new();
    }

    fn write_all(&self, to: &mut impl Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            let mut state = self.state();
            state.taken = 0;
            while state.pending.is_empty() {
                if state.is_ending {
                    return Ok(());
                }
                state = self.changed.wait(state).expect("nobody panics while holding it");
            }
            std::mem::swap(&mut state.pending, &mut bytes);
            state.taken = bytes.len();
            drop(state);
            to.write_all(&bytes).and_then(|()| to.flush())?;
            bytes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_reader_that_stops_holds_nobody_and_gets_everything() {
        let (mut reader, writer) = io::pipe().unwrap();
        let stream = Stream::start(move || Ok(writer)).unwrap();
        let mut sent = Vec::new();
        for n in 0.. {
            let line = format!("{n}\n").repeat(1000);
            stream.write(line.as_bytes()).unwrap();
            sent.extend_from_slice(line.as_bytes());
            if stream.is_full() {
                break;
            }
        }
        assert!(stream.is_pending() && stream.finish().is_err());
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == sent);
        assert!(!stream.is_full() && !stream.is_pending());
        stream.finish().unwrap();
    }

    #[test]
    fn a_reader_that_goes_away_is_told() {
        let (reader, writer) = io::pipe().unwrap();
        let (opened, is_open) = mpsc::channel();
        let stream = Stream::start(move || {
            opened.send(()).unwrap();
            Ok(writer)
        });
        let stream = stream.unwrap();
        is_open.recv().unwrap();
        drop(reader);
        let error = loop {
            if let Err(error) = stream.write(b"{}\n") {
                break error;
            }
            thread::yield_now();
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(!stream.is_pending());
    }
}
