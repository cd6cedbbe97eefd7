//! Channels to a thread that rests between looks, as the main thread does: it also asks the MPI
//! for messages, and so can wait for no channel.
//!
//! **Invariant:** a rest ([`std::thread::park_timeout`]) that began before something was sent, or
//! before the last sender went, ends with it.

use std::thread::{self, Thread};

use crossbeam_channel::{self as plain, SendError};
pub(crate) use crossbeam_channel::{Receiver, TryRecvError};

/// Sends to the thread that made it.
#[derive(Debug)]
pub(crate) struct Sender<T> {
    // Goes before its owner is woken for that: fields are dropped in their order.
    to: plain::Sender<T>,
    owner: Owner,
}

/// Who receives.
#[derive(Debug)]
struct Owner(Thread);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl<T> Sender<T> {
    fn new(to: plain::Sender<T>) -> Self {
        Self { to, owner: Owner(thread::current()) }
    }

    /// Sends, after a wait where there is no room; an error where nobody receives any more.
    pub(crate) fn send(&self, what: T) -> Result<(), SendError<T>> {
        self.to.send(what)?;
        self.owner.0.unpark();
        Ok(())
    }
}

/// A channel to the calling thread with room for so many.
pub(crate) fn bounded<T>(most: usize) -> (Sender<T>, Receiver<T>) {
    let (to, receiver) = plain::bounded(most);
    (Sender::new(to), receiver)
}

/// A channel to the calling thread.
pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let (to, receiver) = plain::unbounded();
    (Sender::new(to), receiver)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Rests until there is an answer.
    #[allow(clippy::disallowed_methods, reason = "a deadline")]
    fn rest<T>(receiver: &Receiver<T>) -> Option<T> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match receiver.try_recv() {
                Ok(one) => return Some(one),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => thread::park_timeout(Duration::from_secs(20)),
            }
            assert!(Instant::now() < deadline, "it was left asleep");
        }
    }

    #[test]
    fn who_receives_is_woken_for_what_comes_and_for_the_end() {
        for (sender, receiver) in [bounded(1), unbounded()] {
            let (go, gone) = plain::bounded::<()>(0);
            let other = thread::spawn(move || {
                sender.send(1).unwrap();
                gone.recv().unwrap();
            });
            assert_eq!(rest(&receiver), Some(1));
            go.send(()).unwrap();
            assert_eq!(rest(&receiver), None);
            other.join().unwrap();
        }
    }
}
