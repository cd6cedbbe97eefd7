//! Ranks as threads of one process: the same loops and the same messages without `mpirun`, for a
//! world of one and for tests of many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::{Library, Transport};
use crate::message::Rank;

/// One end of a world within this process.
#[derive(Debug)]
pub struct Local {
    rank: Rank,
    senders: Vec<Sender<(Rank, Vec<u8>)>>,
    inbox: Receiver<(Rank, Vec<u8>)>,
    /// Which ranks have left, for all of them.
    left: Arc<[AtomicBool]>,
    /// Those of them that this rank knows of.
    known: Vec<bool>,
}

/// A world of `size` ranks, to be handed one to a thread.
pub fn world(size: u32) -> Vec<Local> {
    let (senders, inboxes): (Vec<_>, Vec<_>) = (0..size).map(|_| unbounded()).unzip();
    let left: Arc<[AtomicBool]> = senders.iter().map(|_| AtomicBool::new(false)).collect();
    let end = |(idx, inbox)| Local {
        rank: Rank::at(idx),
        senders: senders.clone(),
        inbox,
        left: Arc::clone(&left),
        known: vec![false; left.len()],
    };
    inboxes.into_iter().enumerate().map(end).collect()
}

impl Local {
    /// The next message, waited for. Until the last collective has ended, nothing but
    /// collectives is under way, so it is the one that the collective waits for.
    fn wait(&mut self) -> Result<(Rank, Vec<u8>)> {
        self.inbox.recv().context("every other rank has left")
    }
}

impl Transport for Local {
    fn rank(&self) -> Rank {
        self.rank
    }

    fn size(&self) -> u32 {
        u32::try_from(self.senders.len()).expect("made from a u32")
    }

    fn send(&mut self, to: Rank, message: Vec<u8>) -> Result<()> {
        // A message to a rank that has left is lost, as with any transport.
        let _ = self.senders[to.idx()].send((self.rank, message));
        Ok(())
    }

    fn failed(&mut self) -> Result<Vec<Rank>> {
        let mut failed = Vec::new();
        for (idx, left) in self.left.iter().enumerate() {
            if left.load(Ordering::Acquire) && !std::mem::replace(&mut self.known[idx], true) {
                failed.push(Rank::at(idx));
            }
        }
        Ok(failed)
    }

    fn forget(&mut self, rank: Rank) {
        self.known[rank.idx()] = true;
    }

    fn poll(&mut self) -> Result<Option<(Rank, Vec<u8>)>> {
        Ok(self.inbox.try_recv().ok())
    }

    fn is_sending(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn broadcast(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        if self.rank != Rank::ROOT {
            return Ok(self.wait()?.1);
        }
        for idx in 1..self.senders.len() {
            self.send(Rank::at(idx), bytes.clone())?;
        }
        Ok(bytes)
    }

    fn gather(&mut self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        if self.rank != Rank::ROOT {
            self.send(Rank::ROOT, bytes)?;
            return Ok(Vec::new());
        }
        let mut gathered = vec![Vec::new(); self.senders.len()];
        gathered[0] = bytes;
        for _ in 1..self.senders.len() {
            let (rank, bytes) = self.wait()?;
            gathered[rank.idx()] = bytes;
        }
        Ok(gathered)
    }

    fn scatter(&mut self, parts: Vec<Vec<u8>>) -> Result<Vec<u8>> {
        if self.rank != Rank::ROOT {
            return Ok(self.wait()?.1);
        }
        let mut parts = parts.into_iter();
        let own = parts.next().context("nothing to scatter")?;
        for (idx, part) in parts.enumerate() {
            self.send(Rank::at(idx + 1), part)?;
        }
        Ok(own)
    }

    fn describe(&self) -> Library {
        Library { name: "no MPI (ranks as threads)".into(), thread_level: "multiple".into() }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.left[self.rank.idx()].store(true, Ordering::Release);
    }
}
