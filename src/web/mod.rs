//! The web: one address in, what the server answered out, and what a page says.
//!
//! [`http`] talks to servers and is the only user of `ureq`; everything else is functions over
//! bytes and texts.
//!
//! **Invariant:** nothing here knows of tasks, jobs or ranks; no input of a server makes it
//! panic, or hold more than a fixed multiple of the body limit.

pub mod address;
pub mod charset;
pub mod coding;
pub mod digest;
mod dns;
pub mod edges;
pub mod explain;
pub mod frontier;
pub mod http;
mod later;
pub mod links;
pub mod mime;
pub mod private;
pub mod robots;
pub mod roots;
pub mod scope;
mod shards;
pub mod simhash;
pub mod sitemap;
mod trail;
pub mod trap;
pub mod warc;

pub use shards::Earlier;

use std::fmt;

/// Why there is no answer to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What sort of failure.
    pub failure: Failure,
    /// What happened, in one line.
    pub message: String,
}

impl Error {
    fn new(failure: Failure, message: impl Into<String>) -> Self {
        Self { failure, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The sorts of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server could not be reached, or closed before it answered.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The host name has no address.
    Dns,
    /// A time limit passed.
    Timeout,
    /// The answer broke HTTP, or its redirects lead nowhere.
    Http,
    /// The body is larger than allowed.
    BodyTooLarge,
    /// The host's addresses are no public server's.
    PrivateAddress,
}
