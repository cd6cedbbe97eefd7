//! A record of a term as a line for people.

use serde_json::Value as Json;

use crate::units::thousands;

/// Digits of a term up to which it is shown whole.
const WHOLE_DIGITS: usize = 60;

/// Digits shown at either end of a longer term.
const END_DIGITS: usize = 10;

/// `for input 10, the fibonacci calculated by rank 1 pid 4242 on host h1 was 55`.
pub(super) fn describe(record: &Json) -> String {
    let (input, output) = (&record["input"], &record["output"]);
    let modulo = match &input["modulus"] {
        Json::Null => String::new(),
        modulus => format!(" modulo {}", plain(modulus)),
    };
    format!(
        "for input {}, the fibonacci{modulo} calculated by rank {} pid {} on host {} was {}",
        plain(&input["n"]),
        plain(&record["rank"]),
        plain(&record["pid"]),
        plain(&record["host"]),
        result(output)
    )
}

fn result(output: &Json) -> String {
    if let Some(value) = output["value"].as_str() {
        return term(value, value, value.len());
    }
    if let Some(path) = output["value_file"].as_str() {
        let n_digits = output["digits"].as_u64().unwrap_or_default();
        return format!("a term of {} digits, in {path}", thousands(n_digits));
    }
    if let (Some(first), Some(last)) = (output["first"].as_str(), output["last"].as_str()) {
        let n_digits = output["digits"].as_u64().unwrap_or_default();
        return term(first, last, usize::try_from(n_digits).unwrap_or(usize::MAX));
    }
    match &output["residue"] {
        Json::Null => format!("a number of {} bits", thousands(plain(&output["bits"]))),
        residue => plain(residue),
    }
}

/// A term that starts with `first`, ends with `last` and has `n_digits` digits.
fn term(first: &str, last: &str, n_digits: usize) -> String {
    if first.len() == n_digits && n_digits <= WHOLE_DIGITS {
        return first.to_owned();
    }
    let start = first.get(..END_DIGITS).unwrap_or(first);
    let end = last.len().checked_sub(END_DIGITS).and_then(|at| last.get(at..)).unwrap_or(last);
    format!("{start}…{end} ({} digits)", thousands(n_digits))
}

/// A value without the quotes that large integers have in JSON.
fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
