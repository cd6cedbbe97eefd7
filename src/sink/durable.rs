//! Brings what is written to the disk, on a thread of its own: a disk may take seconds, and
//! rank 0 has others to answer.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// A file's way to the disk.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Something is written that may not be on the disk.
    dirty: bool,
    /// No more will be written.
    ending: bool,
    error: Option<io::Error>,
}

impl Syncer {
    /// Calls `sync` within `pause` after something was written, and at the end.
    pub(super) fn start(
        pause: Duration,
        sync: impl FnMut() -> io::Result<()> + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("fsync".into())
            .spawn(move || of_thread.sync_until_end(pause, sync))
            .context("cannot start a thread that brings results to the disk")?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Notes that something was written; tells what went wrong earlier.
    pub(super) fn written(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        if !std::mem::replace(&mut state.dirty, true) {
            self.shared.changed.notify_one();
        }
        state.error.take().map_or(Ok(()), Err)
    }

    /// Waits until everything is on the disk.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.end();
        let error = self.shared.state().error.take();
        error.map_or(Ok(()), Err)
    }

    fn end(&mut self) {
        self.shared.state().ending = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It can only have panicked in a system call's wrapper: there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    fn sync_until_end(&self, pause: Duration, mut sync: impl FnMut() -> io::Result<()>) {
        let mut state = self.state();
        loop {
            while !state.dirty && !state.ending {
                state = self.changed.wait(state).expect("nobody panics while holding it");
            }
            if !state.dirty {
                return;
            }
            let waited = self.changed.wait_timeout_while(state, pause, |state| !state.ending);
            state = waited.expect("nobody panics while holding it").0;
            state.dirty = false;
            drop(state);
            let result = sync();
            state = self.state();
            if let Err(error) = result {
                state.error.get_or_insert(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn counted(pause: Duration) -> (Syncer, Arc<AtomicU32>) {
        let count = Arc::new(AtomicU32::new(0));
        let of_thread = Arc::clone(&count);
        let sync = move || {
            of_thread.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        (Syncer::start(pause, sync).unwrap(), count)
    }

    #[test]
    fn writes_of_one_pause_share_a_sync_and_the_end_has_one() {
        let (syncer, count) = counted(Duration::from_secs(3600));
        for _ in 0..100 {
            syncer.written().unwrap();
        }
        assert_eq!(count.load(Ordering::SeqCst), 0);
        syncer.finish().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_is_written_is_synced_without_an_end() {
        let (syncer, count) = counted(Duration::ZERO);
        for n in 1..=3 {
            syncer.written().unwrap();
            while count.load(Ordering::SeqCst) < n {
                thread::yield_now();
            }
        }
        syncer.finish().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn nothing_written_is_nothing_synced() {
        let (syncer, count) = counted(Duration::ZERO);
        syncer.finish().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn an_error_is_told_at_the_next_write() {
        let syncer = Syncer::start(Duration::ZERO, || Err(io::Error::other("broken"))).unwrap();
        while syncer.written().is_ok() {
            thread::yield_now();
        }
        syncer.written().ok();
        assert_eq!(syncer.finish().unwrap_err().to_string(), "broken");
    }
}
