//! Moves bytes between ranks, and nothing else.
//!
//! **Invariant:** knows nothing of what the bytes mean.

pub mod local;
pub mod mpi;

use anyhow::Result;

use crate::message::Rank;

/// One rank's end of the world.
///
/// The collectives are for the start, where every rank takes part; from then on a rank talks to
/// rank 0 by [`Transport::send`] and [`Transport::poll`] alone.
pub trait Transport {
    /// This rank.
    fn rank(&self) -> Rank;

    /// How many ranks the world has.
    fn size(&self) -> u32;

    /// Sends a message, of any size; never blocks.
    fn send(&mut self, to: Rank, message: Vec<u8>) -> Result<()>;

    /// The next message that has arrived, and who sent it; never blocks.
    fn poll(&mut self) -> Result<Option<(Rank, Vec<u8>)>>;

    /// Ranks that have died since the last call, as far as the transport knows.
    fn failed(&mut self) -> Result<Vec<Rank>>;

    /// Lets go of everything for or from a rank that is dead, or taken for it.
    fn forget(&mut self, rank: Rank);

    /// Whether messages of this rank are still on their way out.
    fn is_sending(&mut self) -> Result<bool>;

    /// Whether a part of a message has arrived, and more of it is on its way.
    fn is_arriving(&self) -> bool {
        false
    }

    /// Gives every rank rank 0's bytes (`MPI_Bcast`).
    fn broadcast(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>>;

    /// Gives rank 0 every rank's bytes, by rank; the others get nothing (`MPI_Gatherv`).
    fn gather(&mut self, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>>;

    /// Gives each rank its own part of what rank 0 has, by rank (`MPI_Scatterv`).
    fn scatter(&mut self, parts: Vec<Vec<u8>>) -> Result<Vec<u8>>;

    /// Every rank has taken part in the collectives: from now on a rank that dies is for
    /// [`Transport::failed`] to tell.
    fn started(&mut self) {}

    /// Name and version of the library underneath, and the thread level it grants.
    fn describe(&self) -> Library;
}

/// What carries the messages.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Library {
    /// Such as `Open MPI v5.0.11`.
    pub name: String,
    /// Such as `funneled`.
    pub thread_level: String,
}
