//! A term as the JSON object in its record.

use std::path::Path;

use rug::Integer;
use xxhash_rust::xxh3::xxh3_128;

use super::{Value, check};
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
        Value::Full => full(record, text.as_bytes()),
        Value::Summary => summary(record, text.as_bytes()),
        Value::None => bits(record, u64::from(u128::BITS - term.leading_zeros())),
    }
}

/// A longer term in base 2: how many bits it has.
pub(super) fn binary(record: &mut Vec<u8>, n: u64, term: &Integer) -> Result<(), TaskError> {
    check::binary(n, term)?;
    bits(record, term.significant_digits::<bool>() as u64);
    Ok(())
}

/// A longer term in decimal; `write` appends its digits. None leaves before they are checked.
pub(super) fn decimal(
    record: &mut Vec<u8>,
    n: u64,
    value: Value,
    context: &Context<'_>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), TaskError> {
    let folder = context.values.and_then(|values| Some((values, values.folder()?)));
    if value == Value::Full && folder.is_none() {
        record.extend_from_slice(b"{\"value\":\"");
        let start = record.len();
        write(record);
        check::decimal(n, &record[start..])?;
        end_full(record, start);
        return Ok(());
    }
    let mut text = Vec::new();
    write(&mut text);
    check::decimal(n, &text)?;
    match folder.filter(|_| text.len() > LARGEST_IN_RECORD) {
        _ if value == Value::Summary => summary(record, &text),
        Some((values, folder)) => in_file(record, &text, values, folder)?,
        None => full(record, &text),
    }
    Ok(())
}

/// `{"value":"55","digits":2}`.
fn full(record: &mut Vec<u8>, text: &[u8]) {
    record.extend_from_slice(b"{\"value\":\"");
    let start = record.len();
    record.extend_from_slice(text);
    end_full(record, start);
}

/// What follows the digits that begin at `start`.
fn end_full(record: &mut Vec<u8>, start: usize) {
    let n_digits = record.len() - start;
    record.extend_from_slice(b"\",\"digits\":");
    json::put_number(record, n_digits as u64);
    record.push(b'}');
}

/// `{"value_file":"…","value_offset":0,"value_bytes":208988,"value_digest":"xxh3:…",
/// "digits":208988}`.
fn in_file(
    record: &mut Vec<u8>,
    text: &[u8],
    values: &Values,
    folder: &Path,
) -> Result<(), TaskError> {
    let store = || {
        let mut writer = values.begin(folder, "value")?;
        writer.write(text)?;
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
fn summary(record: &mut Vec<u8>, text: &[u8]) {
    let n_shown = text.len().min(SHOWN_DIGITS);
    record.extend_from_slice(b"{\"digits\":");
    json::put_number(record, text.len() as u64);
    record.extend_from_slice(b",\"first\":\"");
    record.extend_from_slice(&text[..n_shown]);
    record.extend_from_slice(b"\",\"last\":\"");
    record.extend_from_slice(&text[text.len() - n_shown..]);
    record.extend_from_slice(b"\",\"digest\":\"xxh3:");
    record.extend_from_slice(&id_digits(xxh3_128(text)));
    record.extend_from_slice(b"\"}");
}

/// `{"bits":6}`.
fn bits(record: &mut Vec<u8>, bits: u64) {
    record.extend_from_slice(b"{\"bits\":");
    json::put_number(record, bits);
    record.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: Context<'_> = Context::new(1 << 30);

    #[test]
    fn a_wrong_digit_never_leaves() {
        let text = Integer::from(Integer::fibonacci(5000)).to_string_radix(10);
        for value in [Value::Full, Value::Summary] {
            let mut record = Vec::new();
            decimal(&mut record, 5000, value, &CONTEXT, |to| to.extend_from_slice(text.as_bytes()))
                .unwrap();
            for wrong in [0, 1, 500, text.len() - 1] {
                let mut text = text.clone().into_bytes();
                text[wrong] = if text[wrong] == b'9' { b'8' } else { text[wrong] + 1 };
                let error =
                    decimal(&mut record, 5000, value, &CONTEXT, |to| to.extend_from_slice(&text))
                        .unwrap_err();
                assert_eq!(error.class, ErrorClass::WrongResult);
            }
        }
        let term = Integer::from(Integer::fibonacci(5000));
        binary(&mut Vec::new(), 5000, &term).unwrap();
        for bit in [0, 1, 64, 3000] {
            let mut term = term.clone();
            term.toggle_bit(bit);
            let error = binary(&mut Vec::new(), 5000, &term).unwrap_err();
            assert_eq!(error.class, ErrorClass::WrongResult);
        }
    }
}
