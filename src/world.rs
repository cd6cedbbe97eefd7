//! Joins the world that a launcher started, or makes one of this process alone, and takes part
//! in a run as whichever rank this is.
//!
//! **Invariant:** a rank that fails in the middle of a run ends the whole world: the others
//! would wait for it for ever.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow, bail};

use crate::inventory::{Inventory, Launcher};
use crate::job::JobSpec;
use crate::message::Rank;
use crate::placement::{self, Placement, Wanted};
use crate::run::{self, Led};
use crate::transport::{Transport, local, mpi};

/// A run that a second signal ended.
const STOPPED: i32 = 3;
/// What a world ends with when a rank fails: the code that mpirun passes on.
const ABORTED: i32 = 2;

/// Runs a job in this world. Rank 0 alone gets what came of it; `job` is called there only.
pub fn run(
    launcher: &Launcher,
    job: impl FnOnce() -> Result<JobSpec>,
    warn: impl FnMut(&str),
) -> Result<Option<run::Finished>> {
    // Read before MPI starts: an error in it needs no other rank.
    let job = job_on_root(launcher, job);
    in_world(launcher, Part { job, warn })
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

/// What a rank does in its world.
trait TakePart {
    type Gained;
    fn take_part(self, transport: &mut impl Transport) -> Result<Led<Self::Gained>>;
}

struct Part<W> {
    job: Option<Result<JobSpec>>,
    warn: W,
}

impl<W: FnMut(&str)> TakePart for Part<W> {
    type Gained = Option<run::Finished>;

    fn take_part(self, transport: &mut impl Transport) -> Result<Led<Self::Gained>> {
        if transport.rank() != Rank::ROOT {
            run::work(transport)?;
            return Ok(Led::Done(None));
        }
        let job = self.job.unwrap_or_else(|| {
            Err(anyhow!("the launcher and MPI do not agree on which process is rank 0"))
        });
        Ok(match run::lead(transport, job, self.warn)? {
            Led::Done(finished) => Led::Done(Some(finished)),
            Led::Refused(error) => Led::Refused(error),
        })
    }
}

struct Look {
    wanted: Wanted,
}

impl TakePart for Look {
    type Gained = Option<(Vec<Inventory>, Placement)>;

    fn take_part(self, transport: &mut impl Transport) -> Result<Led<Self::Gained>> {
        let (_, world) = run::gather_world(transport)?;
        if world.is_empty() {
            return Ok(Led::Done(None));
        }
        Ok(match placement::place(&world, self.wanted) {
            Ok(placement) => Led::Done(Some((world, placement))),
            Err(error) => Led::Refused(error),
        })
    }
}

fn in_world<P: TakePart>(launcher: &Launcher, part: P) -> Result<P::Gained> {
    if !launcher.is_there() {
        let mut alone = local::world(1).pop().expect("a world of one has one rank");
        return match part.take_part(&mut alone)? {
            Led::Done(gained) => Ok(gained),
            Led::Refused(error) => Err(error),
        };
    }
    let mut mpi = mpi::start()?;
    if let Some(reason) = launcher.mismatch(mpi.size(), &mpi::library()) {
        bail!(reason);
    }
    // Kept outside of what may panic: dropping it would wait for the other ranks.
    let result = catch_unwind(AssertUnwindSafe(|| part.take_part(&mut mpi)));
    match result {
        Ok(Ok(Led::Done(gained))) => Ok(gained),
        Ok(Ok(Led::Refused(error))) => Err(error),
        Ok(Err(error)) => {
            // With standard error closed there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "rankpool: {}: {error:#}", mpi.rank());
            match () {
                () if error.is::<run::StoppedAtOnce>() => mpi.abort(STOPPED),
                // A worker that has lost rank 0 must not end a world that goes on without it.
                () if mpi.rank() != Rank::ROOT => mpi::Mpi::leave(ABORTED),
                () => mpi.abort(ABORTED),
            }
        }
        Err(_) => mpi.abort(ABORTED),
    }
}
