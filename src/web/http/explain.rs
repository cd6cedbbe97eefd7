//! What `ureq`'s errors mean to whoever asked.

use std::io;

use ureq::Timeout;

use super::Client;
use super::body::BodyFault;
use super::refused::{NoAddress, Refused};
use crate::units::{format_duration, format_size};
use crate::web::trail::Trail;
use crate::web::{Error, Failure};

impl Client {
    pub(super) fn explain(&self, error: ureq::Error, trail: &Trail) -> Error {
        let (failure, message) = match error {
            ureq::Error::Timeout(limit) => (Failure::Timeout, self.explain_timeout(limit, trail)),
            ureq::Error::Io(error) => explain_io(&error),
            ureq::Error::Other(error) if error.is::<NoAddress>() => {
                (Failure::Dns, error.to_string())
            }
            ureq::Error::Other(error) if error.is::<Refused>() => {
                (Failure::PrivateAddress, error.to_string())
            }
            ureq::Error::HostNotFound => (Failure::Dns, error.to_string()),
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::TlsRequired => {
                (Failure::Tls, error.to_string())
            }
            ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
                (Failure::Connect, error.to_string())
            }
            other => (Failure::Http, other.to_string()),
        };
        Error::new(failure, message)
    }

    pub(super) fn explain_body(&self, fault: BodyFault, trail: &Trail, limit: u64) -> Error {
        match fault {
            BodyFault::TooLarge => too_large(limit),
            BodyFault::Coding(message) => Error::new(Failure::Http, message),
            BodyFault::Read(ureq::Error::Io(error)) if is_closed(&error) => {
                Error::new(Failure::Http, "the connection was closed in the middle of the body")
            }
            BodyFault::Read(error) => self.explain(error, trail),
        }
    }

    fn explain_timeout(&self, limit: Timeout, trail: &Trail) -> String {
        let settings = &self.settings;
        let (what, name, span) = match limit {
            Timeout::Connect => ("no connection", "connect_timeout", settings.connect_timeout),
            Timeout::PerRead => ("nothing more was sent", "read_timeout", settings.read_timeout),
            Timeout::PerWrite => ("nothing more was taken", "read_timeout", settings.read_timeout),
            _ => ("not done", "timeout", trail.timeout),
        };
        format!("{what} within `{name}` ({})", format_duration(span))
    }
}

pub(super) fn too_large(limit: u64) -> Error {
    let limit = format_size(limit);
    Error::new(Failure::BodyTooLarge, format!("the body is larger than `max_body` ({limit})"))
}

/// Whether the other side ended the connection.
pub(super) fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

fn explain_io(error: &io::Error) -> (Failure, String) {
    // Of all layers, only rustls reports wrong data this way; and it names its handshake where
    // that was cut short.
    let message = error.to_string();
    if error.kind() == io::ErrorKind::InvalidData || message.contains("tls handshake") {
        return (Failure::Tls, message);
    }
    if is_closed(error) {
        return (Failure::Connect, "the connection was closed before an answer".to_owned());
    }
    (Failure::Connect, message)
}
