//! A term as the JSON object in its record.

use std::path::Path;

use rug::Integer;
use xxhash_rust::xxh3::xxh3_128;

use super::{Value, decimal};
use crate::json;
use crate::task::{Context, ErrorClass, TaskError, id_digits};
use crate::values::{LARGEST_IN_RECORD, Values};

/// Digits that a summary shows at either end.
const SHOWN_DIGITS: usize = 20;

/// How much of a term an output shows; nothing of a remainder.
pub(super) fn form(output: &serde_json::Value) -> Option<Value> {
    let forms = [
        ("value", Value::Full),
        ("value_file", Value::Full),
        ("digest", Value::Summary),
        ("bits", Value::None),
    ];
    forms.into_iter().find(|(key, _)| output.get(key).is_some()).map(|(_, form)| form)
}

/// `{"residue":4}`.
pub(super) fn residue(record: &mut Vec<u8>, residue: u64) {
    record.extend_from_slice(b"{\"residue\":");
    json::put_exact(record, residue);
    record.push(b'}');
}

/// A term of at most 128 bits.
pub(super) fn small(record: &mut Vec<u8>, term: u128, value: Value) {
    let mut buffer = itoa::Buffer::new();
    // Machine words are several times faster to write than 128 bits.
    let text = match u64::try_from(term) {
        Ok(term) => buffer.format(term),
        Err(_) => buffer.format(term),
    };
    match value {
        Value::Full => full(record, text),
        Value::Summary => summary(record, text),
        Value::None => bits(record, u64::from(u128::BITS - term.leading_zeros())),
    }
}

/// A longer term; with a time limit the conversion to digits looks at the clock, which costs it a
/// few percent.
pub(super) fn large(
    record: &mut Vec<u8>,
    term: Integer,
    value: Value,
    context: &Context<'_>,
) -> Result<(), TaskError> {
    if value == Value::None {
        bits(record, term.significant_digits::<bool>() as u64);
        return Ok(());
    }
    let text = digits(term, context)?;
    if value == Value::Full {
        let folder = context.values.and_then(|values| Some((values, values.folder()?)));
        match folder.filter(|_| text.len() > LARGEST_IN_RECORD) {
            Some((values, folder)) => in_file(record, &text, values, folder)?,
            None => full(record, &text),
        }
    } else {
        summary(record, &text);
    }
    Ok(())
}

/// A term's digits. The term ends here: both are large, and the record may need as much again.
fn digits(term: Integer, context: &Context<'_>) -> Result<String, TaskError> {
    if context.deadline.is_some() {
        return decimal::digits(term, || context.check());
    }
    let text = term.to_string_radix(10);
    drop(term);
    Ok(text)
}

/// `{"value":"55","digits":2}`.
fn full(record: &mut Vec<u8>, text: &str) {
    record.reserve(text.len() + 64);
    record.extend_from_slice(b"{\"value\":\"");
    record.extend_from_slice(text.as_bytes());
    record.extend_from_slice(b"\",\"digits\":");
    json::put_number(record, text.len() as u64);
    record.push(b'}');
}

/// `{"value_file":"…","value_offset":0,"value_bytes":208988,"value_digest":"xxh3:…",
/// "digits":208988}`.
fn in_file(
    record: &mut Vec<u8>,
    text: &str,
    values: &Values,
    folder: &Path,
) -> Result<(), TaskError> {
    let store = || {
        let mut writer = values.begin(folder, "value")?;
        writer.write(text.as_bytes())?;
        writer.finish()
    };
    let stored = store().map_err(|error: std::io::Error| {
        TaskError::new(ErrorClass::Failed, format!("cannot write its value: {error}"))
    })?;
    record.push(b'{');
    stored.put("value", record);
    record.extend_from_slice(b",\"digits\":");
    json::put_number(record, text.len() as u64);
    record.push(b'}');
    Ok(())
}

/// `{"digits":2,"first":"55","last":"55","digest":"xxh3:…"}`: the digest is XXH3-128 of all
/// decimal digits.
fn summary(record: &mut Vec<u8>, text: &str) {
    let n_shown = text.len().min(SHOWN_DIGITS);
    record.extend_from_slice(b"{\"digits\":");
    json::put_number(record, text.len() as u64);
    record.extend_from_slice(b",\"first\":\"");
    record.extend_from_slice(&text.as_bytes()[..n_shown]);
    record.extend_from_slice(b"\",\"last\":\"");
    record.extend_from_slice(&text.as_bytes()[text.len() - n_shown..]);
    record.extend_from_slice(b"\",\"digest\":\"xxh3:");
    record.extend_from_slice(&id_digits(xxh3_128(text.as_bytes())));
    record.extend_from_slice(b"\"}");
}

/// `{"bits":6}`.
fn bits(record: &mut Vec<u8>, bits: u64) {
    record.extend_from_slice(b"{\"bits\":");
    json::put_number(record, bits);
    record.push(b'}');
}
