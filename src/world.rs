//! Joins the world that a launcher started, or makes one of this process alone, and takes part
//! in a run as whichever rank this is.
//!
//! **Invariant:** a rank that fails in the middle of a run ends the whole world: the others
//! would wait for it for ever.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use crate::inventory::{Inventory, Launcher};
use crate::job::JobSpec;
use crate::message::Rank;
use crate::placement::{self, Placement, Wanted};
use crate::run::{self, Led};
use crate::transport::{Transport, local, mpi};

/// Finalising MPI waits for the other ranks; for one that is beyond reach no longer than this.
const FINALIZE_LIMIT: Duration = Duration::from_secs(10);
/// What a world ends with when a rank fails: the code that mpirun passes on.
const ABORTED: i32 = 2;
/// The same where that was nobody's mistake, and starting again may help.
const STOPPED: i32 = 3;

/// The MPI library that this binary runs with, such as `Open MPI v5.0.11`; does not start it.
pub fn library() -> String {
    mpi::library()
}

/// Runs a job in this world. On rank 0 alone `job` is called first, and `end` last, with what
/// came of it: while MPI still runs, because finalising it waits for every other rank. Returns
/// what `end` does.
pub fn run(
    launcher: &Launcher,
    job: impl FnOnce() -> Result<JobSpec>,
    warn: impl FnMut(&str),
    end: impl FnOnce(Result<run::Finished>) -> u8,
) -> Result<Option<u8>> {
    // Read before MPI starts: an error in it needs no other rank.
    let job = job_on_root(launcher, job);
    in_world(launcher, Part { job, warn, end })
}

fn job_on_root(
    launcher: &Launcher,
    job: impl FnOnce() -> Result<JobSpec>,
) -> Option<Result<JobSpec>> {
    launcher.rank.is_none_or(|rank| rank == 0).then(job)
}

/// Gathers every rank's inventory, and how they share their hosts. Rank 0 alone gets them.
pub fn info(launcher: &Launcher, wanted: Wanted) -> Result<Option<(Vec<Inventory>, Placement)>> {
    in_world(launcher, Look { wanted })
}

/// How a rank's part in its world ended.
enum Took<T> {
    /// In order, with what it gained.
    Done(T),
    /// Before it began, and every rank knows.
    Refused(anyhow::Error),
    /// Without waiting for the other ranks, which are to be ended too.
    Cut(T),
}

/// What a rank does in its world.
trait TakePart {
    type Gained;
    fn take_part(self, transport: &mut impl Transport) -> Result<Took<Self::Gained>>;
    /// The exit code of this process.
    fn code(gained: &Self::Gained) -> u8;
}

struct Part<W, E> {
    job: Option<Result<JobSpec>>,
    warn: W,
    end: E,
}

impl<W: FnMut(&str), E: FnOnce(Result<run::Finished>) -> u8> TakePart for Part<W, E> {
    type Gained = Option<u8>;

    fn take_part(self, transport: &mut impl Transport) -> Result<Took<Self::Gained>> {
        if transport.rank() != Rank::ROOT {
            run::work(transport)?;
            transport.started();
            return Ok(Took::Done(None));
        }
        let job = self.job.unwrap_or_else(|| {
            Err(anyhow!("the launcher and MPI do not agree on which process is rank 0"))
        });
        let led = run::lead(transport, job, self.warn);
        // Also where there is no job to run: ranks leave as they like.
        transport.started();
        let finished = match led {
            Ok(Led::Done(finished)) => Ok(finished),
            Ok(Led::Refused(error)) => Err(error),
            Err(error) if error.is::<run::StoppedAtOnce>() => {
                return Ok(Took::Cut(Some((self.end)(Err(error)))));
            }
            Err(error) => return Err(error),
        };
        Ok(Took::Done(Some((self.end)(finished))))
    }

    fn code(gained: &Self::Gained) -> u8 {
        gained.unwrap_or(0)
    }
}

struct Look {
    wanted: Wanted,
}

impl TakePart for Look {
    type Gained = Option<(Vec<Inventory>, Placement)>;

    fn take_part(self, transport: &mut impl Transport) -> Result<Took<Self::Gained>> {
        let (_, world) = run::gather_world(transport)?;
        // Nobody leaves before all have come.
        transport.broadcast(Vec::new())?;
        transport.started();
        if world.is_empty() {
            return Ok(Took::Done(None));
        }
        Ok(match placement::place(&world, self.wanted) {
            Ok(placement) => Took::Done(Some((world, placement))),
            Err(error) => Took::Refused(error),
        })
    }

    fn code(_: &Self::Gained) -> u8 {
        0
    }
}

fn in_world<P: TakePart>(launcher: &Launcher, part: P) -> Result<P::Gained> {
    if !launcher.is_there() {
        let mut alone = local::world(1).pop().expect("a world of one has one rank");
        return match part.take_part(&mut alone)? {
            Took::Done(gained) | Took::Cut(gained) => Ok(gained),
            Took::Refused(error) => Err(error),
        };
    }
    let mut mpi = mpi::start()?;
    if let Some(reason) = launcher.mismatch(mpi.size(), &mpi::library()) {
        bail!(reason);
    }
    // Kept outside of what may panic: dropping it would wait for the other ranks.
    let result = catch_unwind(AssertUnwindSafe(|| part.take_part(&mut mpi)));
    match result {
        Ok(Ok(Took::Done(gained))) => {
            mpi.finalize(P::code(&gained).into(), FINALIZE_LIMIT);
            Ok(gained)
        }
        Ok(Ok(Took::Cut(gained))) => mpi.abort(P::code(&gained).into()),
        Ok(Ok(Took::Refused(error))) => Err(error),
        Ok(Err(error)) => {
            // With standard error closed there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "rankpool: {}: {error:#}", mpi.rank());
            if mpi.rank() == Rank::ROOT {
                mpi.abort(if error.is::<mpi::DiedAtStart>() { STOPPED } else { ABORTED })
            }
            // A worker that has lost rank 0 must not end a world that goes on without it.
            mpi::Mpi::leave(ABORTED)
        }
        Err(_) => mpi.abort(ABORTED),
    }
}
