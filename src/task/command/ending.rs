//! How a command ended, as its record says it.

use super::capture::Capture;
use super::process::{Ended, How};
use crate::json;
use crate::task::{ErrorClass, TaskError};

/// Why a command failed: its code, and the last line of what it complained of.
pub(super) fn failure(ended: &Ended, stderr: &Capture<'_>) -> TaskError {
    let (class, how) = match ended.how {
        How::Exit(code) => (ErrorClass::ExitCode, format!("exit code {code}")),
        How::Signal(signal) => (ErrorClass::Signal, format!("ended by {}", signal_name(signal))),
    };
    let line = stderr.last_line().map(|line| format!(": {line}")).unwrap_or_default();
    TaskError::new(class, how + &line)
}

fn signal_name(signal: i32) -> String {
    let name = signal_hook::low_level::signal_name(signal);
    name.map_or_else(|| format!("signal {signal}"), str::to_owned)
}

/// `"exit":0,"stdout":"…","stderr":"…","seconds_cpu":0.001`.
pub(super) fn put_ended(ended: &Ended, captures: &[Capture<'_>; 2], record: &mut Vec<u8>) {
    let how = match ended.how {
        How::Exit(code) => format!("\"exit\":{code}"),
        How::Signal(signal) => format!("\"signal\":{signal}"),
    };
    record.extend_from_slice(how.as_bytes());
    captures[0].put(record);
    captures[1].put(record);
    record.extend_from_slice(b",\"seconds_cpu\":");
    json::put_fixed(record, ended.cpu.as_micros(), 6);
}
