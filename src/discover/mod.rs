//! Machines found on the network: `rankpool announce` says over multicast DNS (RFC 6762, with
//! the TXT record of DNS-SD, RFC 6763) that a machine takes ranks, and `rankpool discover` makes
//! a hostfile of what it hears.
//!
//! [`record`]: what a machine says. [`secret`]: how it proves that it may. [`choose`]: who is
//! taken. [`hostfile`]: how that is written. [`mod@announce`], [`mod@search`]: the two ends. [`mdns`]
//! and [`net`]: the network itself.
//!
//! **Invariant:** everything heard is a stranger's text until [`choose`] has looked at it, and
//! no byte of it gets into a hostfile but a host name, an address, a number, or a comment
//! without control characters. Nothing here starts MPI or a rank.

pub mod announce;
pub mod choose;
pub mod hostfile;
mod mdns;
mod net;
pub mod record;
pub mod search;
pub mod secret;

use std::time::{SystemTime, UNIX_EPOCH};

pub use announce::announce;
pub use mdns::SERVICE;
pub use search::search;

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
