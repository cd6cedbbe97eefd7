//! Pieces of messages as they arrive: each is matched, then received in the background, because
//! a long one needs its sender until it is there, and its sender may die meanwhile.
//!
//! **Invariant:** no call here waits; pieces of one sender come out in the order in which it
//! sent them.

#![allow(unsafe_code, reason = "MPI's point-to-point functions are C functions")]

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{c_int, c_void};

use anyhow::{Context as _, Result};
use mpi::ffi;

use super::check;
use crate::message::Rank;

/// A piece of a message: who sent it, its tag, its bytes.
pub(super) type Piece = (Rank, c_int, Vec<u8>);

/// What has been matched and has not arrived whole.
#[derive(Default)]
pub(super) struct Receiver(VecDeque<Arriving>);

struct Arriving {
    from: Rank,
    tag: c_int,
    request: ffi::MPI_Request,
    length: usize,
    /// MPI writes into its capacity until the request completes; its length is set then.
    piece: Vec<u8>,
}

impl Receiver {
    /// The next piece, if one has arrived.
    pub(super) fn poll(&mut self, world: ffi::MPI_Comm) -> Result<Option<Piece>> {
        loop {
            if let Some(piece) = self.complete()? {
                return Ok(Some(piece));
            }
            match begin(world)? {
                Some(arriving) => self.0.push_back(arriving),
                None => return Ok(None),
            }
        }
    }

    /// Whether pieces have been matched that are not here yet.
    pub(super) fn is_arriving(&self) -> bool {
        !self.0.is_empty()
    }

    /// Lets go of what a dead rank had begun to send.
    pub(super) fn forget(&mut self, rank: Rank) {
        let (gone, left) = std::mem::take(&mut self.0)
            .into_iter()
            .partition::<VecDeque<_>, _>(|arriving| arriving.from == rank);
        self.0 = left;
        // MPI may still write into them.
        std::mem::forget(gone);
    }

    /// The oldest piece that is there and that none of the same sender is to precede.
    fn complete(&mut self) -> Result<Option<Piece>> {
        let mut waited_for = BTreeSet::new();
        for idx in 0..self.0.len() {
            let arriving = &mut self.0[idx];
            if waited_for.contains(&arriving.from) {
                continue;
            }
            match arriving.is_there() {
                Ok(false) => drop(waited_for.insert(arriving.from)),
                there => {
                    let piece = self.0.remove(idx).expect("it was just there");
                    return there.map(|_| Some(piece.into_piece()));
                }
            }
        }
        Ok(None)
    }
}

impl Arriving {
    fn is_there(&mut self) -> Result<bool> {
        let mut done = 0;
        // SAFETY: the request came from MPI_Imrecv and has not completed before.
        unsafe {
            check("MPI_Test", || {
                ffi::MPI_Test(&raw mut self.request, &raw mut done, ffi::RSMPI_STATUS_IGNORE)
            })?;
        }
        Ok(done != 0)
    }

    fn into_piece(mut self) -> Piece {
        // SAFETY: its request has completed, which wrote so many bytes.
        unsafe { self.piece.set_len(self.length) };
        (self.from, self.tag, self.piece)
    }
}

/// Matches a piece that is on its way here, and begins to receive it.
fn begin(world: ffi::MPI_Comm) -> Result<Option<Arriving>> {
    // SAFETY: every pointer is to a local that outlives its call, but for the buffer, which is on
    // the heap and lives until the request completes or for ever.
    unsafe {
        let mut flag = 0;
        let mut message = ffi::RSMPI_MESSAGE_NULL;
        let mut status = std::mem::zeroed::<ffi::MPI_Status>();
        check("MPI_Improbe", || {
            let (source, tag) = (ffi::RSMPI_ANY_SOURCE, ffi::RSMPI_ANY_TAG);
            let (message, status) = (&raw mut message, &raw mut status);
            ffi::MPI_Improbe(source, tag, world, &raw mut flag, message, status)
        })?;
        if flag == 0 {
            return Ok(None);
        }
        let mut count = 0;
        let byte = ffi::RSMPI_UINT8_T;
        check("MPI_Get_count", || ffi::MPI_Get_count(&raw const status, byte, &raw mut count))?;
        let length = usize::try_from(count).context("MPI_Get_count")?;
        let mut piece = Vec::<u8>::with_capacity(length);
        let mut request = ffi::RSMPI_REQUEST_NULL;
        check("MPI_Imrecv", || {
            let buffer = piece.as_mut_ptr().cast::<c_void>();
            ffi::MPI_Imrecv(buffer, count, byte, &raw mut message, &raw mut request)
        })?;
        let from = Rank(u32::try_from(status.MPI_SOURCE)?);
        Ok(Some(Arriving { from, tag: status.MPI_TAG, request, length, piece }))
    }
}
