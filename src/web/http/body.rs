//! A response's body: read under a limit, then decoded under it.

use std::io::{self, Read};

use ureq::Body;

use super::Truncation;
use super::explain::is_closed;
use crate::web::coding::{self, BodyError};

/// Why a body is not whole.
#[derive(Debug)]
pub(super) enum BodyFault {
    TooLarge,
    Coding(String),
    Read(ureq::Error),
}

/// A body, as far as it came.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) wire: Vec<u8>,
    /// `None`: the same as `wire`.
    pub(super) decoded: Option<Vec<u8>>,
    pub(super) truncated: Option<Truncation>,
    pub(super) fault: Option<BodyFault>,
}

/// A body whose length nobody tells begins with so much room.
const ROOM: usize = 16 << 10;

/// So much is made room for on a header's word alone; for the rest of it, once so much has come.
const TRUSTED: u64 = 4 << 20;

/// Reads all of a body, of `length` bytes if its head is right, and undoes its codings.
pub(super) fn read(body: Body, length: Option<u64>, encodings: &str, limit: u64) -> Received {
    let coded = coding::is_coded(encodings);
    let most = if coded { limit.saturating_add(coding::slack(limit)) } else { limit };
    // With a byte more than needed, the end is seen without another look for room.
    let room = length
        .map_or(ROOM, |length| usize::try_from(length.min(TRUSTED).min(most)).unwrap_or(ROOM) + 1);
    let mut wire = Vec::with_capacity(room);
    let mut reader = body.into_reader().take(most.saturating_add(1));
    let (mut truncated, mut fault) = (None, None);
    if let Err(error) = read_all(&mut reader, length.unwrap_or(0).min(most), &mut wire) {
        let error = ureq::Error::from(error);
        truncated = Some(truncation(&error));
        fault = Some(BodyFault::Read(error));
    } else if wire.len() as u64 > most {
        wire.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        (truncated, fault) = (Some(Truncation::Length), Some(BodyFault::TooLarge));
    }
    let decoded = coded.then(|| {
        let mut decoded = Vec::new();
        if let Err(error) = coding::decode(&wire, encodings, limit, &mut decoded) {
            // What was cut short cannot be decoded whole: the first reason stands.
            fault.get_or_insert(match error {
                BodyError::TooLarge => BodyFault::TooLarge,
                BodyError::Coding(message) => BodyFault::Coding(message),
            });
        }
        decoded
    });
    Received { wire, decoded, truncated, fault }
}

/// Reads to the end of what is `length` bytes long, as far as anybody knows.
fn read_all(reader: &mut impl Read, length: u64, wire: &mut Vec<u8>) -> io::Result<()> {
    let n_read = reader.take(TRUSTED).read_to_end(wire)? as u64;
    if n_read == TRUSTED {
        wire.reserve(usize::try_from(length.saturating_sub(n_read)).unwrap_or(0) + 1);
        reader.read_to_end(wire)?;
    }
    Ok(())
}

fn truncation(error: &ureq::Error) -> Truncation {
    match error {
        ureq::Error::Timeout(_) => Truncation::Time,
        ureq::Error::Io(error) if is_closed(error) => Truncation::Disconnect,
        _ => Truncation::Unspecified,
    }
}
