//! Our own errors among `ureq`'s.

use std::fmt;
use std::net::IpAddr;

/// An address that must not be connected to.
#[derive(Debug)]
pub(super) struct Refused(String);

impl Refused {
    pub(super) fn new(host: &str, address: IpAddr, why: &str) -> Self {
        let host = host.trim_matches(['[', ']']);
        let at = if host.parse() == Ok(address) { String::new() } else { format!(" at {address}") };
        Self(format!("`{host}`{at} is no public address ({why}); `allow_private` permits it"))
    }
}

/// A look-up that found nothing.
#[derive(Debug)]
pub(super) struct NoAddress(String);

impl NoAddress {
    pub(super) fn new(host: &str, why: &str) -> Self {
        Self(format!("cannot resolve `{host}`: {why}"))
    }
}

macro_rules! among_ureqs {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::error::Error for $name {}

        impl From<$name> for ureq::Error {
            fn from(error: $name) -> Self {
                Self::Other(Box::new(error))
            }
        }
    )*};
}

among_ureqs!(Refused NoAddress);
