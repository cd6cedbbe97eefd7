//! The certificates that TLS trusts: those of this machine, or those that come with the
//! program.
//!
//! The machine's count first because a network may have an authority of its own; a bare
//! machine, such as a small container, may have none at all.

use rustls_native_certs::load_native_certs;
use serde::{Deserialize, Serialize};

/// Which certificates are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certificates {
    /// This machine's, or the bundled ones if it has none.
    #[default]
    Auto,
    /// This machine's; the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` say where they are.
    System,
    /// Mozilla's, as they were when the program was built.
    Bundled,
}

impl Certificates {
    /// The certificates to trust, DER; `None` for the bundled ones.
    pub(super) fn load(self) -> Result<Option<Vec<Vec<u8>>>, String> {
        if self == Self::Bundled {
            return Ok(None);
        }
        let found = load_native_certs();
        let certificates: Vec<_> = found.certs.iter().map(|found| found.to_vec()).collect();
        match (certificates.is_empty(), self) {
            (false, _) => Ok(Some(certificates)),
            (true, Self::Auto) => Ok(None),
            (true, _) => {
                let why = found.errors.first().map(|error| format!(" ({error})"));
                Err(format!(
                    "this machine has no certificates{}; install its `ca-certificates`, point \
                     `SSL_CERT_FILE` at some, or use `bundled`",
                    why.unwrap_or_default()
                ))
            }
        }
    }
}
