//! Ranks as MPI processes: the only folder that names `mpi`.
//!
//! Only the thread that started MPI calls it (`MPI_THREAD_FUNNELED`, MPI 4.1 section 11.6).
//! The collectives are rsmpi's; point to point goes to the C functions, because rsmpi drops
//! their return codes and cannot keep a buffer until an immediate send has completed.
//!
//! Where the MPI can tell that a rank has died (ULFM: Open MPI 5 with `--with-ft ulfm`), errors
//! are returned and looked into; elsewhere they end the world, as MPI does by itself.
//!
//! **Invariant:** no call here waits for another rank, the collectives at the start and
//! finalising at the end apart.

#![allow(unsafe_code, reason = "MPI's point-to-point functions are C functions")]

mod receive;
mod startup;
mod ulfm;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ffi::{c_int, c_void};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mpi::Threading;
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::Universe;
use mpi::ffi;
use mpi::raw::AsRaw;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Root};

use super::{Library, Transport};
use crate::message::Rank;
use receive::Receiver;
use startup::Startup;
use ulfm::Ulfm;

/// The largest piece of a message: far below the 2^31-1 that an MPI count can hold, and short
/// enough that receiving one does not hold up the loop.
const PIECE: usize = 16 << 20;
/// Tag of a message's only or last piece.
const LAST: c_int = 0;
/// Tag of a piece that another one follows.
const MORE: c_int = 1;

/// This process's end of the MPI world. Dropping it finalises MPI, which waits for every rank.
pub struct Mpi {
    world: SimpleCommunicator,
    threading: Threading,
    sending: VecDeque<Sending>,
    receiver: Receiver,
    /// Pieces of messages whose last one has not arrived, by sender.
    partial: HashMap<Rank, Vec<u8>>,
    ulfm: Option<Ulfm>,
    /// Ranks that are dead or taken for it.
    gone: BTreeSet<Rank>,
    /// Those of them that [`Transport::failed`] has not told of yet.
    untold: Vec<Rank>,
    /// Until all ranks have started.
    startup: Option<Startup>,
    /// Last, so that it is dropped last: dropping it finalises MPI.
    _universe: Universe,
}

/// A rank died before all had started.
#[derive(Debug)]
pub struct DiedAtStart(Rank);

impl std::fmt::Display for DiedAtStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} died before all ranks had started; the run can be started again", self.0)
    }
}

impl std::error::Error for DiedAtStart {}

struct Sending {
    to: Rank,
    request: ffi::MPI_Request,
    /// MPI reads it until the request completes.
    _piece: Vec<u8>,
}

/// Starts MPI.
pub fn start() -> Result<Mpi> {
    let startup = Some(Startup::watch());
    let (universe, threading) = mpi::initialize_with_threading(Threading::Funneled)
        .context("MPI has been started already")?;
    let world = universe.world();
    ensure!(
        threading >= Threading::Funneled,
        "this MPI grants thread level {threading:?} only; rankpool needs MPI_THREAD_FUNNELED"
    );
    let ulfm = Ulfm::find();
    if ulfm.is_some() {
        // SAFETY: a valid communicator and a predefined error handler.
        unsafe { ffi::MPI_Comm_set_errhandler(world.as_raw(), ffi::RSMPI_ERRORS_RETURN) };
    }
    Ok(Mpi {
        world,
        threading,
        sending: VecDeque::new(),
        receiver: Receiver::default(),
        partial: HashMap::new(),
        ulfm,
        gone: BTreeSet::new(),
        untold: Vec::new(),
        startup,
        _universe: universe,
    })
}

/// Name and version of the MPI library that this binary runs with; does not start it.
pub fn library() -> String {
    let version = mpi::environment::library_version().unwrap_or_else(|_| "unknown MPI".into());
    let version = version.trim_end_matches('\0');
    version.split([',', '\n']).next().unwrap_or(version).trim().to_owned()
}

impl Mpi {
    /// Leaves MPI, whose finalising waits for other ranks: should one of them be beyond reach,
    /// this process ends with `code` after `limit` all the same.
    pub fn finalize(self, code: i32, limit: Duration) {
        let watch = move || {
            std::thread::sleep(limit);
            // SAFETY: ends the process without the exit handlers, which may wait as well.
            unsafe { libc::_exit(code) }
        };
        // Without the watch, finalising is as reliable as the MPI is.
        let _ = std::thread::Builder::new().name("finalize".into()).spawn(watch);
        drop(self);
    }

    /// Ends this process alone, at once.
    pub fn leave(code: i32) -> ! {
        // SAFETY: ends the process without the exit handlers, which may wait for other ranks.
        unsafe { libc::_exit(code) }
    }

    /// Ends every rank at once with an exit code.
    pub fn abort(&self, code: i32) -> ! {
        self.world.abort(code)
    }

    fn send_piece(&mut self, to: Rank, piece: Vec<u8>, tag: c_int) -> Result<()> {
        let count = c_int::try_from(piece.len()).expect("a piece is far below 2^31 bytes");
        let dest = c_int::try_from(to.0).context("rank out of range")?;
        // SAFETY: MPI reads the piece until the request completes. It lives in `sending` until
        // then, on the heap, where moving the Vec does not move it.
        let request = unsafe {
            let mut request = ffi::RSMPI_REQUEST_NULL;
            check("MPI_Isend", || {
                let buffer = piece.as_ptr().cast::<c_void>();
                let byte = ffi::RSMPI_UINT8_T;
                let comm = self.world.as_raw();
                ffi::MPI_Isend(buffer, count, byte, dest, tag, comm, &raw mut request)
            })?;
            request
        };
        self.sending.push_back(Sending { to, request, _piece: piece });
        Ok(())
    }

    fn send_pieces(&mut self, to: Rank, message: Vec<u8>) -> Result<()> {
        if message.len() <= PIECE {
            return self.send_piece(to, message, LAST);
        }
        let mut pieces = message.chunks(PIECE);
        let last = pieces.next_back().expect("longer than a piece");
        for piece in pieces {
            self.send_piece(to, piece.to_vec(), MORE)?;
        }
        self.send_piece(to, last.to_vec(), LAST)
    }

    /// A collective in which a rank died leaves nothing that can be gone on with.
    fn ensure_all_live(&self) -> Result<()> {
        let dead = self.ulfm.map_or(Ok(Vec::new()), |ulfm| ulfm.dead(self.world.as_raw()))?;
        dead.first().map_or(Ok(()), |&rank| Err(DiedAtStart(rank).into()))
    }

    /// Looks into an error: ranks that have died explain it, otherwise it is one of ours.
    fn look_into(&mut self, error: anyhow::Error) -> Result<()> {
        let Some(ulfm) = self.ulfm else { return Err(error) };
        let dead = ulfm.dead(self.world.as_raw())?;
        let before = self.gone.len();
        for rank in dead {
            if self.gone.insert(rank) {
                self.untold.push(rank);
            }
        }
        // A second error about a rank that is known to be dead is no news, but no fault either.
        if self.gone.len() == before && before == 0 { Err(error) } else { Ok(()) }
    }

    /// Lets go of what has been sent, oldest first, and of what nobody will receive.
    fn complete_sends(&mut self) -> Result<()> {
        while let Some(oldest) = self.sending.front_mut() {
            let mut done = 0;
            // SAFETY: the request came from MPI_Isend and has not completed before.
            let tested = unsafe {
                check("MPI_Test", || {
                    ffi::MPI_Test(&raw mut oldest.request, &raw mut done, ffi::RSMPI_STATUS_IGNORE)
                })
            };
            if let Err(error) = tested {
                self.look_into(error)?;
                done = 1;
            }
            if done == 0 {
                break;
            }
            self.sending.pop_front();
        }
        Ok(())
    }
}

fn check(call: &str, function: impl FnOnce() -> c_int) -> Result<()> {
    match function() {
        0 => Ok(()),
        code => bail!("{call} failed with error {code}"),
    }
}

impl Transport for Mpi {
    fn rank(&self) -> Rank {
        Rank(u32::try_from(self.world.rank()).expect("a rank is not negative"))
    }

    fn size(&self) -> u32 {
        u32::try_from(self.world.size()).expect("a size is not negative")
    }

    fn send(&mut self, to: Rank, message: Vec<u8>) -> Result<()> {
        if self.gone.contains(&to) {
            return Ok(());
        }
        let sent = self.send_pieces(to, message);
        sent.or_else(|error| self.look_into(error))?;
        self.complete_sends()
    }

    fn poll(&mut self) -> Result<Option<(Rank, Vec<u8>)>> {
        self.complete_sends()?;
        loop {
            let (from, tag, piece) = match self.receiver.poll(self.world.as_raw()) {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(None),
                Err(error) => return self.look_into(error).map(|()| None),
            };
            match (tag, self.partial.get_mut(&from)) {
                (MORE, Some(partial)) => partial.extend_from_slice(&piece),
                (MORE, None) => drop(self.partial.insert(from, piece)),
                (_, None) => return Ok(Some((from, piece))),
                (_, Some(_)) => {
                    let mut message = self.partial.remove(&from).expect("it was just there");
                    message.extend_from_slice(&piece);
                    return Ok(Some((from, message)));
                }
            }
        }
    }

    fn failed(&mut self) -> Result<Vec<Rank>> {
        Ok(std::mem::take(&mut self.untold))
    }

    fn forget(&mut self, rank: Rank) {
        self.gone.insert(rank);
        self.partial.remove(&rank);
        self.receiver.forget(rank);
        // MPI may still read a piece whose request has not completed: it is left to it.
        let (gone, sending) = std::mem::take(&mut self.sending)
            .into_iter()
            .partition::<VecDeque<_>, _>(|sending| sending.to == rank);
        self.sending = sending;
        std::mem::forget(gone);
    }

    fn is_sending(&mut self) -> Result<bool> {
        self.complete_sends()?;
        Ok(!self.sending.is_empty())
    }

    fn is_arriving(&self) -> bool {
        self.receiver.is_arriving() || !self.partial.is_empty()
    }

    fn broadcast(&mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        let root = self.world.process_at_rank(0);
        let mut length = bytes.len() as u64;
        root.broadcast_into(&mut length);
        bytes.resize(usize::try_from(length)?, 0);
        for piece in bytes.chunks_mut(PIECE) {
            root.broadcast_into(piece);
        }
        Ok(bytes)
    }

    fn gather(&mut self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let root = self.world.process_at_rank(0);
        let count = c_int::try_from(bytes.len()).context("too much to gather from a rank")?;
        if self.rank() != Rank::ROOT {
            root.gather_into(&count);
            root.gather_varcount_into(&bytes[..]);
            return Ok(Vec::new());
        }
        let mut counts = vec![0; self.size() as usize];
        root.gather_into_root(&count, &mut counts[..]);
        self.ensure_all_live()?;
        let (displacements, total) = displacements(&counts)?;
        let mut all = vec![0u8; total];
        let mut partition = PartitionMut::new(&mut all[..], counts.clone(), &displacements[..]);
        root.gather_varcount_into_root(&bytes[..], &mut partition);
        self.ensure_all_live()?;
        let mut rest = all.as_slice();
        Ok(counts.iter().map(|&count| take(&mut rest, count)).collect())
    }

    fn scatter(&mut self, parts: Vec<Vec<u8>>) -> Result<Vec<u8>> {
        let root = self.world.process_at_rank(0);
        let mut count = 0;
        if self.rank() != Rank::ROOT {
            root.scatter_into(&mut count);
            let mut part = vec![0u8; usize::try_from(count)?];
            root.scatter_varcount_into(&mut part[..]);
            return Ok(part);
        }
        let counts = parts
            .iter()
            .map(|part| c_int::try_from(part.len()).context("too much to scatter to a rank"))
            .collect::<Result<Vec<_>>>()?;
        root.scatter_into_root(&counts[..], &mut count);
        let (displacements, _) = displacements(&counts)?;
        let all = parts.concat();
        let partition = Partition::new(&all[..], counts, &displacements[..]);
        let mut own = vec![0u8; usize::try_from(count)?];
        root.scatter_varcount_into_root(&partition, &mut own[..]);
        Ok(own)
    }

    fn started(&mut self) {
        self.startup = None;
    }

    fn describe(&self) -> Library {
        let thread_level = format!("{:?}", self.threading).to_lowercase();
        Library { name: library(), thread_level }
    }
}

/// Where each rank's part starts in the whole, and the whole's length.
fn displacements(counts: &[c_int]) -> Result<(Vec<c_int>, usize)> {
    let mut total: c_int = 0;
    let mut starts = Vec::with_capacity(counts.len());
    for count in counts {
        starts.push(total);
        total = total.checked_add(*count).context("more than 2 GiB in one collective")?;
    }
    Ok((starts, usize::try_from(total)?))
}

fn take(rest: &mut &[u8], count: c_int) -> Vec<u8> {
    let (part, after) = rest.split_at(usize::try_from(count).expect("a count is not negative"));
    *rest = after;
    part.to_vec()
}

impl std::fmt::Debug for Mpi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mpi").field("rank", &self.rank()).finish_non_exhaustive()
    }
}
